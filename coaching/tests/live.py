"""A whole coachsite of its own for one test: real processes, a data folder of its own, a free port."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import psycopg

PROJECT = Path(__file__).resolve().parents[2]
OWNER_PASSWORD = "live site, long password"

T = TypeVar("T")


def until(question: Callable[[], T], *, seconds: float = 40, what: str = "it") -> T:
    """The first truthy answer to `question`, asked again and again; fails the test when time is up."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what}; last answer: {answer!r}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def on_postgresql(name: str) -> str:
    """The address of another database on the server of `DATABASE_URL`."""
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


class LiveSite:
    """Web, two workers and the sweep, each a process that a test may kill and start again.

    Where the tests run on PostgreSQL (`DATABASE_URL`) it has a new database there, until `stop`; else SQLite in its
    folder. `database` names another address, empty for SQLite.
    """

    def __init__(self, folder: Path, *, port: int = 0, database: str | None = None) -> None:
        self.folder, self.port = folder, port or free_port()
        self._own_database = ""
        if database is None and "DATABASE_URL" in os.environ:
            self._own_database = f"coachsite_live_{secrets.token_hex(6)}"
            self._tell_the_server(f"CREATE DATABASE {self._own_database}")
            database = on_postgresql(self._own_database)
        self.database = database or ""
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "live.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}},
            "COACHSITE_DATA": str(folder),
            "COACHSITE_DEMO": "1",
            "COACHSITE_OWNER_PASSWORD": OWNER_PASSWORD,
            "DJANGO_SETTINGS_MODULE": "coachsite.settings",
        }
        if self.database:
            grown = {"DATABASE_URL": self.database, "REDIS_URL": os.environ.get("REDIS_URL", "")}
            self.environment |= {name: value for name, value in grown.items() if value}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        manage = [sys.executable, "manage.py"]
        worker = [*manage, "work"]
        web = ["coachsite.web", "-b", "127.0.0.1", "-p", str(self.port), "-v", "0", "coachsite.asgi:application"]
        self.commands = {
            "web": [sys.executable, "-m", *web],
            "worker-1": worker,
            "worker-2": worker,
            "sweep": [*manage, "sweep", "--every", "1"],
        }

    def manage(self, *arguments: str) -> str:
        """What a management command prints."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *names: str) -> None:
        for name in names or self.commands:
            with self.log.open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    self.commands[name], cwd=PROJECT, env=self.environment, stdout=log, stderr=log,
                    stdin=subprocess.DEVNULL,
                )  # fmt: skip
        if not names or "web" in names:
            until(self.answers, what=f"the web process; its log:\n{self.log.read_text()[-3000:]}")

    def answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/healthz").status_code == 200
        return False

    def kill(self, *names: str) -> None:
        """`kill -9`."""
        for name in names or list(self.processes):
            process = self.processes.pop(name)
            process.send_signal(signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        self.kill()
        self.manage("close_browsers")
        if self._own_database:
            self._tell_the_server(f"DROP DATABASE IF EXISTS {self._own_database} WITH (FORCE)")

    @staticmethod
    def _tell_the_server(statement: str) -> None:
        with psycopg.connect(on_postgresql("postgres"), autocommit=True) as server:
            server.execute(statement.encode())

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of the site's own database, read beside it; `?` stands for each parameter."""
        if self.database:
            with psycopg.connect(self.database) as database:
                return database.execute(sql.replace("?", "%s").encode(), parameters or None).fetchall()
        with contextlib.closing(sqlite3.connect(self.folder / "coachsite.sqlite3", timeout=30)) as file:
            return file.execute(sql, parameters).fetchall()

    def client(self) -> httpx.Client:
        """An API client of the owner."""
        token = self.manage("issue_token", "owner").split()[-1]
        return httpx.Client(
            base_url=f"{self.url}/api/v1/",
            headers={"Authorization": f"Token {token}"},
            timeout=90,
            follow_redirects=True,
        )


@contextlib.contextmanager
def live_site(folder: Path, *, database: str | None = None, **environment: str) -> Iterator[LiveSite]:
    """A migrated site with the account `owner` and the demo, running; all of it is ended afterwards."""
    site = LiveSite(folder, database=database)
    site.environment |= environment
    site.manage("migrate", "--noinput", "-v0")
    site.manage("first_start", "--site-url", site.url)
    site.start()
    try:
        yield site
    finally:
        site.stop()
        print(site.log.read_text()[-20_000:])  # pytest shows it with a failure
