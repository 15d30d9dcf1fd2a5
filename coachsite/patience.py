"""Two things that Daphne does not do for sockets.

It takes whatever an application sends, however much the client has left unread. Here what is meant for a client that
does not read waits where it is made, not in this process's memory; one that reads nothing for long is disconnected,
and may come back.

And it refuses to close a socket with a code of the protocol's own (1009, 1011, 1012, 1013), which the application
would hear of as an error while the socket stayed open, mute for ever. Here these codes are sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.internet.tcp import Connection

#: Where `coaching.feeds` looks for it in the scope; that module needs Django, which is not set up here yet.
OUTLET = "coachsite.outlet"

logger = logging.getLogger(__name__)

MOST_UNREAD_BYTES = 1024 * 1024
PATIENCE_SECONDS = 30.0
LOOK_SECONDS = 0.05


class AnyCode(WebSocketProtocol):  # type: ignore[misc]
    def serverClose(self, code: int | None = None) -> None:  # noqa: N802 - Daphne's name
        self.sendCloseFrame(code=1000 if code is None else code)


class Outlet:
    """Writes frames that were made once for many sockets to the connection of one (see `coaching.feeds`).

    Daphne and autobahn take a tenth of a millisecond for a message, most of it to make the frame again and to have the
    event loop wait for a connection that has room anyway.
    """

    __slots__ = ("_protocol",)

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def write(self, frame: bytes) -> bool:
        """Sends whole frames; False where too much waits unread already. Nothing has been sent then."""
        transport = self._protocol.transport
        if transport is None or self._protocol.state != WebSocketProtocol.STATE_OPEN or transport.disconnecting:
            return True  # it ends, and whoever is at its other end comes back
        unread = _unread(transport)
        if unread > MOST_UNREAD_BYTES:
            return False
        rest = frame if unread or self._protocol.send_queue else _send_now(transport, frame)
        if rest:
            self._protocol.sendData(rest)
        return True


def _send_now(transport: Any, frame: bytes) -> bytes:
    """What is left of the frame once the system has taken what it could."""
    if not isinstance(transport, Connection) or getattr(transport, "TLS", False):
        return frame
    try:
        return frame[transport.socket.send(frame) :]
    except OSError:
        return frame  # no room, or no connection, which Twisted finds out by itself


class PatientServer(Server):  # type: ignore[misc]
    def run(self) -> None:
        WebSocketFactory.protocol = AnyCode
        super().run()

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if scope["type"] == "websocket":
            scope[OUTLET] = Outlet(protocol)
        return super().create_application(protocol, scope)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        await super().handle_reply(protocol, message)
        if message.get("type") != "websocket.send":
            return
        deadline = time.monotonic() + PATIENCE_SECONDS
        while _unread(protocol.transport) > MOST_UNREAD_BYTES:
            if time.monotonic() >= deadline:
                logger.warning("A socket was cut off: its client has read nothing for %g s.", PATIENCE_SECONDS)
                protocol.dropConnection(abort=True)
                return
            await asyncio.sleep(LOOK_SECONDS)


def _unread(transport: Any) -> int:
    """How many bytes this process holds for the client, beside what the system's own buffers take."""
    if transport is None or not getattr(transport, "connected", False):
        return 0
    # Twisted keeps them in two places: what is being written, and what has come since.
    return len(transport.dataBuffer) - int(transport.offset) + int(transport._tempDataLen)  # noqa: SLF001
