"""The plan that each param group follows, and where it stands: its rate, its momentum, what its plateau has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any, NamedTuple

from lib_lrsched.errors import RunStateError
from lib_lrsched.language.tree import unparse
from lib_lrsched.schedule import plateau as feedback
from lib_lrsched.schedule.ahead import Ahead
from lib_lrsched.schedule.plan import Plan, plan
from lib_lrsched.storage.checked_fields import COUNT, LIST, POSITIVE, POSITIVE_OR_NULL, TEXT, Rule, checked

PlanOrText = Plan | str
Schedules = PlanOrText | Sequence[PlanOrText] | Mapping[str, PlanOrText]
"""One for all param groups, one for each in their order, or one for each name."""

Paths = str | Path | Sequence[str | Path] | Mapping[str, str | Path]
"""Files of texts, in the same three forms."""

_NUMBER_OR_NULL = Rule("a number, or null", lambda value: value is None or (type(value) in (int, float) and isfinite(value)))
_OBJECT_OR_NULL = Rule("an object, or null", lambda value: value is None or isinstance(value, dict))
_START = Rule("a whole number from -1", lambda value: type(value) is int and value >= -1)
_TRACK = {
    "text": TEXT, "total_steps": POSITIVE, "steps_per_epoch": POSITIVE_OR_NULL, "images_per_step": POSITIVE_OR_NULL,
    "watch": _OBJECT_OR_NULL,
}
_WATCH = {
    "mean": _NUMBER_OR_NULL, "weight": _NUMBER_OR_NULL, "start": _START, "rate": _NUMBER_OR_NULL, "best": _NUMBER_OR_NULL,
    "bad": COUNT, "resting": COUNT, "cuts": COUNT, "looked": _START,
}


class Numbers(NamedTuple):
    """What a text is planned for, as in ``lib_lrsched.plan``."""

    total_steps: int | None = None
    steps_per_epoch: int | None = None
    images_per_step: int | None = None


class Track:
    """A plan at work: rates held ready, and what a plateau has seen."""

    __slots__ = ("_rates", "has_feedback", "has_momentum", "plan", "watch")

    def __init__(self, made: Plan, watch: feedback.Watch | None = None) -> None:
        self.plan = made
        self.watch = feedback.Watch() if watch is None else watch
        self.has_feedback = bool(made.feedback)
        self.has_momentum = made.momenta([]) is not None
        self._rates = Ahead(made.values, made.stop)

    def rate(self, step: int) -> float:
        """After the plan's end its last rate."""
        if self.has_feedback:
            segment = feedback.segment_at(self.plan, min(step, self.plan.stop - 1))
            if segment is not None:
                return feedback.rate_at(self.watch, segment)
        return self._rates.at(step)

    def momentum(self, step: int) -> float | None:
        return self.plan.momentum(min(step, self.plan.stop - 1)) if self.has_momentum else None

    def needs_loss(self, step: int) -> bool:
        """Whether what the update at ``step`` is given is looked at; after the last update nothing is."""
        return self.has_feedback and step + 1 < self.plan.stop

    def must_have_loss(self, step: int) -> bool:
        """Whether an update without a number is an error: progress and validation are not measured at each."""
        return self._watched(step) == "loss" and "loss" in feedback.watched(self.plan)

    def look(self, step: int, number: float | None) -> None:
        """Take in the loss of the update at ``step``, or what the plateau watches there; None for nothing new."""
        segment, watched = feedback.segment_at(self.plan, step), self._watched(step)
        if watched != "loss":
            self.watch = feedback.advance(self.watch, segment, step, nan, {watched: number})
        elif number is not None:
            self.watch = feedback.advance(self.watch, segment, step, number)

    def _watched(self, step: int) -> str:
        segment = feedback.segment_at(self.plan, step)
        return "loss" if segment is None else str(segment.values["watch"])

    def rules(self) -> tuple[Any, ...]:
        """What makes two plans the same, however their texts are spaced."""
        made = self.plan
        return unparse(made.tree), made.total_steps, made.steps_per_epoch, made.images_per_step


