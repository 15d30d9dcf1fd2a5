"""Stands around all doors of a web process: counts what goes through, and says in the log what each request was."""

from __future__ import annotations

import functools
import logging
import re
import secrets
import time
from typing import Any

from coaching.asgi import Application, Message, Receive, Send
from coaching.logs import about, facts

from .prometheus import count_request, is_long_poll, long_polls, sockets

#: A line for each request, at INFO: shown where the log is JSON.
logger = logging.getLogger("coachsite.requests")

_GOOD_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class Observed:
    """Gives each request an id, the caller's own (`X-Request-ID`) where it is a good one, and answers with it."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            with about(request=_id_of(scope)), sockets.track_inprogress():
                await self.application(scope, receive, send)
        else:
            await self.application(scope, receive, send)

    async def _http(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        request_id, started, status = _id_of(scope), time.monotonic(), 0

        async def answer(*arguments: Any) -> None:
            nonlocal status
            message: Message = arguments[-1]
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
                message = {**message, "headers": headers}
            await send(message)

        # Daphne's connection stays the first argument of what sends: exports look there for it (see `exports.flow`).
        sending = functools.partial(answer, *getattr(send, "args", ())[:1])
        is_long = is_long_poll(scope)
        with about(request=request_id):
            try:
                if is_long:
                    with long_polls.track_inprogress():
                        await self.application(scope, receive, sending)
                else:
                    await self.application(scope, receive, sending)
            finally:
                took = time.monotonic() - started
                count_request(scope["method"], status, None if is_long else took)
                if logger.isEnabledFor(logging.INFO):
                    _tell(scope, status, took)


def _tell(scope: dict[str, Any], status: int, took: float) -> None:
    said = {"method": scope["method"], "path": scope["path"], "status": status, "ms": round(took * 1000, 1)}
    logger.info("%s %s %s", scope["method"], scope["path"], status, extra={"facts": {**facts(), **said}})


def _id_of(scope: dict[str, Any]) -> str:
    given: bytes = next((value for name, value in scope["headers"] if name.lower() == b"x-request-id"), b"")
    return given.decode() if _GOOD_ID.fullmatch(given) else secrets.token_hex(8)
