"""The state of a run as frozen values, and as JSON that is checked field by field on its way back.

It knows no folder; `store` does. What is read is either exactly right or a RunStateError that names the file
and the field. A digest over all values shows any change that still is valid JSON. Every version of the format has it in the
same place, but for files of 0.1.0, which have none; 0.1.0 passes over it and reads what this version writes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from lib_lrsched.errors import RunStateError

FORMAT = 1
KNOWN_KEPT = 64
"""A state remembers this many of the newest saved forms of the thing it trains."""

KINDS = ("embedding", "hypernetwork")
STATES = ("pending", "running", "finished", "interrupted", "failed", "crashed")
CLIP_MODES = ("disabled", "value", "norm")
MODES = ("start", "continue", "new", "restart")
"""How a leg came about: a run's first one, the same plan as before, another text at the same absolute steps, or the text
over the steps that were left."""

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Known:
    """A saved form of the trained thing that belongs to the run: updates made, digest, file time in nanoseconds."""

    step: int
    digest: str
    mtime_ns: int


@dataclass(frozen=True)
class Leg:
    """A stretch of training without a break; `planner` is the version of the planner that made its rates.

    `origin` is the step of the run's life at which the text's own step 0 lies; `mode` is one of MODES.
    """

    start_step: int
    started_s: float
    total_steps: int
    rate_text: str
    steps_per_epoch: int | None
    images_per_step: int | None
    planner: int
    origin: int = 0
    mode: str = "start"


@dataclass(frozen=True)
class RunState:
    """Everything to know about a run besides its numbers. Times are unix seconds, `step` is updates made.

    `known` and `legs` have the newest last. `pid` and `process` say which process saved the state; the store fills them in.
    `main_digest` is the digest of what the host's own file held when last seen, `next_digest` of what was about to take its
    place then; `optim` says which weights the host's .optim beside it belongs to, as "file time:digest". `multiplier` is what
    the guard multiplies the planned rate by, `floor` the number up to which bundles belong to a future that was given up.
    """

    id: str
    kind: str
    name: str
    state: str
    step: int
    total_steps: int
    created_s: float
    updated_s: float
    rate_text: str
    clip_text: str = ""
    clip_mode: str = "disabled"
    clip_exact: bool = False
    batch: int = 1
    accumulate: int = 1
    pictures: int | None = None
    steps_per_epoch: int | None = None
    message: str = ""
    settings: dict[str, Scalar] = field(default_factory=dict)
    legs: tuple[Leg, ...] = ()
    known: tuple[Known, ...] = ()
    main_digest: str = ""
    next_digest: str = ""
    optim: str = ""
    multiplier: float = 1.0
    floor: int = 0
    pid: int = 0
    process: str = ""
    version: int = FORMAT

    @property
    def initial_step(self) -> int:
        """The step at which the newest leg began."""
        return self.legs[-1].start_step if self.legs else 0

    @property
    def started_s(self) -> float:
        """When the newest leg began; what "newest run" means."""
        return self.legs[-1].started_s if self.legs else self.created_s

    def knows(self, step: int, digest: str, mtime_ns: int) -> bool:
        """Whether that very form of the trained thing is one of this run's.

        At step 0 many things look alike (all that start from the same word), so the file time decides too.
        """
        return any(
            (one.step, one.digest) == (step, digest) and (step > 0 or one.mtime_ns == mtime_ns) for one in self.known
        )


def trimmed(known: tuple[Known, ...], main_digest: str) -> tuple[Known, ...]:
    """The newest KNOWN_KEPT forms, the newest last; what the host's own file holds is always one of them."""
    if len(known) <= KNOWN_KEPT:
        return known
    kept = known[-KNOWN_KEPT:]
    of_file = [one for one in known if one.digest == main_digest and one.mtime_ns]
    if not of_file or of_file[-1] in kept:
        return kept
    return (of_file[-1], *kept[1:])


class OtherVersionError(RunStateError):
    """A file that another version of the extension wrote: not damaged, only not for us to read."""


class Rule(NamedTuple):
    """What a field must be: in words, and as a test."""

    expected: str
    holds: Callable[[Any], bool]


def _whole(value: object, least: int) -> bool:
    return type(value) is int and least <= value < 2**63


def _seconds(value: object) -> bool:
    # Some 30,000 years: beyond that a date cannot be made of it.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12


def _scalar(value: object) -> bool:
    return value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and isfinite(value))


def _one_of(words: tuple[str, ...]) -> Rule:
    return Rule(f"one of {', '.join(words)}", lambda value: value in words)


TEXT = Rule("a text", lambda value: isinstance(value, str))
BOOL = Rule("true or false", lambda value: isinstance(value, bool))
COUNT = Rule("a whole number from 0", lambda value: _whole(value, 0))
POSITIVE = Rule("a whole number from 1", lambda value: _whole(value, 1))
POSITIVE_OR_NULL = Rule("a whole number from 1, or null", lambda value: value is None or _whole(value, 1))
SECONDS = Rule("a time in seconds from 0", _seconds)
LIST = Rule("a list", lambda value: isinstance(value, list))
TEXTS = Rule("a list of texts", lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value))
SCALARS = Rule(
    "an object of texts, numbers, booleans and nulls",
    lambda value: isinstance(value, dict) and all(map(_scalar, value.values())),
)

