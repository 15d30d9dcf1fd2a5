"""Sockets: one session's events for programs, and rendered fragments for the panel and the inbox.

Each socket has a task of its own that subscribes, reads after its own cursor, sends, and waits: a slow client delays
nobody, and a lost wake-up loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar, ParamSpec, TypeVar
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.models import User

from . import events, feeds, hub, roles
from .client_address import of_scope
from .guessing import failed
from .models import Session, SessionEvent
from .pages import panel, watchers
from .pages.inbox import inbox_fragments
from .pages.packs import pack_fragments, packs_changed
from .socket_auth import TRY_AGAIN, authorization, socket_user
from .unavailable import why_unavailable

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

NO_LOGIN, NO_ROLE, UNKNOWN, BAD_REQUEST, TOO_MANY, TOO_LARGE, FAILED = 4401, 4403, 4404, 4400, 4429, 1009, 1011
#: What a client may send at once. Nothing that it sends is read.
MAX_FRAME = 4096
#: How often login, role and session are looked at again while nothing happens.
RECHECK_SECONDS = 15.0
#: For so long the answer for one socket is good for others of the same login or token.
SHARED_SECONDS = 1.0
#: A list that changes with every session of the site is not rendered more often than this.
INBOX_PAUSE_SECONDS = 0.25
#: How often packs are asked whether a reviewer has changed one, which no session's event tells of; and how long their
#: list, which adds up much, stays as it is once it was rendered.
PACKS_SECONDS = 2.0
PACKS_PAUSE_SECONDS = 1.0
BATCH = 500

_readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="socket")


async def _read(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """`function` on one of the sockets' few threads, so that many sockets never take all of the process's."""
    reader = database_sync_to_async(function, thread_sensitive=False, executor=_readers)
    result: R = await reader(*arguments, **named)
    return result


_asked: dict[Any, tuple[float, asyncio.Future[Any]]] = {}


async def _shared(key: tuple[Any, ...], ask: Callable[[], Awaitable[R]]) -> R:
    """What `ask` says, which is asked once a second for all who come with this key."""
    now, loop = time.monotonic(), asyncio.get_running_loop()
    for old in [each for each, (until, _) in _asked.items() if until < now]:
        del _asked[old]
    if (loop, key) not in _asked:
        answering = asyncio.ensure_future(ask())
        # All who asked may have gone before it was there.
        answering.add_done_callback(lambda done: done.cancelled() or done.exception())
        _asked[loop, key] = now + SHARED_SECONDS, answering
    answer: R = await asyncio.shield(_asked[loop, key][1])
    return answer


class Closed(Exception):
    """The socket is to be closed with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


#: The name of no channel layer: news comes from the hub, and a socket that had a channel of its own in Redis could not
#: be opened while Redis is away.
NO_LAYER = "none"


