"""Writes the tables and plots of docs/evidence.md from the results."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
from PIL import Image

mpl.use("Agg")

from matplotlib import pyplot as plt

from . import rows
from .measuring import LONG, RATES, Evidence
from .results import Summary, difference, summary
from .rows import PEAKS, SCHEDULES, TIMES, Row

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "evidence.md"
COLOURS = ("#0072b2", "#c14e00", "#007a5a", "#8a5fa8", "#b8860b", "#444444", "#56b4e9", "#d55e9b", "#7a7a00")
MOST_COLOURS = 64
BEST = "its best rate"


def write(evidence: Evidence) -> None:
    """Tables, plots and the rates that were chosen.

    Raises:
        ValueError: the page has no place for a table.
    """
    rates = {"best": evidence.best(), "tops": evidence.tops()}
    RATES.write_text(json.dumps(rates, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in _tables(evidence).items():
        place = re.compile(rf"(<!-- evidence: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = place.subn(lambda found, lines=lines: found[1] + "\n".join(lines) + "\n" + found[2], text)
        if count != 1:
            raise ValueError(f"{PAGE.name} has {count} places <!-- evidence: {name} -->, and needs one")
    PAGE.write_text(text, encoding="utf-8")
    _plot_peaks(evidence)
    _plot_schedules(evidence)


def _tables(evidence: Evidence) -> dict[str, list[str]]:
    makers: dict[str, Callable[[Evidence], Iterator[str]]] = {
        "schedules": lambda e: _schedules(e, "closed"), "averages": lambda e: _schedules(e, "average"),
        "options": _options, "finder": _finder, "cycles": _cycles,
    }
    made = {name: list(make(evidence)) for name, make in makers.items()}
    long = list(rows.long_cycles(evidence.tops()))
    if all(evidence.is_whole(row) for row in long):
        made[LONG] = list(_plain(evidence, long))
    return made


def _schedules(evidence: Evidence, name: str) -> Iterator[str]:
    best = evidence.best()
    made = {row.name: row for row in rows.schedules(best)}
    constant = evidence.values(made[f"constant, {BEST}"], "closed")
    yield "| schedule | best rate | at its best rate | against the constant there | 10 times too high | 10 times too low |"
    yield "|---|---|---|---|---|---|"
    for schedule in SCHEDULES:
        at = {times: evidence.values(made[f"{schedule}, {times}"], name) for times in TIMES}
        pairs = difference(at[BEST], constant)
        beside = "" if schedule == "constant" and name == "closed" else f"{pairs.mean:+.1f} ± {pairs.error:.1f}"
        cells = [_cell(at[BEST]), beside, _cell(at["10 times too high"]), _cell(at["10 times too low"])]
        yield f"| {schedule} | {best[schedule]:.2g} | " + " | ".join(cells) + " |"


def _options(evidence: Evidence) -> Iterator[str]:
    best = evidence.best()
    without = {row.text: row for row in rows.schedules(best)}
    yield "| row | weights | against without it | average of the weights | against without it |"
    yield "|---|---|---|---|---|"
    for row in rows.options(best):
        cells = []
        for name in ("closed", "average"):
            values = evidence.values(row, name)
            pairs = difference(values, evidence.values(without[row.text], name))
            cells += [_cell(values), f"{pairs.mean:+.1f} ± {pairs.error:.1f}"]
        yield f"| {row.name} | " + " | ".join(cells) + " |"


def _finder(evidence: Evidence) -> Iterator[str]:
    yield "| row | gap closed | highest rate that was trained with |"
    yield "|---|---|---|"
    for row in rows.finder(evidence.best()):
        peaks = sorted(float(re.findall(r"cosine\(([^,]+),", text)[0]) for text in evidence.results.texts(row, evidence.seeds(row)))
        peak = f"{peaks[0]:.2g}" if peaks[0] == peaks[-1] else f"{peaks[0]:.2g} to {peaks[-1]:.2g}"
        yield f"| {row.name} | {_cell(evidence.values(row))} | {peak} |"


def _cycles(evidence: Evidence) -> Iterator[str]:
    yield from _plain(evidence, list(rows.cycles(evidence.tops())))


def _plain(evidence: Evidence, wanted: Sequence[Row]) -> Iterator[str]:
    yield "| row | updates | text | loss or gap gone |"
    yield "|---|---|---|---|"
    for row in wanted:
        yield f"| {row.name} | {row.updates:,} | `{row.text}` | {_cell(evidence.values(row))} |"


def _cell(values: Sequence[float]) -> str:
    found = summary(values)
    return f"{found.mean:.1f} ± {found.error:.1f} ({found.worst:.0f})"


# Plots ------------------------------------------------------------------------------------------


def _plot_peaks(evidence: Evidence) -> None:
    """What the rows that choose a rate say: the mean over the highest rate of each schedule."""
    found = list(rows.choosing())
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for i, schedule in enumerate(SCHEDULES):
        of = found[i * len(PEAKS):(i + 1) * len(PEAKS)]
        means = [summary(evidence.values(row)).mean for row in of]
        axes.plot(PEAKS, means, marker="o", markersize=3, color=COLOURS[i], label=schedule)
    axes.set(xscale="log", xlabel="highest rate of the schedule", ylabel="gap closed, %", ylim=(0, 100))
    axes.legend(fontsize=8, loc="lower left", ncols=2)
    axes.grid(alpha=0.3)
    _save(figure, "evidence-rates.png")


def _plot_schedules(evidence: Evidence) -> None:
    """Mean, its interval and the worst run, at the best rate and with one that is wrong by ten."""
    made = {row.name: row for row in rows.schedules(evidence.best())}
    figure, panels = plt.subplots(1, len(TIMES), figsize=(9, 3.4), sharey=True, layout="constrained")
    for axes, times in zip(panels, TIMES, strict=True):
        for name, colour, aside in (("closed", COLOURS[0], -0.15), ("average", COLOURS[1], 0.15)):
            found = [summary(evidence.values(made[f"{schedule}, {times}"], name)) for schedule in SCHEDULES]
            _dots(axes, found, colour, aside, "weights" if name == "closed" else "average of the weights")
        axes.set(title=times, xlabel="gap closed, %", xlim=(-25, 100))
        axes.grid(alpha=0.3)
    panels[0].set_yticks(range(len(SCHEDULES)), list(SCHEDULES))
    panels[0].invert_yaxis()
    panels[0].legend(fontsize=8, loc="lower left")
    _save(figure, "evidence-schedules.png")


def _dots(axes: plt.Axes, found: Sequence[Summary], colour: str, aside: float, label: str) -> None:
    places = [i + aside for i in range(len(found))]
    means, errors = [one.mean for one in found], [one.error for one in found]
    axes.errorbar(means, places, xerr=errors, fmt="o", markersize=4, color=colour, label=label)
    axes.scatter([max(-24, one.worst) for one in found], places, marker="|", s=40, color=colour)


def _save(figure: plt.Figure, name: str) -> None:
    """As a small PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    plt.close(figure)
    Image.open(buffer).convert("RGB").quantize(MOST_COLOURS).save(DOCS / "images" / name, optimize=True)
