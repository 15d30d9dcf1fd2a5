"""The five decisions, failures, expiry, pauses and restarts, against a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import httpx
import pytest
from coachsite_client import (
    AlreadyDecided,
    BadRequest,
    Coach,
    CoachError,
    IllegalTransition,
    NotFound,
    NothingToPerform,
    NotSignedIn,
    PermissionDenied,
    SessionEnded,
    StillWaiting,
    Unreachable,
    Withdrawn,
)

from coaching.tests.live import LiveSite, free_port, until

from .support import Decider, token_of

pytestmark = pytest.mark.live

Deciding = Callable[..., Decider]
INVOICE = {"number": 7, "amount": "42.50"}
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364600000000600023081d02f"
    "0000000049454e44ae426082"
)


def later(act: Callable[[], object], seconds: float = 0.3) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def begun(coach: Coach, session_id: str) -> bool:
    return any(event["type"] == "step.performing" for event in coach.events(session_id, follow=False))


def test_accept(coach: Coach, workflow: str, deciding: Deciding) -> None:
    with deciding("accept"), coach.session(workflow, total_steps=1) as session:
        decision = session.ask(
            "post", INVOICE, confidence=0.8, rationale="on the scan", risk="irreversible", screenshot=PIXEL
        )
        assert (decision.decision, decision.perform, decision.replayed) == ("accept", True, False)
        assert (decision.n, decision.step_index, decision.attempt, decision.decided_by) == (1, 0, 1, "owner")
        assert decision.action == INVOICE
        assert begun(coach, session.session_id)
        assert decision.suggestion["action_type"] == "post"
        assert decision.suggestion["screenshot_url"]
        decision.succeeded()
        decision.succeeded()
        assert decision.outcome == "performed"
        with pytest.raises(IllegalTransition):
            decision.failed("no, it did not")
    assert coach.get_session(session.session_id)["status"] == "completed"


def test_correct_is_what_is_performed(coach: Coach, workflow: str, deciding: Deciding) -> None:
    corrected = {"number": 7, "amount": "24.50"}
    answer = {
        "decision": "correct",
        "correction": corrected,
        "reason_code": "wrong_value",
        "feedback": "swapped digits",
    }
    with deciding(answer), coach.session(workflow) as session:
        decision = session.ask("post", INVOICE, action_type="post_invoice")
        assert (decision.decision, decision.reason_code, decision.feedback) == (
            "correct",
            "wrong_value",
            "swapped digits",
        )
        done = []
        with decision.performing() as action:
            done.append(action)
        assert done == [corrected]
        assert decision.outcome == "performed"


@pytest.mark.parametrize("kind", ["reject", "manual", "skip"])
def test_nothing_to_perform(coach: Coach, workflow: str, deciding: Deciding, kind: str) -> None:
    with deciding({"decision": kind, "feedback": "because"}), coach.session(workflow) as session:
        decision = session.ask("post", INVOICE)
        assert (decision.decision, decision.perform, decision.action, decision.feedback) == (
            kind,
            False,
            None,
            "because",
        )
        with pytest.raises(NothingToPerform):
            decision.succeeded()
        with pytest.raises(NothingToPerform), decision.performing():
            pass


def test_manual_says_what_was_done(coach: Coach, workflow: str, deciding: Deciding) -> None:
    done = {"number": 7, "amount": "1.00"}
    with deciding({"decision": "manual", "correction": done}), coach.session(workflow) as session:
        decision = session.ask("post", INVOICE)
        assert (decision.action, decision.done_action) == (None, done)


def test_failure_is_asked_again_in_its_place(coach: Coach, workflow: str, deciding: Deciding) -> None:
    with deciding("accept", "accept", "accept") as decider, coach.session(workflow) as session:
        first = session.ask("post", INVOICE)
        with pytest.raises(RuntimeError), first.performing():
            raise RuntimeError("the portal is down")
        assert first.outcome == "failed"
        second = session.ask("post", INVOICE)
        assert (second.step_index, second.attempt) == (0, 2)
        second.succeeded()
        third = session.ask("post", INVOICE)
        assert (third.step_index, third.attempt) == (1, 1)
        third.succeeded()
    assert decider.seen[1]["error"] == "the portal is down"
    assert decider.seen[1]["asked_because"] == "trouble"


def test_going_on_after_a_failure_is_the_next_step(coach: Coach, workflow: str, deciding: Deciding) -> None:
    with deciding("accept", "accept", "accept"), coach.session(workflow) as session:
        session.ask("post", INVOICE).failed("locked")
        other = session.ask("post", INVOICE | {"number": 8})
        assert (other.step_index, other.attempt) == (1, 1)
        other.uncertain("no answer")
        changed = session.ask("post", INVOICE | {"number": 9}, again=True)
        assert (changed.step_index, changed.attempt) == (1, 2)
        changed.succeeded()


def test_waiting_has_an_end_if_one_is_set(coach: Coach, workflow: str, deciding: Deciding) -> None:
    with coach.session(workflow) as session:
        with pytest.raises(StillWaiting) as still:
            session.ask("post", INVOICE, timeout=0.3)
        assert still.value.suggestion is not None
        assert still.value.suggestion["status"] == "open"
        with deciding("accept"):
            decision = session.ask("post", INVOICE)
        assert (decision.n, decision.perform) == (1, True)
        decision.succeeded()


def test_decided_after_the_caller_had_stopped_waiting(coach: Coach, workflow: str) -> None:
    with coach.session(workflow) as session:
        with pytest.raises(StillWaiting):
            session.ask("post", INVOICE, timeout=0.1)
        coach.decide(session.session_id, 1, "accept")
        decision = session.ask("post", INVOICE)
        assert (decision.n, decision.perform) == (1, True)
        decision.succeeded()


@pytest.mark.parametrize("decided", [False, True])
def test_asking_something_else_drops_the_old_question(
    coach: Coach, workflow: str, deciding: Deciding, decided: bool
) -> None:
    with coach.session(workflow) as session:
        with pytest.raises(StillWaiting):
            session.ask("post", INVOICE, timeout=0.1)
        if decided:
            coach.decide(session.session_id, 1, "accept")
        with deciding("reject"):
            decision = session.ask("send", {"to": "alice"})
        assert (decision.n, decision.step_index, decision.decision) == (2, 0, "reject")
        assert coach.suggestions(session.session_id)[0]["status"] == ("decided" if decided else "withdrawn")


def test_withdrawn_by_somebody_else(
    site: LiveSite, coach: Coach, token: str, workflow: str, deciding: Deciding
) -> None:
    with coach.session(workflow) as session:

        def withdraw() -> None:
            httpx.post(
                f"{site.url}/api/v1/sessions/{session.session_id}/suggestions/1/withdraw/",
                json={"reason": "cancelled"}, headers={"Authorization": f"Token {token}"},
            ).raise_for_status()  # fmt: skip

        later(withdraw, 0.5)
        with pytest.raises(Withdrawn, match="cancelled"):
            session.ask("post", INVOICE)
        with deciding("accept"):
            decision = session.ask("post", INVOICE)
        assert (decision.step_index, decision.n) == (0, 2)
        decision.succeeded()


def test_pause_while_waiting(coach: Coach, workflow: str) -> None:
    with coach.session(workflow) as session:
        session_id = session.session_id

        def pause_decide_resume() -> None:
            until(lambda: coach.get_session(session_id)["open_suggestion"])
            coach.pause(session_id)
            time.sleep(0.5)
            coach.resume(session_id)
            coach.decide(session_id, 1, "accept")

        later(pause_decide_resume, 0.0)
        decision = session.ask("post", INVOICE)
        decision.succeeded()
        assert decision.n == 1


def test_pause_before_asking_waits_for_the_resume(coach: Coach, workflow: str, deciding: Deciding) -> None:
    with coach.session(workflow) as session:
        session.pause()
        with pytest.raises(StillWaiting, match="paused"):
            session.ask("post", INVOICE, timeout=0.3)
        later(session.resume)
        began = time.monotonic()
        with deciding("accept"):
            session.ask("post", INVOICE).succeeded()
        assert time.monotonic() - began > 0.25


def test_pause_between_decision_and_action(coach: Coach, workflow: str) -> None:
    with coach.session(workflow) as session:
        session_id = session.session_id
        with pytest.raises(StillWaiting):
            session.ask("post", INVOICE, timeout=0.1)
        coach.decide(session_id, 1, "accept")
        coach.pause(session_id)
        with pytest.raises(StillWaiting, match="paused"):
            session.ask("post", INVOICE, timeout=0.3)
        assert not begun(coach, session_id)
        later(session.resume)
        decision = session.ask("post", INVOICE)
        assert (decision.n, decision.perform) == (1, True)
        decision.succeeded()


def test_session_ended_while_waiting(coach: Coach, workflow: str) -> None:
    with coach.session(workflow) as session:
        later(session.abandon)
        with pytest.raises(SessionEnded) as ended:
            session.ask("post", INVOICE)
        assert ended.value.session["status"] == "abandoned"
        with pytest.raises(SessionEnded):
            session.ask("post", INVOICE)
    assert coach.get_session(session.session_id)["status"] == "abandoned"


@pytest.mark.parametrize("kind", ["reject", "skip"])
def test_expiry_that_decides(coach: Coach, workflow: str, kind: str) -> None:
    with coach.session(workflow) as session:
        decision = session.ask("post", INVOICE, expires_in=0.3, on_expiry=kind)
        assert (decision.decision, decision.decided_by, decision.perform) == (kind, "policy", False)
        assert decision.suggestion["status"] == "expired"


def test_expiry_that_pauses_asks_again_once_resumed(coach: Coach, workflow: str) -> None:
    with coach.session(workflow) as session:
        session_id = session.session_id

        def resume_and_accept() -> None:
            until(lambda: coach.get_session(session_id)["status"] == "paused")
            coach.resume(session_id)
            open_one = until(lambda: coach.get_session(session_id)["open_suggestion"])
            coach.decide(session_id, open_one["n"], "accept")

        later(resume_and_accept, 0.0)
        decision = session.ask("post", INVOICE, expires_in=1.5, on_expiry="pause")
        assert (decision.n, decision.step_index, decision.perform) == (2, 0, True)
        decision.succeeded()


def test_server_killed_while_waiting(site: LiveSite, coach: Coach, workflow: str) -> None:
    with coach.session(workflow) as session:

        def restart_and_accept() -> None:
            until(lambda: coach.get_session(session.session_id)["open_suggestion"])
            site.kill("web")
            time.sleep(0.5)
            site.start("web")
            coach.decide(session.session_id, 1, "accept")

        later(restart_and_accept, 0.2)
        decision = session.ask("post", INVOICE)
        assert decision.perform
        decision.succeeded()
    events = list(coach.events(session.session_id))
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events][-1] == "session.completed"


def test_patience_ends() -> None:
    with Coach(f"http://127.0.0.1:{free_port()}", "no token", patience=0.5) as coach, pytest.raises(Unreachable):
        coach.inbox()


def test_an_address_that_is_none() -> None:
    with pytest.raises(CoachError, match="http"):
        Coach("127.0.0.1:8000", "token")


def test_a_named_run_stays_open_and_an_unnamed_one_fails(coach: Coach, workflow: str) -> None:
    with pytest.raises(ZeroDivisionError), coach.session(workflow, "named") as named:
        raise ZeroDivisionError
    assert coach.get_session(named.session_id)["status"] == "active"
    with pytest.raises(ZeroDivisionError), coach.session(workflow) as unnamed:
        raise ZeroDivisionError("by zero")
    failed = coach.get_session(unnamed.session_id)
    assert (failed["status"], failed["error_message"]) == ("failed", "ZeroDivisionError: by zero")
    with pytest.raises(KeyboardInterrupt), coach.session(workflow, "named") as named:
        raise KeyboardInterrupt
    assert named.resumed
    assert coach.get_session(named.session_id)["status"] == "active"


def test_refusals_say_what_is_wrong(site: LiveSite, coach: Coach, workflow: str) -> None:
    with pytest.raises(NotFound):
        coach.start_session("no-such-workflow")
    with pytest.raises(NotFound), coach.session("no-such-workflow", create_workflow=False):
        pass
    with coach.session(workflow) as session:
        with pytest.raises(BadRequest, match="risk") as refused:
            session.ask("post", INVOICE, risk="deadly")
        assert (refused.value.status, refused.value.attr) == (400, "risk")
        with pytest.raises(CoachError, match="JSON"):
            session.ask("post", {"at": object()})
    with Coach(site.url, "wrong") as stranger, pytest.raises(NotSignedIn):
        stranger.inbox()


def test_only_an_owner_makes_workflows(site: LiveSite, workflow: str) -> None:
    site.manage(
        "shell", "-c",
        "from django.contrib.auth.models import Group, User\n"
        "User.objects.create_user('carl').groups.add(Group.objects.get(name='coach'))",
    )  # fmt: skip
    with Coach(site.url, token_of(site, "carl")) as carl:
        with pytest.raises(PermissionDenied, match="role of an owner"), carl.session(workflow):
            pass
        with Coach(site.url, token_of(site)) as olga:
            assert olga.ensure_workflow(workflow)["executor"] == "external"
            assert olga.ensure_workflow(workflow)["workflow_id"] == workflow
        with carl.session(workflow) as session:
            assert [found["session_id"] for found in carl.sessions(workflow_id=workflow, resumable=True)] == [
                session.session_id
            ]
        assert carl.sessions(workflow_id=workflow, resumable=True) == []
        assert carl.metrics(workflow)["workflow_id"] == workflow


def test_the_second_decision_brings_the_first(coach: Coach, workflow: str) -> None:
    with coach.session(workflow) as session:
        with pytest.raises(StillWaiting):
            session.ask("post", INVOICE, timeout=0.1)
        (item,) = [item for item in coach.inbox(limit=500) if item["workflow_id"] == workflow]
        coach.decide(item["session_id"], item["n"], "reject")
        with pytest.raises(AlreadyDecided) as late:
            coach.decide(item["session_id"], item["n"], "accept")
        assert late.value.decision["decision"] == "reject"
        coach.fail(session.session_id, "enough")
        assert coach.get_session(session.session_id)["error_message"] == "enough"


def test_events_as_they_happen_until_the_end(coach: Coach, workflow: str, deciding: Deciding) -> None:
    with coach.session(workflow) as session:
        found: list[str] = []
        reader = threading.Thread(target=lambda: found.extend(event["type"] for event in session.events()))
        reader.start()
        with deciding("accept"):
            session.ask("post", INVOICE).succeeded()
    reader.join(10)
    # The first decision on a step also changes its level.
    assert [kind for kind in found if not kind.startswith("level.")] == [
        "session.created", "suggestion.opened", "decision.recorded", "step.performing", "step.performed",
        "session.completed",
    ]  # fmt: skip
    assert [event["seq"] for event in coach.events(session.session_id, after=4, follow=False)] == [5, 6, 7]


def test_a_step_that_runs_alone_asks_nobody(site: LiveSite, coach: Coach, workflow: str, deciding: Deciding) -> None:
    with deciding("accept"), coach.session(workflow) as session:
        session.ask("post", INVOICE).succeeded()
    site.manage(
        "shell", "-c",
        "from coaching.models import Step, Workflow\n"
        f"of_ours = Workflow.objects.filter(workflow_id='{workflow}')\n"
        "of_ours.update(policy={'audit_rates': [0.0, 0.0, 0.0]})\n"
        "Step.objects.filter(workflow__in=of_ours).update(level='AUTO')",
    )  # fmt: skip
    with coach.session(workflow, mode="auto") as session:
        decision = session.ask("post", INVOICE | {"number": 8}, timeout=10)
        assert (decision.decision, decision.decided_by, decision.perform) == ("accept", "policy", True)
        decision.succeeded()
    assert coach.get_session(session.session_id)["status"] == "completed"
