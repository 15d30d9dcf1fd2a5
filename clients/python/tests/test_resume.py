"""A program that was killed is started again under the same execution_id, and goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from coachsite_client import Coach, ReplayMismatch, SessionEnded, StillWaiting

from coaching.tests.live import LiveSite, until

from .support import Decider, environment

pytestmark = pytest.mark.live

Deciding = Callable[..., Decider]
JSON = dict[str, Any]
KILLED = -9


class Program:
    def __init__(self, site: LiveSite, token: str, workflow: str, ledger: Path) -> None:
        self.site, self.token, self.workflow, self.ledger = site, token, workflow, ledger

    def __call__(self, moment: str, on_uncertain: str = "ask") -> tuple[int, list[JSON]]:
        """`(exit status, the decisions that it printed)`"""
        program = Path(__file__).with_name("program.py")
        words = [self.site.url, self.token, self.workflow, "november", str(self.ledger), moment, on_uncertain]
        done = subprocess.run(
            [sys.executable, program, *words],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in {0, KILLED}, done.stderr
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def posted(self) -> list[str]:
        return self.ledger.read_text().split()


@pytest.fixture
def program(site: LiveSite, token: str, workflow: str, tmp_path: Path) -> Program:
    return Program(site, token, workflow, tmp_path / "ledger.txt")


def check_history(coach: Coach, workflow: str, kinds: Sequence[str]) -> None:
    (found,) = coach.sessions(workflow_id=workflow)
    session = coach.get_session(found["session_id"])
    assert session["status"] == "completed"
    assert [decision["decision"] for decision in session["decisions"]] == [*kinds]
    seqs = [event["seq"] for event in coach.events(found["session_id"], follow=False)]
    assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize("moment", ["asked", "told", "reported"])
def test_nothing_is_asked_or_done_twice(
    program: Program, coach: Coach, workflow: str, deciding: Deciding, moment: str
) -> None:
    with deciding("accept", "accept", "accept"):
        assert program(moment)[0] == KILLED
        status, decisions = program("never")
    assert status == 0
    assert program.posted() == ["0", "1", "2"]
    assert [decision["replayed"] for decision in decisions] == [
        True,
        moment != "asked" or decisions[1]["replayed"],
        False,
    ]
    check_history(coach, workflow, ["accept"] * 3)


def test_killed_while_waiting_and_decided_while_dead(
    program: Program, coach: Coach, workflow: str, deciding: Deciding
) -> None:
    with deciding("accept"):
        assert program("waiting")[0] == KILLED
    with deciding({"decision": "correct", "correction": {"number": 11}}):
        pass_until_empty(coach, workflow)
    with deciding("accept"):
        status, decisions = program("never")
    assert status == 0
    assert [decision["perform"] for decision in decisions] == [False, True, True]
    assert program.posted() == ["0", "11", "2"]
    check_history(coach, workflow, ["accept", "correct", "accept"])


def pass_until_empty(coach: Coach, workflow: str) -> None:
    until(lambda: not [item for item in coach.inbox(limit=500) if item["workflow_id"] == workflow])


def test_killed_while_waiting_and_still_open(program: Program, coach: Coach, workflow: str, deciding: Deciding) -> None:
    with deciding("accept"):
        assert program("waiting")[0] == KILLED
    with deciding("reject", "accept"):
        status, decisions = program("never")
    assert status == 0
    assert [(decision["n"], decision["attempt"]) for decision in decisions] == [(1, 1), (2, 1), (3, 1)]
    assert program.posted() == ["0", "2"]
    check_history(coach, workflow, ["accept", "reject", "accept"])


@pytest.mark.parametrize(("moment", "answer"), [("begun", "accept"), ("performed", "manual")])
def test_begun_and_not_reported_is_for_the_coach_to_say(
    program: Program, coach: Coach, deciding: Deciding, moment: str, answer: str
) -> None:
    with deciding("accept", "accept"):
        assert program(moment)[0] == KILLED
    with deciding(answer, "accept") as decider:
        status, decisions = program("never")
    assert status == 0
    assert decisions[1]["attempt"] == 2
    assert decider.seen[0]["asked_because"] == "trouble"
    assert "interrupted" in decider.seen[0]["error"]
    assert program.posted() == ["0", "1", "2"]
    check_history(coach, program.workflow, ["accept", "accept", answer, "accept"])


@pytest.mark.parametrize("moment", ["begun", "performed"])
def test_what_may_be_done_twice_is_done_without_asking(
    program: Program, coach: Coach, workflow: str, deciding: Deciding, moment: str
) -> None:
    with deciding("accept", "accept", "accept"):
        assert program(moment, "perform")[0] == KILLED
        status, decisions = program("never", "perform")
    assert status == 0
    assert decisions[1] == {"n": 2, "attempt": 1, "decision": "accept", "perform": True, "replayed": True}
    assert program.posted() == (["0", "1", "2"] if moment == "begun" else ["0", "1", "1", "2"])
    check_history(coach, workflow, ["accept"] * 3)


def test_a_completed_run_started_again_does_nothing(
    program: Program, coach: Coach, workflow: str, deciding: Deciding
) -> None:
    with deciding("accept", "skip", "accept"):
        assert program("completed")[0] == KILLED
    status, decisions = program("never")
    assert status == 0
    assert [(decision["perform"], decision["replayed"]) for decision in decisions] == [(False, True)] * 3
    assert program.posted() == ["0", "2"]
    check_history(coach, workflow, ["accept", "skip", "accept"])


def test_another_program_under_the_same_name(coach: Coach, workflow: str, deciding: Deciding) -> None:
    session = coach.session(workflow, "run").start()
    with deciding("accept"):
        session.ask("post", {"number": 1}).succeeded()
    again = coach.session(workflow, "run").start()
    assert again.resumed
    with pytest.raises(ReplayMismatch, match="“post” when this run began, and now it is “send”"):
        again.ask("send", {})
    # Another action at the same step: refused, unless the program says that it does not mind.
    easy = coach.session(workflow, "run", exact_replay=False).start()
    assert easy.ask("post", {"number": 2}).perform is False
    strict = coach.session(workflow, "run").start()
    with pytest.raises(ReplayMismatch, match="number"):
        strict.ask("post", {"number": 2})
    assert strict.ask("post", {"number": 1}).done_action == {"number": 1}
    session.complete()
    with pytest.raises(SessionEnded):
        strict.ask("post", {"number": 2})


def test_open_question_about_something_else_is_taken_back(coach: Coach, workflow: str, deciding: Deciding) -> None:
    session = coach.session(workflow, "run").start()
    with pytest.raises(StillWaiting):
        session.ask("post", {"number": 1}, timeout=0.1)
    again = coach.session(workflow, "run").start()
    with pytest.raises(StillWaiting):
        again.ask("post", {"number": 2}, timeout=0.1)
    # Only now, or the coach might answer the old question before it is taken back.
    with deciding("accept"):
        decision = again.ask("post", {"number": 2})
    assert (decision.n, decision.step_index, decision.action) == (2, 0, {"number": 2})
    assert [found["status"] for found in coach.suggestions(session.session_id)] == ["withdrawn", "decided"]
    again.abandon()


def test_failed_and_gone_on_from_is_not_asked_again(coach: Coach, workflow: str, deciding: Deciding) -> None:
    session = coach.session(workflow, "run").start()
    with deciding("accept", "accept"):
        session.ask("post", {"number": 1}).failed("locked")
        session.ask("post", {"number": 2}).failed("locked too")
    again = coach.session(workflow, "run").start()
    first = again.ask("post", {"number": 1})
    assert (first.perform, first.outcome, first.replayed) == (False, "failed", True)
    with deciding("accept"):
        second = again.ask("post", {"number": 2})
    assert (second.step_index, second.attempt, second.perform) == (1, 2, True)
    second.succeeded()
    again.complete()
