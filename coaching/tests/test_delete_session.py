from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks, Settings

from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import delete_session, start_session
from coaching.models import Decision, Session, SessionEvent, Suggestion, Workflow
from coaching.signals import session_ended

PNG = b"\x89PNG\r\n\x1a\n not really a picture"


def pictures(settings: Settings) -> list[Path]:
    return [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


def last_updated(session: Session, days_ago: float) -> None:
    Session.objects.filter(pk=session.pk).update(updated_at=timezone.now() - timedelta(days=days_ago))


def cleanup(*arguments: str) -> str:
    out = StringIO()
    call_command("cleanup_sessions", *arguments, stdout=out)
    return out.getvalue().strip()


def test_all_that_belongs_to_it_goes(  # noqa: PLR0917 - fixtures
    session: Session,
    external_session: Session,
    coach: User,
    ask: Callable[..., Suggestion],
    settings: Settings,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    decide(ask(session, screenshot=PNG), Answer(decision="skip"), by=coach)
    ask(session, screenshot=PNG)
    kept = ask(external_session, screenshot=PNG)
    assert len(pictures(settings)) == 3
    with django_capture_on_commit_callbacks(execute=True):
        delete_session(session)
        assert len(pictures(settings)) == 3, "files go only once the rows are gone for certain"
    assert [path.name for path in pictures(settings)] == [Path(str(kept.screenshot)).name]
    assert list(Session.objects.all()) == [external_session]
    assert not Decision.objects.exists()
    assert list(Suggestion.objects.all()) == [kept]
    assert {event.session for event in SessionEvent.objects.all()} == {external_session}
    assert list(session.workflow.steps.all()), "the workflow stays"


def test_its_browser_may_go(
    session: Session, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    told: list[str] = []

    def listener(session_id: str, **_: object) -> None:
        told.append(session_id)

    session_id = session.session_id
    session_ended.connect(listener)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            delete_session(session)
    finally:
        session_ended.disconnect(listener)
    assert told == [session_id]


def test_its_execution_may_begin_anew(browser_workflow: Workflow, coach: User) -> None:
    delete_session(start_session(browser_workflow, by=coach, execution_id="run-1"))
    assert start_session(browser_workflow, by=coach, execution_id="run-1").pk


@pytest.fixture
def old_and_new(browser_workflow: Workflow, coach: User) -> list[Session]:
    """Sessions last updated 40, 31 and 29 days ago, and now."""
    sessions = [start_session(browser_workflow, by=coach) for _ in range(4)]
    for session, days_ago in zip(sessions, [40, 31, 29, 0], strict=True):
        last_updated(session, days_ago)
    return sessions


def test_clean_up_removes_what_was_not_updated_for_so_long(old_and_new: list[Session]) -> None:
    assert cleanup() == "2"
    assert set(Session.objects.all()) == set(old_and_new[2:])
    assert cleanup() == "0"
    assert cleanup("--max-age-days", "10") == "1"
    assert list(Session.objects.all()) == old_and_new[3:]


def test_a_dry_run_only_counts(old_and_new: list[Session]) -> None:
    assert cleanup("--dry-run") == "2"
    assert cleanup("--max-age-days=35", "--dry-run") == "1"
    assert Session.objects.count() == 4


def test_a_negative_age_is_refused(db: None) -> None:
    with pytest.raises(CommandError, match="must not be negative"):
        cleanup("--max-age-days", "-1")


@pytest.mark.django_db(transaction=True)
def test_clean_up_of_many_takes_their_pictures_too(
    browser_workflow: Workflow, coach: User, ask: Callable[..., Suggestion], settings: Settings
) -> None:
    """Beyond one chunk of the database's cursor, and committed for real."""
    sessions = [
        Session(workflow=browser_workflow, execution_id=str(number), updated_at=timezone.now() - timedelta(days=99))
        for number in range(450)
    ]
    Session.objects.bulk_create(sessions)
    old = start_session(browser_workflow, by=coach)
    ask(old, screenshot=PNG)
    last_updated(old, 99)
    assert cleanup() == "451"
    assert not Session.objects.exists()
    assert not pictures(settings)
    assert connection.in_atomic_block is False
