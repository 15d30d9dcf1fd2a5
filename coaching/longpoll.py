"""Long polls that cost no thread while they wait.

A view that was asked to `?wait=` and has nothing to tell answers at once and says so in a header. This door keeps the
client waiting on the event loop, and asks the view again when the session has news or the time is up. So the view
stays a plain synchronous one: login, permissions and throttling are its own, before anybody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from . import hub

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

#: Set by a view on an answer without news, to the primary key of the session to wait for.
HEADER = "X-Coachsite-Wait-For"
MAX_WAIT_SECONDS = 60.0


def wait_seconds(text: str | None) -> float:
    """`?wait=` as seconds between 0 and 60. Raises `ValueError` for what is not a number in this range."""
    if not text:
        return 0.0
    seconds = float(text)
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        raise ValueError(f"wait must be between 0 and {MAX_WAIT_SECONDS:.0f} seconds")
    return seconds


class LongPoll:
    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        query = parse_qs(scope.get("query_string", b"").decode("latin1"))
        try:
            seconds = wait_seconds(query.get("wait", [""])[0])
        except ValueError:
            seconds = 0.0  # the view refuses it in words
        if scope["method"] != "GET" or not seconds:
            await self.application(scope, receive, send)
            return
        await self._wait(scope, receive, send, seconds)

    async def _wait(self, scope: dict[str, Any], receive: Receive, send: Send, seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        answer, session_pk = await self._ask(scope)
        if session_pk is not None:
            with hub.current().subscribe(session_pk) as news:
                gone = asyncio.ensure_future(_disconnected(receive))
                try:
                    # Once more after subscribing: news between the first answer and now would be missed.
                    answer, session_pk = await self._ask(scope)
                    while session_pk is not None and not gone.done():
                        left = deadline - asyncio.get_running_loop().time()
                        waiting = asyncio.ensure_future(news.wait(max(0.0, left)))
                        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
                        if not waiting.done() or not waiting.result():
                            waiting.cancel()
                            break
                        answer, session_pk = await self._ask(scope)
                finally:
                    gone.cancel()
        for message in answer:
            await send(message)

    async def _ask(self, scope: dict[str, Any]) -> tuple[list[Message], int | None]:
        """The view's whole answer, and the session it would wait for (None when it has something to tell)."""
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        async def empty_body() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        await self.application(scope, empty_body, keep)
        session_pk = None
        for message in answer:
            if message["type"] == "http.response.start":
                name = HEADER.lower().encode()
                found = [value for key, value in message["headers"] if key.lower() == name]
                message["headers"] = [(key, value) for key, value in message["headers"] if key.lower() != name]
                session_pk = int(found[0]) if found else None
        return answer, session_pk


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
