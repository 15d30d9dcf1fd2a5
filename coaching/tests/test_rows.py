"""Statements that are built once do what the ORM's do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from coaching import rows
from coaching.models import Decision, Session, SessionEvent, Step, Suggestion, Workflow
from metrics.models import StepTally

STEP = rows.Read(Step.objects.select_related("workflow", "current"), "workflow_id", "node_id")


class TestUpdate:
    def test_sets_adds_and_raises(self, session: Session) -> None:
        moment = datetime(2031, 5, 4, 9, 30, tzinfo=UTC)
        seq = rows.update(
            Session,
            {"pk": session.pk, "status": "active"},
            to={"updated_at": moment, "metadata": {"a": ["ä", None]}, "error_message": "why"},
            add={"last_seq": 3, "accepted": 1},
            at_least={"current_step_index": 2},
            returning="last_seq",
        )
        before = session.last_seq
        session.refresh_from_db()
        assert seq == session.last_seq == before + 3
        assert (session.updated_at, session.metadata, session.error_message) == (moment, {"a": ["ä", None]}, "why")
        assert (session.accepted, session.current_step_index) == (1, 2)

    @pytest.mark.parametrize(("number", "then"), [(0, 4), (4, 4), (5, 5)])
    def test_never_lowers(self, session: Session, number: int, then: int) -> None:
        Session.objects.update(current_step_index=4)
        rows.update(Session, {"pk": session.pk}, at_least={"current_step_index": number})
        session.refresh_from_db()
        assert session.current_step_index == then

    def test_tells_where_there_is_no_such_row(self, session: Session) -> None:
        now = timezone.now()
        assert rows.update(Session, {"pk": session.pk, "status": "paused"}, to={"updated_at": now}) is None
        assert rows.update(Session, {"pk": session.pk, "status": "active"}, to={"updated_at": now}) == session.pk

    def test_null_and_foreign_keys(self, suggestion: Suggestion) -> None:
        rows.update(Suggestion, {"pk": suggestion.pk}, to={"outcome": None, "step_version": None})
        suggestion.refresh_from_db()
        assert (suggestion.outcome, suggestion.step_version) == (None, None)


def test_an_inserted_row_is_as_a_created_one(session: Session, coach: User) -> None:
    values = {
        "session": session, "step_index": 1, "node_id": "ä", "action_type": "click", "decision": "correct",
        "correction": {"type": "click", "x": 1.5, "y": None}, "difference": [{"op": "add"}], "decided_by": "carl",
        "user": coach, "latency_ms": 7, "timestamp": timezone.now(),
    }  # fmt: skip
    inserted = Decision(**values)
    rows.insert(inserted)
    created = Decision.objects.create(**values)
    read = Decision.objects.get(pk=inserted.pk)
    columns = [field.attname for field in Decision._meta.concrete_fields if not field.primary_key]
    assert {name: getattr(read, name) for name in columns} == {name: getattr(created, name) for name in columns}
    inserted.feedback = "kept as any other"
    inserted.save()
    assert Decision.objects.get(pk=inserted.pk).feedback == "kept as any other"


class TestRead:
    def test_reads_what_the_orm_reads(
        self, browser_workflow: Workflow, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(1):
            step = STEP.get(browser_workflow.pk, "click-save")
            assert step
            assert (step.workflow.name, step.workflow.autonomy.target) == ("Expense claim", 0.85)
            assert step.version.action["selectors"] == [["aria/Save"], ["#save"]]
        assert step == Step.objects.get(node_id="click-save")
        assert step.workflow.policy == {}
        assert step.version.created_at.tzinfo

    def test_what_is_missing(self, browser_workflow: Workflow, external_workflow: Workflow) -> None:
        assert STEP.get(browser_workflow.pk, "nothing") is None
        assert STEP.get(external_workflow.pk, "click-save") is None

    def test_without_what_is_beside_it(self, external_workflow: Workflow) -> None:
        Step.objects.create(workflow=external_workflow, node_id="bare")
        step = STEP.get(external_workflow.pk, "bare")
        assert step
        assert step.current is None

    def test_json_and_flags(self, browser_workflow: Workflow) -> None:
        step = browser_workflow.current_steps()[0]
        StepTally.objects.update_or_create(step=step, defaults={"base": {"accepted": 3}, "auto": True})
        tally = rows.Read(StepTally.objects.all(), "step_id").get(step.pk)
        assert tally
        assert (tally.base, tally.auto, tally.ready) == ({"accepted": 3}, True, False)

    def test_the_last_of_several(self, session: Session) -> None:
        event = rows.Read(SessionEvent.objects.all(), "session_id", last="seq")
        for seq in (7, 9, 8):
            SessionEvent.objects.create(session=session, seq=seq, type="x", at=timezone.now(), data={})
        found = event.get(session.pk)
        assert found
        assert found.seq == 9

    def test_other_conditions_are_refused(self, session: Session) -> None:
        with pytest.raises(ValueError, match="no other conditions"):
            rows.Read(SessionEvent.objects.filter(seq=1), "session_id").get(session.pk)
