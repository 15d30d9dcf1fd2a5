"""A live site for the client, and coaches who decide in threads of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from coachsite_client import AlreadyDecided, Coach, SessionNotActive, StaleStep

from coaching.tests.live import PROJECT, LiveSite

JSON = dict[str, Any]
SOURCE = PROJECT / "clients/python/src"
EXAMPLES = PROJECT / "examples"


@contextlib.contextmanager
def client_site(folder: Path) -> Iterator[LiveSite]:
    """Only what outside programs need of a site: the web process and the sweep, which lets questions expire."""
    site = LiveSite(folder)
    site.manage("migrate", "--noinput", "-v0")
    site.manage("first_start", "--site-url", site.url)
    site.start("web", "sweep")
    try:
        yield site
    finally:
        site.stop()
        print(site.log.read_text()[-20_000:])  # pytest shows it with a failure


def token_of(site: LiveSite, user: str = "owner") -> str:
    return site.manage("issue_token", user).split()[-1]


def environment(**more: str) -> dict[str, str]:
    """Of a program that uses the client: nothing of Django's in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO")}
    return kept | {"PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"} | more


def start_program(*command: str | Path, log: Path, **more: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen([sys.executable, *map(str, command)], stdout=file, stderr=file, env=environment(**more))


Answer = JSON | str | Callable[[JSON], JSON | str]


class Decider:
    """A coach in a thread: answers the open questions of one workflow, one after the other, and keeps what it saw."""

    def __init__(self, site: LiveSite, token: str, workflow_id: str, answers: Sequence[Answer]) -> None:
        self.coach = Coach(site.url, token)
        self.workflow_id, self.answers = workflow_id, list(answers)
        self.seen: list[JSON] = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self) -> None:
        while self.answers and not self.stopped.is_set():
            for item in self.coach.inbox(limit=500):
                if item["workflow_id"] == self.workflow_id and self.answers:
                    self.answer(item)
            time.sleep(0.02)

    def answer(self, item: JSON) -> None:
        said = self.answers[0](item) if callable(self.answers[0]) else self.answers[0]
        fields = {"decision": said} if isinstance(said, str) else said
        with contextlib.suppress(AlreadyDecided, StaleStep, SessionNotActive):
            self.coach.decide(item["session_id"], item["n"], **fields)
            self.seen.append(item)
            del self.answers[0]

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopped.set()
        self.thread.join(30)
        self.coach.close()
        if kind is None:
            assert not self.answers, f"never asked for: {self.answers}"
