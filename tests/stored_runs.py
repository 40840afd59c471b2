"""Run folders as they lie on a disk: the ones that version 0.1.0 stored, and a state's file with other fields."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

STORED = Path(__file__).parent / "golden" / "run_0_1_0"


def stored(kind: str, folder: Path) -> tuple[Path, Path]:
    """The stored folder as it was: a copy, with the file time that the run knows its file by; and the run's own folder in it."""
    root = folder / kind
    shutil.copytree(STORED / kind, root)
    (run,) = (root / "lrsched" / "runs").iterdir()
    (known,) = json.loads((run / "run.json").read_text())["known"]
    os.utime(root / f"{kind}s" / "mine.pt", ns=(known["mtime_ns"], known["mtime_ns"]))
    return root, run


def rewrite(path: Path, **changes: Any) -> None:
    """Writes a state's file with other fields and, as 0.1.0 did, without a digest."""
    data = {**json.loads(path.read_bytes()), **changes, "digest": ...}
    path.write_text(json.dumps({name: value for name, value in data.items() if value is not ...}))
