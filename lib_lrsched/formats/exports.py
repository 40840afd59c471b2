"""``export(plan, to)``: a plan in another program's words.

What a format cannot say is an error that names the shape and the reason. Where it has no exact form but a near one, that is
what comes out, and the note says by how much it differs.
"""

from __future__ import annotations

from collections.abc import Callable

from lib_lrsched.schedule.plan import Plan

from .export_deepspeed import to_deepspeed
from .export_kohya import to_kohya
from .export_phases import to_a1111, to_diffusers
from .export_result import Exported, ExportError
from .export_torch import to_pytorch

__all__ = ["FORMATS", "ExportError", "Exported", "export"]

FORMATS: dict[str, tuple[Callable[..., Exported], frozenset[str]]] = {
    "a1111": (to_a1111, frozenset({"error"})),
    "pytorch": (to_pytorch, frozenset()),
    "diffusers": (to_diffusers, frozenset({"error", "base"})),
    "deepspeed": (to_deepspeed, frozenset()),
    "kohya": (to_kohya, frozenset()),
}
"""Each format's exporter, and the options that it takes."""


def export(plan: Plan, to: str, *, error: float | None = None, base: float | None = None) -> Exported:
    """The plan in another program's words.

    Args:
        to: one of FORMATS.
        error: largest relative error where a curve becomes constant segments (a1111: 0.02 when it is None; diffusers: curves
            are refused when it is None).
        base: the optimizer's rate, for diffusers' multipliers; the first rate above 0 when it is None.

    Raises:
        ExportError: the format cannot say this plan, there is no such format, or it does not take the option.

    >>> from lib_lrsched.schedule.plan import plan
    >>> export(plan("cosine(0.005, 0.002)", total_steps=100), "a1111", error=0.2)[:2]
    ('0.00402:54, 0.00265:84, 0.00209', '3 segments for max steps 100; at most 19.99% from the plan at any step')
    """
    if to not in FORMATS:
        raise ExportError(f"no format `{to}`; there are {', '.join(FORMATS)}")
    exporter, takes = FORMATS[to]
    options = {name: value for name, value in (("error", error), ("base", base)) if value is not None}
    for name in options:
        if name not in takes:
            why = " rate"
            if name == "error":
                exact = ": it expresses a plan exactly or not at all"
                why = exact if to == "pytorch" else ": its form is exact or the nearest, and the note says how near"
            raise ExportError(f"{to} takes no {name}{why}")
    return exporter(plan, **options)
