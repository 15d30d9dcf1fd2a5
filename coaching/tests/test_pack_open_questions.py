"""Questions that are open while packs change what is proposed: taken back and asked anew, or kept and not counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoCaptureOnCommitCallbacks

from coaching.actions.autonomy import set_policy
from coaching.actions.caller import Question, ask, report_outcome
from coaching.actions.correction_packs import create_pack, publish, retire, revise, rollback, submit
from coaching.actions.decisions import Answer, decide
from coaching.actions.pack_items import edit_entry, switch_off, switch_on
from coaching.actions.proposing import earlier_trouble
from coaching.actions.sessions import pause_session, start_session
from coaching.actions.suggestions import open_suggestion
from coaching.evidence import Standing, standing
from coaching.exceptions import ProposalOutdated, StaleStep
from coaching.models import Correction, CorrectionPack, Decision, Level, PackItem, Session, Suggestion, Workflow
from coaching.signals import session_needs_worker
from coaching.tests.domain import assert_consistent, event_types, make_auto, together
from coaching.tests.packing import (
    AMOUNT,
    SAVED,
    answer,
    assert_metrics_are_right,
    backtested,
    coached,
    made,
    propose,
    publish_draft,
    published_pack,
    run,
)
from conftest import TYPE

pytestmark = pytest.mark.django_db

ORIGINAL = TYPE | {"value": "42.50"}
RENAMED = {"selectors": [["aria/Total incl. VAT"]]}
INVOICE = {"number": 7, "amount": "42.50"}
Commit = DjangoCaptureOnCommitCallbacks


@contextmanager
def woken() -> Iterator[list[int]]:
    """The sessions for which a worker is asked."""
    asked: list[int] = []

    def receive(session_pk: int, **_: Any) -> None:
        asked.append(session_pk)

    session_needs_worker.connect(receive)
    try:
        yield asked
    finally:
        session_needs_worker.disconnect(receive)


def ready_to_publish(correction: Correction, *, by: User) -> CorrectionPack:
    pack = create_pack(name="Release 2", corrections=[correction], by=by)
    backtested(pack.draft, by=by)
    submit(pack, by=by)
    return pack


def amount_of(workflow: Workflow) -> Standing:
    return standing(workflow.current_steps()[AMOUNT])


@pytest.fixture
def correction(browser_workflow: Workflow, coach: User) -> Correction:
    run(browser_workflow, "correct", by=coach, changes=RENAMED)
    return Correction.objects.get()


@pytest.fixture
def pack(correction: Correction, reviewer: User) -> CorrectionPack:
    """Replayed and submitted: it may be published."""
    return ready_to_publish(correction, by=reviewer)


class TestInTheBrowser:
    def test_taken_back_and_asked_anew(
        self, pack: CorrectionPack, browser_workflow: Workflow, coach: User, reviewer: User,
        django_capture_on_commit_callbacks: Commit,
    ) -> None:  # fmt: skip
        session = start_session(browser_workflow, by=coach)
        before = propose(session, at=AMOUNT)
        with woken() as asked, django_capture_on_commit_callbacks(execute=True):
            publish(pack, confirmed=True, by=reviewer)
        assert asked == [session.pk]
        before.refresh_from_db()
        assert (before.status, before.error) == ("withdrawn", "")
        assert event_types(session)[-2:] == ["level.changed", "suggestion.withdrawn"]
        reason = "A correction of pack “Release 2” was published: the step proposes something else now."
        assert session.events.latest("seq").data["reason"] == reason
        with pytest.raises(StaleStep, match="Suggestion 1 was withdrawn before your answer arrived"):
            answer(before, by=coach)
        assert earlier_trouble(AMOUNT, before) == "", "that it is asked again is no trouble"
        after = propose(session, at=AMOUNT, trouble=earlier_trouble(AMOUNT, before))
        assert (after.action, after.asked_because) == (ORIGINAL | RENAMED, "coaching")
        assert not answer(after, by=coach).outdated
        evidence = amount_of(browser_workflow)
        assert (evidence.accepted, evidence.refused, evidence.lifetime["corrected"]) == (1, 0, 1)
        assert_consistent(session)
        assert_metrics_are_right()

    def test_whatever_changes_what_is_proposed(
        self, pack: CorrectionPack, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        session = start_session(browser_workflow, by=coach)
        item = pack.items.get()

        def next_version() -> None:
            draft = revise(pack, by=reviewer)
            edit_entry(draft.entries.get(), new={"/selectors": [["aria/Sum"]]}, by=reviewer)
            publish_draft(pack, by=reviewer)

        for change in (
            lambda: publish(pack, confirmed=True, by=reviewer),
            lambda: switch_off([item], by=reviewer),
            lambda: switch_on([item], by=reviewer),
            next_version,
            lambda: rollback(pack, by=reviewer),
            lambda: retire(pack, by=reviewer),
        ):
            before = propose(session, at=AMOUNT)
            change()
            before.refresh_from_db()
            assert before.status == "withdrawn"
            assert propose(session, at=AMOUNT).action != before.action
            Suggestion.objects.open().update(status="decided", outcome="not_performed")
        assert_metrics_are_right()

    def test_what_stays_the_same_is_not_taken_back_and_counts(
        self, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        run(browser_workflow, "correct", by=coach, changes={"value": "43.00"})
        pack = ready_to_publish(Correction.objects.get(), by=reviewer)
        other_amount = propose(start_session(browser_workflow, by=coach, variables={"amount": "7"}), at=AMOUNT)
        other_step = propose(start_session(browser_workflow, by=coach), at=SAVED)
        same = propose(start_session(browser_workflow, by=coach), at=AMOUNT)
        read_before = Suggestion.objects.get(pk=other_amount.pk)
        publish(pack, confirmed=True, by=reviewer)
        assert set(Suggestion.objects.open()) == {other_amount, other_step}
        same.refresh_from_db()
        assert same.status == "withdrawn"
        # Who answers had read it before.
        assert not decide(read_before, Answer(decision="accept"), by=coach).outdated
        assert not answer(other_step, by=coach).outdated
        assert amount_of(browser_workflow).accepted == 1
        assert_metrics_are_right()

    def test_what_had_gone_wrong_is_told_again(
        self, pack: CorrectionPack, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        session = start_session(browser_workflow, by=coach)
        before = propose(session, at=AMOUNT, trouble="The page said: try again.")
        publish(pack, confirmed=True, by=reviewer)
        before.refresh_from_db()
        assert earlier_trouble(AMOUNT, before) == "The page said: try again."

    def test_a_contradiction_that_is_settled_is_not(
        self, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        for name in ("Sum", "Total"):
            run(browser_workflow, "correct", by=coach, changes={"selectors": [[f"aria/{name}"]]})
        packs = [
            published_pack(by=reviewer, name=str(c.pk), corrections=[c]) for c in Correction.objects.order_by("pk")
        ]
        before = propose(start_session(browser_workflow, by=coach), at=AMOUNT)
        assert "contradict each other" in before.error
        retire(packs[0], by=reviewer)
        before.refresh_from_db()
        assert (before.status, earlier_trouble(AMOUNT, before)) == ("withdrawn", "")

    def test_one_that_comes_up_is_told_as_well(
        self, pack: CorrectionPack, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        run(browser_workflow, "correct", by=coach, changes={"selectors": [["aria/Sum"]]})
        other = ready_to_publish(Correction.objects.latest("pk"), by=reviewer)
        publish(pack, confirmed=True, by=reviewer)
        before = propose(start_session(browser_workflow, by=coach), at=AMOUNT)
        assert before.unchanged_action
        publish(other, confirmed=True, by=reviewer)
        before.refresh_from_db()
        assert before.status == "withdrawn"

    def test_in_a_paused_session_too(
        self, pack: CorrectionPack, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        session = start_session(browser_workflow, by=coach)
        before = propose(session, at=AMOUNT)
        pause_session(session, by=coach)
        publish(pack, confirmed=True, by=reviewer)
        before.refresh_from_db()
        session.refresh_from_db()
        assert (before.status, session.status) == ("withdrawn", "paused")

    def test_who_looked_at_the_page_meanwhile_looks_again(
        self, pack: CorrectionPack, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        session = start_session(browser_workflow, by=coach)
        Session.objects.filter(pk=session.pk).update(current_step_index=AMOUNT)
        fresh, proposal = made(session)
        publish(pack, confirmed=True, by=reviewer)
        with pytest.raises(ProposalOutdated):
            open_suggestion(fresh, proposal)
        assert not session.suggestions.exists()
        assert propose(session).action == ORIGINAL | RENAMED

    def test_what_runs_alone_is_not_accepted_as_it_was_before(
        self, browser_workflow: Workflow, owner: User, coach: User, reviewer: User
    ) -> None:
        make_auto(browser_workflow, by=owner)
        run(browser_workflow, "correct", by=coach, changes=RENAMED)
        set_policy(browser_workflow, {"audit_rates": [0, 0, 0]})
        pack = ready_to_publish(Correction.objects.get(), by=reviewer)
        session = start_session(browser_workflow, by=coach, mode="auto")
        Session.objects.filter(pk=session.pk).update(current_step_index=AMOUNT)
        assert made(session)[1].asked_because == ""
        publish(pack, confirmed=True, by=reviewer)
        assert propose(session).asked_because == "not_auto"


@pytest.fixture
def invoices(external_workflow: Workflow, coach: User) -> Workflow:
    """An outside program whose amounts coaches write differently."""
    question = asked(start_session(external_workflow, by=coach), coach)
    answer(question, "correct", by=coach, correction=INVOICE | {"amount": "42,50"})
    return external_workflow


def asked(session: Session, by: User, action: dict[str, Any] = INVOICE) -> Suggestion:
    session = Session.objects.select_related("workflow").get(pk=session.pk)
    return ask(session, Question(node_id="post", action_type="post_invoice", action=action), by=by)[0]


class TestOfAProgram:
    def test_its_question_stays_and_the_answer_is_no_evidence(
        self, invoices: Workflow, coach: User, reviewer: User
    ) -> None:
        pack = ready_to_publish(Correction.objects.get(), by=reviewer)
        session = start_session(invoices, by=coach)
        before = asked(session, coach)
        publish(pack, confirmed=True, by=reviewer)
        assert session.open_suggestion() == before
        decision = answer(before, by=coach)
        assert decision.outdated
        step = invoices.current_steps()[0]
        evidence = standing(step)
        assert (evidence.accepted, evidence.refused) == (0, 0)
        assert evidence.lifetime["accepted"] == 1, "it was decided all the same"
        after = asked(session, coach)
        assert after.action == INVOICE | {"amount": "42,50"}
        assert not answer(after, by=coach).outdated
        assert standing(step).accepted == 1
        assert_consistent(session)
        assert_metrics_are_right()

    def test_another_question_of_the_same_step_counts(self, invoices: Workflow, coach: User, reviewer: User) -> None:
        pack = ready_to_publish(Correction.objects.get(), by=reviewer)
        before = asked(start_session(invoices, by=coach), coach, {"number": 8, "amount": "7"})
        publish(pack, confirmed=True, by=reviewer)
        assert not answer(before, by=coach).outdated
        assert standing(invoices.current_steps()[0]).accepted == 1
        assert_metrics_are_right()

    def test_nor_is_its_outcome(self, invoices: Workflow, coach: User, owner: User, reviewer: User) -> None:
        """The step may have become AUTO again by the time that the program tells."""
        pack = ready_to_publish(Correction.objects.get(), by=reviewer)
        before = asked(start_session(invoices, by=coach), coach)
        publish(pack, confirmed=True, by=reviewer)
        answer(before, by=coach)
        Suggestion.objects.filter(pk=before.pk).update(outcome=None)
        make_auto(invoices, by=owner)
        report_outcome(Suggestion.objects.get(pk=before.pk), "failed", error="It was the wrong format.")
        step = invoices.current_steps()[0]
        assert (step.level, standing(step).execution_score) == (Level.AUTO, 0)
        assert_metrics_are_right()

    def test_a_refusal_does_not_end_auto(self, invoices: Workflow, coach: User, owner: User, reviewer: User) -> None:
        pack = ready_to_publish(Correction.objects.get(), by=reviewer)
        before = asked(start_session(invoices, by=coach), coach)
        publish(pack, confirmed=True, by=reviewer)
        make_auto(invoices, by=owner)
        answer(before, "reject", by=coach)
        evidence = standing(invoices.current_steps()[0])
        assert (evidence.audit_score, evidence.refused, evidence.lifetime["rejected"]) == (0, 0, 1)
        assert_metrics_are_right()


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_an_answer_and_a_publication(self, browser_workflow: Workflow, coach: User, reviewer: User) -> None:
        """Either it was answered before, and the evidence starts after it; or it was taken back."""
        run(browser_workflow, "correct", by=coach, changes=RENAMED)
        correction = Correction.objects.get()
        for _ in range(12):
            pack = ready_to_publish(correction, by=reviewer)
            opened = propose(start_session(browser_workflow, by=coach), at=AMOUNT)
            decided, published = together(
                partial(answer, opened, by=coach), partial(publish, pack, confirmed=True, by=reviewer)
            )
            assert not isinstance(published, Exception), published
            assert isinstance(decided, Decision | StaleStep), decided
            opened.refresh_from_db()
            assert opened.status == ("decided" if isinstance(decided, Decision) else "withdrawn")
            assert amount_of(browser_workflow).counted == 0
            assert_consistent(opened.session)
            retire(pack, by=reviewer)
        assert_metrics_are_right()

    def test_an_answer_to_a_program_and_a_switch(self, invoices: Workflow, coach: User, reviewer: User) -> None:
        """Whichever comes first, the answer counts for nothing that is proposed afterwards."""
        item = published_pack(by=reviewer).items.get()
        switches = [partial(switch_off, by=reviewer), partial(switch_on, by=reviewer)]
        for number in range(20):
            opened = asked(start_session(invoices, by=coach), coach)
            decided, switched = together(
                partial(answer, opened, by=coach),
                partial(switches[number % 2], [PackItem.objects.get(pk=item.pk)]),
            )
            assert switched is None
            assert isinstance(decided, Decision), decided
            assert standing(invoices.current_steps()[0]).counted == 0
        assert_metrics_are_right()

    def test_questions_and_publications(self, browser_workflow: Workflow, coach: User, reviewer: User) -> None:
        """No question is left open that packs would put differently."""
        run(browser_workflow, "correct", by=coach, changes=RENAMED)
        item = published_pack(by=reviewer).items.get()
        sessions = [start_session(browser_workflow, by=coach) for _ in range(3)]

        def asking(session: Session) -> None:
            for _ in range(6):
                coached(session, "skip", by=coach)
            propose(session, at=AMOUNT)

        def switching() -> None:
            for _ in range(3):
                switch_off([item], by=reviewer)
                switch_on([item], by=reviewer)
            switch_off([item], by=reviewer)

        assert together(*(partial(asking, session) for session in sessions), switching) == [None] * 4
        for session in sessions:
            assert_consistent(session)
        assert all(question.action == ORIGINAL for question in Suggestion.objects.open())
        assert_metrics_are_right()
