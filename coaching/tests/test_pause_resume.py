from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import pause_session, resume_session
from coaching.exceptions import IllegalTransition, SessionNotActive
from coaching.models import Session, Suggestion

from .domain import assert_consistent, event_types


def test_pauses_and_goes_on(session: Session, coach: User) -> None:
    pause_session(session, by=coach)
    assert session.status == "paused"
    session.refresh_from_db()
    assert session.status == "paused"
    resume_session(session, by=coach)
    session.refresh_from_db()
    assert session.status == "active"
    assert event_types(session) == ["session.created", "session.paused", "session.resumed"]
    assert [event.data for event in session.events.filter(seq__gt=1)] == [{"by": coach.username}] * 2
    assert_consistent(session)


def test_a_paused_session_cannot_be_paused(session: Session, coach: User) -> None:
    pause_session(session, by=coach)
    with pytest.raises(IllegalTransition, match="A session that is paused cannot become paused"):
        pause_session(session, by=coach)


def test_resuming_an_active_session_changes_nothing(session: Session, coach: User) -> None:
    before = session.updated_at
    resume_session(session, by=coach)
    session.refresh_from_db()
    assert (session.status, session.updated_at) == ("active", before)
    assert event_types(session) == ["session.created"]


def test_an_old_copy_that_says_paused_can_be_resumed(session: Session, coach: User) -> None:
    pause_session(session, by=coach)
    old_copy = Session.objects.get(pk=session.pk)
    resume_session(session, by=coach)
    resume_session(old_copy, by=coach)
    assert old_copy.status == "active"
    assert event_types(session).count("session.resumed") == 1


def test_an_old_copy_that_says_active_does_not_pause_twice(session: Session, coach: User) -> None:
    old_copy = Session.objects.get(pk=session.pk)
    pause_session(session, by=coach)
    with pytest.raises(IllegalTransition, match="no longer active"):
        pause_session(old_copy, by=coach)
    assert_consistent(session)


def test_nobody_decides_while_paused_and_the_question_stays(
    session: Session, suggestion: Suggestion, coach: User
) -> None:
    pause_session(session, by=coach)
    with pytest.raises(SessionNotActive, match="paused"):
        decide(suggestion, Answer(decision="accept"), by=coach)
    suggestion.refresh_from_db()
    assert suggestion.is_open
    assert not Suggestion.objects.for_inbox(coach).exists()
    resume_session(session, by=coach)
    assert list(Suggestion.objects.for_inbox(coach)) == [suggestion]
    decide(suggestion, Answer(decision="accept"), by=coach)
    assert_consistent(session)


def test_resuming_asks_for_a_worker(
    session: Session, coach: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    pause_session(session, by=coach)
    with django_capture_on_commit_callbacks(execute=True):
        resume_session(session, by=coach)
    session.refresh_from_db()
    assert session.enqueued_at is not None


def test_only_ongoing_sessions_are_resumable(
    session: Session, external_session: Session, coach: User, ask: Callable[..., Suggestion]
) -> None:
    pause_session(session, by=coach)
    assert set(Session.objects.ongoing()) == {session, external_session}
    assert not Session.objects.waiting_for_a_worker().exists()
    resume_session(session, by=coach)
    assert list(Session.objects.waiting_for_a_worker()) == [session]
    ask(session)
    assert not Session.objects.waiting_for_a_worker().exists()
