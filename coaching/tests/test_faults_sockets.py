"""Clients of sockets that misbehave: one reads nothing, one comes back a thousand times, one sends garbage."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from coaching.tests.faults import TIMES, Acknowledged, Program, alive, memory_of, with_invoices
from coaching.tests.live import LiveSite, live_site, until

pytestmark = [pytest.mark.faults, pytest.mark.live]

EVENTS, EVENT_BYTES = 10_000, 2_000
SILENT, COMING_BACK, GARBAGE = 20, 1_000, 10_000
LONG_LOG = """
from django.utils import timezone
from coaching.models import Session, SessionEvent
session = Session.objects.get(session_id={session!r})
common = dict(session=session, type="session.paused", at=timezone.now(), data=dict(by="x" * {size}))
events = [SessionEvent(seq=session.last_seq + n, **common) for n in range(1, {events} + 1)]
SessionEvent.objects.bulk_create(events, batch_size=1000)
Session.objects.filter(pk=session.pk).update(last_seq=session.last_seq + {events})
"""
#: What the web process may hold more than before, in MiB.
MOST_MORE = 120


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    with live_site(tmp_path_factory.mktemp("sockets")) as running:
        yield running


@pytest.fixture(scope="module")
def token(site: LiveSite) -> str:
    return with_invoices(site)


@pytest.fixture
def program(site: LiveSite, token: str) -> Program:
    return Program(site, token, Acknowledged())


def watching(site: LiveSite, token: str, session: str) -> ClientConnection:
    headers = {"Authorization": f"Token {token}"}
    address = f"ws://127.0.0.1:{site.port}/ws/v1/sessions/{session}/events/"
    return connect(address, additional_headers=headers, open_timeout=30)


def long_log(site: LiveSite, session: str) -> None:
    """Gives the session a log of 20 MB, as a session of ten thousand steps would have."""
    site.manage("shell", "-v0", "-c", LONG_LOG.format(session=session, events=EVENTS, size=EVENT_BYTES))


def code_of_the_close(client: ClientConnection, message: str) -> int:
    """The code that the site closes with once it was sent this."""
    try:
        client.send(message)
        while True:
            client.recv(timeout=30)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


def silent_client(site: LiveSite, token: str, session: str) -> socket.socket:
    """A client that opens the socket and never reads from it, not even the answer to its greeting."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", site.port))
    greeting = (
        f"GET /ws/v1/sessions/{session}/events/ HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Token {token}\r\n\r\n"
    )
    client.sendall(greeting.encode())
    return client


def decision_ms(program: Program, *, times: int = 20) -> float:
    session, taken = program.start(), []
    for _ in range(times):
        started = time.perf_counter()
        program.ask_and_decide(session)
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def test_clients_that_never_read(site: LiveSite, token: str, program: Program) -> None:
    session = program.start()
    long_log(site, session)
    pid = site.processes["web"].pid
    alone, before = decision_ms(program), memory_of(pid)
    with contextlib.ExitStack() as open_sockets:
        for _ in range(SILENT * TIMES):
            open_sockets.enter_context(contextlib.closing(silent_client(site, token, session)))
        most = 0
        end = time.monotonic() + 6 * TIMES
        while time.monotonic() < end:
            most = max(most, memory_of(pid))
            time.sleep(0.2)
        beside = decision_ms(program)
        # A client that does read gets the whole log, in order, while the others block theirs.
        with watching(site, token, session) as reader:
            seen = [json.loads(reader.recv(timeout=60))["seq"] for _ in range(EVENTS + 1)]
        most = max(most, memory_of(pid))
    assert seen == list(range(1, EVENTS + 2))
    print(f"{before} MiB before, {most} at most; a decision took {alone:.0f} ms alone, {beside:.0f} beside them")
    assert most - before < MOST_MORE
    assert beside < alone * 4 + 200
    assert all(alive(site).values())


def test_a_client_that_comes_back_a_thousand_times(site: LiveSite, token: str, program: Program) -> None:
    session = program.start()
    program.ask_and_decide(session)
    pid = site.processes["web"].pid
    with watching(site, token, session) as first:
        first.recv(timeout=30)
    before = memory_of(pid)

    def come_back(number: int) -> int:
        with watching(site, token, session) as again:
            if number % 3 == 0:
                again.socket.close()  # no word of farewell
                return 1
            return int(json.loads(again.recv(timeout=60))["seq"])

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(come_back, range(COMING_BACK * TIMES))) == {1}
    connections = Path(f"/proc/{pid}/fd")
    until(lambda: len([*connections.iterdir()]) < 100, what="the sockets to be given back")
    after = memory_of(pid)
    print(f"{before} MiB before, {after} after {COMING_BACK * TIMES} times")
    assert after - before < MOST_MORE
    assert program.ask_and_decide(session)


def test_garbage(site: LiveSite, token: str, program: Program) -> None:
    session = program.start()
    pid = site.processes["web"].pid
    before, chance = memory_of(pid), random.Random(7)
    with watching(site, token, session) as client:
        for number in range(GARBAGE * TIMES):
            noise = chance.randbytes(chance.randrange(1, 2000))
            client.send(noise if number % 2 else noise.hex()[: len(noise)])
        program.ask_and_decide(session)
        heard = [json.loads(client.recv(timeout=60))["type"] for _ in range(3)]
    assert heard == ["session.created", "suggestion.opened", "decision.recorded"]
    # Cut off while it comes: whoever is still sending hears no code.
    for large, codes in ((5_000, {1009}), (3_000_000, {1006, 1009})):
        with watching(site, token, session) as client:
            assert code_of_the_close(client, "x" * large) in codes
    # Not even a socket: bytes that no protocol knows.
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", site.port), timeout=10) as raw, contextlib.suppress(OSError):
            raw.sendall(chance.randbytes(4096))
    assert memory_of(pid) - before < MOST_MORE
    assert all(alive(site).values())
    assert program.ask_and_decide(session)
