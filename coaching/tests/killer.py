"""`kill -9` of everything a site consists of, at moments of chance and at moments that matter."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from coaching.tests.faults import Acknowledged, browsers_of
from coaching.tests.live import LiveSite, until

#: Beside the names of processes, and "browser" for any of them.
WORKER_AT_WORK, BROWSER_AT_WORK, WEB_AT_AN_ANSWER = "worker at work", "browser at work", "web at an answer"

UNDER_WAY = (
    "SELECT g.id, s.session_id, s.lease_owner FROM coaching_suggestion g JOIN coaching_session s ON s.id = g.session_id "
    "WHERE g.performing_since IS NOT NULL AND g.outcome IS NULL AND s.lease_owner <> ''"
)


class Killer:
    """Ends one victim after the other without a word, and starts it again as a supervisor would.

    Chance alone seldom finds a worker between the begin of an action and the note of its outcome, nor a web process
    that has just acknowledged something: some victims are watched until they are there.
    """

    def __init__(self, site: LiveSite, kept: Acknowledged, *, victims: list[str], seed: int) -> None:
        self.site, self.kept, self.chance = site, kept, random.Random(seed)
        self.victims = self.chance.sample(victims, len(victims))
        self.killed: Counter[str] = Counter()
        #: The keys of the suggestions whose worker died after the begin of the action, and before its outcome was kept.
        self.cut_short: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _go_on(self) -> None:
        special = {
            "browser": self._kill_any_browser,
            WORKER_AT_WORK: self._kill_a_worker_at_work,
            BROWSER_AT_WORK: self._kill_a_browser_at_work,
            WEB_AT_AN_ANSWER: self._kill_web_at_an_answer,
        }
        while self.victims and not self._over.wait(self.chance.uniform(0.3, 1.5)):
            victim = self.victims[-1]
            if victim in special:
                special[victim]()
            else:
                self._kill(victim)
            if not self._over.is_set():
                self.killed[victim] += 1
                self.victims.pop()

    def _kill(self, name: str, *, cut_short: int | None = None) -> None:
        self.site.kill(name)
        if cut_short is not None and self._has_no_outcome(cut_short):
            self.cut_short.append(cut_short)
        time.sleep(self.chance.uniform(0, 0.4))
        self.site.start(name)

    def _has_no_outcome(self, suggestion: int) -> bool:
        return bool(self.site.rows("SELECT 1 FROM coaching_suggestion WHERE id = ? AND outcome IS NULL", suggestion))

    def _kill_a_worker_at_work(self) -> None:
        before = len(self.cut_short)
        while len(self.cut_short) == before and (found := self._under_way()):
            suggestion, _session, worker = found
            self._kill(worker, cut_short=suggestion)

    def _kill_a_browser_at_work(self) -> None:
        if found := self._under_way():
            self._kill_a_browser(self.site.folder / "browsers" / found[1])

    def _under_way(self) -> tuple[int, str, str] | None:
        """An action that has begun: its suggestion, its session, its worker. Waited for; None when the sessions are over."""

        def look() -> tuple[int, str, str] | None:
            names = {process.pid: name for name, process in self.site.processes.items()}
            for suggestion, session_id, owner in self.site.rows(UNDER_WAY):
                # The lease names its worker: host, process, and more.
                if name := names.get(int(owner.split()[1])):
                    return suggestion, session_id, name
            return None

        while not self._over.wait(0.005):
            if found := look():
                return found
        return None

    def _kill_web_at_an_answer(self) -> None:
        before = len(self.kept.decisions)
        while len(self.kept.decisions) == before and not self._over.wait(0.001):
            pass
        self._kill("web")

    def _kill_any_browser(self) -> None:
        until(lambda: browsers_of(self.site.folder) or self._over.is_set(), what="a browser")
        self._kill_a_browser(self.site.folder)

    def _kill_a_browser(self, folder: Path) -> None:
        """One of those whose profiles are in the folder or below it."""
        leaders = sorted({os.getpgid(pid) for pid in browsers_of(folder) if _lives(pid)})
        if leaders:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.chance.choice(leaders), signal.SIGKILL)


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.getpgid(pid)
        return True
    return False
