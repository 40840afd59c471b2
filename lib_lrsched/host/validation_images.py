"""The images that a run is validated on: those of the folder `validation` in the data set, else some that it is trained on.

The host reads no folders within its data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lib_lrsched.training.host import InputError, LoadedImage

from ._preflight_data import caption_of
from .images import is_image, read_image
from .webui import Host

NAME = "validation"
MOST_LOOKED_AT = 400
"""So many files of the folder are tried; of more, evenly spread ones."""


def folder(data_root: Any) -> Path | None:
    """The folder of that name, where the data set has one."""
    if not isinstance(data_root, str) or not data_root:
        return None
    path = Path(data_root) / NAME
    try:
        return path if path.is_dir() else None
    except (OSError, ValueError):
        return None


def readable(host: Host, path: Path) -> list[str]:
    """Its files that can be read as images, by name.

    Raises:
        OSError: it cannot be listed.
    """
    files = sorted(str(file) for file in path.iterdir() if file.suffix.lower() not in (".txt", ".caption"))
    return [file for file in spread(files, MOST_LOOKED_AT) if is_image(file, host.read_image)]


def trouble(host: Host, data_root: Any) -> str:
    """Why a run cannot be validated on the folder that is there; empty where it can, and where there is none."""
    path = folder(data_root)
    if path is None:
        return ""
    try:
        found = readable(host, path)
    except OSError as error:
        return f"the folder {str(path)!r} cannot be read: {error.strerror or error}; the run would be validated on its images"
    return "" if found else (f"no file in {str(path)!r} can be read as an image, and the run would be validated on them: put "
                             "images there, delete the folder, or switch validation off")


def images(host: Host, arguments: Mapping[str, Any], trained: Sequence[str], most: int) -> tuple[str, list[LoadedImage]]:
    """Where the images come from, "validation" or "training", and at most so many of them.

    Args:
        arguments: of the host's data set.
        trained: the files that are trained on.

    Raises:
        InputError: none of the folder can be read, which was looked at before.
        OSError: a file that was readable is gone.
    """
    path = folder(arguments.get("data_root"))
    files = sorted(trained) if path is None else readable(host, path)
    if not files:
        raise InputError(trouble(host, arguments.get("data_root")))
    size = None if arguments.get("varsize") else (int(arguments["width"]), int(arguments["height"]))
    source = "training" if path is None else "validation"
    return source, [LoadedImage(Path(file).name, caption_of(host, file), _pixels(host, file, size)) for file in spread(files, most)]


def spread(files: Sequence[str], most: int) -> list[str]:
    """At most so many of them, evenly spread.

    >>> spread("abcdefg", 3)
    ['a', 'c', 'e']
    """
    count = min(len(files), most)
    return [files[k * len(files) // count] for k in range(count)]


def _pixels(host: Host, file: str, size: tuple[int, int] | None) -> Any:
    """As the host's data set decodes it: float32 [3, H, W] in [-1, 1]."""
    from PIL import Image

    image = (host.read_image or read_image)(file).convert("RGB")
    if size is not None:
        image = image.resize(size, Image.Resampling.BICUBIC)
    return (np.array(image).astype(np.uint8) / 127.5 - 1.0).astype(np.float32).transpose(2, 0, 1)
