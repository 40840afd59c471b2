"""A request from the browser to what a chart draws: curves, segments, warnings, errors.

Pure: no files, no WebUI. The request and the answer are the JSON of ``POST /lrsched/v1/preview``,
which the README documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lib_lrsched.errors import RequestError, ScheduleError
from lib_lrsched.schedule.counting import Counts, count_steps
from lib_lrsched.schedule.lints import JUMPS, STOPS, Lint
from lib_lrsched.schedule.plan import Plan, plan
from lib_lrsched.schedule.sampling import sample_steps
from lib_lrsched.schedule.segments import Segment
from lib_lrsched.storage.resume import WAYS
from lib_lrsched.storage.stretching import Stretch, find_stretch

MAX_POINTS = 2_000
MAX_TEXTS = 8
MAX_ROWS = 500
MAX_STEPS = 10**9


class PastLeg(NamedTuple):
    """A stretch of a run that was trained: which text was in force from ``start_step`` on."""

    start_step: int
    text: str
    total_steps: int
    steps_per_epoch: int | None
    images_per_step: int | None
    origin: int = 0

    def plan(self) -> Plan:
        """What was planned then.

        Raises:
            ScheduleError: a text of another version of the planner.
        """
        counts = {"steps_per_epoch": self.steps_per_epoch, "images_per_step": self.images_per_step}
        return plan(self.text, total_steps=self.total_steps - self.origin, **counts)


def preview(request: dict[str, Any], past: Sequence[PastLeg] = ()) -> dict[str, Any]:
    """Plan each text of a request.

    Args:
        request: see the README; numbers are whole numbers, ``pictures`` may be None.
        past: the legs of the run that is being continued, in order.

    Raises:
        RequestError: a field is missing, of the wrong type or out of range.
    """
    texts = _texts(request)
    total = _whole(request, "total_steps", 1, MAX_STEPS)
    pictures = None if request.get("pictures") in (None, 0) else _whole(request, "pictures", 1, 10**7)
    counts = count_steps(pictures, _whole(request, "batch", 1, 10**6, 1), _whole(request, "accumulate", 1, 10**6, 1))
    initial = _whole(request, "initial_step", 0, MAX_STEPS, 0)
    points = _whole(request, "points", 16, MAX_POINTS, MAX_POINTS)
    is_clip = request.get("kind") == "clip"
    run = _Run(total, counts, initial, points, _optimizer(request), _way(request), is_clip)
    results = [_result(text, run, past) for text in texts]
    if is_clip:
        for result in results:
            _as_threshold(result)
    return {
        "id": request.get("id"), "pictures": pictures, "steps_per_epoch": counts.steps_per_epoch,
        "images_per_step": counts.images_per_step, "initial_step": initial, "results": results,
    }


class _Run(NamedTuple):
    """What the texts of a request are planned for."""

    total_steps: int
    counts: Counts
    initial_step: int
    points: int
    optimizer: str | None
    way: str
    is_clip: bool


def _texts(request: dict[str, Any]) -> list[str]:
    if not isinstance(request, dict):
        raise RequestError(f"expected a JSON object, given was {type(request).__name__}")
    texts = request.get("texts")
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_TEXTS or not all(isinstance(t, str) for t in texts):
        raise RequestError(f"texts is a list of 1 to {MAX_TEXTS} texts")
    if request.get("kind", "rate") not in ("rate", "clip"):
        raise RequestError("kind is rate or clip")
    return texts


def _whole(request: dict[str, Any], name: str, low: int, high: int, default: int | None = None) -> int:
    value = request.get(name, default)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RequestError(f"{name} is a whole number from {low} to {high}, given was {value!r}")
    return value


def _way(request: dict[str, Any]) -> str:
    """How a run goes on: the text at absolute steps of the run's life, or from its beginning over what is left."""
    way = request.get("way")
    if way not in (None, *WAYS):
        raise RequestError(f"way is one of {', '.join(WAYS)}, or null; given was {way!r}")
    return way or "continue"


