"""One snapshot: all that the next update of a run depends on, in one safetensors file. And a folder of the newest few.

    RUN/bundles/00000007.safetensors     tensors; JSON in the header; a digest over both
    RUN/bundles/00000008.safetensors     a higher number is newer, whatever its step
    RUN/data.safetensors                 prompts and latents of the data set, which no update changes

Reading looks at every field before anything is used, never runs code, and passes over what is torn, damaged or of
another run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from lib_lrsched.errors import RunStateError
from lib_lrsched.optimizer.codec import join, split
from lib_lrsched.storage import disk_errors
from lib_lrsched.storage.atomic_files import numbered, write_with
from lib_lrsched.storage.checked_fields import COUNT, FACTOR, SECONDS, TEXT, OtherVersionError, checked, load, one_of, stored
from lib_lrsched.storage.run_state import KINDS

FORMAT = 1
SUFFIX = ".safetensors"
KEPT = 3
"""A run keeps this many of its newest snapshots."""

safe_open: Any = safetensors.safe_open
SafetensorError: type[Exception] = safetensors.SafetensorError  # type: ignore[attr-defined]  # has no types


@dataclass(frozen=True)
class Facts:
    """What a snapshot says of itself besides its tensors: plain values, for people and for programs.

    ``step`` is updates made, ``digest`` that of the trained tensors, ``origin`` the step at which the schedule's own
    step 0 lies, ``multiplier`` what the guard multiplies the planned rate by, ``data`` the digest of the
    data set's description.
    """

    run: str = field(metadata=stored(TEXT))
    kind: str = field(metadata=stored(one_of(KINDS)))
    name: str = field(metadata=stored(TEXT))
    step: int = field(metadata=stored(COUNT))
    digest: str = field(metadata=stored(TEXT))
    rate_text: str = field(metadata=stored(TEXT))
    clip_text: str = field(metadata=stored(TEXT))
    total_steps: int = field(metadata=stored(COUNT))
    origin: int = field(metadata=stored(COUNT))
    multiplier: float = field(metadata=stored(FACTOR))
    planner: int = field(metadata=stored(COUNT))
    optimizer: str = field(metadata=stored(TEXT))
    time_s: float = field(metadata=stored(SECONDS))
    torch: str = field(metadata=stored(TEXT))
    data: str = field(metadata=stored(TEXT))


PARTS: dict[str, tuple[type, ...]] = {
    "trained": (list,),
    "optimizer": (dict,),
    "scaler": (dict,),
    "random": (dict,),
    "order": (dict, type(None)),
    "watch": (tuple, type(None)),
    "guard": (dict, type(None)),
    "progress": (dict, type(None)),
    "norm_limit": (dict, type(None)),
    "timesteps": (dict, type(None)),
    "validation": (dict, type(None)),
    "average": (dict, type(None)),
    "spread": (dict, type(None)),
    "extra": (dict,),
}
"""The parts of a snapshot: what is trained, the optimizer's and GradScaler's state_dict, the generators, the place in the
epoch, the state of shapes that look at the loss, the guard's state, the measured progress, the references of the norm's limit,
the averages by timestep, the best look of validation, the average of the weights, the place among the evenly spread timesteps, and
what it takes to create the trained object again."""

REQUIRED = ("trained", "optimizer", "scaler", "random", "order", "watch", "guard", "extra")
"""Parts that every snapshot has. One of an earlier version may lack any other, which then is None."""


def optional_parts() -> dict[str, None]:
    """The parts that may be None, as None: what a snapshot has of a callback that is off."""
    return {name: None for name, types in PARTS.items() if type(None) in types}


@dataclass(frozen=True)
class Snapshot:
    """Facts, and parts by the names in PARTS: nested values with tensors on the CPU.

    ``state`` is the run's state as it was then, unchecked; None in a snapshot of 0.1.0 and in one that is about to be written.
    """

    facts: Facts
    parts: Mapping[str, Any]
    state: Any = None

    @property
    def trained(self) -> list[Tensor]:
        return list(self.parts["trained"])


def write(path: Path, snapshot: Snapshot, state: Mapping[str, Any] | None = None) -> None:
    """Puts a snapshot where ``path`` is: whole, or not at all. ``state``: of the run, in case its own file is lost.

    Raises:
        OSError: nothing was changed at ``path``.
        TypeError: a part that cannot be kept.
    """
    tensors: dict[str, Tensor] = {}
    parts = {name: split(snapshot.parts[name], tensors, name) for name in PARTS}
    data = {"lrsched_bundle": FORMAT, "facts": asdict(snapshot.facts), "parts": parts}
    write_tensors(path, data if state is None else data | {"state": state}, tensors)


def read(path: Path) -> Snapshot:
    """The snapshot in a file.

    Raises:
        RunStateError: a file that is torn, damaged or none of ours; says what was expected where.
    """
    data, tensors = read_tensors(path)
    checked(data, {"lrsched_bundle": COUNT}, path)
    if data["lrsched_bundle"] != FORMAT:
        raise OtherVersionError(f"version {data['lrsched_bundle']} of a snapshot; update the extension to read it", path)
    facts = load(Facts, data.get("facts"), path, "facts.")
    parts = _parts(data.get("parts"), tensors, path)
    return Snapshot(facts, parts, data.get("state"))


def peek(path: Path) -> Snapshot:
    """The facts of a snapshot without its parts: quick, for what is only shown. The digest is not looked at.

    Raises:
        RunStateError: as read().
    """
    try:
        with safe_open(path, framework="pt") as file:
            data = json.loads((file.metadata() or {}).get("lrsched", "null"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise RunStateError(f"expected a snapshot, but it cannot be read: {error}", path) from error
    checked(data, {"lrsched_bundle": COUNT}, path)
    return Snapshot(load(Facts, data.get("facts"), path, "facts."), {})


def write_tensors(path: Path, data: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """A safetensors file with JSON in its header and a digest over both.

    Raises:
        OSError: nothing was changed at ``path``.
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    tensors = dict(tensors) or {"none": torch.zeros(1)}  # the library cannot read back a file without one
    header = {"lrsched": text, "digest": _digest(text, tensors)}

    def save(temporary: Path) -> None:
        try:
            save_file(tensors, temporary, metadata=header)
        except SafetensorError as error:  # so the library reports a full disk
            raise OSError(disk_errors.number_of(error), f"cannot be written: {disk_errors.why(error)}") from error

    write_with(path, save)


