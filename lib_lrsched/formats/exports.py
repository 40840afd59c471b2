"""``export(plan, to)``: a plan in another program's words.

What a format cannot say is an error that names the shape and the reason. Where it has no exact form but a near one, that is
what comes out, and the note says by how much it differs.
"""

from __future__ import annotations

from lib_lrsched.schedule.plan import Plan

from .export_result import Exported, ExportError
from .registry import EXPORTERS, load

__all__ = ["ExportError", "Exported", "export"]


def export(plan: Plan, to: str, *, error: float | None = None, base: float | None = None) -> Exported:
    """The plan in another program's words.

    Args:
        to: one of EXPORTERS.
        error: largest relative error where a curve becomes constant segments (a1111: 0.02 when it is None; diffusers: curves
            are refused when it is None).
        base: the optimizer's rate, for diffusers' multipliers; the first rate above 0 when it is None.

    Raises:
        ExportError: the format cannot say this plan, there is no such format, or it does not take the option.

    >>> from lib_lrsched.schedule.plan import plan
    >>> export(plan("cosine(0.005, 0.002)", total_steps=100), "a1111", error=0.2)[:2]
    ('0.00402:54, 0.00265:84, 0.00209', '3 segments for max steps 100; at most 19.99% from the plan at any step')
    """
    if to not in EXPORTERS:
        raise ExportError(f"no format `{to}`; there are {', '.join(EXPORTERS)}")
    exporter = EXPORTERS[to]
    options = {name: value for name, value in (("error", error), ("base", base)) if value is not None}
    for name in options:
        if name in exporter.refuses:
            raise ExportError(exporter.refuses[name])
    found: Exported = load(exporter)(plan, **options)
    return found
