"""Readers who are slow, stop reading, or go: with the real server in between, and a real connection."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: More than connections and queues hold: pieces of 64 KiB.
MANY = 4000


class Server:
    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def state(self) -> tuple[int, int, int]:
        """`(pieces made, answers under way, answers ended)`."""
        with urlopen(f"http://127.0.0.1:{self.port}/state", timeout=20) as answer:
            made, busy, ended = map(int, answer.read().split())
        return made, busy, ended

    def ask(self, path: str) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return connection

    def memory_kib(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def until(fact: Callable[[], bool], *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it has not come true"
        time.sleep(0.05)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(**environment: str) -> Server:
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            door.listen(50)
            command = [sys.executable, "-m", "daphne", "--fd", str(door.fileno()), "-v", "0"]
            process = subprocess.Popen(
                [*command, "coaching.tests.flow_app:application"],
                cwd=ROOT, env={**os.environ, **environment}, pass_fds=[door.fileno()],
            )  # fmt: skip
            started.append(process)
            server = Server(process, door.getsockname()[1])
        server.state()
        return server

    yield start
    for process in started:
        process.kill()
        process.wait()


def read_all(connection: socket.socket) -> int:
    """How many bytes still come."""
    total = 0
    while data := connection.recv(1 << 20):
        total += len(data)
    return total


def test_no_more_is_made_than_is_read(serve: Callable[..., Server]) -> None:
    server = serve()
    before = server.memory_kib()
    with server.ask(f"/long/{MANY}") as connection:
        until(lambda: server.state()[1] == 1)
        time.sleep(1)
        made, busy, _ = server.state()
        assert made < 500
        time.sleep(1)
        assert server.state()[:2] == (made, busy), "it waits"
        assert server.memory_kib() - before < 50_000
        assert read_all(connection) > MANY * 65536, "all of it arrives in the end"
    # The last byte is read a moment before the server has counted the answer as ended.
    until(lambda: server.state() == (MANY, 0, 1))


def test_a_reader_who_goes_sets_the_thread_free(serve: Callable[..., Server]) -> None:
    server = serve(SLOWLY="0.01")
    # More of them than there are threads, one after the other.
    for i in range(6):
        with server.ask(f"/long/{MANY}"):
            until(lambda: server.state()[1] == 1)
        until(partial(_are_done, server, i + 1))
    assert server.state()[0] < MANY


def _are_done(server: Server, count: int) -> bool:
    return server.state()[1:] == (0, count)


def test_nobody_holds_a_thread_who_does_not_read(serve: Callable[..., Server]) -> None:
    server = serve(PATIENCE="1")
    with server.ask(f"/long/{MANY}") as connection:
        until(lambda: server.state()[1:] == (0, 1))
        # Cut off, so that half of it is not taken for the whole.
        with pytest.raises(ConnectionResetError):
            read_all(connection)


def test_the_server_stops_in_the_middle_of_an_answer(serve: Callable[..., Server]) -> None:
    server = serve()
    with server.ask(f"/long/{MANY}"):
        until(lambda: server.state()[1] == 1)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=15)


def test_short_answers_are_none_of_its_business(serve: Callable[..., Server]) -> None:
    server = serve()
    with server.ask("/long/1") as connection:
        assert read_all(connection) > 65536
    until(lambda: server.state() == (1, 0, 1))
