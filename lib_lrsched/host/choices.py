"""What the user has chosen for the next training of each name, for that one training."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lib_lrsched.storage.resume import CHOICES, KeptState


@dataclass(frozen=True)
class Chosen:
    """For one training.

    Attributes:
        choice: how it resumes its stored run, one of CHOICES; the plan continues where nobody chose.
        kept: the snapshot that it resumes from; None for the newest.
        options: those that are not as in the run that is resumed, or in the settings.
    """

    choice: str = "continue"
    kept: KeptState | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class Choices:
    """By kind and name. Whether they can be is looked at before: see NextTraining."""

    def __init__(self) -> None:
        self._chosen: dict[tuple[str, str], Chosen] = {}
        self._lock = threading.Lock()

    def of(self, kind: str, name: str) -> Chosen:
        with self._lock:
            return self._chosen.get((kind, name), Chosen())

    def choose(self, kind: str, name: str, choice: str, kept: KeptState | None = None) -> None:
        """How the next training resumes, and from which snapshot; the options stay.

        Raises:
            ValueError: no such choice.
        """
        if choice not in CHOICES:
            raise ValueError(f"expected one of {', '.join(CHOICES)}, got {choice!r}")
        self._change(kind, name, choice=choice, kept=kept)

    def choose_options(self, kind: str, name: str, options: Mapping[str, Any]) -> None:
        """They take the place of those chosen before."""
        self._change(kind, name, options=dict(options))

    def _change(self, kind: str, name: str, **changes: Any) -> None:
        with self._lock:
            self._chosen[kind, name] = replace(self._chosen.get((kind, name), Chosen()), **changes)

    def forget(self, kind: str, name: str, used: Chosen) -> None:
        """A training has begun with ``used``. What was chosen later is for the next training, and stays."""
        with self._lock:
            now = self._chosen.pop((kind, name), Chosen())
            left = now if (now.choice, now.kept) != (used.choice, used.kept) else replace(now, choice="continue", kept=None)
            left = left if left.options != used.options else replace(left, options={})
            if left != Chosen():
                self._chosen[kind, name] = left
