"""Wakes the sockets and long polls of this process when a session has news.

One task per process tails the event table (one indexed query every 100 ms at most, however many sockets wait). A
message from Redis makes it look at once; a commit in this process wakes those who wait for it without a look. It hands
out no content: each waiter reads the log after its own cursor, so a lost or doubled wake-up costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import Error, connection
from django.utils import timezone

from .models import SessionEvent

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

GROUP = "coachsite.news"
POLL_SECONDS = 0.1
RETRY_SECONDS = 1.0
#: Of so many sessions is remembered what was told of them.
MOST_TOLD = 10_000
#: PostgreSQL hands out ids before commit, so a smaller id may appear after a larger one; this long is looked back.
LATE_COMMIT = timedelta(seconds=10)


class Subscription:
    """Set when there is news; `wait` clears it first, so that news during the caller's read is not lost."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        self._event.set()

    async def wait(self, seconds: float | None = None) -> bool:
        """True when woken, False when `seconds` have passed. News since the last call counts."""
        # Asked first: waiting for no time at all is a timeout even where there is news.
        if not self._event.is_set():
            try:
                await asyncio.wait_for(self._event.wait(), seconds)
            except TimeoutError:
                return False
        self._event.clear()
        return True


class Hub:
    """The waiters of one event loop, and the task that wakes them. Lives on that loop only, except `nudge`."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._waiters: defaultdict[int | None, set[Subscription]] = defaultdict(set)
        self._nudged = asyncio.Event()
        self._tail: asyncio.Task[None] | None = None
        # A thread of its own keeps one database connection open for the tail.
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hub")
        self._seen: dict[int, None] = {}
        self._floor = 0
        # Of sessions whose news was told in this process, the number up to which nobody needs to be woken again.
        self._told: dict[int, int] = {}

    @contextlib.contextmanager
    def subscribe(self, session_pk: int | None) -> Iterator[Subscription]:
        """A subscription to one session, or to all with None. Subscribe first, then read, then wait."""
        subscription = Subscription()
        self._waiters[session_pk].add(subscription)
        if self._tail is None or self._tail.done():
            self._tail = self.loop.create_task(self._run())
        try:
            yield subscription
        finally:
            self._waiters[session_pk].discard(subscription)
            if not self._waiters[session_pk]:
                del self._waiters[session_pk]

    def watchers(self, session_pk: int) -> int:
        """How many subscriptions this process holds for a session."""
        return len(self._waiters.get(session_pk, ()))

    def leave(self) -> None:
        """Ends the reader's thread. For a hub whose loop has closed."""
        self._reader.submit(_give_back)
        self._reader.shutdown(wait=False)

    def nudge(self) -> None:
        """Look at the table now. Safe from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._nudged.set)

    def tell(self, session_pk: int, seq: int) -> None:
        """A session's event of this number, and all before it, are committed. Safe from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._tell, session_pk, seq)

    def _tell(self, session_pk: int, seq: int) -> None:
        if not self._waiters:
            return
        if len(self._told) >= MOST_TOLD:
            self._told = {}
        self._told[session_pk] = max(seq, self._told.get(session_pk, 0))
        self._wake(session_pk)

    def announce(self, session_pk: int) -> None:
        """Wake the waiters of one session. Safe from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._wake, session_pk)

    async def _run(self) -> None:
        listener = self.loop.create_task(self._listen()) if settings.REDIS_URL else None
        try:
            await self._ask(self._start_here)
            self._wake_all()
            while self._waiters:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._nudged.wait(), POLL_SECONDS)
                self._nudged.clear()
                for session_pk in await self._ask(self._read):
                    self._wake(session_pk)
        finally:
            if listener:
                listener.cancel()
                # It takes its leave of Redis, for which the loop must live.
                await asyncio.wait({listener}, timeout=RETRY_SECONDS)
            # While nobody waits, the connection is for others: a pool has few, and misses those that never come back.
            self._reader.submit(_give_back)

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        """What the database says, asked again for as long as it does not answer."""
        while True:
            try:
                return await self.loop.run_in_executor(self._reader, _on_a_good_connection, question)
            except Error:
                logger.warning("The event table cannot be read now; trying again.", exc_info=True)
                await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        """Hears of news in other processes. Without Redis they are found a little later."""
        while not _is_to_end():
            try:
                await self._hear()
            except Exception:  # whatever the layer's own library raises
                logger.warning("Redis does not answer now; trying again.", exc_info=True)
                await asyncio.sleep(RETRY_SECONDS)

    async def _hear(self) -> None:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(GROUP, channel)
        while not _is_to_end():
            await layer.receive(channel)
            self._nudged.set()

    def _wake(self, session_pk: int) -> None:
        for subscription in (*self._waiters.get(session_pk, ()), *self._waiters.get(None, ())):
            subscription.wake()

    def _wake_all(self) -> None:
        # What was written between a waiter's first read and the tail's start is not in the tail's view.
        for subscriptions in self._waiters.values():
            for subscription in subscriptions:
                subscription.wake()

    def _start_here(self) -> None:
        newest = SessionEvent.objects.order_by("-pk").values_list("pk", flat=True).first()
        self._floor, self._seen = newest or 0, {}

    def _read(self) -> set[int]:
        """The sessions with rows not seen before."""
        rows = list(
            SessionEvent.objects.filter(pk__gt=self._floor).order_by("pk").values_list("pk", "session_id", "at", "seq")
        )
        told = self._told
        fresh = {session for pk, session, _, seq in rows if pk not in self._seen and seq > told.get(session, 0)}
        settled = timezone.now() - LATE_COMMIT
        if connection.vendor == "sqlite":
            self._floor = rows[-1][0] if rows else self._floor
        else:
            self._floor = max((pk for pk, _, at, _ in rows if at < settled), default=self._floor)
            self._seen = dict.fromkeys(pk for pk, *_ in rows if pk > self._floor)
        return fresh


def _is_to_end() -> bool:
    """Whether the task that asks was cancelled: the library of Redis swallows that while it subscribes."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _on_a_good_connection(question: Callable[[], Answer]) -> Answer:
    connection.close_if_unusable_or_obsolete()
    return question()


def _give_back() -> None:
    # Not `submit(connection.close)`: that would be the connection of the thread that submits.
    connection.close()


_hubs: dict[int, Hub] = {}
_lock = threading.Lock()


def current() -> Hub:
    """The hub of the running event loop."""
    loop = asyncio.get_running_loop()
    with _lock:
        hub = _hubs.get(id(loop))
        if hub is None or hub.loop is not loop:
            for key in [key for key, other in _hubs.items() if other.loop.is_closed()]:
                _hubs.pop(key).leave()
            hub = _hubs[id(loop)] = Hub()
        return hub


def wake(session_pk: int) -> None:
    """Wakes those who watch this session here, where no row tells of it: it was deleted. Safe from any thread."""
    with _lock:
        hubs = list(_hubs.values())
    for hub in hubs:
        hub.announce(session_pk)


def tell(session_pk: int, seq: int) -> None:
    """Wakes those who watch this session here: this event is committed, and all before it. Safe from any thread."""
    with _lock:
        hubs = list(_hubs.values())
    for hub in hubs:
        hub.tell(session_pk, seq)
