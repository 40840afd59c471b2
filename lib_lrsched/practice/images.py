"""Saving an image, under the name and with the signature of the host's modules.images.

Of the signature only what the training loops give is used: the folder, the name in it, the format and the text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin


def save_image(
    image: Image.Image, path: Any, basename: str, seed: Any = None, prompt: Any = None, extension: str = "png", info: Any = None,  # noqa: ARG001
    short_filename: bool = False, no_prompt: bool = False, grid: bool = False, pnginfo_section_name: str = "parameters",  # noqa: ARG001
    p: Any = None, existing_info: Any = None, forced_filename: Any = None, suffix: str = "", save_to_dirs: Any = None,  # noqa: ARG001
) -> tuple[str, str | None]:
    """Writes the image into the folder as ``forced_filename`` and the suffix of its format; returns its path and no text file's.

    Raises:
        OSError: it cannot be written.
    """
    assert forced_filename is not None, "the training loops name their images"
    filename = str(Path(path) / f"{forced_filename}{suffix}.{extension}")
    image.save(filename, **text_chunks(filename, {} if info is None else {pnginfo_section_name: info}))
    return filename, None


def insert_image_data_embed(image: Image.Image, data: Any) -> Image.Image:  # noqa: ARG001 the host's signature
    """A copy of the image; the host's also hides the embedding among its pixels."""
    return image.copy()


def text_chunks(path: str | Path, texts: dict[str, str]) -> dict[str, Any]:
    """Arguments for Image.save: only PNG has room for text."""
    if not str(path).lower().endswith(".png"):
        return {}
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    return {"pnginfo": info}
