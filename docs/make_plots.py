"""Draws the plots of the shapes: `python docs/make_plots.py` writes docs/images/shape-*.png again.

Every curve is planned by the library, so a plot shows what a text does. The files are the same to the byte with the
same matplotlib (constraints.txt).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib import pyplot as plt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib_lrsched.schedule.plan import Plan, plan
from lib_lrsched.schedule.plateau import advance, rate_at, replay, segment_at

FOLDER = Path(__file__).resolve().parent / "images"
COLOURS = ("#1f6fb4", "#d1662f", "#3a8a4d", "#8a4fa3")


class Plot(NamedTuple):
    """Texts over the same number of steps; ``log`` is the rate's axis."""

    texts: tuple[str, ...]
    steps: int = 400
    log: bool = False


EXPERIMENT = """\
repeat(3, cyclic(0, 1.13e-6, rise=40):80),
repeat(2, cyclic(0, 5.65e-7, rise=40):80),
repeat(1.5, cyclic(0, 2.83e-7, rise=40):80)"""

PLOTS = {
    "constant": Plot(("0.005:100, 0.002:250, 0.0005",)),
    "linear": Plot(("linear(0.005, 0)", "linear(0.001, 0.005):200, linear(0.002)")),
    "exp": Plot(("exp(0.005, 1e-5)", "exp(0.005, 0.0005)"), log=True),
    "poly": Plot(("poly(0.005, 0, power=0.5)", "poly(0.005, 0, power=1)", "poly(0.005, 0, power=3)")),
    "step": Plot(("step(0.005, every=100, factor=0.5)", "step(0.005, every=50, factor=0.7)")),
    "decay": Plot(("decay(0.005, factor=0.99)", "decay(0.005, factor=0.997)"), log=True),
    "cosine": Plot(("cosine(0.005, 0)", "cosine(0.005, 0.001):200, cosine(0.004)")),
    "restarts": Plot(("restarts(0.005, first_cycle=100)", "restarts(0.005, first_cycle=50, growth=2, peak_decay=0.7)",
                         "restarts(0.003, 0.001, first_cycle=200, warmup=40)")),
    "onecycle": Plot(("onecycle(0.005)", "onecycle(0.004, three_phase=yes, anneal=linear)")),
    "rex": Plot(("rex(0.005, 0, bend=0)", "rex(0.005, 0, bend=0.5)", "rex(0.005, 0, bend=0.9)")),
    "wsd": Plot(("wsd(0.005)", "wsd(0.0045, curve=cosine)", "wsd(0.004, curve=sqrt)")),
    "warmup": Plot(("warmup(0.005):100, 0.005", "warmup(0.0045, curve=cosine):100, 0.0045",
                       "warmup(0.004, curve=log):100, 0.004"), steps=140),
    "inverse_sqrt": Plot(("inverse_sqrt(0.005, timescale=20)", "warmup(0.004):50, inverse_sqrt(0.004, timescale=50)")),
    "cyclic": Plot(("cyclic(0.001, 0.005, rise=40)",
                       "cyclic(0.0005, 0.004, rise=20, fall=80, mode=triangular2)",
                       "cyclic(0, 0.003, rise=50, mode=exp_range, factor=0.995, wave=cosine)")),
    "range_test": Plot(("range_test(1e-5, 0.1)", "range_test(1e-5, 0.05, stair=40)"), log=True),
    "repeat": Plot(("repeat(4, cosine(0.005, 0.001):100)", "repeat(2.5, 0.003:40, linear(0.0005):80), 0.0005")),
    "experiment": Plot((EXPERIMENT,), steps=520),
}  # fmt: skip


def draw(name: str, folder: Path = FOLDER) -> Path:
    """Writes one plot and returns its path."""
    figure, axes = plt.subplots(figsize=(6.4, 2.6), dpi=100)
    if name == "plateau":
        _plateau(axes)
    else:
        _curves(axes, PLOTS[name])
    axes.set_xlabel("step")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, frameon=False, borderaxespad=0.2)
    path = folder / f"shape-{name}.png"
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return path


def _curves(axes: plt.Axes, plot: Plot) -> None:
    for text, colour in zip(plot.texts, COLOURS):
        made = plan(text, total_steps=plot.steps)
        # A rate holds for its step: stairs show what the optimizer gets, and where a boundary is.
        axes.step(np.arange(made.stop), made.values(np.arange(made.stop)), where="post", color=colour, label=text, linewidth=1.4)
    axes.set_ylabel("rate")
    if plot.log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")


def _plateau(axes: plt.Axes) -> None:
    """A loss that falls and stalls again and again, its running average, and what a plateau makes of it."""
    made = plan("plateau(0.005, factor=0.5, patience=8, every=10)", total_steps=2000)
    steps = np.arange(made.stop)
    loss = 0.1 + 0.12 * np.exp(-steps / 150) + 0.03 * np.random.default_rng(1).standard_normal(made.stop)
    averages, rates = _run(made, loss)
    axes.plot(steps, averages, color="#999999", linewidth=1, label="running average of a loss (right axis: rate)")
    axes.set_ylabel("loss")
    right = axes.twinx()
    right.step(steps, rates, where="post", color=COLOURS[0], linewidth=1.4)
    right.set_ylim(bottom=0)
    right.spines["top"].set_visible(False)
    axes.plot([], [], color=COLOURS[0], label=made.text)


def _run(made: Plan, loss: np.ndarray) -> tuple[list[float], list[float]]:
    watch, averages, rates = replay(made, []), [], []
    for k, one in enumerate(loss.tolist()):
        segment = segment_at(made, k)
        assert segment is not None
        rates.append(rate_at(watch, segment))
        watch = advance(watch, segment, k, one)
        averages.append(watch.mean / watch.weight)
    return averages, rates


def main() -> None:
    """Draws all plots and prints their sizes."""
    for name in (*PLOTS, "plateau"):
        path = draw(name)
        print(f"{path.relative_to(FOLDER.parent)}: {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
