"""Small versions of preview images, and what an image's bytes say of its kind."""

from __future__ import annotations

import base64
import io

from lib_lrsched.errors import RunStateError

QUALITY = 85
_MAGIC = ((b"\x89PNG\r\n\x1a\n", 0, "image/png"), (b"\xff\xd8\xff", 0, "image/jpeg"), (b"WEBP", 8, "image/webp"),
          (b"GIF8", 0, "image/gif"), (b"ftypavif", 4, "image/avif"))  # fmt: skip


def media_type(data: bytes) -> str:
    """Of an image that browsers show as nothing else; empty for whatever else lies in a file."""
    return next((kind for magic, place, kind in _MAGIC if data[place : place + len(magic)] == magic), "")


def thumbnail(data: bytes, width: int) -> bytes:
    """The image at most so many pixels wide, as a JPEG without what else is in its file; as it is where it is no wider.

    Raises:
        RunStateError: it cannot be decoded.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width <= width:
                return data
            image.draft("RGB", (width, width))
            return _as_jpeg(image, width)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RunStateError(f"the image cannot be decoded: {error}") from error


def data_uri(data: bytes, width: int) -> str:
    """The image for a page that stands by itself: decoded and written anew, so that nothing else in its file goes with it.

    Raises:
        RunStateError: it cannot be decoded.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            small = _as_jpeg(image, width)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RunStateError(f"the image cannot be decoded: {error}") from error
    return f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"


def _as_jpeg(image: object, width: int) -> bytes:
    from PIL import Image

    assert isinstance(image, Image.Image)
    image.thumbnail((width, 8 * width))
    target = io.BytesIO()
    image.convert("RGB").save(target, "JPEG", quality=QUALITY)
    return target.getvalue()
