"""`kill -9` at random moments of everything there is, while fifty sessions run: nothing acknowledged is lost or doubled."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from coaching.tests.faults import (
    TIMES,
    Acknowledged,
    Program,
    assert_nothing_is_lost,
    browsers_of,
    token_of,
)
from coaching.tests.live import LiveSite, until

pytestmark = [pytest.mark.faults, pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(300 + 300 * TIMES)]

SEED = int(os.environ.get("COACHSITE_FAULTS_SEED", "20260101"))
CLAIM, SUBMIT = "file-an-expense-claim", "click-submit-claim"
EXTERNAL, SHORT, COACHED, AUTOMATIC = (TIMES * number for number in (28, 16, 3, 3))
PATIENCE = 100.0 + 100 * TIMES
#: All of them are ended, in an order and at moments of chance; then the sessions may come to their end.
VICTIMS = TIMES * [*3 * ["web"], *4 * ["worker-1", "worker-2"], *2 * ["sweep"], *7 * ["browser"]]
#: Somebody who has tried this often does it by hand.
TRIES = 3

PROMOTE = f"""
from django.contrib.auth.models import User
from coaching.models import Workflow
from coaching.tests.domain import make_auto
make_auto(Workflow.objects.get(workflow_id={CLAIM!r}), by=User.objects.get(username="owner"))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    site = LiveSite(tmp_path_factory.mktemp("killed"))
    site.environment |= {"COACHSITE_MAX_BROWSERS": "5"}
    site.manage("migrate", "--noinput", "-v0")
    site.manage("first_start", "--site-url", site.url)
    site.manage("shell", "-v0", "-c", PROMOTE)
    site.start()
    try:
        yield site
    finally:
        site.stop()
        print(site.log.read_text()[-20_000:])


class Killer:
    """Ends one process after the other without a word, and starts it again as a supervisor would."""

    def __init__(self, site: LiveSite) -> None:
        self.site, self.chance = site, random.Random(SEED)
        self.victims = self.chance.sample(VICTIMS, len(VICTIMS))
        self.killed: Counter[str] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _go_on(self) -> None:
        while self.victims and not self._over.wait(self.chance.uniform(0.3, 1.8)):
            victim = self.victims.pop()
            if victim == "browser":
                self._kill_a_browser()
                continue
            self.site.kill(victim)
            self.killed[victim.partition("-")[0]] += 1
            time.sleep(self.chance.uniform(0, 0.4))
            self.site.start(victim)

    def _kill_a_browser(self) -> None:
        until(lambda: browsers_of(self.site.folder) or self._over.is_set(), what="a browser")
        leaders = sorted({os.getpgid(pid) for pid in browsers_of(self.site.folder) if _lives(pid)})
        if leaders:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.chance.choice(leaders), signal.SIGKILL)
                self.killed["browser"] += 1


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.getpgid(pid)
        return True
    return False


class Coach(Program):
    """Decides as people do: mostly yes, now and then otherwise; and looks before it does a thing again."""

    def __init__(self, site: LiveSite, token: str, kept: Acknowledged, chance: random.Random) -> None:
        super().__init__(site, token, kept)
        self.site, self.chance = site, chance

    def call(self, method: str, path: str, body: Any = None, *, patience: float = PATIENCE) -> Any:
        return super().call(method, path, body, patience=patience)

    def external(self, number: int) -> str:
        session = self.start(execution_id=f"external {number}", total_steps=0)
        for _ in range(self.chance.randrange(3, 8)):
            self.ask_and_decide(session, self.chance.choice(["accept", "accept", "accept", "reject", "skip", "manual"]))
            self._rest(session)
        self.call("POST", f"sessions/{session}/complete/", {"success": True})
        return session

    def short(self, number: int) -> str:
        session = self.start("opens", execution_id=f"short {number}")

        def answer(question: Any) -> None:
            kind = self.chance.choice(["accept"] * 5 + ["skip", "reject", "manual", "correct"])
            more: dict[str, Any] = {}
            if kind == "correct":
                if question["action_type"] != "change":
                    kind = "accept"
                else:
                    more = {"correction": {**question["action"], "value": f"corrected {self.chance.random()}"}}
            self.decide(session, question["n"], kind, **more)

        self._to_the_end(session, answer)
        return session

    def claim(self, number: int, mode: str) -> str:
        title = f"{mode} claim {number}"
        variables = {"what_was_it_for": title}
        session = self.start(CLAIM, execution_id=title, mode=mode, variables=variables)
        tries: Counter[int] = Counter()

        def answer(question: Any) -> None:
            index = question["step_index"]
            tries[index] += 1
            filed = question["node_id"] == SUBMIT and bool(claims_of(self.site, title))
            done = filed or tries[index] > TRIES
            self.decide(session, question["n"], "manual" if done else "accept")

        self._to_the_end(session, answer)
        return session

    def _rest(self, session: str) -> None:
        if self.chance.random() < 0.1:
            # What was done before an answer was lost is in its way the second time.
            assert self.call("POST", f"sessions/{session}/pause/").status_code in {200, 409}
            assert self.call("POST", f"sessions/{session}/resume/").status_code in {200, 409}

    def _to_the_end(self, session: str, answer: Callable[[Any], None]) -> None:
        end = time.monotonic() + PATIENCE
        while (now := self.get(f"sessions/{session}/"))["status"] == "active":
            if now["open_suggestion"]:
                answer(now["open_suggestion"])
                self._rest(session)
            assert time.monotonic() < end, now
            time.sleep(0.4)
        assert now["status"] == "completed", now


