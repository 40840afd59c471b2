"""Writes the tables and plots of docs/evidence.md from the results."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import matplotlib as mpl
from PIL import Image

mpl.use("Agg")

from matplotlib import pyplot as plt

from . import rows
from .measuring import LONGER, RATES, Evidence
from .results import Summary, summary
from .rows import BEST, PEAKS, SCHEDULES, TIMES, Row

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "evidence.md"
COLOURS = ("#0072b2", "#c14e00", "#007a5a", "#8a5fa8", "#b8860b", "#444444", "#56b4e9", "#d55e9b", "#7a7a00")
MOST_COLOURS = 64
LOW, _, HIGH = TIMES
FEWEST = 8
"""With fewer trainings a row of the longer groups is not stated."""


def write(evidence: Evidence) -> list[str]:
    """Tables, plots and the rates that were chosen.

    Returns:
        the groups that were not measured to their end.

    Raises:
        ValueError: the page has no place for a table.
    """
    rates = {"best": {name: float(f"{rate:.4g}") for name, rate in evidence.best().items()}, "tops": evidence.tops()}
    RATES.write_text(json.dumps(rates, indent=1) + "\n", encoding="utf-8")
    groups = evidence.groups()
    whole = {name for name, made in groups.items() if all(evidence.is_whole(row) for row in made())}
    text = PAGE.read_text(encoding="utf-8")
    for name, (group, make) in TABLES.items():
        if group in whole or (group in LONGER and evidence.in_common(list(groups[group]())) >= FEWEST):
            text = _put(text, name, list(make(evidence)))
    PAGE.write_text(text, encoding="utf-8")
    _plot_peaks(evidence)
    if "schedules" in whole:
        _plot_schedules(evidence)
    return [name for name in groups if name not in whole]


def _put(text: str, name: str, lines: Sequence[str]) -> str:
    place = re.compile(rf"(<!-- evidence: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    text, count = place.subn(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], text)
    if count != 1:
        raise ValueError(f"{PAGE.name} has {count} places <!-- evidence: {name} -->; expected one")
    return text


def _texts(evidence: Evidence) -> Iterator[str]:
    yield "| schedule | text at its best rate |"
    yield "|---|---|"
    for schedule, rate in evidence.best().items():
        yield f"| {schedule} | `{SCHEDULES[schedule](rate)}` |"


def _schedules(evidence: Evidence, name: str) -> Iterator[str]:
    best = evidence.best()
    made = {row.name: row for row in rows.schedules(best)}
    yield f"| schedule | best rate | {BEST} | against the constant at its best rate | {HIGH} | {LOW} |"
    yield "|---|---|---|---|---|---|"
    for schedule in SCHEDULES:
        at = {times: made[f"{schedule}, {times}"] for times in TIMES}
        low, there, high = (_cell(evidence.values(at[times], name)) for times in TIMES)
        yield f"| {schedule} | {best[schedule]:.2g} | {there} | {_against(evidence, at[BEST], name)} | {high} | {low} |"


def _same_rate(evidence: Evidence) -> Iterator[str]:
    yield f"| schedule, highest rate {rows.SAME:.2g} | weights | against the constant | average of the weights |"
    yield "|---|---|---|---|"
    for schedule, row in zip(SCHEDULES, rows.same_rate(), strict=True):
        average = _cell(evidence.values(row, "average"))
        yield f"| {schedule} | {_cell(evidence.values(row))} | {_against(evidence, row)} | {average} |"


def _options(evidence: Evidence) -> Iterator[str]:
    yield "| row | weights | against without it | average of the weights | against without it |"
    yield "|---|---|---|---|---|"
    for row in rows.options(evidence.best()):
        cells = []
        for name in ("closed", "average"):
            cells += [_cell(evidence.values(row, name)), _against(evidence, row, name)]
        yield f"| {row.name} | " + " | ".join(cells) + " |"


def _finder(evidence: Evidence) -> Iterator[str]:
    yield "| row | gap closed | highest rate that was trained with |"
    yield "|---|---|---|"
    for row in rows.finder(evidence.best()):
        texts = evidence.results.texts(row, evidence.seeds(row))
        peaks = sorted(float(re.findall(r"cosine\(([^,]+),", text)[0]) for text in texts)
        peak = f"{peaks[0]:.2g}" if peaks[0] == peaks[-1] else f"{median(peaks):.2g} ({peaks[0]:.2g} to {peaks[-1]:.2g})"
        yield f"| {row.name} | {_cell(evidence.values(row))} | {peak} |"


def _cycles(evidence: Evidence, wanted: Sequence[Row]) -> Iterator[str]:
    """Of the seeds that all rows have, since these take longest."""
    count = evidence.in_common(wanted)
    yield f"| row, {count} trainings each | updates | text | gap closed or loss gone | against the constant |"
    yield "|---|---|---|---|---|"
    for row in wanted:
        cell = _cell(evidence.values(row)[:count])
        yield f"| {row.name} | {row.updates:,} | `{row.text}` | {cell} | {_against(evidence, row, count=count)} |"


TABLES: dict[str, tuple[str, Callable[[Evidence], Iterator[str]]]] = {
    "texts": ("schedules", _texts),
    "schedules": ("schedules", lambda e: _schedules(e, "closed")),
    "averages": ("schedules", lambda e: _schedules(e, "average")),
    "same rate": ("same rate", _same_rate),
    "options": ("options", _options),
    "finder": ("finder", _finder),
    "cycles": ("cycles", lambda e: _cycles(e, list(rows.cycles(e.tops())))),
    "long cycles": ("long cycles", lambda e: _cycles(e, list(rows.long_cycles(e.tops())))),
}
"""By the name of its place in the page: the group of its rows, and what makes its lines."""


def _cell(values: Sequence[float]) -> str:
    """Mean, half its 95 % interval, worst."""
    found = summary(values)
    return f"{found.mean:.1f} ± {found.error:.1f} ({found.worst:.0f})"


def _against(evidence: Evidence, row: Row, name: str = "closed", count: int | None = None) -> str:
    pairs = evidence.against(row, name, count)
    return "" if pairs is None else f"{pairs.mean:+.1f} ± {pairs.error:.1f}"


# Plots ------------------------------------------------------------------------------------------


def _plot_peaks(evidence: Evidence) -> None:
    """What the rows that choose a rate say: the mean over the highest rate of each schedule."""
    found = list(rows.choosing())
    figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
    for i, schedule in enumerate(SCHEDULES):
        of = found[i * len(PEAKS):(i + 1) * len(PEAKS)]
        means = [summary(evidence.values(row)).mean for row in of]
        axes.plot(PEAKS, means, marker="o", markersize=3, color=COLOURS[i], label=schedule)
    axes.set(xscale="log", xlabel="highest rate of the schedule", ylabel="gap closed, %", ylim=(0, 100))
    figure.legend(fontsize=8, loc="outside right center")
    axes.grid(alpha=0.3)
    _save(figure, "evidence-rates.png")


def _plot_schedules(evidence: Evidence) -> None:
    """Mean, its interval and the worst run, at the best rate and with one that is wrong by ten."""
    made = {row.name: row for row in rows.schedules(evidence.best())}
    figure, panels = plt.subplots(1, len(TIMES), figsize=(9, 3.8), sharey=True, layout="constrained")
    for axes, times in zip(panels, TIMES, strict=True):
        for name, colour, aside in (("closed", COLOURS[0], -0.15), ("average", COLOURS[1], 0.15)):
            found = [summary(evidence.values(made[f"{schedule}, {times}"], name)) for schedule in SCHEDULES]
            _dots(axes, found, colour, aside, "weights" if name == "closed" else "average of the weights")
        axes.set(title=times, xlabel="gap closed, %", xlim=(-106, 100))
        axes.grid(alpha=0.3)
    panels[0].set_yticks(range(len(SCHEDULES)), list(SCHEDULES))
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=2)
    _save(figure, "evidence-schedules.png")


def _dots(axes: plt.Axes, found: Sequence[Summary], colour: str, aside: float, label: str) -> None:
    places = [i + aside for i in range(len(found))]
    means, errors = [one.mean for one in found], [one.error for one in found]
    axes.errorbar(means, places, xerr=errors, fmt="o", markersize=4, color=colour, label=label)
    axes.scatter([one.worst for one in found], places, marker="|", s=40, color=colour)


def _save(figure: plt.Figure, name: str) -> None:
    """As a small PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    plt.close(figure)
    Image.open(buffer).convert("RGB").quantize(MOST_COLOURS).save(DOCS / "images" / name, optimize=True)
