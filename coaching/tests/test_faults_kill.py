"""`kill -9` of everything there is, while fifty sessions run: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from coaching.tests.browser_pages import Site, serve
from coaching.tests.faults import (
    TIMES,
    Acknowledged,
    Program,
    assert_nothing_is_lost,
    browsers_of,
    token_of,
)
from coaching.tests.killer import BROWSER_AT_WORK, WEB_AT_AN_ANSWER, WORKER_AT_WORK, Killer
from coaching.tests.live import LiveSite, until

pytestmark = [pytest.mark.faults, pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(300 + 300 * TIMES)]

SEED = int(os.environ.get("COACHSITE_FAULTS_SEED", "20260101"))
CLAIM, SUBMIT, PRESSES = "file-an-expense-claim", "click-submit-claim", "presses"
#: How many sessions of each kind, and in which mode: 16 of 50 are automatic.
EXTERNAL, SHORT = 18 * TIMES, 10 * TIMES
CLAIMS = {"auto": 4 * TIMES, "coaching": 3 * TIMES}
PRESSED = {"auto": 12 * TIMES, "coaching": 3 * TIMES}
RUNS = [f"{mode}-{number}" for mode, many in PRESSED.items() for number in range(many)]
PATIENCE = 100.0 + 100 * TIMES
#: All of them are ended, in an order and at moments of chance; then the sessions may come to their end.
AT_WORK = 8 * TIMES
VICTIMS = AT_WORK * [WORKER_AT_WORK] + TIMES * [
    "web", *2 * ["worker-1", "worker-2", "sweep"], *3 * [WEB_AT_AN_ANSWER, BROWSER_AT_WORK], *4 * ["browser"]
]  # fmt: skip
#: Somebody who has tried this often does it by hand.
TRIES = 3
#: A page whose every button sends a form to an address of its own, and leads to the same page again. Its answers take
#: so long that a worker can be met in the middle of a press.
BUTTONS = (1, 2, 3)
PAGE = "".join(f"<form method=post action={n}><button>Press {n}</button></form>" for n in BUTTONS)
PAGE_SECONDS = 0.4

PREPARE = """
from django.contrib.auth.models import User
from coaching.actions.workflows import create_workflow
from coaching.models import Workflow
from coaching.tests.domain import make_auto
owner = User.objects.get(username="owner")
press = [
    {{
        "node_id": f"press-{{n}}", "risk": "irreversible",
        "action": {{"type": "click", "selectors": [[f"aria/Press {{n}}"]], "target": "main", "offsetX": 2, "offsetY": 2}},
    }}
    for n in {buttons}
]
open_page = {{"node_id": "open", "action": {{"type": "navigate", "url": "{origin}/{{{{ run }}}}/"}}}}
presses = create_workflow(workflow_id="{presses}", name="Presses", executor="browser", steps=[open_page, *press], by=owner)
presses.variables.create(name="run", label="Run", default="none")
for workflow in (presses, Workflow.objects.get(workflow_id="{claim}")):
    make_auto(workflow, by=owner)
