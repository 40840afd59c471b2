"""The user's presets on disk, and what every store below a folder needs: a lock, and messages on what could not be read.

    ROOT/presets.json            the user's presets, replaced whole
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Literal

from lib_lrsched.errors import RunStateError

from .atomic_files import set_aside, write_whole
from .presets import BUILTIN, Preset
from .run_state import COUNT, LIST, TEXT, OtherVersionError, checked

PRESETS_FORMAT = 1
MAX_PRESETS = 500
MAX_NAME_CHARS = 80
MAX_TEXT_CHARS = 20_000
MAX_MESSAGES = 100


class PresetError(ValueError):
    """A preset that cannot be saved or deleted, and why: it is wrong in itself, in the way of another, or missing."""

    def __init__(self, message: str, why: Literal["wrong", "conflict", "missing"]) -> None:
        super().__init__(message)
        self.message = message
        self.why = why


class PresetStore:
    """The presets below a folder; `messages` says what could not be read, each thing once."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.messages: list[str] = []
        self._lock = threading.RLock()

    def presets(self) -> tuple[Preset, ...]:
        """The builtin presets, then the user's in the order in which they were saved; `messages` says what went wrong."""
        with self._lock:
            try:
                return BUILTIN + self._own_presets()
            except OtherVersionError as error:
                self._say(str(error))
            except OSError as error:
                self._say(f"{self.root / 'presets.json'}: cannot be read: {error.strerror or error}")
        return BUILTIN

    def save_preset(self, name: str, text: str, note: str = "") -> None:
        """Adds a preset, or replaces the user's of the same name. Whether the text can be planned is not checked here.

        Raises:
            PresetError: a builtin name, or a name, text or note that is none.
            OSError, RunStateError: the presets are as they were.
        """
        preset = _checked_preset(name, text, note)
        with self._lock:
            others = [one for one in self._own_presets() if one.name != preset.name]
            if len(others) >= MAX_PRESETS:
                raise PresetError(f"there are {MAX_PRESETS} presets already; delete one first", "conflict")
            self._write_presets([*others, preset])

    def delete_preset(self, name: str) -> None:
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

    def _say(self, message: str) -> None:
        if message not in self.messages:
            self.messages = [*self.messages, message][-MAX_MESSAGES:]

    def _set_aside(self, path: Path, damage: RunStateError) -> None:
        try:
            target = set_aside(path)
        except OSError as error:
            self._say(f"{damage}; it cannot be renamed: {error.strerror or error}")
        else:
            self._say(f"{damage}; it is set aside as {target.name}")

    def _own_presets(self) -> tuple[Preset, ...]:
        path = self.root / "presets.json"
        try:
            return _read_presets(path)
        except FileNotFoundError:
            return ()
        except OtherVersionError:
            raise
        except RunStateError as error:
            self._set_aside(path, error)
            return ()

    def _write_presets(self, presets: list[Preset]) -> None:
        entries = [{"name": one.name, "text": one.text, "note": one.note} for one in presets]
        data = json.dumps({"lrsched_presets": PRESETS_FORMAT, "presets": entries}, indent=1).encode() + b"\n"
        write_whole(self.root / "presets.json", data)


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
        message = f"the preset {name!r} comes with the extension and stays as it is; save under another name"
        raise PresetError(message, "conflict")


def _read_presets(path: Path) -> tuple[Preset, ...]:
    try:
        value: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise RunStateError("expected JSON", path) from error
    data = checked(value, {"lrsched_presets": COUNT, "presets": LIST}, path)
    if data["lrsched_presets"] != PRESETS_FORMAT:
        raise OtherVersionError(f"version {data['lrsched_presets']} of the presets; update the extension to read them", path)
    rules = {"name": TEXT, "text": TEXT, "note": TEXT}
    return tuple(Preset(**checked(one, rules, path, f"presets[{n}].")) for n, one in enumerate(data["presets"]))
