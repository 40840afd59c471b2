"""A request for an export to its answer: the JSON of ``POST /lrsched/v1/export``. Pure, as ``preview`` is."""

from __future__ import annotations

from sys import float_info
from typing import Any

from lib_lrsched.errors import RequestError
from lib_lrsched.schedule.counting import count_steps
from lib_lrsched.schedule.plan import plan

MOST = float_info.max
MOST_STEPS = 1_000_000
"""The server answers for runs up to this; the command line for longer ones."""


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Plan the text and say it in another program's words.

    Args:
        request: ``text``, ``total_steps``, ``format``; ``pictures``, ``batch`` and ``accumulate`` as in a preview; ``error``
            and ``base`` where the format takes them.

    Raises:
        RequestError: a field is missing, of the wrong type or out of range.
        ScheduleError: the text cannot be planned.
        ExportError: the format cannot say it.
    """
    from lib_lrsched.formats.exports import export  # not before somebody asks: the page's start does not wait for the exporters

    text, to = (_text(request, name) for name in ("text", "format"))
    total = _whole(request, "total_steps", MOST_STEPS)
    pictures = None if request.get("pictures") in (None, 0) else _whole(request, "pictures", 10**7)
    counts = count_steps(pictures, _whole(request, "batch", 10**6, 1), _whole(request, "accumulate", 10**6, 1))
    options = {name: _number(request, name) for name in ("error", "base")}
    made = plan(text, total_steps=total, steps_per_epoch=counts.steps_per_epoch, images_per_step=counts.images_per_step)
    found = export(made, to, **options)
    return {"text": found.text, "note": found.note, "worst_error": found.worst_error}


def _text(request: dict[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str):
        raise RequestError(f"{name}: expected a text, found {value!r}")
    return value


def _whole(request: dict[str, Any], name: str, high: int, default: int | None = None) -> int:
    value = request.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
        raise RequestError(f"{name} is a whole number from 1 to {high}, given was {value!r}")
    return value


def _number(request: dict[str, Any], name: str) -> float | None:
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -MOST <= value <= MOST:
        raise RequestError(f"{name} is a number, given was {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise RequestError(f"{name} is a number that a float holds; this one has more than 300 digits") from None
