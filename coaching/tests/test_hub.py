"""Wake-ups: they come at once from this process, soon from another, and none is lost between reading and waiting."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, connections

from coaching import hub
from coaching.actions.sessions import pause_session, resume_session
from coaching.models import Session, SessionEvent

pytestmark = pytest.mark.django_db(transaction=True)

PROJECT = Path(__file__).resolve().parents[2]
#: Longer than anything here takes; what is awaited comes much sooner.
PATIENCE = 10.0

ANOTHER_PROCESS = """
import sys
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from coaching.actions.sessions import pause_session, resume_session
from coaching.models import Session
session = Session.objects.get(pk=int(sys.argv[2]))
print("ready", flush=True)
for line in sys.stdin:
    {"pause": pause_session, "resume": resume_session}[line.strip()](session, by=None)
    print("done", flush=True)
"""

pause = sync_to_async(pause_session)
resume = sync_to_async(resume_session)


async def settled(news: hub.Subscription) -> None:
    """Awaits the first wake-up, by which the tail says that it has begun."""
    assert await news.wait(PATIENCE)


class AnotherProcess:
    """A process on the same database that pauses and resumes a session when told."""

    def __init__(self, session: Session) -> None:
        database = str(connection.settings_dict["NAME"])
        self.process = subprocess.Popen(
            [sys.executable, "-c", ANOTHER_PROCESS, database, str(session.pk)],
            cwd=PROJECT, env={**os.environ, "DJANGO_SETTINGS_MODULE": "coachsite.settings"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._says() == "ready"

    def _says(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def do(self, verb: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{verb}\n")
        self.process.stdin.flush()
        assert self._says() == "done"

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture
def another_process(session: Session) -> Iterator[Callable[[str], None]]:
    other = AnotherProcess(session)
    yield other.do
    other.end()


async def test_a_commit_in_this_process_wakes_at_once(
    session: Session, coach: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "POLL_SECONDS", 60.0)  # so that only the nudge can wake it
    with hub.current().subscribe(session.pk) as news:
        await settled(news)
        await pause(session, by=coach)
        assert await news.wait(PATIENCE)


async def test_a_row_of_another_process_wakes_within_a_second(
    session: Session, another_process: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    with hub.current().subscribe(session.pk) as news:
        await settled(news)
        for verb in ["pause", "resume", "pause"]:
            await asyncio.to_thread(another_process, verb)
            committed = loop.time()
            assert await news.wait(PATIENCE)
            assert loop.time() - committed < 1


async def test_what_was_told_here_is_not_told_again_and_hides_nothing_of_others(
    session: Session, coach: User, another_process: Callable[[str], None]
) -> None:
    with hub.current().subscribe(session.pk) as news:
        await settled(news)
        with transaction_told_late() as let_it_be_told:
            await pause(session, by=coach)
            # The table was looked at before anybody told of it: both wake.
            assert await news.wait(PATIENCE)
            let_it_be_told()
            assert await news.wait(PATIENCE)
        await resume(session, by=coach)
        assert await news.wait(PATIENCE)
        assert not await news.wait(3 * hub.POLL_SECONDS)
        await asyncio.to_thread(another_process, "pause")
        assert await news.wait(PATIENCE)


@contextlib.contextmanager
def transaction_told_late() -> Iterator[Callable[[], None]]:
    """What is committed inside is told of when the caller says so."""
    original, late = hub.tell, list[tuple[int, int]]()

    def tell() -> None:
        for each in late:
            original(*each)

    hub.tell = lambda session_pk, seq: late.append((session_pk, seq))
    try:
        yield tell
    finally:
        hub.tell = original


async def test_only_who_watches_the_session_is_woken(session: Session, external_session: Session, coach: User) -> None:
    mine, other, everything = session.pk, external_session.pk, None
    with (
        hub.current().subscribe(mine) as news,
        hub.current().subscribe(other) as other_news,
        hub.current().subscribe(everything) as all_news,
    ):
        for subscription in (news, other_news, all_news):
            await settled(subscription)
        await pause(session, by=coach)
        assert await news.wait(PATIENCE)
        assert await all_news.wait(PATIENCE)
        assert not await other_news.wait(0)


async def test_nothing_is_lost_between_reading_and_waiting(session: Session, coach: User) -> None:
    """Every event is read, though the reader waits only once per round and the writer never waits for the reader."""
    rounds = 30
    seen: list[int] = []

    async def read() -> None:
        with hub.current().subscribe(session.pk) as news:
            while len(seen) < 1 + 2 * rounds:
                numbers = session.events.filter(seq__gt=len(seen)).order_by("seq").values_list("seq", flat=True)
                seen.extend([number async for number in numbers])
                await asyncio.sleep(0)  # gives the writer its chance right between reading and waiting
                assert len(seen) >= 1 + 2 * rounds or await news.wait(PATIENCE)

    reader = asyncio.create_task(read())
    for _ in range(rounds):
        await pause(session, by=coach)
        await resume(session, by=coach)
    await asyncio.wait_for(reader, PATIENCE)
    assert seen == list(range(1, 2 + 2 * rounds))


async def test_news_during_the_read_counts(session: Session, coach: User) -> None:
    with hub.current().subscribe(session.pk) as news, hub.current().subscribe(session.pk) as other:
        await settled(news)
        await settled(other)
        await pause(session, by=coach)
        assert await other.wait(PATIENCE)  # by now the first has been woken too, while it was not waiting
        assert await news.wait(0)
        assert not await news.wait(0)


async def test_waiting_ends_when_the_time_is_up(session: Session) -> None:
    with hub.current().subscribe(session.pk) as news:
        await settled(news)
        assert not await news.wait(0.05)


async def test_who_has_left_is_forgotten(session: Session, coach: User) -> None:
    here = hub.current()
    assert here.watchers(session.pk) == 0
    with here.subscribe(session.pk) as news:
        with here.subscribe(session.pk):
            assert here.watchers(session.pk) == 2
        assert here.watchers(session.pk) == 1
        await settled(news)
    assert here.watchers(session.pk) == 0
    await pause(session, by=coach)
    with here.subscribe(session.pk) as again:
        await settled(again)
        await resume(session, by=coach)
        assert await again.wait(PATIENCE)


@sync_to_async
def rename_table(old: str, new: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


@contextlib.asynccontextmanager
async def unreadable_events() -> AsyncIterator[None]:
    table = SessionEvent._meta.db_table
    await rename_table(table, "somewhere_else")
    try:
        yield
    finally:
        await rename_table("somewhere_else", table)


async def test_a_database_that_cannot_be_read_is_asked_again(
    session: Session, coach: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "RETRY_SECONDS", 0.05)
    with contextlib.ExitStack() as stack:
        async with unreadable_events():
            news = stack.enter_context(hub.current().subscribe(session.pk))
            assert not await news.wait(0.2)
        await settled(news)
        async with unreadable_events():
            assert not await news.wait(0.2)
        await pause(session, by=coach)
        assert await news.wait(PATIENCE)


def test_a_nudge_without_anybody_waiting_is_no_error(session: Session, coach: User) -> None:
    pause_session(session, by=coach)
    hub.tell(session.pk, session.last_seq)


async def test_a_hub_belongs_to_its_loop() -> None:
    here = hub.current()
    assert hub.current() is here

    def another_loop() -> bool:
        async def ask() -> hub.Hub:
            return hub.current()

        return asyncio.run(ask()) is here

    assert not await asyncio.to_thread(another_loop)


@pytest.mark.parametrize("leaves", [True, False])
def test_the_connection_is_given_back_when_nobody_waits(session: Session, leaves: bool) -> None:
    """Or each loop that is over would keep one of the few that a pool has."""

    async def watch() -> Any:
        with contextlib.ExitStack() as stack:
            news = stack.enter_context(hub.current().subscribe(session.pk))
            await settled(news)
            if not leaves:
                stack.pop_all()  # the loop ends while somebody waits
            used = await asyncio.get_running_loop().run_in_executor(hub.current()._reader, its_connection)
        tail = hub.current()._tail
        if leaves and tail:
            await tail
        return used

    used = asyncio.run(watch())
    end = time.monotonic() + PATIENCE
    while used.connection is not None:
        assert time.monotonic() < end
        time.sleep(0.01)


def its_connection() -> Any:
    """The connection of the thread that asks, which it has by now."""
    connection.ensure_connection()
    return connections["default"]


async def test_hubs_of_loops_that_are_over_are_forgotten(session: Session) -> None:
    async def watch() -> hub.Hub:
        with hub.current().subscribe(session.pk) as news:
            await settled(news)
        tail = hub.current()._tail
        assert tail
        await tail
        return hub.current()

    over = await asyncio.to_thread(lambda: asyncio.run(watch()))
    hub._hubs.pop(id(asyncio.get_running_loop()), None)
    hub.current()
    assert all(not each.loop.is_closed() for each in hub._hubs.values())
    assert over not in hub._hubs.values()
