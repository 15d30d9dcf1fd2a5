"""Bodies: of requests that do not say their length, and of answers that must have none."""

from __future__ import annotations

from typing import Any

from coaching.asgi import Application, Message, Receive, Send


class KnownLength:
    """Gives every body its length: WSGI reads nothing where none is said.

    A body without a length is read first, up to a little more than `limit` bytes: enough for the application to
    refuse what is too large.
    """

    def __init__(self, application: Application, *, limit: int) -> None:
        self.application, self.limit = application, limit

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        names = {name.lower() for name, _ in scope["headers"]}
        if b"transfer-encoding" not in names or b"content-length" in names:
            await self.application(scope, receive, send)
            return
        body = await self._read(receive)
        if body is None:
            return
        headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"transfer-encoding"]
        known = {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self.application(known, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body, or None when the client went away before its end."""
        body = bytearray()
        while len(body) <= self.limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        return bytes(body)


class NoBodyForHead:
    """Answers to HEAD have no body: the server drops only the first piece of one, and the next would be taken for
    another answer.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["method"] != "HEAD":
            await self.application(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
            elif not message.get("more_body"):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self.application(scope, receive, without_body)