def _optimizer(request: dict[str, Any]) -> str | None:
    """The class name of the optimizer that the rate is for, where it is known; a clip threshold drives none."""
    name = request.get("optimizer")
    if name is not None and not isinstance(name, str):
        raise RequestError(f"optimizer is a class name such as AdamW, or null; given was {name!r}")
    return None if request.get("kind") == "clip" else name


def _result(text: str, run: _Run, past: Sequence[PastLeg]) -> dict[str, Any]:
    counts, initial, points = run.counts, run.initial_step, run.points
    known = {"steps_per_epoch": counts.steps_per_epoch, "images_per_step": counts.images_per_step}
    origin = _origin(text, run, past)
    past = () if run.is_clip else past  # of what was, only the rates are known
    try:
        made = plan(text, total_steps=run.total_steps - origin, **known)
    except ScheduleError as error:
        return {"ok": False, "text": text, "error": describe_error(error)}
    steps = sample_steps(made, points)
    values = made.values(steps)
    momenta = made.momenta(steps)
    warnings = [*made.warnings_for(run.optimizer), *([] if run.is_clip else resume_lints(made, initial, past, origin))]
    return {
        "ok": True, "text": text, "total_steps": run.total_steps, "origin": origin, "stop": origin + made.stop,
        "x": (steps + origin).tolist(), "y": values.tolist(),
        "momentum": None if momenta is None else [None if m != m else m for m in momenta.tolist()],
        "min": float(values.min()), "max": float(values.max()),
        "segments": [_row(segment, made, origin) for segment in made.segments[:MAX_ROWS]],
        "segments_total": len(made.segments),
        "boundaries": [origin + step for step in made.boundaries[:MAX_ROWS]],
        "warnings": [warning._asdict() for warning in warnings],
        "past": past_curve(past, initial, points) if past and initial else None,
        "rate_at_resume": made.value(initial - origin) if max(origin, 1) <= initial < origin + made.stop else None,
        "epochs_total": _in_epochs(origin + made.stop, made),
    }


def _origin(text: str, run: _Run, past: Sequence[PastLeg]) -> int:
    """The step of the run's life at which the text's own step 0 lies."""
    if run.way == "restart":
        return min(run.initial_step, run.total_steps - 1)
    last = past[-1] if past else None
    # A threshold goes on as its rate does, and whoever asks has looked at that text.
    is_same = last is not None and run.way == "continue" and (run.is_clip or last.text.strip() == text.strip())
    return min(last.origin, run.total_steps - 1) if last is not None and is_same else 0


def _as_threshold(result: dict[str, Any]) -> None:
    """A clip threshold may jump and drives no momentum; where its schedule ends the last one holds: the host ignores its end."""
    if not result["ok"]:
        return
    result["momentum"] = None
    ends = [w for w in result["warnings"] if w["message"].startswith(STOPS)]
    others = [w for w in result["warnings"] if not w["message"].startswith((STOPS, JUMPS))]
    message = f"this ends at step {result['stop']}; from there on its last threshold holds"
    result["warnings"] = others + [w | {"message": message} for w in ends]


def describe_error(error: ScheduleError) -> dict[str, Any]:
    """A ScheduleError as JSON: message, span, line and column (from 1), caret text, and the corrected text or null."""
    return {"message": error.message, "span": list(error.span), "line": error.line, "column": error.column, "caret": str(error),
            "fix": error.fix}


def _row(segment: Segment, made: Plan, origin: int) -> dict[str, Any]:
    stop = min(segment.stop, made.stop)
    life = (origin + segment.start, origin + stop)
    epochs, images = None, None
    if made.steps_per_epoch:
        epochs = [_in_epochs(step, made) for step in life]
    if made.images_per_step:
        images = [step * made.images_per_step for step in life]
    return {
        "start": life[0], "stop": life[1], "shape": segment.shape,
        "text": made.tree.source[slice(*segment.item.span)], "span": list(segment.item.span),
        "first": made.value(segment.start), "last": made.value(stop - 1), "epochs": epochs, "images": images,
    }


