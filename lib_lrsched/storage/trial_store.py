"""The results of trials on disk: the newest are kept, nothing is half written, a damaged one hides no other.

    ROOT/trials/ID.json       what came of it, replaced whole
    ROOT/trials/ID.N.png      the image of its candidate number N, from 0
"""

from __future__ import annotations

import json
import re
import threading
import time
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from lib_lrsched.errors import RunStateError

from . import disk_errors
from .atomic_files import LEFTOVER_AGE_S, write_whole
from .checked_fields import COUNT, SCALARS, SECONDS, TEXT, TEXTS, OtherVersionError, Rule, checked, load, one_of, stored
from .messages import Messages
from .run_state import KINDS, Scalar

FORMAT = 1
KEPT = 50
"""So many of the newest trials are kept."""

MOST_UPDATES = 1000
"""The maximum number of updates of a candidate, and the maximum that an answer suggests."""

TrialState = Literal["waiting", "running", "finished", "stopped", "failed"]
STATES: tuple[str, ...] = get_args(TrialState)
WHAT = ("rates", "texts")

_ID = re.compile(r"[a-z0-9_][a-z0-9_-]{0,79}")
_Stamp = tuple[int, int, int]


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and isfinite(value)  # type: ignore[arg-type]


def _is_point(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and _is_number(value[0]) and (value[1] is None or _is_number(value[1]))


NUMBER = Rule("a number", _is_number)
NUMBER_OR_NULL = Rule("a number, or null", lambda value: value is None or _is_number(value))
SECONDS_OR_NULL = Rule(f"{SECONDS.expected}, or null", lambda value: value is None or SECONDS.holds(value))
TEXT_OR_NULL = Rule("a text, or null", lambda value: value is None or isinstance(value, str))
BOOL = Rule("true or false", lambda value: isinstance(value, bool))
POINTS = Rule("a list of points", lambda value: isinstance(value, list) and all(map(_is_point, value)))
CANDIDATES = Rule("a list of objects", lambda value: isinstance(value, list) and all(isinstance(one, dict) for one in value))

CANDIDATE = {
    "text": TEXT, "factor": NUMBER_OR_NULL, "rate": NUMBER, "progress": NUMBER_OR_NULL, "low": NUMBER_OR_NULL,
    "high": NUMBER_OR_NULL, "stopped_at": NUMBER_OR_NULL, "curve": POINTS, "image": BOOL, "running": BOOL,
}  # fmt: skip
"""The fields of a candidate."""


@dataclass(frozen=True)
class TrialRecord:
    """All that is known of a trial, as it is shown and stored. Times are unix seconds.

    Attributes:
        text: the schedule that the training would have had; `steps` its max steps.
        candidates: in the order in which they were tried; each has the fields of CANDIDATE.
        what: whether rates were tried or texts compared.
        updates: of each candidate; ``made`` all of them, those of the baseline among them.
        inputs: what the host's train function was called with.
        s_per_update, s_per_image: how long they took; None where it is not known.
    """

    id: str = field(metadata=stored(TEXT))
    kind: str = field(metadata=stored(one_of(KINDS)))
    name: str = field(metadata=stored(TEXT))
    text: str = field(metadata=stored(TEXT))
    steps: int = field(metadata=stored(COUNT))
    state: str = field(metadata=stored(one_of(STATES)))
    message: str = field(metadata=stored(TEXT))
    messages: list[str] = field(metadata=stored(TEXTS))
    started_s: float = field(metadata=stored(SECONDS))
    ended_s: float | None = field(metadata=stored(SECONDS_OR_NULL))
    updates: int = field(metadata=stored(COUNT))
    seed: int = field(metadata=stored(COUNT))
    made: int = field(metadata=stored(COUNT))
    what: str = field(metadata=stored(one_of(WHAT)))
    candidates: list[dict[str, Any]] = field(metadata=stored(CANDIDATES))
    suggested: str | None = field(metadata=stored(TEXT_OR_NULL))
    why: str = field(metadata=stored(TEXT))
    inputs: dict[str, Scalar] = field(metadata=stored(SCALARS))
    s_per_update: float | None = field(metadata=stored(NUMBER_OR_NULL))
    s_per_image: float | None = field(metadata=stored(NUMBER_OR_NULL))


class _Unsaved(NamedTuple):
    """What is not on the disk, and what to say of that."""

    record: TrialRecord
    images: Mapping[int, bytes]
    why: str

    @property
    def shown(self) -> TrialRecord:
        return replace(self.record, messages=[*self.record.messages, self.why])


class TrialStore:
    """The trials that are kept in a folder. Safe to use from several threads."""

    def __init__(self, folder: Path, messages: Messages) -> None:
        self._folder = folder
        self._messages = messages
        self._lock = threading.RLock()
        self._read: dict[str, tuple[_Stamp, TrialRecord]] = {}
        self._unsaved: dict[str, _Unsaved] = {}  # what the disk did not take, the newest last

    def save(self, record: TrialRecord, images: Mapping[int, bytes]) -> None:
        """Keep a trial that has ended, and of all of them the newest. What the disk does not take is kept in memory, and says so.

        Args:
            images: PNG files by the number of their candidate.
        """
        with self._lock:
            for earlier in list(self._unsaved.values()):
                with suppress(OSError):
                    self._write(earlier.record, earlier.images)
                    del self._unsaved[earlier.record.id]
            try:
                self._write(record, images)
            except OSError as error:
                why = (f"the result could not be saved and is lost when the WebUI exits: {disk_errors.why(error)}; "
                       f"to keep the next one, {disk_errors.mend(error)}")
                self._unsaved[record.id] = _Unsaved(record, images, why)
                self._unsaved = dict(list(self._unsaved.items())[-KEPT:])
            with suppress(OSError):
                self._trim()

    def all(self) -> list[TrialRecord]:
        """What is kept, the newest first. Damaged files are set aside and said in the store's messages."""
        with self._lock:
            there = {record.id: record for trial_id in self._ids() if (record := self._load_or_say(trial_id)) is not None}
            self._read = {trial_id: read for trial_id, read in self._read.items() if trial_id in there}
            there |= {trial_id: one.shown for trial_id, one in self._unsaved.items()}
        return sorted(there.values(), key=lambda record: (record.started_s, record.id), reverse=True)

    def get(self, trial_id: str) -> TrialRecord | None:
        """A trial that is kept; None where there is none, or where its file is damaged."""
        with self._lock:
            if trial_id in self._unsaved:
                return self._unsaved[trial_id].shown
            return self._load_or_say(trial_id) if _ID.fullmatch(trial_id) else None

    def image(self, trial_id: str, number: int) -> bytes | None:
        """The PNG of a candidate; None where there is none."""
        with self._lock:
            if trial_id in self._unsaved:
                return self._unsaved[trial_id].images.get(number)
            if not _ID.fullmatch(trial_id):
                return None
            with suppress(OSError):
                return self._image_path(trial_id, number).read_bytes()
        return None

    def delete(self, trial_id: str) -> bool:
        """Delete a trial with its images; whether it was there.

        Raises:
            OSError: it is there as it was, or some of its images are left.
        """
        with self._lock:
            if self._unsaved.pop(trial_id, None) is not None:
                return True
            if not _ID.fullmatch(trial_id) or not self._path(trial_id).is_file():
                return False
            self._delete(trial_id)
        return True

    def new_id(self, kind: str, name: str, now_s: float, taken: set[str]) -> str:
        """An id that no trial has."""
        base = readable_id(kind, name, now_s)
        with self._lock:
            taken = taken | {*self._ids(), *self._unsaved}
        return next(one for one in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if one not in taken)

    def _path(self, trial_id: str) -> Path:
        return self._folder / f"{trial_id}.json"

    def _image_path(self, trial_id: str, number: int) -> Path:
        return self._folder / f"{trial_id}.{number}.png"

    def _ids(self) -> list[str]:
        with suppress(OSError):  # most have no such folder
            return [path.stem for path in self._folder.iterdir() if path.suffix == ".json" and _ID.fullmatch(path.stem)]
        return []

    def _write(self, record: TrialRecord, images: Mapping[int, bytes]) -> None:
        """The images first: what has a record is whole."""
        try:
            for number, image in images.items():
                write_whole(self._image_path(record.id, number), image)
            write_whole(self._path(record.id), _to_json(record))
        except OSError:
            with suppress(OSError):
                self._delete(record.id)
            raise

    def _delete(self, trial_id: str) -> None:
        self._path(trial_id).unlink(missing_ok=True)
        self._read.pop(trial_id, None)
        for image in list(self._folder.glob(f"{trial_id}.*.png")):
            image.unlink(missing_ok=True)

    def _trim(self) -> None:
        """By their ids, which begin with the time."""
        ids = sorted(self._ids(), reverse=True)
        for trial_id in ids[KEPT:]:
            self._delete(trial_id)
        for image in list(self._folder.glob("*.png")):  # what a kill has left between images and record
            if image.name.partition(".")[0] not in ids and time.time() - image.stat().st_mtime > LEFTOVER_AGE_S:
                image.unlink(missing_ok=True)

    def _load_or_say(self, trial_id: str) -> TrialRecord | None:
        path = self._path(trial_id)
        try:
            return self._load(trial_id, path)
        except FileNotFoundError:
            return None
        except OtherVersionError as error:
            self._messages.say(str(error))
        except RunStateError as error:
            self._messages.set_aside(path, error)
        except OSError as error:
            self._messages.say(f"{path}: cannot be read: {error.strerror or error}")
        return None

    def _load(self, trial_id: str, path: Path) -> TrialRecord:
        status = path.stat()
        stamp = status.st_mtime_ns, status.st_size, status.st_ino
        known = self._read.get(trial_id)
        if known is None or known[0] != stamp:
            known = self._read[trial_id] = stamp, _from_json(path.read_bytes(), path)
        return known[1]


def readable_id(kind: str, name: str, now_s: float) -> str:
    """Time (UTC), kind and what of the name is fit for a file."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", f"{kind}-{ascii_name}".lower())[:50].strip("-")
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now_s))}-{words}".strip("-")


def _to_json(record: TrialRecord) -> bytes:
    return json.dumps({"lrsched_trial": FORMAT, **asdict(record)}, allow_nan=False).encode() + b"\n"


def _from_json(data: bytes, path: Path) -> TrialRecord:
    """
    Raises:
        RunStateError: damaged; names the file and the field.
    """
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RunStateError("expected JSON", path) from error
    version = checked(value, {"lrsched_trial": COUNT}, path)["lrsched_trial"]
    if version != FORMAT:
        raise OtherVersionError(f"version {version} of a trial; update the extension to read it", path)
    record = load(TrialRecord, value, path)
    if record.id != path.stem:
        raise RunStateError(f"id: expected the file's name {path.stem!r}, got {record.id!r}", path)
    candidates = [checked(one, CANDIDATE, path, f"candidates[{n}].") for n, one in enumerate(record.candidates)]
    return replace(record, candidates=candidates)
