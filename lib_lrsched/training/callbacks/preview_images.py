"""Which preview images the host saved during a run: where each lies, and after how many updates."""

from __future__ import annotations

import time
from pathlib import Path

from lib_lrsched.storage import disk_errors
from lib_lrsched.storage.run_images import ImageLog, saved_image
from lib_lrsched.training.callback import Callback, Outcome, PreviewImage, Training


class RecordImages(Callback):
    """Adds a line to the run's list of images. A list that cannot be written is said once; training and images continue."""

    def __init__(self, session: Training) -> None:
        self._session = session
        self._log: ImageLog | None = None

    def on_image(self, image: PreviewImage) -> None:
        run = self._session.run
        if run.images_path is None:
            return
        try:
            self._log = self._log or ImageLog(run.images_path)
            self._log.add(saved_image(Path(image.path), step=run.state().step, prompt=image.prompt, size=image.size,
                                      holds_embedding=image.holds_embedding, time_s=time.time()))
        except OSError as error:
            why = disk_errors.why(error)
            self._session.reporter.tell_once(f"the preview images of this run cannot be recorded, training continues: {why}")

    def on_end(self, outcome: Outcome) -> None:  # noqa: ARG002 however it ended
        if self._log is not None:
            self._log.close()
