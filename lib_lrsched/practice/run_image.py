"""Images of a run as PNG files: rate and loss over steps, and samples side by side."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RATE, RAW, SMOOTH = "#0072b2", "#c9c9c9", "#d55e00"  # Okabe and Ito's colours, told apart by everybody


def draw_run(points: Any, title: str, path: Path) -> Path:
    """Rate (planned and applied) above loss (raw and smoothed), over the steps of ``points``."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), dpi=120, layout="constrained")
    rate, loss = figure.subplots(2, 1, sharex=True)
    steps = points["step"]
    rate.plot(steps, _gaps(points["planned"]), color=RATE, linewidth=4, alpha=0.3, label="planned")
    rate.plot(steps, _gaps(points["actual"]), color=RATE, linewidth=1.2, label="in the optimizer")
    rate.set_ylabel("learning rate")
    # The user's own text: no formula between dollar signs, and no half of a surrogate pair, which no font has.
    rate.set_title(title.encode("utf-8", "replace").decode(), fontsize=10, loc="left", parse_math=False)
    loss.plot(steps, _gaps(points["loss"]), color=RAW, linewidth=0.8, label="loss")
    loss.plot(steps, _gaps(points["smooth"]), color=SMOOTH, linewidth=1.8, label="smoothed")
    loss.set_ylabel("loss")
    loss.set_xlabel("step")
    for axes in (rate, loss):
        axes.grid(alpha=0.25)
        axes.legend(loc="upper right", fontsize=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name in letters that the font lacks is drawn as boxes
        figure.savefig(path)
    return path


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