def read_tensors(path: Path) -> tuple[Any, dict[str, Tensor]]:
    """The JSON and the tensors of such a file.

    Raises:
        RunStateError: no such file, or one whose digest says that it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            # Copies: the file may be replaced or deleted while they are used.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 not a dict
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise RunStateError(f"expected a safetensors file, but it cannot be read: {error}", path) from error
    text = header.get("lrsched")
    if text is None or "digest" not in header:
        raise RunStateError("expected a file that this extension wrote, got a safetensors file without its header", path)
    if header["digest"] != _digest(text, tensors):
        raise RunStateError("its digest does not fit: the file was damaged or changed since it was written", path)
    try:
        return json.loads(text), tensors
    except (ValueError, RecursionError) as error:
        raise RunStateError("expected JSON in its header", path) from error


class Folder:
    """The newest snapshots of one run. One thread writes; others may read.

    Args:
        state: the run's state now, which each snapshot keeps a copy of.
        floor: new snapshots get higher numbers than this.
    """

    def __init__(self, path: Path, run: str, state: Callable[[], Mapping[str, Any] | None] = lambda: None, floor: int = 0) -> None:
        self.path = path
        self.run = run
        self._state = state
        self._last = floor  # a folder that was deleted in the middle of a run does not begin to count anew

    def numbered(self) -> list[tuple[int, Path]]:
        """Number and file of each snapshot, the newest first; nothing is read."""
        return numbered(self.path, SUFFIX)

    def newest(self, above: int = 0, read: Callable[[Path], Snapshot] = read) -> tuple[int, Snapshot | None, list[str]]:
        """The newest good snapshot with a number above ``above``: number, snapshot, and what was passed over on the way."""
        passed: list[str] = []
        try:
            there = self.numbered()
        except OSError as error:
            return 0, None, [f"the snapshots in {self.path} cannot be read: {disk_errors.why(error)}; {disk_errors.mend(error)}"]
        for number, path in there:
            if number <= above:
                break
            try:
                snapshot = read(path)
            except RunStateError as error:
                passed.append(f"{error}; it is skipped")
                continue
            if snapshot.facts.run == self.run:
                return number, snapshot, passed
            passed.append(f"{path}: belongs to the run {snapshot.facts.run!r}; it is skipped")
        return 0, None, passed

    def add(self, snapshot: Snapshot) -> Path:
        """Writes a snapshot as the newest, and then lets go of the oldest beyond KEPT.

        Raises:
            OSError: those that were there are as they were.
        """
        there = self.numbered()
        number = max(there[0][0] if there else 0, self._last) + 1
        path = self.path / f"{number:08d}{SUFFIX}"
        write(path, snapshot, self._state())
        self._last = number
        for _, old in there[KEPT - 1 :]:
            old.unlink(missing_ok=True)
        return path


def _parts(data: Any, tensors: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise RunStateError("parts: expected an object", path)
    found: dict[str, Any] = {}
    for name, types in PARTS.items():
        if name not in data and name not in REQUIRED:
            found[name] = None
            continue
        if name not in data:
            raise RunStateError(f"parts.{name}: expected {name}, but the field is missing", path)
        try:
            found[name] = join(data[name], tensors)
        except (ValueError, TypeError) as error:
            raise RunStateError(f"parts.{name}: {error}", path) from error
        if not isinstance(found[name], types):
            raise RunStateError(f"parts.{name}: expected {' or '.join(t.__name__ for t in types)}", path)
    if not all(isinstance(one, Tensor) for one in found["trained"]):
        raise RunStateError("parts.trained: expected a list of tensors", path)
    return found


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the JSON and over name, type, shape and bytes of each tensor."""
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"\0{name}\0{tensor.dtype}{tuple(tensor.shape)}\0".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
