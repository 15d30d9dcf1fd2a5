"""A server of its own for test_exports_flow.py: long answers behind Daphne and `a2wsgi`, as the site sends them.

`/long/` gives pieces without end, `/state` tells how many were made and how many threads are busy. `UNGUARDED=1` leaves
the door out.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from a2wsgi import WSGIMiddleware

from coaching.exports.flow import Flow, gone_of

SIZE = 65536
#: Seconds for each piece.
SLOWLY = float(os.environ.get("SLOWLY", "0"))


class Counts:
    """What was done so far, over all threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made = self.busy = self.ended = 0

    def add(self, *, made: int = 0, busy: int = 0, ended: int = 0) -> None:
        with self.lock:
            self.made, self.busy, self.ended = self.made + made, self.busy + busy, self.ended + ended


counts = Counts()


class Pieces:
    def __init__(self, environ: dict[str, Any], left: int) -> None:
        self.gone, self.left = gone_of(environ), left
        counts.add(busy=1)

    def __iter__(self) -> Iterator[bytes]:
        while self.left and not (self.gone and self.gone.is_set()):
            self.left -= 1
            counts.add(made=1)
            time.sleep(SLOWLY)
            yield b"x" * SIZE

    def close(self) -> None:
        counts.add(busy=-1, ended=1)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"].startswith("/long/"):
        return Pieces(environ, int(environ["PATH_INFO"].rsplit("/", 1)[1]))
    return [f"{counts.made} {counts.busy} {counts.ended}".encode()]


application: Any = WSGIMiddleware(wsgi, workers=4)  # type: ignore[arg-type]
if not os.environ.get("UNGUARDED"):
    application = Flow(application, prefixes=["/long/"], patience=float(os.environ.get("PATIENCE", "60")))
