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

logger = logging.getLogger(__name__)

MOST_UNREAD_BYTES = 1024 * 1024
PATIENCE_SECONDS = 30.0
LOOK_SECONDS = 0.05


class AnyCode(WebSocketProtocol):  # type: ignore[misc]
    def serverClose(self, code: int | None = None) -> None:  # noqa: N802 - Daphne's name
        self.sendCloseFrame(code=1000 if code is None else code)


class PatientServer(Server):  # type: ignore[misc]
    def run(self) -> None:
        WebSocketFactory.protocol = AnyCode
        super().run()

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        await super().handle_reply(protocol, message)
        if message.get("type") != "websocket.send":
            return
        deadline = time.monotonic() + PATIENCE_SECONDS
        while _unread(protocol) > MOST_UNREAD_BYTES:
            if time.monotonic() >= deadline:
                logger.warning("A socket was cut off: its client has read nothing for %g s.", PATIENCE_SECONDS)
                protocol.dropConnection(abort=True)
                return
            await asyncio.sleep(LOOK_SECONDS)


def _unread(protocol: Any) -> int:
    """How many bytes this process holds for the client, beside what the system's own buffers take."""
    transport = protocol.transport
    if transport is None or not getattr(transport, "connected", False):
        return 0
    # Twisted keeps them in two places: what is being written, and what has come since.
    return len(transport.dataBuffer) - int(transport.offset) + int(transport._tempDataLen)  # noqa: SLF001
