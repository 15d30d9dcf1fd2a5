"""Decisions over the API: which suggestion an answer is for, and what is answered when it is for none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from coaching.actions.sessions import abandon_session, pause_session, start_session
from coaching.actions.suggestions import withdraw_suggestion
from coaching.models import Decision, Session, Suggestion, Workflow

DECISION = {
    "step_index", "node_id", "action_type", "decision", "correction", "feedback", "reason_code", "timestamp",
    "execution_success", "decided_by", "latency_ms",
}  # fmt: skip
RECORD = {"step_index": 0, "node_id": "check-total", "action_type": "compare", "decision": "manual"}


@pytest.fixture
def program(coach: User, api: Callable[[User], APIClient]) -> APIClient:
    return api(coach)


def decide(program: APIClient, session: Session, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = program.post(f"/api/v1/sessions/{session.session_id}/decisions/", body)
    return answer.status_code, answer.json()


def refused(program: APIClient, session: Session, **body: Any) -> tuple[int, str]:
    status, answer = decide(program, session, **body)
    return status, answer["errors"][0]["code"]


def test_the_shape_of_the_contract(program: APIClient, suggestion: Suggestion) -> None:
    session = suggestion.session
    correction = {"type": "change", "selectors": [["#amount"]], "value": "24.50"}
    status, decision = decide(
        program, session, decision="correct", correction=correction, feedback=" swapped ", reason_code="wrong_value"
    )
    assert status == 201
    assert set(decision) == DECISION
    assert decision["correction"] == correction
    assert (decision["feedback"], decision["reason_code"], decision["decided_by"]) == ("swapped", "wrong_value", "carl")
    assert decision["execution_success"] is None
    assert decision["latency_ms"] >= 0
    listed = program.get(f"/api/v1/sessions/{session.session_id}/decisions/").json()
    assert listed == {"next": None, "results": [decision]}
    detail = program.get(f"/api/v1/sessions/{session.session_id}/").json()
    assert (detail["decisions"], detail["current_step_index"]) == ([decision], 1)
    shown = program.get(f"/api/v1/sessions/{session.session_id}/suggestions/1/").json()
    assert (shown["status"], shown["decision"]) == ("decided", decision)


@pytest.mark.parametrize("kind", Decision.Kind.values)
@pytest.mark.parametrize(
    "named", [{}, {"n": 1}, {"step_index": 0}, {"n": 1, "step_index": 0, "node_id": "change-amount"}]
)
def test_every_kind_however_it_is_addressed(
    program: APIClient, suggestion: Suggestion, kind: str, named: dict[str, Any]
) -> None:
    correction = {"correction": suggestion.action | {"value": "1"}} if kind == "correct" else {}
    status, decision = decide(program, suggestion.session, decision=kind, **correction, **named)
    assert (status, decision.get("decision")) == (201, kind)


def test_the_second_answer_gets_the_first_decision(
    program: APIClient, second_coach: User, api: Callable[[User], APIClient], suggestion: Suggestion
) -> None:
    _, first = decide(program, suggestion.session, decision="accept")
    for body in ({}, {"n": 1}, {"step_index": 0}, {"n": 1, "step_index": 0}):
        status, second = decide(api(second_coach), suggestion.session, decision="reject", **body)
        assert (status, second["errors"][0]["code"]) == (409, "already_decided"), body
        assert second["type"] == "client_error"
        assert second["decision"] == first


def test_a_step_that_is_not_the_open_one_is_stale(
    program: APIClient, suggestion: Suggestion, ask: Callable[..., Suggestion]
) -> None:
    session = suggestion.session
    stale = (409, "stale_step")
    assert refused(program, session, decision="accept", step_index=1) == stale
    assert refused(program, session, decision="accept", node_id="click-save") == stale
    assert refused(program, session, decision="accept", n=2) == stale
    assert refused(program, session, decision="accept", n=1, step_index=1) == stale
    assert decide(program, session, decision="skip")[0] == 201
    # Decided, and the next is not proposed yet.
    assert refused(program, session, decision="accept", step_index=1) == stale
    ask(session)
    assert refused(program, session, decision="accept", step_index=0) == stale
    assert refused(program, session, decision="accept", n=1) == (409, "already_decided")
    assert session.decisions.count() == 1


def test_a_withdrawn_suggestion_is_stale(program: APIClient, suggestion: Suggestion) -> None:
    withdraw_suggestion(suggestion, reason="test")
    assert refused(program, suggestion.session, decision="accept", n=1) == (409, "stale_step")
    assert refused(program, suggestion.session, decision="accept") == (409, "stale_step")


def test_a_session_that_is_not_active(program: APIClient, suggestion: Suggestion, coach: User) -> None:
    session = suggestion.session
    pause_session(session, by=coach)
    assert refused(program, session, decision="accept") == (409, "session_not_active")
    abandon_session(session, by=coach)
    assert refused(program, session, decision="accept") == (409, "session_not_active")
    assert refused(program, session, decision="accept", step_index=0) == (409, "session_not_active")


def test_an_ended_session_tells_the_decision_it_is_asked_for(
    program: APIClient, suggestion: Suggestion, coach: User
) -> None:
    session = suggestion.session
    decide(program, session, decision="skip")
    session.refresh_from_db()
    abandon_session(session, by=coach)
    assert refused(program, session, decision="accept") == (409, "session_not_active")
    assert refused(program, session, decision="accept", n=1) == (409, "already_decided")


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"decision": "correct"}, "correction"),
        ({"decision": "correct", "correction": {}}, "correction"),
        ({"decision": "correct", "correction": {"type": "nonsense"}}, "correction"),
        ({"decision": "correct", "correction": {"type": "navigate", "url": "file:///etc/passwd"}}, "correction"),
        ({"decision": "accept", "correction": {"type": "close"}}, "correction"),
        ({"decision": "accept", "reason_code": "unsafe"}, "reason_code"),
        ({"decision": "reject", "reason_code": "because"}, "reason_code"),
        ({"decision": "accept", "execution_success": True}, "execution_success"),
        ({"decision": "accept", "timestamp": "2031-01-01T00:00:00Z"}, "timestamp"),
        ({"decision": "maybe"}, "decision"),
        ({}, "decision"),
    ],
)
def test_an_answer_that_does_not_fit_leaves_the_suggestion_open(
    program: APIClient, suggestion: Suggestion, body: dict[str, Any], attr: str
) -> None:
    status, answer = decide(program, suggestion.session, **body)
    assert (status, answer["errors"][0]["attr"]) == (400, attr)
    suggestion.refresh_from_db()
    assert suggestion.is_open
    assert not Decision.objects.exists()


def test_recording_decisions_made_elsewhere(program: APIClient, external_session: Session) -> None:
    status, decision = decide(
        program, external_session, **RECORD, execution_success=True, timestamp="2031-05-04T12:30:00+02:00"
    )
    assert status == 201, decision
    assert decision["timestamp"] == "2031-05-04T10:30:00.000000Z"
    assert (decision["execution_success"], decision["latency_ms"]) == (True, None)
    steps = program.get("/api/v1/workflows/invoice-import/").json()["steps"]
    assert [(step["node_id"], step["action_type"]) for step in steps] == [("check-total", "compare")]
    assert decide(program, external_session, **RECORD | {"step_index": 1, "node_id": "book"})[0] == 201
    shown = program.get(f"/api/v1/sessions/{external_session.session_id}/").json()
    assert (shown["current_step_index"], shown["stats"]["manual_executions"]) == (2, 2)


@pytest.mark.parametrize("missing", ["step_index", "node_id", "action_type"])
def test_half_a_record_is_none(program: APIClient, external_session: Session, missing: str) -> None:
    body = {name: value for name, value in RECORD.items() if name != missing}
    assert refused(program, external_session, **body) == (409, "stale_step")


def test_a_browser_session_takes_no_records(program: APIClient, session: Session) -> None:
    assert refused(program, session, **RECORD) == (409, "stale_step")


def test_a_record_beyond_the_last_step(program: APIClient, external_workflow: Workflow, coach: User) -> None:
    session = start_session(external_workflow, by=coach, total_steps=2)
    assert refused(program, session, **RECORD | {"step_index": 2}) == (400, "invalid")
