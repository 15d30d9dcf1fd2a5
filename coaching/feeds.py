"""What many sockets are told at once: read, rendered and encoded once for all of them.

A feed belongs to one session and one event loop. A socket that has everything so far joins it; from then on the feed
writes the same frames to all its sockets, straight to their connections, without waking a task for each. Whoever does
not read is left out (`behind`): its own task reads after its own cursor again, as slowly as it must, and joins later.

Only a server of ours can write like this: it puts an `Outlet` into the scope. Under others each socket is on its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

from . import hub
from .models import SessionEvent
from .pages import watchers
from .pages.panel import Reader

logger = logging.getLogger(__name__)

OUTLET = "coachsite.outlet"
#: So many sockets are written to before others get their turn on the event loop.
AT_ONCE = 200
#: Who comes and goes is told to the others a little later, once for all who do. Seconds.
WATCHERS_PAUSE = 0.1


class Outlet(Protocol):
    """The connection of one socket."""

    def write(self, frame: bytes) -> bool:
        """Sends whole frames; False where too much waits unread already. Nothing has been sent then."""


def frame_of(text: str) -> bytes:
    """A message of text as a server puts it on the wire (RFC 6455, 5.2): one frame, not masked."""
    content = text.encode()
    length = len(content)
    if length < 126:
        return bytes([0x81, length]) + content
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2, "big") + content
    return b"\x81\x7f" + length.to_bytes(8, "big") + content


class Member:
    """A socket in a feed. `behind` is set when it is to go on by itself."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet, self.behind = outlet, asyncio.Event()

    async def is_behind(self, seconds: float) -> bool:
        """True as soon as it is, False when so many seconds have passed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.behind.wait(), seconds)
        return self.behind.is_set()


M = TypeVar("M", bound=Member)


class Feed(ABC, Generic[M]):
    """Waits for the news of a session and gives them to its members. Lives while somebody uses it."""

    def __init__(self, session_pk: int) -> None:
        self.session_pk = session_pk
        self.members: set[M] = set()
        self.users = 0
        self._end = contextlib.ExitStack()

    def begin(self) -> None:
        # At once, not in the task: what its users read from here on must not fall in between.
        self.news = self._end.enter_context(hub.current().subscribe(self.session_pk))
        self._end.callback(asyncio.get_running_loop().create_task(self._run()).cancel)

    def end(self) -> None:
        self._end.close()

    async def _run(self) -> None:
        while True:
            await self.news.wait()
            try:
                await self.deliver()
            except Exception:
                # Each meets the trouble itself, and tells its client.
                logger.debug("The news of a session could not be read for all at once.", exc_info=True)
                for member in self.members:
                    member.behind.set()

    @abstractmethod
    async def deliver(self) -> None:
        """Gives its members what they have not had yet."""

    async def write(self, messages: Callable[[M], tuple[bytes, Any]], then: Callable[[M, Any], None]) -> None:
        """To each member its frames, and `then` what goes with them; who does not take them is left behind."""
        for n, member in enumerate(tuple(self.members), start=1):
            if member in self.members and not member.behind.is_set():
                frames, state = messages(member)
                if not frames or member.outlet.write(frames):
                    then(member, state)
                else:
                    member.behind.set()
            if n % AT_ONCE == 0:
                await asyncio.sleep(0)

    def leave(self, member: M) -> None:
        self.members.discard(member)


class EventMember(Member):
    def __init__(self, outlet: Outlet, cursor: int) -> None:
        super().__init__(outlet)
        self.cursor = cursor


class EventFeed(Feed[EventMember]):
    """The events of a session as JSON, one a message."""

    def __init__(self, session_pk: int, session_id: str, read: Callable[[int], Awaitable[Sequence[SessionEvent]]]):
        super().__init__(session_pk)
        self._session_id, self._read = session_id, read
        self._last: int | None = None

    def join(self, outlet: Outlet, cursor: int) -> EventMember | None:
        """Whoever has everything up to `cursor`; None where the feed has told more than that."""
        if self._last is None:
            # What came before anybody was here has woken nobody.
            self._last = cursor
            self.news.wake()
        if cursor < self._last:
            return None
        member = EventMember(outlet, cursor)
        self.members.add(member)
        return member

    async def deliver(self) -> None:
        while self._last is not None and (events := await self._read(self._last)):
            # Before any is written: who joins from here on must have them.
            self._last = events[-1].seq
            await self._tell([(event.seq, frame_of(event_text(event, self._session_id))) for event in events])

    async def _tell(self, frames: Sequence[tuple[int, bytes]]) -> None:
        (first, _), (last, _) = frames[0], frames[-1]
        all_of_them = b"".join(frame for _, frame in frames)

        def missing(member: EventMember) -> tuple[bytes, int]:
            if member.cursor < first:
                return all_of_them, last
            return b"".join(frame for seq, frame in frames if seq > member.cursor), max(member.cursor, last)

        await self.write(missing, lambda member, cursor: setattr(member, "cursor", cursor))


def event_text(event: SessionEvent, session_id: str) -> str:
    return json.dumps(event.as_json(session_id), ensure_ascii=False)


class PanelMember(Member):
    """`sent` are the fragments that its client has."""

    def __init__(self, outlet: Outlet, reader: Reader, sent: Mapping[str, str]) -> None:
        super().__init__(outlet)
        self.reader, self.sent = reader, sent


class PanelFeed(Feed[PanelMember]):
    """The panel of a session: rendered once for all who may see the same, and compared once with what they have."""

    def __init__(
        self, session_pk: int, render: Callable[[Reader, Sequence[str]], Awaitable[Mapping[str, str]]]
    ) -> None:
        super().__init__(session_pk)
        self._render = render
        #: Counts what was delivered: who joins with what it read before must look again.
        self.turn = 0
        self._soon: asyncio.TimerHandle | None = None

    def join(self, outlet: Outlet, reader: Reader, sent: Mapping[str, str], turn: int) -> PanelMember:
        """Whoever has `sent`, which it began to read when `turn` was the feed's."""
        member = PanelMember(outlet, reader, sent)
        self.members.add(member)
        if turn != self.turn:
            self.news.wake()
        return member

    def wake(self) -> None:
        """Others watch now."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(WATCHERS_PAUSE, self._look)

    def _look(self) -> None:
        self._soon = None
        self.news.wake()

    async def deliver(self) -> None:
        self.turn += 1
        names = watchers.names(self.session_pk)
        rendered = {reader: await self._render(reader, names) for reader in {member.reader for member in self.members}}
        # By what a member has, which is the same thing for all that were here last time.
        made: dict[tuple[int, Reader], tuple[bytes, Any]] = {}
        kept = []  # so that no other thing gets the same number meanwhile

        def changed(member: PanelMember) -> tuple[bytes, Any]:
            fragments = rendered.get(member.reader)
            if fragments is None:  # it joined while this was rendered for others
                self.news.wake()
                return b"", member.sent
            key = (id(member.sent), member.reader)
            if key not in made:
                kept.append(member.sent)
                html = changes(member.sent, fragments)
                made[key] = frame_of(html) if html else b"", fragments
            return made[key]

        await self.write(changed, lambda member, sent: setattr(member, "sent", sent))


def changes(sent: Mapping[str, str], fragments: Mapping[str, str]) -> str:
    """Of named fragments, those that differ from what was sent last."""
    return "\n".join(html for name, html in fragments.items() if sent.get(name) != html)


F = TypeVar("F", bound="Feed[Any]")
_feeds: dict[tuple[hub.Hub, type, int], Feed[Any]] = {}


@contextlib.contextmanager
def using(kind: type[F], session_pk: int, make: Callable[[], F]) -> Iterator[F]:
    """The feed of this kind of a session on the running loop, made where there is none."""
    key = (hub.current(), kind, session_pk)
    if key not in _feeds:
        _feeds[key] = make()
        _feeds[key].begin()
    feed = _feeds[key]
    feed.users += 1
    try:
        yield cast("F", feed)
    finally:
        feed.users -= 1
        if not feed.users:
            del _feeds[key]
            feed.end()
