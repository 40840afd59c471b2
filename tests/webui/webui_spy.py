"""Reads what the spy extension has written inside the WebUI's process."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAIT_S = 120
PAUSE_S = 0.05


@dataclass(frozen=True)
class Spy:
    """The spy's file; a mark is a place in it."""

    path: Path

    def mark(self) -> int:
        """Where the file ends now, in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def updates(self, mark: int = 0) -> list[dict[str, Any]]:
        """Every update that an optimizer made since the mark."""
        if not self.path.exists():
            return []
        written = self.path.read_bytes()[mark:]
        whole = written[: written.rfind(b"\n") + 1]  # the last line may be half written
        return [entry for entry in map(json.loads, whole.splitlines()) if entry["kind"] == "update"]

    def rates(self, mark: int = 0) -> list[float]:
        """The rate of each update since the mark; its param groups have one rate."""
        updates = self.updates(mark)
        assert all(len(set(update["lr"])) == 1 for update in updates)
        return [update["lr"][0] for update in updates]

    def wait_for(self, count: int, mark: int) -> None:
        """Until `count` updates were made since the mark."""
        deadline_s = time.monotonic() + WAIT_S
        while len(self.updates(mark)) < count:
            assert time.monotonic() < deadline_s, f"{len(self.updates(mark))} of {count} updates in {WAIT_S} seconds"
            time.sleep(PAUSE_S)

    def seed(self, number: int | None) -> None:
        """From which seed the next trainings start; None: from none."""
        file = self.path.with_name("seed")
        file.unlink(missing_ok=True) if number is None else file.write_text(str(number))
