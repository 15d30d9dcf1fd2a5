from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from coaching import events
from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import complete_session, pause_session, resume_session
from coaching.actions.suggestions import begin_performing, record_outcome
from coaching.models import Session, SessionEvent, Suggestion

from .domain import assert_consistent, event_types

WHOLE_RUN = [
    "session.created", "suggestion.opened", "session.paused", "session.resumed", "decision.recorded",
    "step.performing", "step.performed", "session.completed",
]  # fmt: skip


@pytest.fixture
def run(session: Session, suggestion: Suggestion, coach: User) -> Session:
    pause_session(session, by=coach)
    resume_session(session, by=coach)
    decide(suggestion, Answer(decision="accept"), by=coach)
    begin_performing(suggestion)
    record_outcome(suggestion, Suggestion.Outcome.PERFORMED)
    complete_session(session, by=coach)
    return session


def test_tells_the_whole_run_in_order_without_gaps(run: Session) -> None:
    assert event_types(run) == WHOLE_RUN
    assert [event.seq for event in events.stream(run)] == list(range(1, 9))
    assert run.last_seq == 8
    assert_consistent(run)


@pytest.mark.parametrize("after", range(10))
def test_a_reader_goes_on_behind_the_last_it_saw(run: Session, after: int) -> None:
    assert [event.seq for event in events.stream(run, after=after)] == list(range(after + 1, 9))


def test_can_be_read_in_parts(run: Session) -> None:
    seen: list[str] = []
    while part := events.stream(run, after=len(seen), limit=3):
        seen += [event.type for event in part]
    assert seen == WHOLE_RUN


def test_every_session_counts_for_itself(session: Session, external_session: Session, coach: User) -> None:
    pause_session(session, by=coach)
    pause_session(external_session, by=coach)
    for one in (session, external_session):
        assert [event.seq for event in events.stream(one)] == [1, 2]


def test_has_the_shape_of_the_contract(run: Session) -> None:
    event = events.stream(run, after=2)[0].as_json(run.session_id)
    assert list(event) == ["seq", "type", "session_id", "at", "data"]
    assert (event["seq"], event["type"], event["session_id"]) == (3, "session.paused", run.session_id)
    assert event["at"].endswith("Z")
    assert "+" not in event["at"]


def test_an_event_without_its_change_is_rolled_back(session: Session, coach: User) -> None:
    class Interrupted(Exception):
        pass

    def pause_and_break() -> None:
        with transaction.atomic():
            pause_session(session, by=coach)
            raise Interrupted

    with pytest.raises(Interrupted):
        pause_and_break()
    session.refresh_from_db()
    assert (session.status, session.last_seq) == ("active", 1)
    pause_session(session, by=coach)
    assert [event.seq for event in events.stream(session)] == [1, 2]


def test_a_number_occurs_once_by_the_database_s_own_word(session: Session) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        SessionEvent.objects.create(session=session, seq=1, type="session.paused")


def test_an_event_of_a_deleted_session_is_not_written(session: Session, coach: User) -> None:
    old_copy = Session.objects.get(pk=session.pk)
    session.delete()
    with pytest.raises(Session.DoesNotExist), transaction.atomic():
        events.record_event(old_copy, events.SessionPaused(by=coach.username))
    assert not SessionEvent.objects.exists()


def test_the_types_are_those_of_the_contract() -> None:
    promised = {
        "session.created", "session.paused", "session.resumed", "session.completed", "session.failed",
        "session.abandoned", "suggestion.opened", "suggestion.withdrawn", "decision.recorded", "step.performing",
        "step.performed", "step.failed", "step.uncertain", "level.changed", "readiness.reached",
    }  # fmt: skip
    later = {"suggestion.expired"}
    beyond = {"correction.switched_off", "session.waiting"}
    kinds = [
        kind.type
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, events.Event) and hasattr(kind, "type")
    ]
    assert len(kinds) == len(set(kinds))
    assert promised <= set(kinds) <= promised | later | beyond
