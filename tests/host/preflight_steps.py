"""What the tests of the checks before a training share: the findings, and a template of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from practice_rig import NAME

from lib_lrsched.host import preflight
from lib_lrsched.practice import shared


def found(of: Any, kind: str = "embedding", name: str = NAME, **inputs: Any) -> list[tuple[str, str, str]]:
    """The findings for a Train tab with these inputs."""
    return [tuple(one.values()) for one in preflight.findings(of, kind, name, inputs)]


def only(of: Any, kind: str = "embedding", name: str = NAME, **inputs: Any) -> tuple[str, str]:
    """Severity and message of the one finding."""
    ((severity, _, message),) = found(of, kind, name, **inputs)
    return severity, message


def write_template(ground: Any, text: str) -> str:
    path = Path(shared.cmd_opts.textual_inversion_templates_dir) / "own.txt"
    path.write_text(text)
    ground.host().ti.list_textual_inversion_templates()
    return "own.txt"
