from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import complete_session, pause_session
from coaching.actions.suggestions import begin_performing, record_outcome, withdraw_suggestion
from coaching.exceptions import SessionNotActive
from coaching.models import Session, Suggestion

from .domain import assert_consistent, event_types

Outcome = Suggestion.Outcome


@pytest.fixture
def accepted(suggestion: Suggestion, coach: User) -> Suggestion:
    decide(suggestion, Answer(decision="accept"), by=coach)
    suggestion.refresh_from_db()
    return suggestion


class TestOpen:
    def test_is_numbered_within_its_session(
        self, session: Session, external_session: Session, ask: Callable[..., Suggestion], coach: User
    ) -> None:
        for n in (1, 2, 3):
            suggestion = ask(session)
            assert (suggestion.n, suggestion.attempt, suggestion.status) == (n, 1, "open")
            decide(suggestion, Answer(decision="skip"), by=coach)
        assert ask(external_session).n == 1

    def test_says_so(self, session: Session, suggestion: Suggestion) -> None:
        event = session.events.get(seq=2)
        assert event.type == "suggestion.opened"
        assert event.data == {
            "n": 1,
            "step_index": 0,
            "node_id": "change-amount",
            "attempt": 1,
            "description": "Type “42.50” into “Amount”",
            "asked_because": "coaching",
            "error": "",
        }
        assert session.open_suggestion() == session.latest_suggestion() == suggestion

    def test_the_same_step_again_is_another_attempt(
        self, session: Session, accepted: Suggestion, ask: Callable[..., Suggestion]
    ) -> None:
        record_outcome(accepted, Outcome.FAILED, error="covered by a banner")
        again = ask(session, asked_because="trouble", error="covered by a banner")
        assert (again.n, again.step_index, again.attempt) == (2, 0, 2)

    def test_only_in_an_active_session_and_leaves_no_picture(
        self, session: Session, ask: Callable[..., Suggestion], coach: User, settings: Settings
    ) -> None:
        pause_session(session, by=coach)
        with pytest.raises(SessionNotActive):
            ask(session, screenshot=b"picture")
        assert not [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]
        assert_consistent(session)

    def test_keeps_its_picture(self, session: Session, ask: Callable[..., Suggestion]) -> None:
        suggestion = ask(session, screenshot=b"picture")
        suggestion.refresh_from_db()
        with suggestion.screenshot.open() as file:
            assert file.read() == b"picture"

    @pytest.mark.usefixtures("suggestion")
    def test_one_at_a_time_by_the_database_s_own_word(
        self, session: Session, ask: Callable[..., Suggestion], settings: Settings
    ) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            ask(session, screenshot=b"picture")
        assert session.suggestions.count() == 1
        assert not [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]
        assert_consistent(session)


class TestWithdraw:
    def test_takes_it_back_once(self, session: Session, suggestion: Suggestion) -> None:
        old_copy = Suggestion.objects.get(pk=suggestion.pk)
        assert withdraw_suggestion(suggestion, reason="The page has changed.")
        assert suggestion.status == "withdrawn"
        assert not withdraw_suggestion(old_copy, reason="again")
        assert event_types(session)[2:] == ["suggestion.withdrawn"]
        assert session.events.get(seq=3).data["reason"] == "The page has changed."
        assert session.open_suggestion() is None
        assert_consistent(session)

    def test_not_what_is_decided(self, session: Session, accepted: Suggestion) -> None:
        assert not withdraw_suggestion(accepted, reason="too late")
        accepted.refresh_from_db()
        assert accepted.status == "decided"
        assert_consistent(session)


class TestPerform:
    def test_begins_once(self, session: Session, accepted: Suggestion) -> None:
        assert begin_performing(accepted)
        assert accepted.performing_since
        assert not begin_performing(Suggestion.objects.get(pk=accepted.pk))
        assert event_types(session)[-1] == "step.performing"
        assert_consistent(session)

    @pytest.mark.parametrize("kind", ["reject", "manual", "skip"])
    def test_never_what_was_not_accepted(
        self, session: Session, suggestion: Suggestion, coach: User, kind: str
    ) -> None:
        assert not begin_performing(suggestion)
        decide(suggestion, Answer(decision=kind), by=coach)
        assert not begin_performing(suggestion)
        assert "step.performing" not in event_types(session)

    @pytest.mark.parametrize("move", [pause_session, complete_session])
    def test_only_an_active_session_acts(
        self, session: Session, accepted: Suggestion, coach: User, move: Callable[..., None]
    ) -> None:
        move(session, by=coach)
        assert not begin_performing(accepted)
        accepted.refresh_from_db()
        assert accepted.performing_since is None


