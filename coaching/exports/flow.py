"""Downloads that are made no faster than they are read.

Neither of the two layers below HTTP minds a slow reader: Daphne keeps all that is sent until it is read, and `a2wsgi`
waits for ever for a sender that was cancelled after its reader had gone. This door stands around both, for addresses
whose answers may be long: it passes a piece on only when the connection has room for it, tells the view when the reader
has gone, and lets nobody hold a thread who does not read.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from typing import Any

from ..asgi import Application, Message, Receive, Send, no_body

logger = logging.getLogger(__name__)

#: In the scope (for WSGI `environ["asgi.scope"]`): a `threading.Event` that is set when the reader has gone.
GONE = "coachsite.reader_gone"
#: A reader who takes nothing for so long, or is not done after so long, is cut off. Seconds.
PATIENCE = 60.0
LONGEST = 3600.0
#: How long a view may take to notice that its reader has gone, when the server stops. Seconds.
LAST_PIECE = 5.0


def gone_of(environ: dict[str, Any]) -> threading.Event | None:
    """What tells that the reader of a request has gone; None behind a server without this door."""
    found: threading.Event | None = environ.get("asgi.scope", {}).get(GONE)
    return found


class Flow:
    """Wraps an application; `prefixes` are the paths below which answers may be long."""

    def __init__(
        self,
        application: Application,
        *,
        prefixes: Iterable[str],
        patience: float = PATIENCE,
        longest: float = LONGEST,
    ) -> None:
        self.application, self.prefixes = application, tuple(prefixes)
        self.patience, self.longest = patience, longest
        self._answering: dict[_Reader, asyncio.Future[None]] = {}
        self._stops_with_twisted = False

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"} or not scope["path"].startswith(self.prefixes):
            await self.application(scope, receive, send)
            return
        reader = _Reader(send, patience=self.patience, longest=self.longest)
        watching = asyncio.ensure_future(reader.watch(receive))
        # Cancelled with the connection, it would never take what the view's thread still has to give.
        answering = asyncio.ensure_future(self.application({**scope, GONE: reader.gone}, no_body(), reader.take))
        self._answering[reader] = answering
        answering.add_done_callback(lambda _: self._answering.pop(reader))
        self._stop_with(reader)
        try:
            await asyncio.shield(answering)
        finally:
            watching.cancel()
            reader.leave()

    def _stop_with(self, reader: _Reader) -> None:
        """Daphne's event loop must not stop before the threads that wait for it: they would keep the process alive."""
        if reader.connection is not None and not self._stops_with_twisted:
            from twisted.internet import reactor  # noqa: PLC0415 - it chooses a loop, which Daphne has done by now

            loop: Any = reactor
            loop.addSystemEventTrigger("before", "shutdown", self._stop)
            self._stops_with_twisted = True

    def _stop(self) -> Any:
        from twisted.internet.defer import Deferred  # noqa: PLC0415

        for reader in self._answering:
            reader.leave()
        if not self._answering:
            return None
        return Deferred.fromFuture(asyncio.ensure_future(asyncio.wait(self._answering.values(), timeout=LAST_PIECE)))


class _Reader:
    """Who reads one answer."""

    def __init__(self, send: Send, *, patience: float, longest: float) -> None:
        self.gone = threading.Event()
        self._send, self._patience = send, patience
        self._deadline = asyncio.get_running_loop().time() + longest
        self._room = asyncio.Event()
        self._room.set()
        self.connection = _connection_of(send)
        self._registered = False

    async def watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        self.leave()

    def leave(self) -> None:
        self.gone.set()
        self._room.set()

    async def take(self, message: Message) -> None:
        """Passes the message on and waits until there is room for another. What comes after the end is dropped."""
        if self.gone.is_set():
            return
        if message["type"] == "http.response.start" and self.connection is not None:
            self.connection.registerProducer(self, True)
            self._registered = True
        elif self._registered and not message.get("more_body", False):
            self._registered = False
            self.connection.unregisterProducer()
        try:
            await self._send(message)
        except Exception:
            # Raised, it would leave the view's thread behind, waiting for ever.
            logger.exception("The answer could not be sent on.")
            self._cut_off()
        if not self._room.is_set():
            await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        left = self._deadline - asyncio.get_running_loop().time()
        try:
            await asyncio.wait_for(self._room.wait(), timeout=min(self._patience, left))
        except TimeoutError:
            self._cut_off()

    def _cut_off(self) -> None:
        """Ends the connection in the middle, so that nobody takes half an export for a whole one."""
        self.leave()
        if self.connection is not None and self.connection.channel is not None:
            self.connection.channel.transport.abortConnection()

    # ---- Twisted calls these as what the connection has to send grows too long, and is sent.

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._room.clear()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._room.set()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.leave()


def _connection_of(send: Send) -> Any:
    """Daphne's request behind its `send`; None with another server, whose `send` waits for its reader by itself."""
    first = next(iter(getattr(send, "args", ())), None)
    return first if hasattr(first, "registerProducer") else None
