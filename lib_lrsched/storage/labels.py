"""The title and note of a run, in a small file of its own beside run.json, which a training replaces as it likes.

    RUN/label.json       {"lrsched_label": 1, "title": "...", "note": "..."}, replaced whole
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lib_lrsched.errors import RequestError, RunStateError

from .atomic_files import write_whole
from .checked_fields import COUNT, OtherVersionError, Rule, checked
from .messages import Messages

NAME = "label.json"
FORMAT = 1
MAX_TITLE_CHARS, MAX_NOTE_CHARS = 100, 2_000


class Label(NamedTuple):
    """A name of one's own for a run, one line, and a note; empty for none."""

    title: str = ""
    note: str = ""


def label(title: str, note: str) -> Label:
    """The two without blanks around them.

    Raises:
        RequestError: a title or a note that is none.
    """
    made = Label(title.strip(), note.strip())
    for field, rule in _RULES.items():
        if not rule.holds(getattr(made, field)):
            raise RequestError(f"{field}: expected {rule.expected}")
    return made


def to_json(made: Label) -> bytes:
    return json.dumps({"lrsched_label": FORMAT, **made._asdict()}, indent=1).encode() + b"\n"


def from_json(data: bytes, path: Path | None) -> Label:
    """
    Raises:
        RunStateError: no JSON, or a field that is missing or wrong.
    """
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RunStateError("expected JSON", path) from error
    version = checked(value, {"lrsched_label": COUNT}, path)["lrsched_label"]
    if version != FORMAT:
        raise OtherVersionError(f"version {version} of a label; update the extension to read it", path)
    return Label(**checked(value, _RULES, path))


class Labels:
    """The labels of runs, each read once while its file stays as it is. Safe to use from several threads.

    Args:
        path_of: where a run's label is; raises UnknownRunError for what can be no run's id.
        messages: is told what could not be read.
    """

    def __init__(self, path_of: Callable[[str], Path], messages: Messages) -> None:
        self._path_of = path_of
        self._messages = messages
        self._lock = threading.Lock()
        self._paths: dict[str, Path] = {}
        self._read: dict[Path, tuple[tuple[int, int, int], Label]] = {}

    def of(self, run_id: str) -> Label:
        """The label of a run; an empty one where it has none, or a damaged one, which is set aside and said."""
        path = self._paths.get(run_id) or self._paths.setdefault(run_id, self._path_of(run_id))
        try:
            status = os.stat(path)  # noqa: PTH116 of hundreds of files
            stamp = status.st_mtime_ns, status.st_size, status.st_ino
            with self._lock:
                known = self._read.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            found = from_json(path.read_bytes(), path)
        except (FileNotFoundError, NotADirectoryError):
            return Label()
        except OtherVersionError as error:
            self._messages.say(str(error))
            return Label()
        except RunStateError as error:
            self._messages.set_aside(path, error)
            return Label()
        except OSError as error:
            self._messages.say(f"{path}: cannot be read: {error.strerror or error}")
            return Label()
        with self._lock:
            self._read[path] = stamp, found
        return found

    def save(self, run_id: str, made: Label) -> None:
        """Replaces the label of a run whole.

        Raises:
            OSError: it is as it was.
        """
        write_whole(self._path_of(run_id), to_json(made))


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TITLE_CHARS and (value == "" or value.isprintable()) and _is_text(value)


def _is_note(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NOTE_CHARS and _is_text(value)


def _is_text(value: str) -> bool:
    """Whether it has whole characters only, so that it can be written anywhere."""
    return not any("\ud800" <= char <= "\udfff" for char in value)


_RULES = {
    "title": Rule(f"one line of at most {MAX_TITLE_CHARS} characters", _is_line),
    "note": Rule(f"a text of at most {MAX_NOTE_CHARS} characters", _is_note),
}
