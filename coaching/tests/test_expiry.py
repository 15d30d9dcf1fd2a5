"""Questions that nobody answers in time: the sweep closes them as the program asked, and waiting programs hear it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from rest_framework.test import APIClient

from coaching.actions.caller import Question, ask
from coaching.actions.decisions import Answer, decide
from coaching.actions.expiry import expire, expire_overdue
from coaching.actions.sessions import pause_session, resume_session
from coaching.exceptions import StaleStep
from coaching.models import Session, Suggestion
from coaching.tests.domain import assert_consistent, event_types, together
from metrics.overview import workflow_activity
from metrics.rebuild import rebuild

Api = Callable[[User], APIClient]


@pytest.fixture
def asked(external_session: Session, coach: User) -> Callable[..., Suggestion]:
    """Puts a question that is overdue already."""

    def overdue(**more: Any) -> Suggestion:
        question = Question(
            node_id="post", action_type="post", action={"number": 7}, expires_in=timedelta(seconds=5), **more
        )
        suggestion, _ = ask(external_session, question, by=coach)
        suggestion.expires_at = timezone.now() - timedelta(seconds=1)
        suggestion.save(update_fields=["expires_at"])
        return suggestion

    return overdue


def read(suggestion: Suggestion, api: APIClient) -> Any:
    session_id = suggestion.session.session_id
    return api.get(f"/api/v1/sessions/{session_id}/suggestions/{suggestion.n}/").json()


def test_nothing_expires_before_its_time(external_session: Session, coach: User) -> None:
    question = Question(node_id="post", action_type="post", action={}, expires_in=timedelta(hours=1))
    suggestion, _ = ask(external_session, question, by=coach)
    assert suggestion.expires_at
    assert timedelta(minutes=59) < suggestion.expires_at - timezone.now() <= timedelta(hours=1)
    assert expire_overdue() == 0
    assert not expire(suggestion)
    ask_without_end, _ = ask(external_session, question, by=coach)
    assert ask_without_end == suggestion


@pytest.mark.parametrize(("on_expiry", "counter"), [("reject", "rejected"), ("skip", "skipped")])
def test_the_policy_answers_and_the_program_goes_on(
    asked: Callable[..., Suggestion], coach: User, api: Api, on_expiry: str, counter: str
) -> None:
    suggestion = asked(on_expiry=on_expiry)
    assert expire_overdue() == 1
    assert expire_overdue() == 0
    told = read(suggestion, api(coach))
    assert (told["status"], told["outcome"]) == ("expired", "not_performed")
    assert (told["decision"]["decision"], told["decision"]["decided_by"]) == (on_expiry, "policy")
    session = suggestion.session
    session.refresh_from_db()
    assert (session.status, session.current_step_index) == ("active", 1)
    assert session.stats()[counter] == session.stats()["suggestions_made"] == 1
    assert event_types(session)[-2:] == ["suggestion.expired", "decision.recorded"]
    assert_consistent(session)


def test_that_nobody_answered_says_nothing_of_the_step(asked: Callable[..., Suggestion]) -> None:
    suggestion = asked(on_expiry="reject")
    expire_overdue()
    workflow = suggestion.session.workflow
    assert workflow.steps.get().level == "OBSERVATION"
    activity = workflow_activity(workflow)
    assert (activity.decisions["total"], activity.unattended_share) == (0, None)
    assert list(rebuild(repair=False)) == []


def test_unless_told_otherwise_the_session_is_paused(asked: Callable[..., Suggestion], coach: User, api: Api) -> None:
    suggestion = asked()
    call_command("sweep")
    told = read(suggestion, api(coach))
    assert (told["status"], told["decision"], told["outcome"]) == ("expired", None, None)
    session = suggestion.session
    session.refresh_from_db()
    assert (session.status, session.current_step_index) == ("paused", 0)
    assert event_types(session)[-2:] == ["suggestion.expired", "session.paused"]
    resume_session(session, by=coach)
    again = asked()
    # Nobody was there: that is no trouble with the step.
    assert (again.n, again.attempt, again.asked_because) == (2, 2, "coaching")


def test_a_session_that_is_paused_already_stays_so(asked: Callable[..., Suggestion], coach: User) -> None:
    suggestion = asked()
    pause_session(suggestion.session, by=coach)
    assert expire_overdue() == 1
    suggestion.refresh_from_db()
    assert suggestion.status == "expired"
    assert event_types(suggestion.session)[-1] == "suggestion.expired"


def test_an_answer_after_it_is_too_late(asked: Callable[..., Suggestion], coach: User) -> None:
    suggestion = asked(on_expiry="skip")
    expire_overdue()
    with pytest.raises(StaleStep, match="expired"):
        decide(suggestion, Answer(decision="accept"), by=coach)
    assert_consistent(suggestion.session)


@pytest.mark.django_db(transaction=True)
def test_an_answer_at_the_same_moment_is_there_or_too_late(asked: Callable[..., Suggestion], coach: User) -> None:
    for _ in range(5):
        suggestion = asked(on_expiry="skip")
        decided, expired, twice = together(
            partial(decide, Suggestion.objects.get(pk=suggestion.pk), Answer(decision="accept"), by=coach),
            expire_overdue,
            expire_overdue,
        )
        assert [not isinstance(decided, Exception), bool(expired), bool(twice)].count(True) == 1
        if isinstance(decided, Exception):
            assert isinstance(decided, StaleStep)
        assert_consistent(suggestion.session)
        suggestion.session.suggestions.filter(outcome=None).update(outcome="performed")
