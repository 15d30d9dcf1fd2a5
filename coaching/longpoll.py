"""Long polls that cost no thread while they wait.

A view that was asked to `?wait=` and has nothing to tell answers at once and says so in a header. This door keeps the
client waiting on the event loop, and asks the view again when the session has news or the time is up. So the view
stays a plain synchronous one: login, permissions and throttling are its own, before anybody waits.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

from . import hub
from .asgi import Application, Message, Receive, Send, no_body

#: Set by a view on an answer without news, to the primary key of the session to wait for.
HEADER = "X-Coachsite-Wait-For"
#: Told to the view (as WSGI names it) when it is asked once more for the same caller. Nobody else can say so.
ASKED_AGAIN = "HTTP_X_COACHSITE_ASKED_AGAIN"
_ASKED_AGAIN_HEADER = b"x-coachsite-asked-again"
MAX_WAIT_SECONDS = 60.0
#: How many waiting polls ask the view again at once.
TURNS = 3


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
        self._turns = asyncio.Semaphore(TURNS)
        self._pending: dict[Any, asyncio.Future[tuple[list[Message], int | None]]] = {}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        scope = {**scope, "headers": [pair for pair in scope["headers"] if not _says_asked_again(pair)]}
        query = parse_qs(scope.get("query_string", b"").decode("latin1"))
        try:
            seconds = wait_seconds(query.get("wait", [""])[-1])
        except ValueError:
            seconds = 0.0  # the view refuses it in words
        if scope["method"] == "GET" and seconds:
            await self._wait(scope, receive, send, seconds)
            return

        async def pass_on(message: Message) -> None:
            _take_out(message)
            await send(message)

        await self.application(scope, receive, pass_on)

    async def _wait(self, scope: dict[str, Any], receive: Receive, send: Send, seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        answer, session_pk = await self._ask(scope)
        if session_pk is not None:
            scope = {**scope, "headers": [*scope["headers"], (_ASKED_AGAIN_HEADER, b"1")]}
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
                        answer, session_pk = await self._ask_again(scope)
                finally:
                    gone.cancel()
        for message in answer:
            await send(message)

    async def _ask_again(self, scope: dict[str, Any]) -> tuple[list[Message], int | None]:
        """Asks with a few others at a time, so that many who wait leave room for who does not.

        Who asks the very same while one such question has not begun yet shares its answer.
        """
        key = (scope["path"], scope.get("query_string"), tuple(scope["headers"]))
        asked = self._pending.get(key)
        if asked is None:
            asked = self._pending[key] = asyncio.ensure_future(self._in_turn(key, scope))
        answer, session_pk = await asyncio.shield(asked)
        return [dict(message) for message in answer], session_pk

    async def _in_turn(self, key: Any, scope: dict[str, Any]) -> tuple[list[Message], int | None]:
        async with self._turns:
            # From here on there may be news that this answer does not have.
            del self._pending[key]
            return await self._ask(scope)

    async def _ask(self, scope: dict[str, Any]) -> tuple[list[Message], int | None]:
        """The view's whole answer, and the session it would wait for (None when it has something to tell)."""
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self.application(scope, no_body(), keep)
        found = [_take_out(message) for message in answer]
        return answer, next((int(value) for value in found if value is not None), None)


def _take_out(message: Message) -> bytes | None:
    """Takes the view's word to this door out of an answer; nobody else is to see it."""
    if message["type"] != "http.response.start":
        return None
    name = HEADER.lower().encode()
    found: list[bytes] = [value for key, value in message["headers"] if key.lower() == name]
    message["headers"] = [(key, value) for key, value in message["headers"] if key.lower() != name]
    return found[0] if found else None


def _says_asked_again(header: tuple[bytes, bytes]) -> bool:
    # However it is spelled: WSGI makes underscores of dashes.
    return header[0].lower().replace(b"_", b"-") == _ASKED_AGAIN_HEADER


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
