"""Pictures that come from outside, judged by their content."""

from __future__ import annotations

import struct

from ..exceptions import InvalidInput

#: How a picture of each kind begins, and the ending of its file.
_BEGINNINGS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg"}
#: The largest picture that is kept: a long page on a sharp screen fits well.
MAX_SIDE = 20_000
MAX_PIXELS = 50_000_000
_CONTENT_TYPES = {"png": "image/png", "jpg": "image/jpeg"}


def kind_of(data: bytes) -> str | None:
    """`png` or `jpg`, which is also the ending of its file; None for anything else."""
    return next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), None)


def check_picture(data: bytes, *, field: str) -> None:
    """Raises `InvalidInput` for what is neither a PNG nor a JPEG, or does not say a size that browsers can show.

    A small file may unfold to a picture that takes gigabytes in the browser of whoever looks at it.
    """
    if kind_of(data) is None:
        raise InvalidInput("This is neither a PNG nor a JPEG picture.", field=field)
    size = size_of(data)
    if size is None:
        raise InvalidInput("This picture does not say how large it is: it is broken.", field=field)
    if max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
        words = f"At most {MAX_SIDE} pixels a side and {MAX_PIXELS // 1_000_000} million in all"
        raise InvalidInput(f"{words}, not {size[0]} × {size[1]}.", field=field)


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, as the picture says in its beginning; None where it does not."""
    size = _png_size(data) if kind_of(data) == "png" else _jpeg_size(data)
    return size if size and min(size) > 0 else None


def _png_size(data: bytes) -> tuple[int, int] | None:
    return struct.unpack(">II", data[16:24]) if data[12:16] == b"IHDR" and len(data) >= 24 else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the first frame header (SOF): markers follow each other, each with its length."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        place += 2 + max(length, 2)
    return None


def content_type_of(name: str) -> str:
    """The content type of a kept picture, by the ending that it was given."""
    return _CONTENT_TYPES.get(name.rpartition(".")[2], "image/png")
