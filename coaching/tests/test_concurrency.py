"""Several at once, each in a thread with a database connection of its own: one wins, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
from django.contrib.auth.models import User

from coaching.actions.decisions import Answer, decide, record_decision
from coaching.actions.sessions import abandon_session, complete_session, pause_session, resume_session, start_session
from coaching.actions.suggestions import begin_performing, record_outcome
from coaching.exceptions import AlreadyDecided, DuplicateExecution, IllegalTransition, SessionNotActive
from coaching.models import Decision, Session, Suggestion, Workflow

from .domain import assert_consistent, together

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_coaches_press_at_once(
    external_session: Session, coach: User, second_coach: User, ask: Callable[..., Suggestion]
) -> None:
    for _ in range(50):
        suggestion = ask(external_session)
        results = together(
            lambda: decide(Suggestion.objects.get(pk=suggestion.pk), Answer(decision="skip"), by=coach),  # noqa: B023
            lambda: decide(Suggestion.objects.get(pk=suggestion.pk), Answer(decision="reject"), by=second_coach),  # noqa: B023
        )
        (won,) = [result for result in results if isinstance(result, Decision)]
        (lost,) = [result for result in results if isinstance(result, AlreadyDecided)]
        assert lost.decision == won == Decision.objects.get(suggestion=suggestion)
    assert_consistent(external_session)
    assert external_session.skipped + external_session.rejected == 50


def test_a_pause_and_an_answer_at_once(
    external_session: Session, coach: User, second_coach: User, ask: Callable[..., Suggestion]
) -> None:
    """Either the answer came first, or it is refused; never an answer in a paused session."""
    for _ in range(25):
        suggestion = ask(external_session)
        paused, decided = together(
            lambda: pause_session(Session.objects.get(pk=external_session.pk), by=coach),
            lambda: decide(Suggestion.objects.get(pk=suggestion.pk), Answer(decision="skip"), by=second_coach),  # noqa: B023
        )
        assert paused is None
        suggestion.refresh_from_db()
        external_session.refresh_from_db()
        assert external_session.status == "paused"
        assert isinstance(decided, SessionNotActive if suggestion.is_open else Decision)
        last = list(external_session.events.order_by("-seq").values_list("type", flat=True)[:2])
        assert last[0] == "session.paused"
        resume_session(external_session, by=coach)
        if suggestion.is_open:
            decide(suggestion, Answer(decision="skip"), by=coach)
    assert_consistent(external_session)


def test_of_two_moves_at_once_one_wins(external_workflow: Workflow, coach: User) -> None:
    for _ in range(100):
        session = start_session(external_workflow, by=coach)
        copies = [Session.objects.get(pk=session.pk) for _ in range(2)]
        results = together(
            partial(complete_session, copies[0], by=coach), partial(abandon_session, copies[1], by=coach)
        )
        assert Counter(type(result) for result in results) == {type(None): 1, IllegalTransition: 1}
        session.refresh_from_db()
        assert session.status == ("completed" if results[0] is None else "abandoned")
        assert_consistent(session)


def test_no_decision_is_lost(external_session: Session, coach: User) -> None:
    """Eight programs record fifty decisions each into one session. (A store of JSON files kept 56 of the 400.)"""

    def record(thread: int) -> None:
        session = Session.objects.select_related("workflow").get(pk=external_session.pk)
        for number in range(50):
            answer = Answer(decision=Decision.Kind.values[number % 2])
            record_decision(
                session, answer, step_index=number, node_id=f"n{number}", action_type=f"by-{thread}", by=coach
            )

    assert together(*(partial(record, thread) for thread in range(8))) == [None] * 8
    external_session.refresh_from_db()
    assert external_session.suggestions_made == Decision.objects.count() == 400
    assert external_session.accepted == external_session.rejected == 200
    assert external_session.current_step_index == 50
    # The start, the decisions, and for each step the first that counts, which ends its OBSERVATION.
    assert external_session.last_seq == 1 + 400 + 50
    assert_consistent(external_session)
    steps = external_session.workflow.current_steps()
    assert [step.step_index for step in steps] == list(range(50))
    assert all(step.versions.count() == 1 for step in steps)


def test_one_execution_however_often_it_is_asked_for(external_workflow: Workflow, coach: User) -> None:
    for number in range(10):
        start = partial(start_session, external_workflow, by=coach, execution_id=f"run-{number}")
        results = together(*[start] * 4)
        (session,) = [result for result in results if isinstance(result, Session)]
        told = [result for result in results if isinstance(result, DuplicateExecution)]
        assert [error.session for error in told] == [session] * 3
    assert Session.objects.count() == 10


def test_an_action_is_begun_once_and_has_one_outcome(
    external_session: Session, coach: User, ask: Callable[..., Suggestion]
) -> None:
    for _ in range(10):
        suggestion = ask(external_session)
        decide(suggestion, Answer(decision="accept"), by=coach)
        copies = [Suggestion.objects.select_related("session").get(pk=suggestion.pk) for _ in range(4)]
        assert sorted(together(*(partial(begin_performing, copy) for copy in copies))) == [False] * 3 + [True]
        outcomes = [partial(record_outcome, copy, Suggestion.Outcome.PERFORMED) for copy in copies]
        assert sorted(together(*outcomes)) == [False] * 3 + [True]
    assert_consistent(external_session)
