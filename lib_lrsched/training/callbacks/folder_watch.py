"""The folders that a training needs, and which of them have vanished since it began."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lib_lrsched.training.callback import Callback, Outcome, Training, Update

LOOK_EVERY = 50
"""Updates between two looks at the folders that a training needs."""

GONE = {
    "data": "the data set directory {} is gone. This training does not need it; the next one will",
    "log": "the log directory {} is gone: create it again, or copies, previews and losses of this training are lost",
    "result": "the folder {} for the result is gone. It will be created again at the end",
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


class FolderWatch(Callback):
    """Says what has gone wrong outside the loop: with the run's files, or with a folder that has vanished."""

    def __init__(self) -> None:
        self._folders = Folders({})
        self._session: Training | None = None

    def on_start(self, session: Training) -> None:
        request = session.run.request
        result = session.host.folder_of(session.trainee.kind)
        self._session = session
        log = str(request.settings.get("log_directory") or "")
        self._folders = Folders({"data": request.data_root, "log": log, "result": result})

    def on_update(self, update: Update) -> None:
        if (update.step + 1) % LOOK_EVERY == 0:
            self.look()

    def on_end(self, outcome: Outcome) -> None:  # noqa: ARG002 however it ended
        self.look()

    def look(self) -> None:
        """Say what is new."""
        if self._session is None:
            return
        for message in self._folders.gone():
            self._session.reporter.tell(message)
        self._session.reporter.say_troubles()
