from __future__ import annotations

from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries

from coaching.actions.decisions import Answer, record_decision
from coaching.actions.sessions import abandon_session, complete_session, pause_session, start_session
from coaching.models import Session, Workflow

EMPTY = {
    "total_sessions": 0,
    "by_status": {"active": 0, "paused": 0, "completed": 0, "failed": 0, "abandoned": 0},
    "total_decisions": 0,
    "total_accepted": 0,
    "total_corrected": 0,
    "overall_acceptance_rate": 0.0,
    "overall_correction_rate": 0.0,
}


def run(workflow: Workflow, coach: User, *kinds: str) -> Session:
    session = start_session(workflow, by=coach)
    for index, kind in enumerate(kinds):
        correction = {"value": "1"} if kind == "correct" else None
        answer = Answer(decision=kind, correction=correction)
        record_decision(session, answer, step_index=index, node_id=f"n{index}", action_type="do", by=coach)
    return session


def test_of_nothing(db: None) -> None:
    assert Session.objects.statistics() == EMPTY


def test_sessions_without_decisions_have_rates_of_zero(external_session: Session) -> None:
    assert Session.objects.statistics() == EMPTY | {
        "total_sessions": 1,
        "by_status": {**EMPTY["by_status"], "active": 1},  # type: ignore[dict-item]
    }


def test_rates_are_over_all_decisions(external_workflow: Workflow, coach: User) -> None:
    pause_session(run(external_workflow, coach, "accept", "accept", "correct"), by=coach)
    complete_session(run(external_workflow, coach, "accept", "reject", "manual", "skip", "skip"), by=coach)
    abandon_session(run(external_workflow, coach), by=coach)
    run(external_workflow, coach)
    assert Session.objects.statistics() == {
        "total_sessions": 4,
        "by_status": {"active": 1, "paused": 1, "completed": 1, "failed": 0, "abandoned": 1},
        "total_decisions": 8,
        "total_accepted": 3,
        "total_corrected": 1,
        "overall_acceptance_rate": 3 / 8,
        "overall_correction_rate": 1 / 8,
    }


def test_can_be_asked_of_some_sessions(
    external_workflow: Workflow, browser_workflow: Workflow, coach: User, session: Session
) -> None:
    run(external_workflow, coach, "accept")
    statistics = Session.objects.filter(workflow=browser_workflow).statistics()
    assert (statistics["total_sessions"], statistics["total_decisions"]) == (1, 0)


def test_takes_two_queries_however_many_sessions(
    external_workflow: Workflow, coach: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        run(external_workflow, coach, "accept", "skip")
    with django_assert_num_queries(2):
        Session.objects.statistics()
