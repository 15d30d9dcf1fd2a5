from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User

from coaching.actions.answers import Addressed, answer_session
from coaching.actions.decisions import Answer, record_decision
from coaching.actions.sessions import abandon_session, pause_session, start_session
from coaching.exceptions import AlreadyDecided, InvalidInput, SessionNotActive, StaleStep
from coaching.models import Decision, Session, Suggestion, Workflow
from coaching.models.session import MAX_STEPS

from .domain import assert_consistent, event_types

PAY: dict[str, Any] = {"node_id": "pay", "action_type": "payment"}


def test_keeps_what_was_decided_elsewhere(external_session: Session, coach: User) -> None:
    at = datetime(2026, 11, 1, 12, tzinfo=UTC)
    decision = record_decision(
        external_session,
        Answer(decision="correct", correction={"iban": "DE2"}, feedback="typo", reason_code="wrong_value"),
        step_index=2,
        **PAY,
        execution_success=True,
        timestamp=at,
        by=coach,
    )
    decision.refresh_from_db()
    assert (decision.step_index, decision.node_id, decision.action_type) == (2, "pay", "payment")
    assert (decision.correction, decision.difference) == ({"iban": "DE2"}, [])
    assert (decision.feedback, decision.reason_code) == ("typo", "wrong_value")
    assert (decision.execution_success, decision.timestamp) == (True, at)
    assert (decision.suggestion, decision.latency_ms, decision.decided_by) == (None, None, coach.username)
    external_session.refresh_from_db()
    assert (external_session.corrected, external_session.current_step_index) == (1, 3)
    assert event_types(external_session) == ["session.created", "decision.recorded", "level.changed"]
    assert external_session.events.get(seq=2).data["n"] is None
    assert_consistent(external_session)


def test_a_step_comes_into_being_when_it_is_first_named(external_session: Session, coach: User) -> None:
    for index, node_id in enumerate(["log-in", "pay", "log-in"]):
        record_decision(
            external_session, Answer(decision="accept"), step_index=index, node_id=node_id, action_type="do", by=coach
        )
    steps = external_session.workflow.current_steps()
    assert [(step.node_id, step.step_index, step.version.action_type) for step in steps] == [
        ("log-in", 0, "do"),
        ("pay", 1, "do"),
    ]


def test_the_place_of_a_session_never_goes_back(external_session: Session, coach: User) -> None:
    for step_index in [4, 1]:
        record_decision(external_session, Answer(decision="skip"), step_index=step_index, **PAY, by=coach)
    external_session.refresh_from_db()
    assert external_session.current_step_index == 5


def test_a_browser_workflow_has_no_decisions_from_elsewhere(session: Session, coach: User) -> None:
    with pytest.raises(InvalidInput, match="answer its suggestions"):
        record_decision(session, Answer(decision="accept"), step_index=0, **PAY, by=coach)
    assert_consistent(session)


def test_a_step_beyond_the_last_is_refused(external_workflow: Workflow, external_session: Session, coach: User) -> None:
    two_steps = start_session(external_workflow, by=coach, total_steps=2)
    for session, step_index in [(two_steps, 2), (external_session, MAX_STEPS)]:
        with pytest.raises(InvalidInput, match="This session has") as refused:
            record_decision(session, Answer(decision="accept"), step_index=step_index, **PAY, by=coach)
        assert refused.value.field == "step_index"
    assert not Decision.objects.exists()
    assert not external_workflow.steps.exists()


def test_a_bad_answer_is_refused(external_session: Session, coach: User) -> None:
    with pytest.raises(InvalidInput):
        record_decision(external_session, Answer(decision="correct"), step_index=0, **PAY, by=coach)
    assert_consistent(external_session)


@pytest.mark.parametrize("move", [pause_session, abandon_session])
def test_only_into_an_active_session(
    external_session: Session, external_workflow: Workflow, coach: User, move: Callable[..., None]
) -> None:
    old_copy = Session.objects.get(pk=external_session.pk)
    move(external_session, by=coach)
    for copy in (external_session, old_copy):
        with pytest.raises(SessionNotActive, match=external_session.status):
            record_decision(copy, Answer(decision="accept"), step_index=0, **PAY, by=coach)
    assert not external_workflow.steps.exists()
    assert_consistent(external_session)


class TestBySession:
    """`answer_session`: the open suggestion where there is one, else a record."""

    def test_answers_the_open_suggestion(
        self, external_session: Session, ask: Callable[..., Suggestion], coach: User
    ) -> None:
        suggestion = ask(external_session)
        decision = answer_session(external_session, Answer(decision="accept"), Addressed(), by=coach)
        assert decision.suggestion == suggestion

    def test_records_when_nothing_is_open(self, external_session: Session, coach: User) -> None:
        decision = answer_session(
            external_session,
            Answer(decision="accept"),
            Addressed(step_index=0, **PAY),
            execution_success=False,
            by=coach,
        )
        assert (decision.suggestion, decision.execution_success) == (None, False)

    @pytest.mark.usefixtures("suggestion")
    @pytest.mark.parametrize(
        "to", [Addressed(n=2), Addressed(step_index=1), Addressed(node_id="pay"), Addressed(action_type="click")]
    )
    def test_another_step_than_the_open_one_is_stale(self, session: Session, coach: User, to: Addressed) -> None:
        with pytest.raises(StaleStep):
            answer_session(session, Answer(decision="accept"), to, by=coach)
        assert_consistent(session)

    @pytest.mark.usefixtures("suggestion")
    def test_twice_is_told_the_first(self, session: Session, coach: User) -> None:
        first = answer_session(session, Answer(decision="skip"), Addressed(n=1, step_index=0), by=coach)
        with pytest.raises(AlreadyDecided) as refused:
            answer_session(session, Answer(decision="skip"), Addressed(n=1, step_index=0), by=coach)
        assert refused.value.decision == first

    @pytest.mark.usefixtures("suggestion")
    def test_an_outcome_does_not_go_with_an_answer(self, session: Session, coach: User) -> None:
        with pytest.raises(InvalidInput, match="made elsewhere"):
            answer_session(session, Answer(decision="accept"), Addressed(), execution_success=True, by=coach)

    def test_nothing_to_answer_is_stale(self, session: Session, external_session: Session, coach: User) -> None:
        for nothing_open in (session, external_session):
            with pytest.raises(StaleStep):
                answer_session(nothing_open, Answer(decision="accept"), Addressed(), by=coach)
