"""All inputs of a training, saved by name.

    ROOT/profiles/WORDS-DIGEST.json     one profile, replaced whole; the name of the file follows from that of the profile

A file of its own for each: damage in one stays there.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lib_lrsched.errors import RunStateError

from .atomic_files import write_whole
from .checked_fields import COUNT, SCALARS, SECONDS, TEXT, OtherVersionError, Rule, checked, load, stored
from .messages import Messages
from .run_state import KINDS, Scalar

FORMAT = 1
MAX_PROFILES = 500
MAX_NAME_CHARS = 80
MAX_FIELDS = 200
MAX_TEXT_CHARS = 20_000

KIND_OR_NULL = Rule(f"one of {', '.join(KINDS)}, or null", lambda value: value is None or value in KINDS)


class ProfileError(ValueError):
    """A profile that cannot be saved, found or deleted, and why: it is wrong in itself, in the way of another, or missing."""

    def __init__(self, message: str, why: Literal["wrong", "conflict", "missing"]) -> None:
        super().__init__(message)
        self.message = message
        self.why = why


@dataclass(frozen=True)
class Profile:
    """Inputs of a training by name. ``kind`` is None where they are for both; ``options`` are those of training/options.py."""

    name: str = field(metadata=stored(TEXT))
    kind: str | None = field(metadata=stored(KIND_OR_NULL))
    inputs: dict[str, Scalar] = field(metadata=stored(SCALARS))
    options: dict[str, Scalar] = field(metadata=stored(SCALARS))
    saved_s: float = field(metadata=stored(SECONDS))


class ProfileStore:
    """The profiles in a folder; `messages` is told what could not be read."""

    def __init__(self, folder: Path, messages: Messages) -> None:
        self._folder = folder
        self._messages = messages
        self._lock = threading.RLock()

    def all(self) -> list[Profile]:
        """All of them by name. A damaged one is set aside and said."""
        with self._lock:
            found = [profile for path in self._files() if (profile := self._read_or_say(path)) is not None]
        return sorted(found, key=lambda one: (one.name.casefold(), one.name))

    def get(self, name: str) -> Profile:
        """
        Raises:
            ProfileError: there is none of that name.
            RunStateError, OSError: its file cannot be read.
        """
        try:
            return _read(self._path(name))
        except FileNotFoundError:
            raise ProfileError(f"there is no profile {name!r:.90}", "missing") from None

    def save(self, profile: Profile, *, replace: bool) -> None:
        """Adds a profile.

        Args:
            replace: take the place of one of the same name.

        Raises:
            ProfileError: one of that name is there, or a field that is none.
            OSError: the profiles are as they were.
        """
        _check(profile)
        path = self._path(profile.name)
        with self._lock:
            if path.exists():
                if not replace:
                    raise ProfileError(f"there is a profile {profile.name!r} already", "conflict")
            elif sum(1 for _ in self._files()) >= MAX_PROFILES:
                raise ProfileError(f"there are {MAX_PROFILES} profiles already; delete one first", "conflict")
            data = {"lrsched_profile": FORMAT, **asdict(profile)}
            write_whole(path, json.dumps(data, indent=1, allow_nan=False).encode() + b"\n")

    def delete(self, name: str) -> None:
        """
        Raises:
            ProfileError: there is none of that name.
            OSError: it is still there.
        """
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            raise ProfileError(f"there is no profile {name!r:.90}", "missing") from None

    def _path(self, name: str) -> Path:
        """Where a profile is: the words for people, the digest so that no two names share a file, whatever the disk's rules."""
        words = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-")
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return self._folder / f"{words}-{digest}.json".lstrip("-")

    def _files(self) -> Iterator[Path]:
        try:
            yield from sorted(path for path in self._folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self._messages.say(f"{self._folder}: cannot be read: {error.strerror or error}")

    def _read_or_say(self, path: Path) -> Profile | None:
        try:
            return _read(path)
        except OtherVersionError as error:
            self._messages.say(str(error))
        except RunStateError as error:
            self._messages.set_aside(path, error)
        except OSError as error:
            self._messages.say(f"{path}: cannot be read: {error.strerror or error}")
        return None


def _read(path: Path) -> Profile:
    try:
        value: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise RunStateError("expected JSON", path) from error
    if checked(value, {"lrsched_profile": COUNT}, path)["lrsched_profile"] != FORMAT:
        raise OtherVersionError(f"version {value['lrsched_profile']} of a profile; update the extension to read it", path)
    return load(Profile, value, path)


def _check(profile: Profile) -> None:
    if not 0 < len(profile.name) <= MAX_NAME_CHARS or not profile.name.isprintable() or profile.name != profile.name.strip():
        raise ProfileError(f"name: expected 1 to {MAX_NAME_CHARS} printable characters, got {profile.name!r:.100}", "wrong")
    for field_name in ("inputs", "options"):
        _check_values(field_name, getattr(profile, field_name))


def _check_values(where: str, values: Mapping[str, Any]) -> None:
    if not SCALARS.holds(values):
        raise ProfileError(f"{where}: expected {SCALARS.expected}", "wrong")
    if len(values) > MAX_FIELDS or any(len(name) > MAX_NAME_CHARS for name in values):
        raise ProfileError(f"{where}: expected at most {MAX_FIELDS} names of at most {MAX_NAME_CHARS} characters", "wrong")
    long = next((name for name, value in values.items() if isinstance(value, str) and len(value) > MAX_TEXT_CHARS), None)
    if long is not None:
        raise ProfileError(f"{where}.{long}: expected at most {MAX_TEXT_CHARS} characters, got {len(values[long])}", "wrong")
