"""The shape that looks at the run: plateau."""

from __future__ import annotations

from lib_lrsched.schedule.curves import constant_curve

from .entry import Built, Param, Params, Shape, Torch, at_start, param_v


def _torch(p: Params, _: int) -> Torch:
    return Torch(p["v"], "ReduceLROnPlateau", {
        "factor": p["factor"], "patience": p["patience"], "threshold": p["threshold"], "threshold_mode": p["mode"],
        "cooldown": p["cooldown"], "min_lr": p["min"], "eps": 0.0,
    })  # fmt: skip


PLATEAU = Shape(
    name="plateau",
    summary="Falls when the loss stops improving",
    params=(
        param_v("rate to start with"),
        Param("factor", "number", 0.1, "factor of each cut", high=1.0, open_high=True, shown_as="factor per cut"),
        Param("patience", "whole", 10, "checks without a better loss before a cut"),
        Param("threshold", "number", 1e-4, "how much better counts"),
        Param("mode", "word", "rel", "threshold as a fraction of the best loss, or absolute", choices=("rel", "abs"),
              shown_as="threshold is"),
        Param("cooldown", "whole", 0, "checks after a cut that do not count"),
        Param("min", "rate", 0.0, "never below this", shown_as="lowest rate"),
        Param("every", "time", 1, "steps between two checks", low=1),
        Param("watch", "word", "loss", "what it looks at", choices=("loss", "progress", "validation")),
    ),
    build=lambda p, _: Built(constant_curve(p["v"]), None),
    formula=None,
    torch=_torch,
    handles=at_start,
    example="plateau(0.005, patience=50)",
    button="plateau(0.005, patience=50, every=10)",
    reference="torch ReduceLROnPlateau",
    page="shapes-feedback.md",
    other_names=("reducelronplateau", "reduceonplateau"),
    is_feedback=True,
)  # fmt: skip
