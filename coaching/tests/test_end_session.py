from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import abandon_session, complete_session, fail_session, pause_session, resume_session
from coaching.exceptions import IllegalTransition, SessionNotActive
from coaching.models import Session, Suggestion
from coaching.signals import session_ended

from .domain import assert_consistent, event_types

Move = Callable[[Session, User], None]

MOVES: dict[str, Move] = {
    "active": lambda session, by: resume_session(session, by=by),
    "paused": lambda session, by: pause_session(session, by=by),
    "completed": lambda session, by: complete_session(session, by=by),
    "failed": lambda session, by: fail_session(session, by=by, error_message="no such page"),
    "abandoned": lambda session, by: abandon_session(session, by=by),
}
ENDS = ["completed", "failed", "abandoned"]
LEGAL = {(old, new) for old in ("active", "paused") for new in MOVES} - {("paused", "paused")}


@pytest.mark.parametrize("new", MOVES)
@pytest.mark.parametrize("old", MOVES)
def test_every_move(session: Session, coach: User, old: str, new: str) -> None:
    MOVES[old](session, coach)
    before = event_types(session)
    if (old, new) in LEGAL:
        MOVES[new](session, coach)
    else:
        with pytest.raises(IllegalTransition, match=f"{old} cannot become {new}"):
            MOVES[new](session, coach)
        assert event_types(session) == before
    session.refresh_from_db()
    assert session.status == (new if (old, new) in LEGAL else old)
    assert_consistent(session)


@pytest.mark.parametrize("end", ENDS)
def test_ending_says_when_and_who(session: Session, coach: User, end: str) -> None:
    began = timezone.now()
    MOVES[end](session, coach)
    session.refresh_from_db()
    assert session.completed_at
    assert began <= session.completed_at <= timezone.now()
    event = session.events.order_by("seq").last()
    assert event
    assert event.type == f"session.{end}"
    assert event.data["by"] == coach.username


def test_a_failure_keeps_its_reason(session: Session, coach: User) -> None:
    fail_session(session, by=coach, error_message="the site is down")
    session.refresh_from_db()
    assert session.error_message == "the site is down"
    assert session.events.get(type="session.failed").data["error_message"] == "the site is down"


@pytest.mark.parametrize("end", ENDS)
def test_an_open_question_is_withdrawn(session: Session, suggestion: Suggestion, coach: User, end: str) -> None:
    MOVES[end](session, coach)
    suggestion.refresh_from_db()
    assert suggestion.status == "withdrawn"
    assert event_types(session)[-2:] == ["suggestion.withdrawn", f"session.{end}"]
    assert_consistent(session)


@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_asked_or_answered_afterwards(
    session: Session, suggestion: Suggestion, coach: User, ask: Callable[..., Suggestion], end: str
) -> None:
    decide(suggestion, Answer(decision="skip"), by=coach)
    MOVES[end](session, coach)
    with pytest.raises(SessionNotActive):
        ask(session)
    assert session.suggestions.count() == 1


def test_an_old_copy_cannot_end_an_ended_session(session: Session, suggestion: Suggestion, coach: User) -> None:
    old_copy = Session.objects.get(pk=session.pk)
    complete_session(session, by=coach)
    with pytest.raises(IllegalTransition, match="no longer active"):
        abandon_session(old_copy, by=coach)
    session.refresh_from_db()
    assert session.status == "completed"
    assert_consistent(session)


def test_who_listens_is_told_once_after_the_commit(
    session: Session, coach: User, django_capture_on_commit_callbacks: Callable[..., object]
) -> None:
    told: list[str] = []

    def listener(session_id: str, **_: object) -> None:
        told.append(session_id)

    session_ended.connect(listener)
    try:
        with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
            complete_session(session, by=coach)
            assert told == []
    finally:
        session_ended.disconnect(listener)
    assert told == [session.session_id]


@pytest.mark.parametrize(("status", "ended"), [("active", True), ("paused", True), ("completed", False)])
def test_the_database_itself_ties_the_status_to_the_end(session: Session, status: str, ended: bool) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Session.objects.filter(pk=session.pk).update(status=status, completed_at=timezone.now() if ended else None)


def test_the_table_of_moves_is_complete() -> None:
    assert set(MOVES) == set(Session.Status.values)
    assert {(str(old), str(new)) for old, news in Session.MOVES.items() for new in news} == LEGAL - {
        ("active", "active")
    }
