"""Draws the plots of docs/learning.md from trainings on the practice host, and writes the numbers of its table.

`python docs/make_learning_plots.py` trains five embeddings in a temporary folder, which takes about a minute. The seeds are fixed.
Every update is measured; what a rarer measurement would have shown follows from the same numbers, since measuring changes nothing.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

mpl.use("Agg")

from matplotlib import pyplot as plt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib_lrsched.host import hooks
from lib_lrsched.practice import service, shared
from lib_lrsched.practice.host import practice_host
from lib_lrsched.preview.run_view import learning_of
from lib_lrsched.storage.history import History
from lib_lrsched.storage.history_row import PROGRESS_WINDOW
from lib_lrsched.training.options import Options
from lib_lrsched.training.settings import Settings

FOLDER = Path(__file__).resolve().parent
PLACE = re.compile(r"(<!-- numbers: runs -->\n).*?(<!-- end -->)", re.DOTALL)
HEAD = "| curve | rate | loss, mean ± standard deviation | what the tab says |\n|---|---|---|---|\n"
STEPS, BATCH, SEED = 300, 2, 2
RISING, FLAT = "rising", "flat from the start"
TEXTS = {
    RISING: "0.0007",
    FLAT: "1e-6",
    "flat after a while": "warmup(0.01):20, cosine(0.01, 1e-5)",
    "falling": "0.01:180, 0.07",
    "negative": "0.5",
}
EVERY = (1, 8, 16)
COLOURS = ("#0072b2", "#c14e00", "#007a5a")
MOST_COLOURS = 64

Floats = NDArray[np.float64]


class Run(NamedTuple):
    """What a training has left; a value for each update."""

    text: str
    losses: Floats
    smoothed: Floats
    baselines: Floats
    said: str

    def progress(self, every: int) -> Floats:
        """As it is when every so many updates are measured."""
        measured = np.arange(STEPS) % every == 0
        sums = [np.cumsum(np.where(measured, one, 0)) for one in (self.losses, self.baselines)]
        loss, before = (one - np.concatenate([np.zeros(PROGRESS_WINDOW), one[:-PROGRESS_WINDOW]]) for one in sums)
        return 1 - loss / before


def train_all(root: Path) -> dict[str, Run]:
    """Each text trains an embedding of its own, on the same batches, timesteps and noise."""
    shared.opts.practice_quiet = True
    service.open_at(root)
    runtime = hooks.install(practice_host(root, lambda: Settings(guard=False, run=Options(progress_every=1))))
    runs = {}
    for number, (name, text) in enumerate(TEXTS.items()):
        service.create("embedding", f"run{number}")
        service.train("embedding", f"run{number}", text, STEPS, batch=BATCH, seed=SEED)
        runs[name] = _read(text, runtime.store.history_path(runtime.trainings.own_run().id))
    return runs


def _read(text: str, path: Path) -> Run:
    history = History.open(path, append=False)
    points = history.since(0)
    columns = (np.array(points[name], dtype=float) for name in ("loss", "smooth", "baseline_loss"))
    return Run(text, *columns, learning_of(history, is_over=True).said)


# The plots --------------------------------------------------------------------------------------


def draw_loss(runs: dict[str, Run]) -> Path:
    """The loss of a run that learns and of one that does not, and their progress."""
    figure, (loss, progress) = plt.subplots(1, 2, figsize=(8.4, 2.8), dpi=100, layout="constrained")
    for name, colour in zip((RISING, FLAT), COLOURS):
        run = runs[name]
        label = "learns" if name == RISING else "does not learn"
        loss.plot(run.losses, color=colour, linewidth=0.6, alpha=0.45)
        loss.plot(run.smoothed, color=colour, linewidth=1.6, label=label)
        progress.plot(100 * run.progress(1), color=colour, linewidth=1.6, label=label)
    loss.set_title("loss, thin, and smoothed", fontsize=9, loc="left")
    progress.set_title("progress: % of the loss that is gone", fontsize=9, loc="left")
    return _save(figure, (loss, progress), "learning-loss")


def draw_curves(runs: dict[str, Run]) -> Path:
    """The progress of all, each in a chart of its own."""
    figure, charts = plt.subplots(1, len(runs), figsize=(11, 2.4), dpi=100, layout="constrained")
    for axes, (name, run) in zip(charts, runs.items()):
        axes.plot(100 * run.progress(1), color=COLOURS[0], linewidth=1.4)
        axes.set_title(name, fontsize=9, loc="left")
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -5), max(high, 20))
    charts[0].set_ylabel("progress, %")
    return _save(figure, charts, "learning-curves", legend=False)


def draw_every(runs: dict[str, Run]) -> Path:
    """The progress of one run, measured more often and less."""
    figure, axes = plt.subplots(figsize=(6.4, 2.6), dpi=100, layout="constrained")
    for every, colour in zip(EVERY, COLOURS):
        label = "every update is measured" if every == 1 else f"every {every}th"
        axes.plot(100 * runs[RISING].progress(every), color=colour, linewidth=1.4, label=label)
    axes.set_ylabel("progress, %")
    return _save(figure, [axes], "learning-every")


def _save(figure: plt.Figure, charts: Sequence[plt.Axes], name: str, *, legend: bool = True) -> Path:
    for axes in charts:
        axes.axhline(0, color="black", linewidth=0.6)
        axes.set_xlabel("step")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        if legend:
            axes.legend(fontsize=8, frameon=False)
    path = FOLDER / "images" / f"{name}.png"
    drawn = io.BytesIO()
    figure.savefig(drawn)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(MOST_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def with_numbers(page: str, runs: dict[str, Run]) -> str:
    """The page with its table made again."""
    rows = "".join(f"| {name} | `{run.text}` | {run.losses.mean():.3f} ± {run.losses.std():.3f} | {run.said} |\n"
                   for name, run in runs.items())
    return PLACE.sub(lambda match: match[1] + HEAD + rows + match[2], page)


def main() -> None:
    """Trains, draws, and rewrites the table."""
    with tempfile.TemporaryDirectory() as root:
        runs = train_all(Path(root))
    for draw in (draw_loss, draw_curves, draw_every):
        path = draw(runs)
        print(f"{path.relative_to(FOLDER)}: {path.stat().st_size // 1024} kB")
    page = FOLDER / "learning.md"
    page.write_text(with_numbers(page.read_text(encoding="utf-8"), runs), encoding="utf-8")
    for name, run in runs.items():
        print(f"{name}: {run.losses.mean():.3f} +- {run.losses.std():.3f}; {run.said}")


if __name__ == "__main__":
    main()
