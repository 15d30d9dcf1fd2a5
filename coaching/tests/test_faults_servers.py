"""The grown layout: PostgreSQL restarts or is away, Redis comes and goes; the site says so and goes on by itself."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from coaching.tests.faults import (
    TIMES,
    Acknowledged,
    Program,
    Server,
    alive,
    assert_nothing_is_lost,
    assert_refused_in_words,
    decided_since,
    deciding,
    postgresql,
    redis,
    signed_in,
    token_of,
)
from coaching.tests.live import LiveSite, live_site, until

pytestmark = [pytest.mark.faults, pytest.mark.live]


@pytest.fixture(autouse=True)
def _both_run_again(grown: Grown) -> Iterator[None]:
    """One failure is enough: the next test finds what it needs."""
    yield
    for server in (grown.postgresql, grown.redis):
        if server.process is None:
            server.start()


@dataclass
class Grown:
    site: LiveSite
    postgresql: Server
    redis: Server
    token: str

    def socket(self, path: str) -> ClientConnection:
        headers = {"Authorization": f"Token {self.token}"}
        return connect(f"ws://127.0.0.1:{self.site.port}/ws/{path}", additional_headers=headers, open_timeout=20)


def can_be_reached(address: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(address, connect_timeout=2):
        return True
    return False


@pytest.fixture(scope="module")
def grown() -> Iterator[Grown]:
    folder = Path(tempfile.mkdtemp(prefix="coachsite-grown-"))
    with (
        contextlib.ExitStack() as at_the_end,
        postgresql() as (database, address),
        redis(folder) as (cache, cache_address),
    ):
        at_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        until(lambda: can_be_reached(address), what="PostgreSQL")
        settings = {"REDIS_URL": cache_address, "COACHSITE_DATABASE_WAIT_SECONDS": "1"}
        with live_site(folder, database=address, **settings) as site:
            grown = Grown(site, database, cache, token_of(site))
            program = Program(site, grown.token, Acknowledged())
            program.post("workflows/", {"workflow_id": "invoices", "name": "Invoices", "executor": "external"})
            yield grown


def code_of_the_close(socket: ClientConnection) -> int:
    try:
        while True:
            socket.recv(timeout=30)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


def numbers(socket: ClientConnection, *, up_to: int) -> list[int]:
    """The numbers of the events that come, until that one."""
    found: list[int] = []
    while not found or found[-1] < up_to:
        found.append(json.loads(socket.recv(timeout=30))["seq"])
    return found


def test_postgresql_is_away_for_a_while(grown: Grown) -> None:
    site = grown.site
    browser = signed_in(site)
    program = Program(site, grown.token, Acknowledged())
    session = program.start()
    program.ask_and_decide(session)
    with deciding(site, grown.token) as kept, grown.socket(f"v1/sessions/{session}/events/") as watching:
        decided_since(kept)
        seen = numbers(watching, up_to=4)
        grown.postgresql.end(signal.SIGINT)
        until(lambda: kept.answers[503] >= 3, what=f"refusals: {kept.answers}")
        page = browser.get("/")
        assert page.status_code == 503
        assert "The database cannot be reached" in page.text
        assert int(page.headers["Retry-After"]) > 0
        with grown.socket(f"v1/sessions/{session}/events/") as turned_away:
            assert code_of_the_close(turned_away) in {1012, 1013}
        time.sleep(TIMES)
        grown.postgresql.start()
        decided_since(kept)
        assert browser.get("/").status_code == 200
        assert all(alive(site).values()), "every process has outlived it"
        # Whether or not this socket was closed in between: its client comes back with what it has seen last.
        n = program.ask_and_decide(session)
        with contextlib.suppress(ConnectionClosed):
            seen += numbers(watching, up_to=program.get(f"sessions/{session}/events/?after=4")["results"][-1]["seq"])
        with grown.socket(f"v1/sessions/{session}/events/?after={seen[-1]}") as again:
            program.ask_and_decide(session)
            last = program.get(f"sessions/{session}/events/?after=4")["results"][-1]["seq"]
            seen += numbers(again, up_to=last)
    assert seen == list(range(1, last + 1))
    assert n == 2
    assert_refused_in_words(kept.refusals, "The database cannot be reached")
    assert_nothing_is_lost(grown.site.rows, kept.decisions)


def test_postgresql_crashes_again_and_again(grown: Grown) -> None:
    with deciding(grown.site, grown.token) as kept:
        for _ in range(2 * TIMES):
            decided_since(kept)
            grown.postgresql.end(signal.SIGQUIT)
            grown.postgresql.start()
        decided_since(kept)
        assert all(alive(grown.site).values())
    if kept.refusals:
        assert_refused_in_words(kept.refusals, "The database")
    assert_nothing_is_lost(grown.site.rows, kept.decisions)
    assert grown.site.manage("rebuild_metrics", "--check")


def test_redis_comes_and_goes(grown: Grown) -> None:
    """Redis only wakes and counts: without it everything is decided, and who watches hears of it all the same."""
    site, program = grown.site, Program(grown.site, grown.token, Acknowledged())
    session = program.start()

    def decide_and_hear(watching: ClientConnection) -> float:
        started = time.monotonic()
        program.ask_and_decide(session)
        last = program.get(f"sessions/{session}/events/")["results"][-1]["seq"]
        numbers(watching, up_to=last)
        return time.monotonic() - started

    with deciding(site, grown.token) as kept, grown.socket(f"v1/sessions/{session}/events/") as watching:
        decide_and_hear(watching)
        grown.redis.end(signal.SIGKILL)
        decided_since(kept)
        slowest = max(decide_and_hear(watching) for _ in range(3))
        with grown.socket("inbox/") as turned_away:
            # A program has the right to the inbox too; that it opens is what counts.
            assert turned_away.recv(timeout=30)
        grown.redis.start()
        decided_since(kept)
        decide_and_hear(watching)
        assert all(alive(site).values())
    assert slowest < 10
    assert not kept.refusals, "nobody was turned away"
    assert_nothing_is_lost(grown.site.rows, kept.decisions)
