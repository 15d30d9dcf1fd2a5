"""Decisions that programs send at the same time are kept in one transaction: the disk is waited for once for all.

SQLite lets one writer in at a time, and each commit waits for the disk. So one thread takes whatever has come while it
was at work, handles one request after the other by the same view, each in a savepoint of its own by its verb, commits,
and only then are they answered. Whatever does not go well together is undone and comes apart: each of the requests is
then handled by the ordinary application, as if it had come alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import logging
import re
import sqlite3
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from a2wsgi.wsgi import build_environ
from django.conf import settings
from django.core import signals
from django.core.handlers.base import BaseHandler
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIRequest, get_script_name
from django.db import Error, connection, transaction
from django.http import HttpRequest
from django.http.response import HttpResponse
from django.urls import ResolverMatch, resolve, set_script_prefix
from django.utils.module_loading import import_string

from coaching.api.authentication import reading_each_token_once
from coaching.asgi import Application, Message, Receive, Send

from .sqlite.base import DatabaseWrapper

logger = logging.getLogger(__name__)

#: How many are kept at once, and how large each may be. Other writers of this process wait meanwhile.
MOST = 16
MOST_BYTES = 64 * 1024
#: Whoever has to wait longer for another process to end its transaction waits alone, and delays nobody. Seconds.
PATIENCE = 0.25
_PATH = re.compile(r"/api/v1/sessions/(?P<session_id>[-a-zA-Z0-9_]+)/decisions/")


class TokenHandler(BaseHandler):
    """Django for requests that come with a token: without what only pages and cookies need."""

    def __init__(self) -> None:
        self._view: ResolverMatch | None = None
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        handler = convert_exception_to_response(self._get_response)  # type: ignore[attr-defined]
        for path in reversed(settings.TOKEN_MIDDLEWARE):
            middleware = import_string(path)(handler)
            if hasattr(middleware, "process_view"):
                self._view_middleware.insert(0, middleware.process_view)
            handler = convert_exception_to_response(middleware)
        self._middleware_chain = handler

    def answer(self, environ: dict[str, Any]) -> HttpResponse:
        """Without the signals of a request's begin and end, by which Django would close the connection in between."""
        set_script_prefix(get_script_name(environ))
        return cast("HttpResponse", self.get_response(WSGIRequest(environ)))

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """All come to one view, which is looked for once."""
        named = {"session_id": cast("re.Match[str]", _PATH.fullmatch(request.path_info))["session_id"]}
        if self._view is None:
            self._view = resolve(request.path_info)
        view = self._view
        request.resolver_match = ResolverMatch(
            view.func, (), named, view.url_name, [*view.app_names], [*view.namespaces], view.route
        )
        return request.resolver_match


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A request that waits. Its answer is None where it has to be asked again, alone."""

    scope: dict[str, Any]
    body: bytes
    context: contextvars.Context
    answer: asyncio.Future[_Answer | None]


class _Apart(Exception):
    """These requests do not go together."""


class Together:
    """Handles decisions that come by token; hands everything else on to `application`."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._handler = TokenHandler()
        self._waiting: deque[_Asked] = deque()
        self._called = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="together")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if not _is_for_us(scope):
            await self.application(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        loop = asyncio.get_running_loop()
        asked = _Asked(scope, body, contextvars.copy_context(), loop.create_future())
        self._waiting.append(asked)
        if not self._called:
            self._called = True
            self._thread.submit(self._work, loop)
        answer = await asked.answer
        if answer is None:
            await self.application(scope, _replay(body, receive), send)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        # First: who comes from now on calls again, and finds nothing left to do at worst.
        self._called = False
        while batch := [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]:
            answers = self._answers_to(batch)
            loop.call_soon_threadsafe(_tell, batch, answers)

    def _answers_to(self, batch: list[_Asked]) -> list[_Answer | None]:
        answers: list[_Answer | None] = [None] * len(batch)
        try:
            answers[:] = self._keep(batch)
        except (_Apart, Error):
            logger.debug("%d decisions are kept one by one.", len(batch))
        except Exception:
            logger.exception("%d decisions are kept one by one.", len(batch))
        return answers

    def _keep(self, batch: list[_Asked]) -> list[_Answer]:
        signals.request_started.send(sender=TokenHandler)
        try:
            with (
                cast("DatabaseWrapper", connection).waiting_at_most(PATIENCE),
                transaction.atomic(),
                reading_each_token_once(),
            ):
                return [self._one(asked) for asked in batch]
        finally:
            signals.request_finished.send(sender=TokenHandler)

    def _one(self, asked: _Asked) -> _Answer:
        """Raises `_Apart` where the transaction is lost, or the server at fault."""
        answer = asked.context.run(self._handle, asked)
        driver: sqlite3.Connection = connection.connection
        # After some errors, such as a full disk, SQLite undoes all of a transaction by itself.
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or connection.needs_rollback or not driver.in_transaction:
            raise _Apart
        return answer

    def _handle(self, asked: _Asked) -> _Answer:
        environ = build_environ(cast("Any", asked.scope), cast("Any", io.BytesIO(asked.body)))
        response = self._handler.answer(cast("dict[str, Any]", environ))
        headers = [(name.lower().encode("latin1"), value.encode("latin1")) for name, value in response.items()]
        return _Answer(response.status_code, headers, response.content)


def _tell(batch: list[_Asked], answers: list[_Answer | None]) -> None:
    for asked, answer in zip(batch, answers, strict=True):
        if not asked.answer.done():
            asked.answer.set_result(answer)


def _is_for_us(scope: dict[str, Any]) -> bool:
    if scope["method"] != "POST" or not _PATH.fullmatch(scope["path"]):
        return False
    headers = {name.lower(): value for name, value in scope["headers"]}
    length = headers.get(b"content-length", b"")
    return (
        headers.get(b"authorization", b"")[:6].lower() == b"token " and length.isdigit() and int(length) <= MOST_BYTES
    )


async def _read(receive: Receive) -> bytes | None:
    """The body, or None when the client went away before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
