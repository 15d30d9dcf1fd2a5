"""Overall statistics come from the tallies, and are what counting the sessions would give."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db.models import Count, Sum
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from coaching.actions.autonomy import promote
from coaching.actions.decisions import Answer, decide, record_decision
from coaching.actions.expiry import expire_overdue
from coaching.actions.sessions import abandon_session, complete_session, delete_session, pause_session, start_session
from coaching.models import Session, Suggestion, Workflow
from metrics.models import DailyTally, WorkflowLearningMetrics
from metrics.overview import statistics
from metrics.rebuild import rebuild

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
    assert statistics() == EMPTY


def test_sessions_without_decisions_have_rates_of_zero(external_session: Session) -> None:
    assert statistics() == EMPTY | {
        "total_sessions": 1,
        "by_status": {**EMPTY["by_status"], "active": 1},  # type: ignore[dict-item]
    }


def test_rates_are_over_all_decisions(external_workflow: Workflow, coach: User) -> None:
    pause_session(run(external_workflow, coach, "accept", "accept", "correct"), by=coach)
    complete_session(run(external_workflow, coach, "accept", "reject", "manual", "skip", "skip"), by=coach)
    abandon_session(run(external_workflow, coach), by=coach)
    run(external_workflow, coach)
    assert statistics() == {
        "total_sessions": 4,
        "by_status": {"active": 1, "paused": 1, "completed": 1, "failed": 0, "abandoned": 1},
        "total_decisions": 8,
        "total_accepted": 3,
        "total_corrected": 1,
        "overall_acceptance_rate": 3 / 8,
        "overall_correction_rate": 1 / 8,
    }


def test_can_be_asked_of_one_workflow(
    external_workflow: Workflow, browser_workflow: Workflow, coach: User, session: Session
) -> None:
    run(external_workflow, coach, "accept")
    found = statistics(browser_workflow)
    assert (found["total_sessions"], found["total_decisions"]) == (1, 0)


def test_takes_two_queries_however_many_sessions(
    external_workflow: Workflow, coach: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        run(external_workflow, coach, "accept", "skip")
    with django_assert_num_queries(2):
        statistics()


def counted() -> dict[str, Any]:
    """The same by counting the sessions."""
    by_status = {**EMPTY["by_status"], **dict(Session.objects.order_by().values_list("status").annotate(Count("pk")))}  # type: ignore[dict-item]
    sums = Session.objects.aggregate(**{kind: Sum(kind, default=0) for kind in Session.COUNTERS})
    total = sum(sums.values())
    return {
        "total_sessions": sum(by_status.values()),
        "by_status": by_status,
        "total_decisions": total,
        "total_accepted": sums["accepted"],
        "total_corrected": sums["corrected"],
        "overall_acceptance_rate": sums["accepted"] / total if total else 0.0,
        "overall_correction_rate": sums["corrected"] / total if total else 0.0,
    }


@pytest.fixture
def varied(external_workflow: Workflow, coach: User, ask: Callable[..., Suggestion]) -> Workflow:
    """Decisions of people and of the policy, among them two that it took because nobody answered."""
    complete_session(run(external_workflow, coach, "accept", "reject", "correct", "manual", "skip"), by=coach)
    for on_expiry in Suggestion.OnExpiry.REJECT, Suggestion.OnExpiry.SKIP:
        session = start_session(external_workflow, by=coach)
        decide(ask(session), Answer(decision="accept"), by=coach)
        overdue = timezone.now() - timedelta(seconds=1)
        Suggestion.objects.filter(pk=ask(session).pk).update(expires_at=overdue, on_expiry=on_expiry)
    assert expire_overdue() == 2
    return external_workflow


def test_count_what_nobody_answered(varied: Workflow) -> None:
    assert statistics() == counted()
    assert statistics()["total_decisions"] == 9


def test_count_what_the_policy_accepted(external_workflow: Workflow, coach: User, owner: User) -> None:
    external_workflow.policy = {"min_decisions": 1, "confidence": 0, "min_demonstrations": 0}
    external_workflow.save()
    run(external_workflow, coach, "accept")
    promote(external_workflow, by=owner)
    session = start_session(external_workflow, mode="auto", by=coach)
    accept = Answer(decision="accept")
    decision = record_decision(session, accept, step_index=0, node_id="n0", action_type="do", by=coach)
    assert decision.unattended
    assert statistics() == counted()
    assert statistics()["total_accepted"] == 2


def test_forget_deleted_sessions(varied: Workflow) -> None:
    for session in Session.objects.order_by("pk"):
        delete_session(session)
        assert statistics() == counted()
    assert statistics() == EMPTY


def test_are_right_again_after_a_rebuild(varied: Workflow) -> None:
    assert list(rebuild()) == []
    WorkflowLearningMetrics.objects.update(unanswered=17, accepted=0)
    assert statistics() != counted()
    list(rebuild())
    assert statistics() == counted()


def test_the_migration_counts_what_nobody_answered(varied: Workflow) -> None:
    for model in WorkflowLearningMetrics, DailyTally:
        model.objects.update(unanswered=0)
    import_module("metrics.migrations.0003_unanswered").count_unanswered(apps, None)
    assert statistics() == counted()
    assert list(rebuild(repair=False)) == []