def _in_epochs(step: int, made: Plan) -> float | None:
    return None if not made.steps_per_epoch else round(step / made.steps_per_epoch, 2)


# Going on with a run --------------------------------------------------------------------------


def past_curve(past: Sequence[PastLeg], until: int, points: int) -> dict[str, list[Any]] | None:
    """What was planned in [0, until), each leg by its own text."""
    pieces = []
    for leg, following in zip(past, [*(leg.start_step for leg in past[1:]), until], strict=True):
        try:
            made = leg.plan()
        except ScheduleError:
            continue  # the rest of the past is still true
        begin, end = leg.start_step - leg.origin, min(following, until) - leg.origin
        if begin < min(end, made.stop):
            steps = sample_steps(made, max(16, points // len(past)), begin, end)
            pieces.append((steps + leg.origin, made.values(steps)))
    if not pieces:
        return None
    return {"x": np.concatenate([x for x, _ in pieces]).tolist(), "y": np.concatenate([y for _, y in pieces]).tolist()}


def resume_lints(made: Plan, initial: int, past: Sequence[PastLeg] = (), origin: int = 0) -> list[Lint]:
    """Warnings that only a run that has begun can have."""
    if initial <= 0 or initial < origin:
        return []
    whole, own = (0, len(made.text)), initial - origin
    if own >= made.stop:
        end = origin + made.stop
        return [Lint(f"the run goes on at step {initial} and the plan ends at {end}: nothing is left to train", whole)]
    found = []
    jump = _stretch(made, initial, past, origin)
    if jump is not None:
        return [Lint(jump.message(), whole, jump.fixed)]
    same_length = bool(past) and past[-1].total_steps - past[-1].origin == made.total_steps
    stretched = None if same_length or own == 0 else _first_stretched(made, own)
    if stretched is not None:
        message = "this stretches with max steps: the run has begun, and its rate jumps when max steps changes"
        found.append(Lint(message, stretched.item.span))
    before, now = _planned(past, initial), made.value(own)
    if before is not None and abs(before - now) > 1e-9 * max(before, now):
        found.append(Lint(f"at step {initial} the rate changes from {before:g}, as planned before, to {now:g}", whole))
    return found


def _stretch(made: Plan, initial: int, past: Sequence[PastLeg], origin: int) -> Stretch | None:
    """What becomes of the rate where the text of the last leg goes on under other numbers."""
    if not past or past[-1].text.strip() != made.text.strip() or past[-1].origin != origin:
        return None
    try:
        then = past[-1].plan()
    except (ScheduleError, ValueError):
        return None
    return find_stretch(then, made, initial, origin)


def _first_stretched(made: Plan, initial: int) -> Segment | None:
    """The first segment still to come whose rates would be others if max steps were."""
    counts = {"steps_per_epoch": made.steps_per_epoch, "images_per_step": made.images_per_step}
    try:
        longer = plan(made.text, total_steps=2 * made.total_steps + 1, **counts)
    except (ScheduleError, ValueError):
        return None
    steps = np.unique(np.concatenate([sample_steps(made, 256, initial), np.arange(initial, min(initial + 64, made.stop))]))
    steps = steps[steps < longer.stop]
    moved = steps[made.values(steps) != longer.values(steps)]
    if not len(moved):
        return None
    return next(segment for segment in made.segments if segment.start <= moved[0] < segment.stop)


def _planned(past: Sequence[PastLeg], step: int) -> float | None:
    if not past:
        return None
    leg = past[-1]
    try:
        made = leg.plan()
    except ScheduleError:
        return None
    own = step - leg.origin
    return made.value(own) if 0 <= own < made.stop else None
