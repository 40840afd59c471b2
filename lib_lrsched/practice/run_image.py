"""Images of a run as PNG files: progress, rate and loss over steps, and samples side by side with what they are."""

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


def draw_samples(images: Sequence[Any], said: str, path: Path, scale: int = 4) -> Path:
    """Images beside each other, numbered, each pixel ``scale`` pixels wide, under a line that says what they are."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    gap, head, foot, dpi = 8, 30, 20, 100
    widths, height = [image.width * scale for image in images], max(image.height * scale for image in images)
    size = sum(widths) + gap * (len(widths) + 1), head + height + foot
    figure = Figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi)
    left = gap
    for number, (image, width) in enumerate(zip(images, widths, strict=True), 1):
        axes = figure.add_axes((left / size[0], foot / size[1], width / size[0], height / size[1]))
        axes.imshow(image, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        axes.text(0.5, -foot / 2 / height, str(number), transform=axes.transAxes, ha="center", va="center", fontsize=8)
        left += width + gap
    figure.text(gap / size[0], 1.0 - head / 2 / size[1], said.encode("utf-8", "replace").decode(), va="center", fontsize=9,
                parse_math=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # as above
        figure.savefig(path)
    return path