class TestOutcome:
    @pytest.mark.parametrize(
        ("outcome", "success", "event", "current"),
        [
            (Outcome.PERFORMED, True, "step.performed", 1),
            (Outcome.FAILED, False, "step.failed", 0),
            (Outcome.UNCERTAIN, None, "step.uncertain", 0),
            (Outcome.NOT_PERFORMED, None, "step.failed", 0),
        ],
    )
    def test_is_kept_with_its_decision(  # noqa: PLR0917 - fixtures and a table's columns
        self,
        session: Session,
        accepted: Suggestion,
        outcome: Suggestion.Outcome,
        success: bool | None,
        event: str,
        current: int,
    ) -> None:
        begin_performing(accepted)
        assert record_outcome(accepted, outcome, error="" if success else "why", took=timedelta(seconds=1.5))
        accepted.refresh_from_db()
        session.refresh_from_db()
        assert (accepted.outcome, accepted.error) == (outcome, "" if success else "why")
        assert accepted.decision.execution_success is success
        assert session.current_step_index == current
        assert event_types(session)[-1] == event
        data = session.events.order_by("seq").last()
        assert data
        assert data.data.get("took_ms" if success else "error") == (1500 if success else "why")
        assert_consistent(session)

    def test_is_kept_once(self, session: Session, accepted: Suggestion) -> None:
        old_copy = Suggestion.objects.get(pk=accepted.pk)
        assert record_outcome(accepted, Outcome.PERFORMED)
        assert not record_outcome(old_copy, Outcome.FAILED, error="late")
        accepted.refresh_from_db()
        assert (accepted.outcome, accepted.error) == ("performed", "")
        assert_consistent(session)

    def test_not_of_what_is_open(self, session: Session, suggestion: Suggestion) -> None:
        assert not record_outcome(suggestion, Outcome.PERFORMED)
        assert event_types(session)[-1] == "suggestion.opened"

    def test_of_a_session_that_ended_meanwhile_is_kept_and_ends_nothing_else(
        self, session: Session, accepted: Suggestion, coach: User
    ) -> None:
        begin_performing(accepted)
        complete_session(session, by=coach)
        assert record_outcome(accepted, Outcome.PERFORMED)
        session.refresh_from_db()
        assert session.status == "completed"
        assert_consistent(session)


class TestInbox:
    def test_irreversible_steps_first_then_the_oldest(
        self, session: Session, external_session: Session, coach: User, ask: Callable[..., Suggestion]
    ) -> None:
        older, newer = ask(session), ask(external_session)
        assert list(Suggestion.objects.for_inbox(coach)) == [older, newer]
        Suggestion.objects.filter(pk=newer.pk).update(risk="irreversible")
        assert list(Suggestion.objects.for_inbox(coach)) == [newer, older]

    @pytest.mark.usefixtures("suggestion")
    def test_is_empty_for_who_may_not_decide(self, coach: User, viewer: User, stranger: User) -> None:
        assert not Suggestion.objects.for_inbox(viewer).exists()
        assert not Suggestion.objects.for_inbox(stranger).exists()
        coach.is_active = False
        assert not Suggestion.objects.for_inbox(coach).exists()


@pytest.mark.parametrize("wrong", [{"n": 0}, {"attempt": 0}])
def test_numbers_begin_at_one(suggestion: Suggestion, wrong: dict[str, int]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Suggestion.objects.filter(pk=suggestion.pk).update(**wrong)


def test_opened_at_is_now(suggestion: Suggestion) -> None:
    assert timezone.now() - suggestion.opened_at < timedelta(minutes=1)
