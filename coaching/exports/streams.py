"""How exports are sent: few at once, and only as long as somebody reads them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

#: Each holds one of the few threads that answer HTTP for as long as its reader takes.
AT_ONCE = 2
_places = threading.BoundedSemaphore(AT_ONCE)


class NoPlace(Exception):
    """So many exports are being read at this moment that another has to wait."""


class Stream:
    """The pieces of an export, and its place among the few; it gives the place back when it is closed.

    It ends early once `gone` is set (see `coaching.exports.flow`). Raises `NoPlace` where there is none.
    """

    def __init__(self, pieces: Iterator[bytes], *, gone: threading.Event | None = None) -> None:
        if not _places.acquire(blocking=False):
            raise NoPlace
        self._pieces, self._gone, self._open = pieces, gone, True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        for piece in self._pieces:
            if self._gone is not None and self._gone.is_set():
                break
            if piece:
                return piece
        raise StopIteration

    def close(self) -> None:
        """Called by whoever sends the response, at its end or when its reader has gone."""
        if self._open:
            self._open = False
            _places.release()
