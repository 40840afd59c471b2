"""The state of a run as frozen values, and as JSON that is checked field by field on its way back.

The folders are those of `store`. What is read is either exactly right or a RunStateError that names the file
and the field. A digest over all values shows any change that still is valid JSON. Every version of the format has it in the
same place, but for files of 0.1.0, which have none; 0.1.0 passes over it and reads what this version writes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from lib_lrsched.errors import RunStateError

from .checked_fields import (
    BOOL,
    COUNT,
    COUNT_OR_NULL,
    FACTOR,
    LIST,
    POSITIVE,
    POSITIVE_OR_NULL,
    SCALARS,
    SECONDS,
    TEXT,
    OtherVersionError,
    added,
    checked,
    checked_fields,
    load,
    one_of,
    stored,
)  # fmt: skip

FORMAT = 1
KNOWN_KEPT = 64
"""A state remembers this many of the newest saved forms of what it trains."""

Kind = Literal["embedding", "hypernetwork"]
KINDS: tuple[str, ...] = get_args(Kind)
ACTIVE = ("pending", "running")
STATES = (*ACTIVE, "finished", "interrupted", "failed", "crashed")
CLIP_MODES = ("disabled", "value", "norm")
MODES = ("start", "continue", "new", "restart")
"""How a leg came about: a run's first one, the same plan as before, another text at the same absolute steps, or the text
over the steps that were left."""

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Known:
    """A saved form of what is trained that belongs to the run: updates made, digest, file time in nanoseconds."""

    step: int = field(metadata=stored(COUNT))
    digest: str = field(metadata=stored(TEXT))
    mtime_ns: int = field(metadata=stored(COUNT))


@dataclass(frozen=True)
class Leg:
    """A stretch of training without a break; `planner` is the version of the planner that made its rates.

    `origin` is the step of the run's life at which the text's own step 0 lies; `mode` is one of MODES.
    """

    start_step: int = field(metadata=stored(COUNT))
    started_s: float = field(metadata=stored(SECONDS))
    total_steps: int = field(metadata=stored(COUNT))
    rate_text: str = field(metadata=stored(TEXT))
    steps_per_epoch: int | None = field(metadata=stored(POSITIVE_OR_NULL))
    images_per_step: int | None = field(metadata=stored(POSITIVE_OR_NULL))
    planner: int = field(metadata=stored(COUNT))
    origin: int = field(default=0, metadata=added(COUNT))
    mode: str = field(default="start", metadata=added(one_of(MODES)))


@dataclass(frozen=True)
class RunState:
    """Everything to know about a run besides its numbers. Times are unix seconds, `step` is updates made.

    `known` and `legs` have the newest last. `pid` and `process` say which process saved the state; the store fills them in.
    `main_digest` is the digest of what the host's own file held when last seen, `next_digest` of what was about to take its
    place then; `optim` says which weights the host's .optim beside it belongs to, as "file time:digest". `average_mtime_ns` is
    the time of the file NAME-ema that the run has written, 0 for none; `placed` says what of the run was last put in the place of
    the host's own file, as "average:digest" or "best:digest". `given_up` is the digest of a host's own file that gave
    way to a kept snapshot when the run went back, until the host saves again. `multiplier` is what the guard multiplies the planned
    rate by, `floor` the number up to which snapshots belong to a future that was given up. `settings` are the inputs of the host's
    form, `options` those of ours, see training/options.py.
    """

    id: str = field(metadata=stored(TEXT))
    kind: str = field(metadata=stored(one_of(KINDS)))
    name: str = field(metadata=stored(TEXT))
    state: str = field(metadata=stored(one_of(STATES)))
    step: int = field(metadata=stored(COUNT))
    total_steps: int = field(metadata=stored(COUNT))
    created_s: float = field(metadata=stored(SECONDS))
    updated_s: float = field(metadata=stored(SECONDS))
    rate_text: str = field(metadata=stored(TEXT))
    clip_text: str = field(default="", metadata=stored(TEXT))
    clip_mode: str = field(default="disabled", metadata=stored(one_of(CLIP_MODES)))
    clip_exact: bool = field(default=False, metadata=stored(BOOL))
    batch: int = field(default=1, metadata=stored(POSITIVE))
    accumulate: int = field(default=1, metadata=stored(POSITIVE))
    pictures: int | None = field(default=None, metadata=stored(COUNT_OR_NULL))
    steps_per_epoch: int | None = field(default=None, metadata=stored(POSITIVE_OR_NULL))
    message: str = field(default="", metadata=stored(TEXT))
    settings: dict[str, Scalar] = field(default_factory=dict, metadata=stored(SCALARS))
    legs: tuple[Leg, ...] = field(default=(), metadata=stored(LIST))
    known: tuple[Known, ...] = field(default=(), metadata=stored(LIST))
    main_digest: str = field(default="", metadata=added(TEXT))
    next_digest: str = field(default="", metadata=added(TEXT))
    optim: str = field(default="", metadata=added(TEXT))
    average_mtime_ns: int = field(default=0, metadata=added(COUNT))
    placed: str = field(default="", metadata=added(TEXT))
    given_up: str = field(default="", metadata=added(TEXT))
    multiplier: float = field(default=1.0, metadata=added(FACTOR))
    floor: int = field(default=0, metadata=added(COUNT))
    options: dict[str, Scalar] = field(default_factory=dict, metadata=added(SCALARS))
    pid: int = field(default=0, metadata=stored(COUNT))
    process: str = field(default="", metadata=stored(TEXT))
    version: int = field(default=FORMAT, metadata=stored(COUNT))

    @property
    def is_active(self) -> bool:
        """Whether its training runs or is about to begin; else it has ended, however."""
        return self.state in ACTIVE

    @property
    def initial_step(self) -> int:
        """The step at which the newest leg began."""
        return self.legs[-1].start_step if self.legs else 0

    @property
    def started_s(self) -> float:
        """When the newest leg began; what "newest run" means."""
        return self.legs[-1].started_s if self.legs else self.created_s

    def placed_as(self, digest: str) -> str:
        """What of this run was put in the place of the host's own file with that digest: "average", "best", or nothing."""
        what, _, of = self.placed.partition(":")
        return what if digest != "" and of == digest else ""

    def knows(self, step: int, digest: str, mtime_ns: int) -> bool:
        """Whether that very form of what is trained is one of this run's.

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


DIGEST = "digest"
"""The field of a run's file, beside the state's own, that covers them all."""


def to_json(state: RunState) -> bytes:
    """The state as JSON, with `known` as `trimmed`.

    Raises:
        RunStateError: a field that could not be read back; nothing wrong gets onto the disk.
    """
    data = state_dict(state)
    return json.dumps(data | {DIGEST: _digest(data)}, indent=1, allow_nan=False).encode() + b"\n"


def state_dict(state: RunState) -> dict[str, Any]:
    """The state as plain values for JSON, with `known` as `trimmed`.

    Raises:
        RunStateError: a field that could not be read back.
    """
    data = asdict(state) | {"known": [asdict(known) for known in trimmed(state.known, state.main_digest)]}
    data["legs"] = list(data["legs"])
    load_state_dict(data, None)
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
        raise RunStateError(f"expected JSON, got {data[:40]!r}", path) from error
    try:
        state = load_state_dict(value, path)  # at first: an error in a field says more than the digest does
    except OtherVersionError:
        if not is_damaged:
            raise
    if is_damaged:
        raise RunStateError("its digest does not fit: the file was damaged or changed since it was written", path)
    return state


def load_state_dict(value: Any, path: Path | None) -> RunState:
    """The state in plain values; ``path`` is for the error's text only.

    Raises:
        RunStateError: a field that is missing or wrong.
    """
    checked(value, {"version": COUNT}, path)
    if value["version"] != FORMAT:
        raise OtherVersionError(f"version: expected {FORMAT}, got {value['version']}; update the extension to read it", path)
    data = checked_fields(RunState, value, path)
    legs = tuple(load(Leg, leg, path, f"legs[{n}].") for n, leg in enumerate(data["legs"]))
    known = tuple(load(Known, one, path, f"known[{n}].") for n, one in enumerate(data["known"]))
    return RunState(**data | {"legs": legs, "known": known})


def _is_damaged(value: Any) -> bool:
    if not isinstance(value, dict) or DIGEST not in value:
        return False  # of 0.1.0, or no state at all
    return bool(value[DIGEST] != _digest({name: field for name, field in value.items() if name != DIGEST}))


def _digest(data: dict[str, Any]) -> str:
    """SHA-256 over all fields, in a form that neither blanks nor the order of the fields change."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
