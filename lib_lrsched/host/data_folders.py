"""Folders of images, as the host's data set would read them."""

from __future__ import annotations

from typing import Any

from . import preflight, validation_images
from .images import count_images, count_in_time
from .installation import Installation
from .webui import NoTraining


class DataFolders:
    """By path."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def count_images(self, folder: str, within_s: float | None = None) -> int | None:
        """How many images in a folder can be decoded; None where it is not a folder, or where that takes longer."""
        host = self._installation.host
        read = None if isinstance(host, NoTraining) else host.read_image
        try:
            return count_images(folder, read) if within_s is None else count_in_time(folder, read, within_s)
        except OSError:
            return None

    def trouble(self, folder: str) -> str:
        """Why a folder is not a data set; empty where it is one. It stops at the first image."""
        return preflight.data_trouble(self._installation.host, folder)

    def validation_of(self, data_root: str, within_s: float) -> dict[str, Any] | None:
        """`{"images"}`, a number as of count_images(), of the folder `validation` in a data set; None where there is none."""
        path = validation_images.folder(data_root)
        return None if path is None else {"images": self.count_images(str(path), within_s)}
