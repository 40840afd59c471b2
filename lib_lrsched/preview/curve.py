"""What a chart draws of schedule texts: curves, segments, warnings, errors, and how each resumes a run.

Pure: no files, no WebUI. The answer is the JSON of ``POST /lrsched/v1/preview``, which docs/api.md documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lib_lrsched.errors import ScheduleError
from lib_lrsched.schedule.by_timestep import plan_factors, warnings_of
from lib_lrsched.schedule.counting import Counts, count_steps
from lib_lrsched.schedule.lints import JUMPS, LENGTH, STOPS, Lint
from lib_lrsched.schedule.plan import Plan, plan
from lib_lrsched.schedule.rates import RELATIVE
from lib_lrsched.schedule.sampling import sample_steps
from lib_lrsched.schedule.segments import Segment
from lib_lrsched.schedule.usual import unusual_rate
from lib_lrsched.storage.remaining import part_of
from lib_lrsched.storage.resume import has_same_text, mode_of, origin_of
from lib_lrsched.storage.run_state import Leg
from lib_lrsched.storage.stretching import Stretch, find_stretch, planned_before, with_absolute_ends

MAX_POINTS = 2_000
MAX_TEXTS = 8
MAX_ROWS = 500
MAX_STEPS = 10**9


@dataclass(frozen=True)
class CurveRequest:
    """What is to be drawn; the web folder checks what comes from a browser.

    Attributes:
        texts: each has a result of its own.
        total_steps: max steps of the run's life; of a factor by timestep, the number of timesteps.
        images: how many images the data set has, or None where that is not known.
        batch: batch size as typed.
        accumulate: gradient accumulation steps as typed.
        initial_step: updates made; 0 for a run that has not begun.
        points: most points of a curve.
        kind: "rate", "clip", or "timestep" for a factor of rate or loss by timestep.
        choice: how the run is resumed, one of resume.CHOICES.
        rate_text: of a clip threshold the text of the rate beside it, with which it resumes; None for one that is the run's.
        optimizer: class name of the optimizer, where it is known.
        trainee: "embedding" or "hypernetwork", where it is known what the rate is for.
        id: is answered as it came.
    """

    texts: Sequence[str]
    total_steps: int
    images: int | None = None
    batch: int = 1
    accumulate: int = 1
    initial_step: int = 0
    points: int = MAX_POINTS
    kind: str = "rate"
    choice: str = "continue"
    rate_text: str | None = None
    optimizer: str | None = None
    trainee: str | None = None
    id: Any = None

    @property
    def is_clip(self) -> bool:
        return self.kind == "clip"

    @property
    def counts(self) -> Counts:
        return count_steps(self.images, self.batch, self.accumulate)


def preview(request: CurveRequest, past: Sequence[Leg] = ()) -> dict[str, Any]:
    """Plan each text of a request.

    Args:
        request: what is to be drawn.
        past: the legs of the run that is being continued, in order.
    """
    counts = request.counts
    if request.kind == "timestep":
        results = [_factor_result(text, request) for text in request.texts]
    else:
        results = [_result(text, request, past) for text in request.texts]
    if request.is_clip:
        for result in results:
            _as_threshold(result)
    return {
        "id": request.id, "pictures": request.images, "steps_per_epoch": counts.steps_per_epoch,
        "images_per_step": counts.images_per_step, "initial_step": request.initial_step, "results": results,
    }


def _result(text: str, request: CurveRequest, past: Sequence[Leg]) -> dict[str, Any]:
    counts, initial, points = request.counts, request.initial_step, request.points
    known = {"steps_per_epoch": counts.steps_per_epoch, "images_per_step": counts.images_per_step}
    mode = _mode(text, request, past)
    origin = min(origin_of(mode, past[-1] if past else None, initial), request.total_steps - 1)
    past = () if request.is_clip else past  # of what was, only the rates are known
    try:
        made = plan(text, total_steps=request.total_steps - origin, **known)
    except ScheduleError as error:
        return {"ok": False, "text": text, "mode": mode, "error": describe_error(error)}
    steps = sample_steps(made, points)
    values = made.values(steps)
    momenta = made.momenta(steps)
    warnings = made.warnings_for(None) if request.is_clip else _rate_warnings(made, request, past, origin)
    return {
        "ok": True, "text": text, "mode": mode, "total_steps": request.total_steps, "origin": origin, "stop": origin + made.stop,
        "x": (steps + origin).tolist(), "y": values.tolist(),
        "momentum": None if momenta is None else [None if m != m else m for m in momenta.tolist()],
        "min": float(values.min()), "max": float(values.max()),
        "segments": [_row(segment, made, origin) for segment in made.segments[:MAX_ROWS]],
        "segments_total": len(made.segments),
        "boundaries": [origin + step for step in made.boundaries[:MAX_ROWS]],
        "warnings": [warning._asdict() for warning in warnings],
        "past": past_curve(past, initial, points) if past and initial else None,
        "rate_at_resume": made.value(initial - origin) if max(origin, 1) <= initial < origin + made.stop else None,
        "epochs_total": _in_epochs(origin + made.stop, made), "part": _part(made, initial - origin),
    }


def _rate_warnings(made: Plan, request: CurveRequest, past: Sequence[Leg], origin: int) -> list[Lint]:
    """All that is said of a rate; a threshold has the plan's own warnings alone."""
    unusual = unusual_rate(request.trainee, made)
    first = [] if unusual is None else [unusual]
    return [*first, *made.warnings_for(request.optimizer), *resume_lints(made, request.initial_step, past, origin)]