"""


@pytest.fixture(scope="module")
def pages() -> Iterator[Site]:
    with serve() as running:
        running.delay = PAGE_SECONDS
        running.pages |= {f"/{run}/{rest}": PAGE for run in RUNS for rest in ("", *BUTTONS)}
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, pages: Site) -> Iterator[LiveSite]:
    site = LiveSite(tmp_path_factory.mktemp("killed"))
    site.environment |= {"COACHSITE_MAX_BROWSERS": "5"}
    site.manage("migrate", "--noinput", "-v0")
    site.manage("first_start", "--site-url", site.url)
    prepare = PREPARE.format(buttons=BUTTONS, origin=pages.origin, presses=PRESSES, claim=CLAIM)
    site.manage("shell", "-v0", "-c", prepare)
    site.start()
    try:
        yield site
    finally:
        site.stop()
        print(site.log.read_text()[-20_000:])


class Coach(Program):
    """Decides as people do: mostly yes, now and then otherwise; and looks before it does a thing again."""

    def __init__(self, site: LiveSite, pages: Site, token: str, kept: Acknowledged, chance: random.Random) -> None:
        super().__init__(site, token, kept)
        self.site, self.pages, self.chance = site, pages, chance

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
            # A browser that was killed has lost its login: what is not on the page will not come by asking again.
            hopeless = is_missing(question) or tries[index] > TRIES
            self.decide(session, question["n"], "manual" if filed or hopeless else "accept")

        self._to_the_end(session, answer)
        return session

    def presses(self, run: str, mode: str) -> str:
        session = self.start(PRESSES, execution_id=run, mode=mode, variables={"run": run})
        tries: Counter[str] = Counter()

        def answer(question: Any) -> None:
            node_id = question["node_id"]
            tries[node_id] += 1
            hopeless = is_missing(question) or tries[node_id] > TRIES
            button = node_id.partition("-")[2]
            pressed = bool(button) and f"POST /{run}/{button}" in self.pages.visits
            by_hand = pressed or hopeless
            if self.decide(session, question["n"], "manual" if by_hand else "accept") and by_hand and not pressed:
                httpx.post(f"{self.pages.origin}/{run}/{button}")

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


def is_missing(question: Any) -> bool:
    return "was not found" in (question["error"] or "")


def claims_of(site: LiveSite, title: str) -> int:
    return int(site.rows("SELECT count(*) FROM demo_claim WHERE title = ?", title)[0][0])


def test_fifty_sessions_through_kill_9(site: LiveSite, pages: Site) -> None:
    token, kept = token_of(site), Acknowledged()
    first = Coach(site, pages, token, kept, random.Random(SEED))
    first.post("workflows/", {"workflow_id": "invoices", "name": "Invoices", "executor": "external"})
    user_name = {"type": "change", "selectors": [["aria/User name"], ["#id_user_name"]], "value": "pat"}
    opens = {"title": "Opens", "steps": [{"type": "navigate", "url": f"{site.url}/demo/"}, user_name]}
    first.post("workflows/import/?workflow_id=opens", opens)

    runs = in_an_order_of_chance()
    with Killer(site, kept, victims=VICTIMS, seed=SEED) as killer, ThreadPoolExecutor(6) as threads:
        coaches = [Coach(site, pages, token, kept, random.Random(SEED + n)) for n in range(len(runs))]
        sessions = list(threads.map(lambda pair: pair[0](pair[1]), zip(runs, coaches, strict=True)))
    print(f"killed {dict(killer.killed)}; {len(kept.decisions)} decisions acknowledged; answers {dict(kept.answers)}")

    assert len(set(sessions)) == 50 * TIMES
    assert not killer.victims, "some were never ended"
    assert set(site.rows("SELECT status FROM coaching_session WHERE status <> 'abandoned'")) == {("completed",)}
    assert_nothing_is_lost(site.rows, kept.decisions)
    assert_nothing_was_done_twice_unasked(site, pages, cut_short=killer.cut_short)
    site.manage("rebuild_metrics", "--check")
    until(lambda: not browsers_of(site.folder), what="the last browsers to be closed")
    site.manage("sweep")
    assert [folder for folder in (site.folder / "browsers").iterdir() if folder.is_dir()] == []


def in_an_order_of_chance() -> list[Callable[[Coach], str]]:
    runs: list[Callable[[Coach], str]] = [
        *(lambda coach, n=n, mode=mode: coach.claim(n, mode) for mode, many in CLAIMS.items() for n in range(many)),
        *(lambda coach, run=run: coach.presses(run, run.partition("-")[0]) for run in RUNS),
        *(lambda coach, n=n: coach.short(n) for n in range(SHORT)),
        *(lambda coach, n=n: coach.external(n) for n in range(EXTERNAL)),
    ]
    random.Random(SEED).shuffle(runs)
    return runs


def assert_nothing_was_done_twice_unasked(site: LiveSite, pages: Site, *, cut_short: list[int]) -> None:
    pressed = {press: pages.visits.count(f"POST /{press}") for press in (f"{run}/{n}" for run in RUNS for n in BUTTONS)}
    assert set(pressed.values()) == {1}, f"a button was pressed again, or not at all: {pressed}"
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
    begun = dict(site.rows("SELECT id, outcome FROM coaching_suggestion WHERE performing_since IS NOT NULL"))
    assert len(cut_short) >= AT_WORK
    assert {begun[suggestion] for suggestion in cut_short} == {"uncertain"}, "nobody can know what became of these"