class GroupPlans(NamedTuple):
    """The tracks, and which of them each param group follows; None where all follow the only one, later groups too."""

    tracks: list[Track]
    of_group: tuple[int, ...] | None

    def track_of(self, group: int) -> Track:
        return self.tracks[0 if self.of_group is None else self.of_group[group]]

    def groups_of(self, track: int, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The param groups that follow a track."""
        if self.of_group is None:
            return groups
        return [group for group, its_track in zip(groups, self.of_group) if its_track == track]


# What is given ----------------------------------------------------------------------------


def planned(given: Schedules, groups: list[dict[str, Any]], numbers: Numbers) -> GroupPlans:
    """A plan for each param group.

    Raises:
        ScheduleError: a text that cannot be planned.
        ValueError: other groups than schedules; numbers missing, or given for a Plan.
    """
    if isinstance(given, Mapping):
        of_group = _by_name(list(given), groups)
        return GroupPlans(_tracks(list(given.values()), numbers), of_group)
    if isinstance(given, str) or not isinstance(given, Sequence):
        return GroupPlans(_tracks([given], numbers), None)
    if len(given) != len(groups):
        raise ValueError(f"expected a schedule for each of the optimizer's {_count(groups)}, got {len(given)}")
    return GroupPlans(_tracks(given, numbers), tuple(range(len(groups))))


def _by_name(order: list[str], groups: list[dict[str, Any]]) -> tuple[int, ...]:
    names = [group.get("name") for group in groups]
    if None in names:
        raise ValueError(f"schedules by name need param groups with names, and param group {names.index(None)} has none; "
                         "give a list of schedules, or put a name into each group")
    missing = [name for name in names if name not in order]
    unknown = [name for name in order if name not in names]
    if missing or unknown:
        wrong = f"no schedule for param group {missing[0]!r}" if missing else f"no param group is called {unknown[0]!r}"
        raise ValueError(f"{wrong}; the optimizer has {_count(groups)}, schedules were given for {', '.join(map(repr, order))}")
    return tuple(order.index(name) for name in names)  # type: ignore[arg-type]


def _count(groups: list[dict[str, Any]]) -> str:
    names = ", ".join(repr(group["name"]) for group in groups if "name" in group)
    return f"{len(groups)} param group{'s' if len(groups) > 1 else ''}{f' ({names})' if names else ''}"


def _tracks(given: Sequence[PlanOrText], numbers: Numbers) -> list[Track]:
    if all(isinstance(one, Plan) for one in given) and numbers != Numbers():
        raise ValueError("a Plan has its own total_steps, steps_per_epoch and images_per_step; give them with a text only")
    return [Track(one if isinstance(one, Plan) else _plan(one, numbers)) for one in given]


def _plan(text: str, numbers: Numbers) -> Plan:
    if numbers.total_steps is None:
        raise ValueError("a schedule text needs total_steps, the number of updates of the run")
    return plan(text, total_steps=numbers.total_steps, steps_per_epoch=numbers.steps_per_epoch,
                images_per_step=numbers.images_per_step)


def read_texts(path: Paths) -> Schedules:
    """The texts in files, in the form in which the paths are given.

    Raises:
        OSError: a file that cannot be read.
        ValueError: one that is no text in UTF-8.
    """
    if isinstance(path, Mapping):
        return {name: _read(one) for name, one in path.items()}
    if isinstance(path, str) or not isinstance(path, Sequence):
        return _read(path)
    return [_read(one) for one in path]


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")  # editors on Windows begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a schedule text in UTF-8, got other bytes; save the file as UTF-8") from error


# What is saved ------------------------------------------------------------------------------


def to_json(plans: GroupPlans) -> dict[str, Any]:
    """One plan has its fields in the state itself; several are a list, and each group has an index into it."""
    if plans.of_group is None:
        return _track_to_json(plans.tracks[0])
    return {"plans": [_track_to_json(track) for track in plans.tracks], "groups": list(plans.of_group)}


def from_json(state: Mapping[str, Any], group_count: int) -> GroupPlans:
    """What ``to_json`` gave; ``state`` may have other fields too.

    Raises:
        RunStateError: a field is missing or wrong, or there are other groups.
        ScheduleError: a text cannot be planned any more.
    """
    if "plans" not in state:
        return GroupPlans([_track_from_json(state)], None)
    found = checked(state, {"plans": LIST, "groups": LIST}, None)
    tracks = [_track_from_json(one, f"plans[{index}].") for index, one in enumerate(found["plans"])]
    of_group = found["groups"]
    if not all(type(index) is int and 0 <= index < len(tracks) for index in of_group):
        raise RunStateError(f"groups: expected whole numbers from 0, below {len(tracks)}, got {of_group!r:.60}")
    if len(of_group) != group_count:
        raise RunStateError(f"groups: expected a plan for each of {group_count} param groups, got {len(of_group)}")
    return GroupPlans(tracks, tuple(of_group))


def _track_to_json(track: Track) -> dict[str, Any]:
    made = track.plan
    return {
        "text": made.text, "total_steps": made.total_steps, "steps_per_epoch": made.steps_per_epoch,
        "images_per_step": made.images_per_step, "watch": _watch_to_json(track.watch) if track.has_feedback else None,
    }


def _track_from_json(value: Any, where: str = "") -> Track:
    state = checked(value, _TRACK, None, where)
    watch = None if state["watch"] is None else _watch_from_json(state["watch"], where)
    numbers = {name: state[name] for name in Numbers._fields}
    return Track(plan(state["text"], **numbers), watch)


def _watch_to_json(watch: feedback.Watch) -> dict[str, Any]:
    """JSON has no infinity and no NaN: the best loss before the first one, and the rate before the plateau, are None."""
    plateau = watch.plateau
    values = {"mean": watch.mean, "weight": watch.weight, "start": watch.start, "looked": watch.looked, **plateau._asdict()}
    return {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in values.items()}


def _watch_from_json(value: Any, where: str) -> feedback.Watch:
    values = checked({"looked": -1} | value, _WATCH, None, f"{where}watch.")  # which states of an earlier version lack
    mean, weight = (values[name] if values[name] is not None else nan for name in ("mean", "weight"))
    plateau = feedback.Plateau(
        rate=nan if values["rate"] is None else values["rate"], best=inf if values["best"] is None else values["best"],
        bad=values["bad"], resting=values["resting"], cuts=values["cuts"],
    )
    return feedback.Watch(mean, weight, values["start"], plateau, values["looked"])
