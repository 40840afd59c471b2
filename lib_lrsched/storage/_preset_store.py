"""The user's presets on disk.

    ROOT/presets.json            the user's presets, replaced whole
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Literal

from lib_lrsched.errors import RunStateError

from ._presets import BUILTIN, BY_TIMESTEP, Preset
from .atomic_files import write_whole
from .checked_fields import COUNT, LIST, TEXT, OtherVersionError, checked
from .messages import Messages

PRESETS_FORMAT = 1
MAX_PRESETS = 500
MAX_NAME_CHARS = 80
MAX_TEXT_CHARS = 20_000
_STORED = {"name": TEXT, "text": TEXT, "note": TEXT}


class PresetError(ValueError):
    """A preset that cannot be saved or deleted, and why: it is wrong in itself, in the way of another, or missing."""

    def __init__(self, message: str, why: Literal["wrong", "conflict", "missing"]) -> None:
        super().__init__(message)
        self.message = message
        self.why = why


class PresetStore:
    """The builtin presets and those in a file; `messages` is told what could not be read."""

    def __init__(self, path: Path, messages: Messages) -> None:
        self._path = path
        self._messages = messages
        self._lock = threading.RLock()

    def all(self) -> tuple[Preset, ...]:
        """The builtin presets, then the user's in the order in which they were saved."""
        with self._lock:
            try:
                return BUILTIN + self._own_presets()
            except OtherVersionError as error:
                self._messages.say(str(error))
            except OSError as error:
                self._messages.say(f"{self._path}: cannot be read: {error.strerror or error}")
        return BUILTIN

    @property
    def by_timestep(self) -> tuple[Preset, ...]:
        """Those of factors by timestep, all of them builtin."""
        return BY_TIMESTEP

    def save(self, name: str, text: str, note: str = "", *, replace: bool = True) -> None:
        """Adds a preset, or replaces the user's of the same name if it may. Whether the text can be planned is not checked here.

        Raises:
            PresetError: a builtin name, one that is taken, or a name, text or note that is none.
            OSError, RunStateError: the presets are as they were.
        """
        preset = _checked_preset(name, text, note)
        with self._lock:
            others = [one for one in self._own_presets() if one.name != preset.name]
            if not replace and len(others) < len(self._own_presets()):
                raise PresetError(f"there is a preset {preset.name!r} already", "conflict")
            if len(others) >= MAX_PRESETS:
                raise PresetError(f"there are {MAX_PRESETS} presets already; delete one first", "conflict")
            self._write_presets([*others, preset])

    def delete(self, name: str) -> None:
        """Deletes a preset of the user's.

        Raises:
            PresetError: a builtin one, or none of that name.
            OSError, RunStateError: the presets are as they were.
        """
        _refuse_builtin(name)
        with self._lock:
            own = self._own_presets()
            others = [one for one in own if one.name != name]
            if len(others) == len(own):
                raise PresetError(f"there is no preset {name!r}", "missing")
            self._write_presets(others)

    def _own_presets(self) -> tuple[Preset, ...]:
        try:
            return _read_presets(self._path)
        except FileNotFoundError:
            return ()
        except OtherVersionError:
            raise
        except RunStateError as error:
            self._messages.set_aside(self._path, error)
            return ()

    def _write_presets(self, presets: list[Preset]) -> None:
        entries = [{name: getattr(one, name) for name in _STORED} for one in presets]
        data = json.dumps({"lrsched_presets": PRESETS_FORMAT, "presets": entries}, indent=1).encode() + b"\n"
        write_whole(self._path, data)


def _checked_preset(name: str, text: str, note: str) -> Preset:
    limits = (("name", name, MAX_NAME_CHARS), ("text", text, MAX_TEXT_CHARS), ("note", note, MAX_TEXT_CHARS))
    for field, value, limit in limits:
        if not isinstance(value, str) or len(value) > limit:
            raise PresetError(f"a preset's {field} is a text of at most {limit} characters", "wrong")
    if not name.strip() or not name.isprintable():
        raise PresetError("a preset needs a name of printable characters", "wrong")
    _refuse_builtin(name.strip())
    return Preset(name.strip(), text, note)


def _refuse_builtin(name: str) -> None:
    if any(one.name == name for one in BUILTIN):
        message = f"the preset {name!r} comes with the extension and cannot be changed; save under another name"
        raise PresetError(message, "conflict")


def _read_presets(path: Path) -> tuple[Preset, ...]:
    try:
        value: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise RunStateError("expected JSON", path) from error
    data = checked(value, {"lrsched_presets": COUNT, "presets": LIST}, path)
    if data["lrsched_presets"] != PRESETS_FORMAT:
        raise OtherVersionError(f"version {data['lrsched_presets']} of the presets; update the extension to read them", path)
    return tuple(Preset(**checked(one, _STORED, path, f"presets[{n}].")) for n, one in enumerate(data["presets"]))
