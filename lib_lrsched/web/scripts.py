"""The page's scripts, served under an address that changes with their content.

A browser may keep a module that another one imports for as long as it likes, so an updated extension could run old parts
beside new ones. Here the version is part of the path: ``scripts/VERSION.ATTEMPT/base/dom.js``. The files are read once, so that
they are those of the Python code that answers them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from fastapi import Response

from .responses import Answer, error_answer

FOLDER = Path(__file__).resolve().parents[2] / "javascript" / "lrsched"
FOR_GOOD = "private, max-age=31536000, immutable"
"""What lies under an address never changes."""


class PageScripts:
    """The files of a folder, by their path in it.

    Args:
        folder: holds ``*.js``, in folders too; by default the extension's own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = FOLDER if folder is None else folder
        self._files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.js"))}
        total = hashlib.sha256()
        for name, content in self._files.items():
            total.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version = total.hexdigest()[:16]

    def versions(self) -> Response:
        """GET scripts: which version is to be loaded."""
        answer = Answer({"version": self.version})
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def script(self, version: str, path: str) -> Response:
        """GET scripts/VERSION/PATH: one file. What follows a dot in the version is the number of the attempt."""
        if version.partition(".")[0] != self.version:
            return error_answer(404, f"these are the scripts of version {self.version}, not {version}: load the page again")
        content = self._files.get(path)
        if content is None:
            return error_answer(404, f"there is no script {path}")
        return Response(content, media_type="text/javascript", headers={"Cache-Control": FOR_GOOD})