def _part(made: Plan, own: int) -> dict[str, Any] | None:
    """Which steps of the text run where a training begins in the middle of it, and what of it is over; else None."""
    if own <= 0:
        return None
    part = part_of(made, own)
    over = [one._asdict() for one in part.over[:MAX_ROWS]]
    return {"start": part.start, "stop": part.stop, "over": over, "loses": part.loses, "said": part.message()}


def _factor_result(text: str, request: CurveRequest) -> dict[str, Any]:
    """A factor by timestep: the same answer, with timesteps in the place of steps, and nothing of a run."""
    try:
        made = plan_factors(text, request.total_steps)
    except ScheduleError as error:
        return {"ok": False, "text": text, "mode": "start", "error": describe_error(error)}
    steps = sample_steps(made, request.points)
    values = made.values(steps)
    return {
        "ok": True, "text": text, "mode": "start", "total_steps": request.total_steps, "origin": 0, "stop": made.stop,
        "x": steps.tolist(), "y": values.tolist(), "momentum": None, "min": float(values.min()), "max": float(values.max()),
        "mean": float(made.values(range(made.stop)).mean()), "segments": [_row(one, made, 0) for one in made.segments[:MAX_ROWS]],
        "segments_total": len(made.segments), "boundaries": list(made.boundaries[:MAX_ROWS]),
        "warnings": [warning._asdict() for warning in warnings_of(made)], "past": None, "rate_at_resume": None,
        "epochs_total": None, "part": None,
    }


def _mode(text: str, request: CurveRequest, past: Sequence[Leg]) -> str:
    """How the run resumes with a text; a threshold resumes as the rate beside it does."""
    last = past[-1] if past else None
    if request.is_clip:
        own = "" if last is None else last.rate_text
        text = own if request.rate_text is None else request.rate_text
    return mode_of(request.choice, last, text)


def _as_threshold(result: dict[str, Any]) -> None:
    """A clip threshold may jump and drives no momentum; where its schedule ends the last one holds: the host ignores its end."""
    if not result["ok"]:
        return
    result["momentum"] = None
    ends = [w for w in result["warnings"] if w["message"].startswith(STOPS)]
    others = [w for w in result["warnings"] if not w["message"].startswith((STOPS, JUMPS, LENGTH))]
    message = f"this ends at step {result['stop']}; after that the last threshold stays in force"
    result["warnings"] = others + [w | {"message": message} for w in ends]


def describe_error(error: ScheduleError) -> dict[str, Any]:
    """A ScheduleError as JSON: message, span, line and column (from 1), caret text, corrected text or null, what it needs."""
    return {"message": error.message, "span": list(error.span), "line": error.line, "column": error.column, "caret": str(error),
            "fix": error.fix, "needs": error.needs}


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
        "watch": segment.values.get("watch") if segment.entry.is_feedback else None,
    }


def _in_epochs(step: int, made: Plan) -> float | None:
    return None if not made.steps_per_epoch else round(step / made.steps_per_epoch, 2)


# Resuming a run -------------------------------------------------------------------------------


def past_curve(past: Sequence[Leg], until: int, points: int) -> dict[str, list[Any]] | None:
    """What was planned in [0, until), each leg by its own text."""
    pieces = []
    for leg, following in zip(past, [*(leg.start_step for leg in past[1:]), until], strict=True):
        made = planned_before(leg)
        if made is None:
            continue  # the rest of the past is still true
        begin, end = leg.start_step - leg.origin, min(following, until) - leg.origin
        if begin < min(end, made.stop):
            steps = sample_steps(made, max(16, points // len(past)), begin, end)
            pieces.append((steps + leg.origin, made.values(steps)))
    if not pieces:
        return None
    return {"x": np.concatenate([x for x, _ in pieces]).tolist(), "y": np.concatenate([y for _, y in pieces]).tolist()}


def resume_lints(made: Plan, initial: int, past: Sequence[Leg] = (), origin: int = 0) -> list[Lint]:
    """Warnings that only a run that has begun can have."""
    if initial <= 0 or initial < origin:
        return []
    whole, own = (0, len(made.text)), initial - origin
    if own >= made.stop:
        end = origin + made.stop
        return [Lint(f"the run resumes at step {initial}, but the plan ends at {end}: nothing is left to train", whole)]
    found = []
    jump = _stretch(made, initial, past, origin)
    if jump is not None:
        return [Lint(jump.message(), whole, jump.fixed)]
    same_length = bool(past) and past[-1].total_steps - past[-1].origin == made.total_steps
    stretched = None if same_length or own == 0 else _first_stretched(made, own)
    if stretched is not None:
        message = "this segment scales with max steps: changing max steps makes the rate jump; absolute ends do not scale"
        found.append(Lint(message, stretched.item.span, None if origin else with_absolute_ends(made)))
    before, now = _planned(past, initial), made.value(own)
    if before is not None and abs(before - now) > RELATIVE * max(before, now):
        found.append(Lint(f"at step {initial} the rate changes from {before:g}, as planned before, to {now:g}", whole))
    return found


def _stretch(made: Plan, initial: int, past: Sequence[Leg], origin: int) -> Stretch | None:
    """What becomes of the rate where the text of the last leg continues under other numbers."""
    if not past or not has_same_text(past[-1], made.text) or past[-1].origin != origin:
        return None
    then = planned_before(past[-1])
    return None if then is None else find_stretch(then, made, initial, origin)


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


def _planned(past: Sequence[Leg], step: int) -> float | None:
    if not past:
        return None
    then, own = planned_before(past[-1]), step - past[-1].origin
    return then.value(own) if then is not None and 0 <= own < then.stop else None