class Follower(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Checks login and role, then runs `follow` until the client goes; what the client sends is ignored."""

    channel_layer_alias = NO_LAYER
    permission: ClassVar[str] = roles.VIEW
    task: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        # Accepted first: a refusal before that reaches a browser as "lost", and it would try again for ever.
        await self.accept()
        self.task = asyncio.create_task(self._live())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if len(text_data or bytes_data or "") > MAX_FRAME:
            await self.close(TOO_LARGE)

    async def disconnect(self, code: int) -> None:  # noqa: ARG002
        if self.task:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    async def _live(self) -> None:
        try:
            await self.follow(await self.who())
        except Closed as end:
            await self.close(end.code)
        except Exception as error:
            if why := why_unavailable(error):
                logger.warning("A socket was closed, its client will come back: %s", why)
                await self.close(TRY_AGAIN)
                return
            logger.exception("A socket failed; its client will come back.")
            await self.close(FAILED)

    async def who(self) -> User:
        """Who may read here, at this moment. Raises `Closed`."""
        user = await socket_user(self.scope)
        if user is None:
            guessed = await _read(failed, of_scope(self.scope)) if authorization(self.scope) else 0
            raise Closed(TOO_MANY if guessed else NO_LOGIN)
        if not await _read(user.has_perm, self.permission):
            raise Closed(NO_ROLE)
        return user

    async def still_who(self) -> User:
        """`who`, asked once for all sockets of the same login or token within a second. Raises `Closed`."""
        login = self.scope.get("session")
        caller = authorization(self.scope) or (login.session_key if login else None)
        return await _shared((caller, self.permission), self.who)

    async def follow(self, user: User) -> None:
        raise NotImplementedError

    async def session(self) -> Session:
        """The session that the address names, as it is now. Raises `Closed`."""
        try:
            return await _read(panel.read_session, session_id=self.scope["url_route"]["kwargs"]["session_id"])
        except Session.DoesNotExist:
            raise Closed(UNKNOWN) from None


class NoSuchSocket(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Any other address: a clear code instead of an error in the log."""

    channel_layer_alias = NO_LAYER

    async def connect(self) -> None:
        await self.accept()
        await self.close(UNKNOWN)


class Changed:
    """Of named fragments, those that differ from what this socket sent last."""

    def __init__(self) -> None:
        self.sent: Mapping[str, str] = {}

    def of(self, fragments: Mapping[str, str]) -> str:
        before, self.sent = self.sent, fragments
        return feeds.changes(before, fragments)


class PanelConsumer(Follower):
    """The whole panel at first, then the fragments that change."""

    async def follow(self, user: User) -> None:
        session = await self.session()
        if outlet := self.scope.get(feeds.OUTLET):
            await self._with_others(session, user, outlet)
        else:
            await self._alone(session, user)

    async def _with_others(self, session: Session, user: User, outlet: feeds.Outlet) -> None:
        """In a feed, and out of it only to begin with and where the client reads too slowly."""
        changed = Changed()
        reader = await _read(panel.Reader.of, user)

        async def render(reader: panel.Reader, names: Sequence[str]) -> Mapping[str, str]:
            return await _read(panel.cache.fragments, session.pk, reader, names)

        with (
            feeds.using(feeds.PanelFeed, session.pk, lambda: feeds.PanelFeed(session.pk, render)) as feed,
            watchers.watching(session.pk, feed, user.username),
        ):
            while True:
                turn = feed.turn
                try:
                    fragments = await render(reader, watchers.names(session.pk))
                except Session.DoesNotExist:
                    raise Closed(UNKNOWN) from None
                if html := changed.of(fragments):
                    await self.send(text_data=html)
                member = feed.join(outlet, reader, changed.sent, turn)
                try:
                    while not await member.is_behind(RECHECK_SECONDS):
                        now = await _read(panel.Reader.of, await self.still_who())
                        if now != reader:
                            reader = now
                            break
                finally:
                    feed.leave(member)
                    changed.sent = member.sent

    async def _alone(self, session: Session, user: User) -> None:
        changed = Changed()
        reader = await _read(panel.Reader.of, user)
        checked = time.monotonic()
        with hub.current().subscribe(session.pk) as news, watchers.watching(session.pk, news, user.username):
            while True:
                if time.monotonic() - checked >= RECHECK_SECONDS:
                    reader = await _read(panel.Reader.of, await self.who())
                    checked = time.monotonic()
                names = watchers.names(session.pk)
                try:
                    fragments = await _read(panel.cache.fragments, session.pk, reader, names)
                except Session.DoesNotExist:
                    raise Closed(UNKNOWN) from None
                if html := changed.of(fragments):
                    await self.send(text_data=html)
                await news.wait(RECHECK_SECONDS)


class InboxConsumer(Follower):
    """The inbox and its count."""

    async def follow(self, user: User) -> None:
        changed = Changed()
        checked = time.monotonic()
        with hub.current().subscribe(None) as news:
            while True:
                if time.monotonic() - checked >= RECHECK_SECONDS:
                    user = await self.who()
                    checked = time.monotonic()
                if html := changed.of(await _read(inbox_fragments, user)):
                    await self.send(text_data=html)
                await news.wait(RECHECK_SECONDS)
                await asyncio.sleep(INBOX_PAUSE_SECONDS)


class PacksConsumer(Follower):
    """The packs with their numbers, and what is suggested."""

    async def follow(self, user: User) -> None:
        changed = Changed()
        checked = time.monotonic()
        state: Any = None
        with hub.current().subscribe(None) as news:
            is_news = True
            while True:
                if time.monotonic() - checked >= RECHECK_SECONDS:
                    user, is_news = await self.who(), True
                    checked = time.monotonic()
                before, state = state, await _read(packs_changed)
                if is_news or state != before:
                    if html := changed.of(await _read(pack_fragments, user)):
                        await self.send(text_data=html)
                    await asyncio.sleep(PACKS_PAUSE_SECONDS)
                is_news = await news.wait(min(PACKS_SECONDS, RECHECK_SECONDS))


class EventsConsumer(Follower):
    """The events of one session after `?after=`, in order, for ever; the contract's JSON, one event a message."""

    async def follow(self, user: User) -> None:  # noqa: ARG002 - `who` has checked them
        cursor = self._after()
        session = await self.session()
        if outlet := self.scope.get(feeds.OUTLET):
            await self._with_others(session, cursor, outlet)
        else:
            await self._alone(session, cursor)

    async def _with_others(self, session: Session, cursor: int, outlet: feeds.Outlet) -> None:
        """In a feed, and out of it only to catch up: at first, and where the client reads too slowly."""

        async def read(after: int) -> list[SessionEvent]:
            return await _read(events.stream, session, after=after, limit=BATCH)

        with feeds.using(
            feeds.EventFeed, session.pk, lambda: feeds.EventFeed(session.pk, session.session_id, read)
        ) as feed:
            checked = time.monotonic()
            while True:
                if time.monotonic() - checked >= RECHECK_SECONDS:
                    await self._check(session)
                    checked = time.monotonic()
                batch = await read(cursor)
                cursor = await self._tell(session, batch) or cursor
                if len(batch) == BATCH or not (member := feed.join(outlet, cursor)):
                    continue
                try:
                    while not await member.is_behind(RECHECK_SECONDS):
                        await self._check(session)
                        checked = time.monotonic()
                finally:
                    feed.leave(member)
                    cursor = member.cursor

    async def _alone(self, session: Session, cursor: int) -> None:
        checked = time.monotonic()
        with hub.current().subscribe(session.pk) as news:
            while True:
                if time.monotonic() - checked >= RECHECK_SECONDS:
                    await self._check(session)
                    checked = time.monotonic()
                batch = await _read(events.stream, session, after=cursor, limit=BATCH)
                cursor = await self._tell(session, batch) or cursor
                if len(batch) < BATCH:
                    await news.wait(RECHECK_SECONDS)

    async def _check(self, session: Session) -> None:
        """Whether both, the reader's role and the session, are there still. Raises `Closed`."""
        await self.still_who()
        if not await _shared((session.pk,), lambda: _read(Session.objects.filter(pk=session.pk).exists)):
            raise Closed(UNKNOWN)

    async def _tell(self, session: Session, batch: Sequence[SessionEvent]) -> int | None:
        """The number of the last one that was sent."""
        for event in batch:
            await self.send(text_data=feeds.event_text(event, session.session_id))
        return batch[-1].seq if batch else None

    def _after(self) -> int:
        query: dict[str, list[Any]] = parse_qs(self.scope["query_string"].decode("latin1"), keep_blank_values=True)
        text = str(query.get("after", ["0"])[0])
        if not text.isdecimal() or len(text) > 18:
            raise Closed(BAD_REQUEST)
        return int(text)
