"""The folders that a training needs, and which of them have vanished since it began."""

from __future__ import annotations

import os
from collections.abc import Mapping

GONE = {
    "data": "the data set directory {} is gone. This training has its images in memory and does not need it; the next one does",
    "log": "the log directory {} is gone: make it again, or copies, previews and losses of this training are not kept",
    "result": "the folder {} is gone, where the result is to be saved. It is made again at the end",
}


class Folders:
    """Those that were there when the training began.

    Args:
        paths: by the keys of GONE.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = {what: path for what, path in paths.items() if path and os.path.isdir(path)}  # noqa: PTH112 never raises

    def gone(self) -> list[str]:
        """What to say of those that are not there any more, each once."""
        lost = {what: path for what, path in self._paths.items() if not os.path.isdir(path)}  # noqa: PTH112
        self._paths = {what: path for what, path in self._paths.items() if what not in lost}
        return [GONE[what].format(repr(path)) for what, path in lost.items()]