KNOWN_RULES = {"step": COUNT, "digest": TEXT, "mtime_ns": COUNT}
LEG_RULES = {
    "start_step": COUNT,
    "started_s": SECONDS,
    "total_steps": COUNT,
    "rate_text": TEXT,
    "steps_per_epoch": POSITIVE_OR_NULL,
    "images_per_step": POSITIVE_OR_NULL,
    "planner": COUNT,
    "origin": COUNT,
    "mode": _one_of(MODES),
}
STATE_RULES = {
    "version": COUNT,
    "id": TEXT,
    "kind": _one_of(KINDS),
    "name": TEXT,
    "state": _one_of(STATES),
    "step": COUNT,
    "total_steps": COUNT,
    "created_s": SECONDS,
    "updated_s": SECONDS,
    "rate_text": TEXT,
    "clip_text": TEXT,
    "clip_mode": _one_of(CLIP_MODES),
    "clip_exact": BOOL,
    "batch": POSITIVE,
    "accumulate": POSITIVE,
    "pictures": Rule("a whole number from 0, or null", lambda value: value is None or _whole(value, 0)),
    "steps_per_epoch": POSITIVE_OR_NULL,
    "message": TEXT,
    "settings": SCALARS,
    "legs": LIST,
    "known": LIST,
    "main_digest": TEXT,
    "next_digest": TEXT,
    "optim": TEXT,
    "multiplier": Rule("a number above 0, at most 1", lambda value: type(value) in (int, float) and 0 < value <= 1),
    "floor": COUNT,
    "pid": COUNT,
    "process": TEXT,
}

DIGEST = "digest"
"""The field of a run's file, beside the state's own, that covers them all."""

ADDED = {"main_digest": "", "next_digest": "", "optim": "", "multiplier": 1.0, "floor": 0}
ADDED_TO_LEGS = {"origin": 0, "mode": "start"}
"""Fields that files of an earlier version of the extension do not have, with what they would have said."""


def to_json(state: RunState) -> bytes:
    """The state as JSON, with `known` as `trimmed`.

    Raises:
        RunStateError: a field that could not be read back; nothing wrong gets onto the disk.
    """
    data = to_plain(state)
    return json.dumps(data | {DIGEST: _digest(data)}, indent=1, allow_nan=False).encode() + b"\n"


def to_plain(state: RunState) -> dict[str, Any]:
    """The state as plain values for JSON, with `known` as `trimmed`.

    Raises:
        RunStateError: a field that could not be read back.
    """
    data = asdict(state) | {"known": [asdict(known) for known in trimmed(state.known, state.main_digest)]}
    data["legs"] = list(data["legs"])
    from_plain(data, None)
    return data


def from_json(data: bytes, path: Path) -> RunState:
    """The state in the bytes of a file; `path` is for the error's text only.

    Raises:
        RunStateError: no JSON, or a field that is missing or wrong.
    """
    try:
        value = json.loads(data)
        is_damaged = _is_damaged(value)
    except (ValueError, RecursionError) as error:
        raise RunStateError(f"expected JSON, found {data[:40]!r}", path) from error
    try:
        state = from_plain(value, path)  # at first: an error in a field says more than the digest does
    except OtherVersionError:
        if not is_damaged:
            raise
    if is_damaged:
        raise RunStateError("its digest does not fit: the file was damaged or changed since it was written", path)
    return state


def checked(value: object, rules: dict[str, Rule], path: Path | None, where: str = "") -> dict[str, Any]:
    """The fields of a JSON object that `rules` names, each as it should be; others are left out.

    Raises:
        RunStateError: names the file and the first field that is missing or wrong.
    """
    if not isinstance(value, dict):
        raise RunStateError(f"{where.rstrip('.') or 'the file'}: expected an object, found {_short(value)}", path)
    for name, rule in rules.items():
        if name not in value:
            raise RunStateError(f"{where}{name}: expected {rule.expected}, but the field is missing", path)
        if not rule.holds(value[name]):
            raise RunStateError(f"{where}{name}: expected {rule.expected}, found {_short(value[name])}", path)
    return {name: value[name] for name in rules}


def from_plain(value: Any, path: Path | None) -> RunState:
    """The state in plain values; ``path`` is for the error's text only.

    Raises:
        RunStateError: a field that is missing or wrong.
    """
    checked(value, {"version": COUNT}, path)
    if value["version"] != FORMAT:
        raise OtherVersionError(f"version: expected {FORMAT}, found {value['version']}; update the extension to read it", path)
    data = checked(ADDED | value, STATE_RULES, path)
    added = [ADDED_TO_LEGS | leg if isinstance(leg, dict) else leg for leg in data["legs"]]
    legs = (checked(leg, LEG_RULES, path, f"legs[{n}].") for n, leg in enumerate(added))
    known = (checked(one, KNOWN_RULES, path, f"known[{n}].") for n, one in enumerate(data["known"]))
    data["legs"] = tuple(Leg(**leg) for leg in legs)
    data["known"] = tuple(Known(**one) for one in known)
    return RunState(**data)


def _is_damaged(value: Any) -> bool:
    if not isinstance(value, dict) or DIGEST not in value:
        return False  # of 0.1.0, or no state at all
    return bool(value[DIGEST] != _digest({name: field for name, field in value.items() if name != DIGEST}))


def _digest(data: dict[str, Any]) -> str:
    """SHA-256 over all fields, in a form that neither blanks nor the order of the fields change."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