def claims_of(site: LiveSite, title: str) -> int:
    return int(site.rows("SELECT count(*) FROM demo_claim WHERE title = ?", title)[0][0])


def test_fifty_sessions_through_kill_9(site: LiveSite) -> None:
    token, kept = token_of(site), Acknowledged()
    first = Coach(site, token, kept, random.Random(SEED))
    first.post("workflows/", {"workflow_id": "invoices", "name": "Invoices", "executor": "external"})
    user_name = {"type": "change", "selectors": [["aria/User name"], ["#id_user_name"]], "value": "pat"}
    opens = {"title": "Opens", "steps": [{"type": "navigate", "url": f"{site.url}/demo/"}, user_name]}
    first.post("workflows/import/?workflow_id=opens", opens)

    runs: list[Callable[[Coach], str]] = [
        *(lambda coach, n=n: coach.claim(n, "auto") for n in range(AUTOMATIC)),
        *(lambda coach, n=n: coach.claim(n, "coaching") for n in range(COACHED)),
        *(lambda coach, n=n: coach.short(n) for n in range(SHORT)),
        *(lambda coach, n=n: coach.external(n) for n in range(EXTERNAL)),
    ]
    random.Random(SEED).shuffle(runs)
    with Killer(site) as killer, ThreadPoolExecutor(6) as threads:
        coaches = [Coach(site, token, kept, random.Random(SEED + n)) for n in range(len(runs))]
        sessions = list(threads.map(lambda pair: pair[0](pair[1]), zip(runs, coaches, strict=True)))
    print(f"killed {dict(killer.killed)}; {len(kept.decisions)} decisions acknowledged; answers {dict(kept.answers)}")

    assert len(set(sessions)) == EXTERNAL + SHORT + COACHED + AUTOMATIC
    assert set(killer.killed) == {"web", "worker", "sweep", "browser"}
    assert set(site.rows("SELECT status FROM coaching_session WHERE status <> 'abandoned'")) == {("completed",)}
    assert_nothing_is_lost(site.rows, kept.decisions)
    assert_nothing_was_done_twice_unasked(site)
    site.manage("rebuild_metrics", "--check")
    until(lambda: not browsers_of(site.folder), what="the last browsers to be closed")
    site.manage("sweep")
    assert [folder for folder in (site.folder / "browsers").iterdir() if folder.is_dir()] == []


def assert_nothing_was_done_twice_unasked(site: LiveSite) -> None:
    assert not site.rows("SELECT title FROM demo_claim GROUP BY title HAVING count(*) > 1"), "a claim was filed twice"
    assert not site.rows(
        "SELECT session_id, data ->> 'n' FROM coaching_sessionevent WHERE type = 'step.performing' "
        "GROUP BY session_id, data ->> 'n' HAVING count(*) > 1"
    ), "one decision was performed twice"
    assert not site.rows(
        "SELECT g.id FROM coaching_suggestion g JOIN coaching_suggestion before ON before.session_id = g.session_id "
        "AND before.step_index = g.step_index AND before.n < g.n AND before.performing_since IS NOT NULL "
        "WHERE g.asked_because = ''"
    ), "a step was begun again without anybody being asked"
    dangling = "SELECT count(*) FROM coaching_suggestion WHERE performing_since IS NOT NULL AND outcome IS NULL"
    until(lambda: site.rows(dangling) == [(0,)], what="every action that was begun to have its outcome")
