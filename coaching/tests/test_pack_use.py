"""Published corrections at work: what is proposed, who is told to have changed it, and how it is judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoCaptureOnCommitCallbacks

from coaching.actions.autonomy import set_policy
from coaching.actions.correction_packs import create_pack, retire, revise
from coaching.actions.pack_items import change_correction, switch_on
from coaching.actions.sessions import start_session
from coaching.actions.workflows import create_workflow
from coaching.evidence import standing
from coaching.exceptions import InvalidInput
from coaching.models import Correction, LevelChange, PackConflict, PackItem, PackUse, Session, Suggestion, Workflow
from coaching.packs import target_print
from coaching.tests.domain import everything_stored, make_auto
from coaching.tests.packing import (
    AMOUNT,
    PAGE,
    SAVED,
    answer,
    assert_metrics_are_right,
    backtested,
    let_type,
    planned,
    propose,
    publish_draft,
    published_pack,
    run,
)
from conftest import TYPE, demonstrate

RENAMED = {"selectors": [["aria/Total incl. VAT"]]}
SECRET = "hunter-two-is-long"
Commit = DjangoCaptureOnCommitCallbacks


@pytest.fixture
def correction(browser_workflow: Workflow, coach: User) -> Correction:
    run(browser_workflow, "correct", by=coach, changes=RENAMED)
    return Correction.objects.get()


@pytest.fixture
def item(correction: Correction, reviewer: User) -> PackItem:
    """The one correction of the one published pack."""
    pack = published_pack(by=reviewer)
    return pack.items.get()


@pytest.fixture
def fresh(browser_workflow: Workflow, item: PackItem, coach: User) -> Session:
    return start_session(browser_workflow, by=coach)


class TestProposing:
    def test_a_published_correction_changes_what_is_proposed(self, fresh: Session, item: PackItem) -> None:
        suggestion = propose(fresh, at=AMOUNT)
        original = TYPE | {"value": "42.50"}
        assert suggestion.action == original | RENAMED
        assert suggestion.unchanged_action == suggestion.original_action == original
        assert suggestion.description == "Type “42.50” into “Total incl. VAT”"
        patch = suggestion.provenance.pop("changed")
        assert suggestion.provenance == {"source": "pack", "pack": "Release 2", "version": 1, "correction": 1}
        assert patch == Correction.objects.get().difference
        use = PackUse.objects.get()
        assert (use.suggestion, use.item, use.version, use.right) == (suggestion, item, item.pack.active, None)
        assert suggestion.target_key == target_print(original, PAGE["url"]).key("change")
        assert (suggestion.asked_because, suggestion.error) == ("coaching", "")

    def test_other_steps_stay_as_they_are(self, fresh: Session) -> None:
        suggestion = propose(fresh, at=SAVED)
        assert suggestion.unchanged_action is None
        assert suggestion.provenance == {
            "source": "workflow", "pack": None, "version": 1, "correction": None, "changed": [],
        }  # fmt: skip
        assert not PackUse.objects.exists()

    @pytest.mark.usefixtures("item")
    def test_variables_keep_filling_in(self, browser_workflow: Workflow, coach: User) -> None:
        for amount in ("1.00", "2.00"):
            session = start_session(browser_workflow, by=coach, variables={"amount": amount})
            assert propose(session, at=AMOUNT).action == TYPE | {"value": amount} | RENAMED

    def test_a_correction_of_one_value_changes_no_other(
        self, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        run(browser_workflow, "correct", by=coach, changes={"value": "43.00"})
        published_pack(by=reviewer)
        for amount, proposed in (("42.50", "43.00"), ("7", "7")):
            session = start_session(browser_workflow, by=coach, variables={"amount": amount})
            assert planned_at(session).action["value"] == proposed

    def test_secrets_stay_placeholders(self, browser_workflow: Workflow, coach: User, reviewer: User) -> None:
        browser_workflow.variables.create(name="pin", label="PIN", secret=True)
        let_type(browser_workflow, "{{ pin }} old")
        session = start_session(browser_workflow, by=coach, variables={"pin": SECRET})
        suggestion = propose(session, at=AMOUNT)
        answer(suggestion, "correct", by=coach, correction=suggestion.action | {"value": "{{ pin }}"})
        published_pack(by=reviewer)
        suggestion = propose(start_session(browser_workflow, by=coach, variables={"pin": SECRET}), at=AMOUNT)
        assert suggestion.action["value"] == "{{ pin }}"
        assert suggestion.description == "Type “***” into “Amount”"
        assert SECRET not in everything_stored()

    def test_a_draft_a_retired_pack_and_what_is_off_change_nothing(
        self, browser_workflow: Workflow, correction: Correction, coach: User, reviewer: User
    ) -> None:
        session = start_session(browser_workflow, by=coach)
        pack = create_pack(name="P", corrections=[correction], by=reviewer)
        assert not planned_at(session).packs.entries
        publish_draft(pack, by=reviewer)
        assert planned_at(session).packs.entries
        revise(pack, by=reviewer)
        assert planned_at(session).packs.entries, "the version that is applied stays so"
        change_correction(pack, 1, off=True, by=reviewer)
        assert not planned_at(session).packs.entries
        change_correction(pack, 1, off=False, by=reviewer)
        retire(pack, by=reviewer)
        assert not planned_at(session).packs.entries

    @pytest.mark.usefixtures("correction")
    def test_two_corrections_of_two_fields_both_count(
        self, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        run(browser_workflow, "correct", by=coach, changes={"timeout": 9000})
        pack = published_pack(by=reviewer)
        suggestion = propose(start_session(browser_workflow, by=coach), at=AMOUNT)
        assert suggestion.action == TYPE | {"value": "42.50", "timeout": 9000} | RENAMED
        assert suggestion.provenance["correction"] == 1, "the first is named"
        assert {step["path"].split("/")[1] for step in suggestion.provenance["changed"]} == {"selectors", "timeout"}
        answer(suggestion, by=coach)
        assert list(pack.items.values_list("right", flat=True)) == [1, 1]

    def test_in_another_workflow_only_where_the_scope_says_so(
        self, correction: Correction, owner: User, coach: User, reviewer: User
    ) -> None:
        other = create_workflow(
            workflow_id="other", name="Other", executor="browser", by=owner,
            steps=[{"node_id": "type", "action": TYPE}],
        )  # fmt: skip
        other.variables.create(name="amount", label="Amount", default="1")
        demonstrate(other)
        session = start_session(other, by=coach)
        own = published_pack(by=reviewer)
        assert not planned(session).packs.entries
        retire(own, by=reviewer)
        published_pack(by=reviewer, scope="target", corrections=[correction], pack_id="wide")
        assert planned(session).action == TYPE | {"value": "1"} | RENAMED
        for page_url in ("http://127.0.0.1:1/elsewhere", ""):
            assert not planned(session, page_url=page_url).packs.entries
        assert planned(session, page_url="https://moved.example/claims/new?x=1").packs.entries, "the path counts"

    def test_what_coachsite_cannot_perform_may_be_put_right(
        self, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        step = browser_workflow.current_steps()[SAVED]
        custom = {"type": "customStep", "name": "save", "parameters": {}}
        type(step.version).objects.filter(pk=step.version.pk).update(
            supported=False, action=custom, action_type="customStep"
        )
        suggestion = propose(start_session(browser_workflow, by=coach), at=SAVED)
        assert "cannot perform this step" in suggestion.error
        with pytest.raises(InvalidInput, match="cannot perform this step"):
            answer(suggestion, by=coach)
        click = {"type": "click", "selectors": [["aria/Save"]], "offsetX": 1, "offsetY": 1}
        answer(suggestion, "correct", by=coach, correction=click)
        published_pack(by=reviewer)
        suggestion = propose(start_session(browser_workflow, by=coach), at=SAVED)
        assert (suggestion.action, suggestion.action_type, suggestion.error) == (click, "click", "")
        assert suggestion.is_supported
        answer(suggestion, by=coach)
        assert PackItem.objects.get().right == 1

    @pytest.mark.usefixtures("correction")
    def test_nothing_runs_alone_that_a_pack_has_changed_before_it_was_coached(
        self, browser_workflow: Workflow, owner: User, coach: User, reviewer: User
    ) -> None:
        make_auto(browser_workflow, by=owner, accepts=10)
        set_policy(browser_workflow, {"audit_rates": [0, 0, 0]})
        session = start_session(browser_workflow, by=coach, mode="auto")
        assert propose(session, at=SAVED).asked_because == ""
        session.suggestions.update(status="withdrawn")
        published_pack(by=reviewer)
        suggestion = propose(session, at=AMOUNT)
        assert (suggestion.asked_because, suggestion.action["selectors"]) == ("not_auto", RENAMED["selectors"])


def planned_at(session: Session, index: int = AMOUNT) -> Any:
    Session.objects.filter(pk=session.pk).update(current_step_index=index)
    return planned(session)


class TestContradictions:
    @pytest.fixture
    def torn(self, browser_workflow: Workflow, coach: User, reviewer: User) -> Workflow:
        for name in ("Sum", "Total"):
            run(browser_workflow, "correct", by=coach, changes={"selectors": [[f"aria/{name}"]]})
        for correction, name in zip(Correction.objects.order_by("pk"), ("Sum", "Total"), strict=True):
            published_pack(by=reviewer, name=name, corrections=[correction])
        return browser_workflow

    def test_the_coach_is_asked_and_the_reviewer_is_told(self, torn: Workflow, coach: User) -> None:
        for seen in (1, 2):
            suggestion = propose(start_session(torn, by=coach), at=AMOUNT)
            assert suggestion.asked_because == "trouble"
            assert suggestion.error == (
                "Corrections contradict each other about “selectors”: number 1 of pack “Sum” and number 1 of pack "
                "“Total”. None of them was applied."
            )
            assert (suggestion.action, suggestion.unchanged_action) == (TYPE | {"value": "42.50"}, None)
            assert suggestion.provenance["source"] == "workflow"
            conflict = PackConflict.objects.get()
            assert (conflict.item.pack.name, conflict.other.pack.name) == ("Sum", "Total")
            assert (conflict.workflow, conflict.node_id, conflict.path) == (torn, "change-amount", "/selectors")
            assert conflict.seen == seen
        assert not PackUse.objects.exists()
        assert list(PackConflict.objects.open()) == [conflict]

    def test_even_what_runs_alone_is_asked(self, torn: Workflow, coach: User) -> None:
        # Trouble is not evidence for AUTO here; the level is set as it may be from before.
        torn.steps.update(level="AUTO")
        set_policy(torn, {"audit_rates": [0, 0, 0]})
        assert propose(start_session(torn, by=coach, mode="auto"), at=AMOUNT).asked_because == "trouble"

    def test_settled_it_is_open_no_more(self, torn: Workflow, coach: User, reviewer: User) -> None:
        propose(start_session(torn, by=coach), at=AMOUNT)
        item = PackItem.objects.get(pack__name="Sum")
        change_correction(item.pack, 1, off=True, by=reviewer)
        assert not PackConflict.objects.open()
        suggestion = propose(start_session(torn, by=coach), at=AMOUNT)
        assert (suggestion.error, suggestion.provenance["pack"]) == ("", "Total")
        switch_on([item], by=reviewer)
        propose(start_session(torn, by=coach), at=AMOUNT)
        assert PackConflict.objects.open().get().seen == 1, "counted from when it came up again"


class TestJudging:
    @pytest.mark.parametrize(
        ("kind", "rest", "right", "wrong"),
        [
            ("accept", {}, 1, 0),
            ("reject", {}, 0, 1),
            ("correct", {"correction": TYPE | {"value": "1", "selectors": [["aria/Sum"]]}}, 0, 1),
            ("manual", {}, 0, 0),
            ("manual", {"correction": TYPE | {"value": "1", "selectors": [["aria/Sum"]]}}, 0, 0),
            ("skip", {}, 0, 0),
        ],
    )
    def test_what_a_person_says(
        self, fresh: Session, item: PackItem, coach: User, *, kind: str, rest: dict[str, Any], right: int, wrong: int
    ) -> None:
        answer(propose(fresh, at=AMOUNT), kind, by=coach, **rest)
        item.refresh_from_db()
        assert (item.right, item.wrong, item.uses) == (right, wrong, right + wrong)
        assert PackUse.objects.get().right == {(1, 0): True, (0, 1): False}.get((right, wrong))

    @pytest.mark.parametrize("kind", ["accept", "reject"])
    def test_not_in_trouble(self, fresh: Session, item: PackItem, coach: User, kind: str) -> None:
        answer(propose(fresh, at=AMOUNT, trouble="The page is slow."), kind, by=coach)
        item.refresh_from_db()
        assert item.uses == 0

    def test_not_by_the_policy(self, fresh: Session, item: PackItem) -> None:
        fresh.workflow.steps.update(level="AUTO")
        answer(propose(fresh, at=AMOUNT), by=None)
        item.refresh_from_db()
        assert item.uses == 0

    def test_an_unchanged_suggestion_says_nothing(self, fresh: Session, item: PackItem, coach: User) -> None:
        answer(propose(fresh, at=SAVED), "reject", by=coach)
        item.refresh_from_db()
        assert item.uses == 0

    def test_a_correction_on_top_is_captured_against_the_original(
        self, fresh: Session, correction: Correction, coach: User
    ) -> None:
        suggestion = propose(fresh, at=AMOUNT)
        decision = answer(suggestion, "correct", by=coach, correction=suggestion.action | {"timeout": 9000})
        assert [step["path"] for step in decision.difference] == ["/timeout"], "for the coach it was one field"
        new = Correction.objects.exclude(pk=correction.pk).get()
        assert new.original == TYPE | {"value": "42.50"}
        assert [change["path"] for change in new.changes] == ["/selectors", "/timeout"]
        correction.refresh_from_db()
        assert correction.count == 1

    def test_back_to_the_original_is_no_correction(
        self, fresh: Session, item: PackItem, correction: Correction, coach: User
    ) -> None:
        suggestion = propose(fresh, at=AMOUNT)
        answer(suggestion, "correct", by=coach, correction=suggestion.original_action)
        assert list(Correction.objects.all()) == [correction]
        item.refresh_from_db()
        assert item.wrong == 1

    def test_on_top_of_another_kind_of_action_it_is_still_of_the_original_target(
        self, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        click = {"type": "click", "selectors": [["aria/Save"]], "offsetX": 1, "offsetY": 1}
        press = {"type": "keyDown", "key": "Enter"}
        run(browser_workflow, "correct", by=coach, at=SAVED, changes=RENAMED)
        suggestion = propose(start_session(browser_workflow, by=coach), at=SAVED)
        answer(suggestion, "correct", by=coach, correction=press)
        first = Correction.objects.latest("pk")
        published_pack(by=reviewer, corrections=[first])
        suggestion = propose(start_session(browser_workflow, by=coach), at=SAVED)
        assert suggestion.action_type == "keyDown"
        answer(suggestion, "correct", by=coach, correction=click)
        last = Correction.objects.latest("pk")
        assert last.pk != first.pk
        assert (
            (last.action_type, last.target_key) == (first.action_type, first.target_key) == ("click", last.target_key)
        )


class TestSwitchedOffByItself:
    @pytest.mark.parametrize(
        ("answers", "off"),
        [("RRRR", False), ("RRRRR", True), ("ARRRR", True), ("AAARR", True), ("AAAAR", False), ("AAAAAR", False),
         ("AAAARR", True), ("RRRRA", True)],
    )  # fmt: skip
    def test_exactly_when_it_is_wrong_too_often(
        self, browser_workflow: Workflow, item: PackItem, coach: User, *, answers: str, off: bool,
        django_capture_on_commit_callbacks: Commit,
    ) -> None:  # fmt: skip
        """Confidence that it is right in 85 of 100: 1 − I_0.85(5, 2) = 0.224 after 4 of 5, 0.047 after 3 of 5."""
        for place, letter in enumerate(answers):
            session = start_session(browser_workflow, by=coach)
            with django_capture_on_commit_callbacks(execute=True):
                suggestion = propose(session, at=AMOUNT)
                assert suggestion.provenance["source"] == "pack", f"off after {answers[:place]}"
                answer(suggestion, "accept" if letter == "A" else "reject", by=coach)
        item.refresh_from_db()
        assert (item.right, item.wrong) == (answers.count("A"), answers.count("R"))
        assert (item.off_since is not None) == off

    def test_all_are_told(
        self, browser_workflow: Workflow, item: PackItem, coach: User, django_capture_on_commit_callbacks: Commit
    ) -> None:
        amount = browser_workflow.current_steps()[AMOUNT]
        for _ in range(5):
            with django_capture_on_commit_callbacks(execute=True):
                decision = run(browser_workflow, "reject", by=coach)
        item.refresh_from_db()
        reason = "Wrong too often: right 0 of 5 times."
        assert (item.off_by, item.off_reason) == ("policy", reason)
        event = decision.session.events.get(type="correction.switched_off")
        assert event.data == {"pack": "Release 2", "correction": 1, "reason": reason}
        note = item.pack.changes.latest("pk")
        assert (note.what, note.by, note.user, note.version_number) == ("switched off", "policy", None, 1)
        assert note.words == f"correction 1: {reason}"
        assert list(PackItem.objects.switched_themselves_off("policy")) == [item]
        change = LevelChange.objects.filter(step=amount).latest("pk")
        assert (change.by, change.restarts) == ("policy", True)
        assert "was switched off" in change.reason
        assert standing(amount).counted == 0
        assert planned_at(start_session(browser_workflow, by=coach)).action == TYPE | {"value": "42.50"}
        assert_metrics_are_right()

    def test_a_refused_answer_switches_nothing_off(
        self, browser_workflow: Workflow, item: PackItem, coach: User, django_capture_on_commit_callbacks: Commit
    ) -> None:
        PackItem.objects.update(wrong=4)
        suggestion = propose(start_session(browser_workflow, by=coach), at=AMOUNT)
        with django_capture_on_commit_callbacks(execute=True), pytest.raises(InvalidInput):
            answer(suggestion, "correct", by=coach, correction=suggestion.action)
        item.refresh_from_db()
        assert (item.wrong, item.off_since) == (4, None)

    def test_switched_on_again_it_gets_a_new_chance(
        self, browser_workflow: Workflow, item: PackItem, coach: User, reviewer: User,
        django_capture_on_commit_callbacks: Commit,
    ) -> None:  # fmt: skip
        PackItem.objects.update(wrong=9)
        with django_capture_on_commit_callbacks(execute=True):
            run(browser_workflow, "reject", by=coach)
        item.refresh_from_db()
        assert item.off_since
        switch_on([item], by=reviewer)
        with django_capture_on_commit_callbacks(execute=True):
            run(browser_workflow, "reject", by=coach)
        item.refresh_from_db()
        assert (item.right, item.wrong) == (0, 1)
        assert item.off_since is None

    @pytest.mark.usefixtures("correction")
    def test_two_that_are_wrong_together_go_together(
        self, browser_workflow: Workflow, coach: User, reviewer: User,
        django_capture_on_commit_callbacks: Commit,
    ) -> None:  # fmt: skip
        run(browser_workflow, "correct", by=coach, changes={"timeout": 9000})
        pack = published_pack(by=reviewer)
        PackItem.objects.filter(number=2).update(right=50)
        for _ in range(5):
            with django_capture_on_commit_callbacks(execute=True):
                run(browser_workflow, "reject", by=coach)
        assert [bool(one.off_since) for one in pack.items.all()] == [True, False]
        assert planned_at(start_session(browser_workflow, by=coach)).action["timeout"] == 9000


def test_a_new_version_keeps_the_record_of_what_stayed(
    browser_workflow: Workflow, item: PackItem, coach: User, reviewer: User
) -> None:
    run(browser_workflow, "accept", by=coach)
    pack = item.pack
    run(browser_workflow, "correct", by=coach, at=SAVED, changes={"offsetX": 9})
    revise(pack, by=reviewer)
    pack.refresh_from_db()
    backtested(pack.draft, by=reviewer)
    publish_draft(pack, by=reviewer)
    run(browser_workflow, "accept", by=coach)
    item.refresh_from_db()
    assert (item.right, item.uses) == (2, 2)
    versions = PackUse.objects.order_by("pk").values_list("version__number", flat=True)
    assert list(versions) == [1, 2]


def test_a_session_that_is_deleted_takes_its_uses_but_not_their_judgement(
    browser_workflow: Workflow, item: PackItem, coach: User, delete: Callable[[Suggestion], None]
) -> None:
    suggestion = propose(start_session(browser_workflow, by=coach), at=AMOUNT)
    answer(suggestion, by=coach)
    delete(suggestion)
    item.refresh_from_db()
    assert (item.right, PackUse.objects.count()) == (1, 0)


@pytest.fixture
def delete() -> Callable[[Suggestion], None]:
    from coaching.actions.sessions import delete_session  # noqa: PLC0415

    return lambda suggestion: delete_session(suggestion.session)
