"""Images of a run as PNG files: progress, rate and loss over steps, and samples side by side."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RATE, RAW, SMOOTH, PROGRESS = "#0072b2", "#c9c9c9", "#d55e00", "#009e73"  # Okabe and Ito's colours, told apart by everybody


def draw_run(points: Any, title: str, said: str, path: Path) -> Path:
    """Progress with what is said of it, where it was measured, above rate and loss; over the steps of ``points``."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    is_measured = any(share is not None for share in points["progress"])
    figure = Figure(figsize=(9, 8.5 if is_measured else 6), dpi=120, layout="constrained")
    charts = figure.subplots(3 if is_measured else 2, 1, sharex=True)
    if is_measured:
        _draw_progress(charts[0], points, said)
    _draw_rate(charts[-2], points)
    _draw_loss(charts[-1], points)
    # The user's own text: no formula between dollar signs, and no half of a surrogate pair, which no font has.
    figure.suptitle(title.encode("utf-8", "replace").decode(), fontsize=10, x=0.01, ha="left", parse_math=False)
    charts[-1].set_xlabel("step")
    for axes in charts:
        axes.grid(alpha=0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name in letters that the font lacks is drawn as boxes
        figure.savefig(path)
    return path


def _draw_progress(axes: Any, points: Any, said: str) -> None:
    axes.plot(points["step"], [100 * share for share in _gaps(points["progress"])], color=PROGRESS, linewidth=1.8)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("loss that is gone, %")
    axes.set_title(said, fontsize=9, loc="left", parse_math=False)


def _draw_rate(axes: Any, points: Any) -> None:
    axes.plot(points["step"], _gaps(points["planned"]), color=RATE, linewidth=4, alpha=0.3, label="planned")
    axes.plot(points["step"], _gaps(points["actual"]), color=RATE, linewidth=1.2, label="in the optimizer")
    axes.set_ylabel("learning rate")
    axes.legend(loc="upper right", fontsize=8)


def _draw_loss(axes: Any, points: Any) -> None:
    axes.plot(points["step"], _gaps(points["loss"]), color=RAW, linewidth=0.8, label="loss")
    axes.plot(points["step"], _gaps(points["smooth"]), color=SMOOTH, linewidth=1.8, label="smoothed")
    axes.set_ylabel("loss")
    axes.legend(loc="upper right", fontsize=8)


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def draw_samples(images: Sequence[Any], path: Path, scale: int = 4) -> Path:
    """Images beside each other, each pixel ``scale`` pixels wide."""
    from PIL import Image

    gap = 4
    sizes = [(image.width * scale, image.height * scale) for image in images]
    sheet = Image.new("RGB", (sum(w for w, _ in sizes) + gap * (len(sizes) - 1), max(h for _, h in sizes)), "white")
    left = 0
    for image, size in zip(images, sizes, strict=True):
        sheet.paste(image.resize(size, Image.Resampling.NEAREST), (left, 0))
        left += size[0] + gap
    sheet.save(path)
    return path
