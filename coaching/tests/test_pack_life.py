"""The life of a pack: every move, who may not make it, and what it does to the steps that it touches."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from coaching.actions.autonomy import set_policy
from coaching.actions.backtests import start_backtest
from coaching.actions.correction_packs import (
    add_corrections,
    change_pack,
    create_pack,
    delete_pack,
    export,
    finished_backtest,
    import_pack,
    make_pack,
    merge,
    preview_import,
    publish,
    retire,
    revise,
    rollback,
    submit,
)
from coaching.actions.pack_items import (
    change_correction,
    digest_of,
    edit_entry,
    items_of,
    reject_entry,
    set_enabled,
    switch_off,
    switch_on,
)
from coaching.actions.sessions import abandon_session, start_session
from coaching.actions.workflows import create_workflow
from coaching.evidence import standing
from coaching.exceptions import (
    BackTestNeeded,
    BreaksAccepted,
    DomainError,
    IllegalTransition,
    InvalidInput,
    UndecidedConflicts,
)
from coaching.models import (
    Correction,
    CorrectionPack,
    Decision,
    LevelChange,
    PackChange,
    PackEntry,
    PackItem,
    PackVersion,
    Step,
    Workflow,
)
from coaching.tests.domain import assert_consistent, everything_stored, make_auto, together
from coaching.tests.packing import (
    AMOUNT,
    SAVED,
    answer,
    assert_metrics_are_right,
    backtested,
    coached,
    let_type,
    planned,
    propose,
    publish_draft,
    published_pack,
    run,
)
from conftest import TYPE, demonstrate

RENAMED = {"selectors": [["aria/Total incl. VAT"]]}


@pytest.fixture
def correction(browser_workflow: Workflow, coach: User) -> Correction:
    run(browser_workflow, "correct", by=coach, changes=RENAMED)
    return Correction.objects.get()


@pytest.fixture
def pack(correction: Correction, reviewer: User) -> CorrectionPack:
    return create_pack(name="Release 2", corrections=[correction], by=reviewer)


@pytest.fixture
def published(pack: CorrectionPack, reviewer: User) -> CorrectionPack:
    publish_draft(pack, by=reviewer)
    pack.refresh_from_db()
    return pack


@pytest.fixture
def second(browser_workflow: Workflow, coach: User, correction: Correction) -> Correction:
    """A correction of another step."""
    run(browser_workflow, "correct", by=coach, at=SAVED, changes={"offsetX": 9})
    return Correction.objects.exclude(pk=correction.pk).get()


def entry_of(version: PackVersion | None, number: int = 1) -> PackEntry:
    return PackEntry.objects.select_related("item__pack", "version__pack").get(version=version, item__number=number)


def state_of(pack: CorrectionPack) -> tuple[str, int | None, int | None]:
    """`(status, number of the applied version, number of the draft)`."""
    pack.refresh_from_db()
    active, draft = pack.active, pack.draft
    return pack.status, active.number if active else None, draft.number if draft else None


def logged(pack: CorrectionPack) -> list[str]:
    return list(pack.changes.order_by("pk").values_list("what", flat=True))


def rows() -> dict[str, Any]:
    """All that packs are, to see that nothing of it was changed."""
    models = (CorrectionPack, PackVersion, PackItem, PackEntry, PackChange, LevelChange)
    return {
        model.__name__: [
            {name: value for name, value in row.items() if name != "updated_at"}
            for row in model.objects.order_by("pk").values()
        ]
        for model in models
    }


def refused(call: Callable[[], Any], *, because: type[DomainError] = IllegalTransition, words: str = ".") -> None:
    before = rows()
    with pytest.raises(because, match=words):
        call()
    assert rows() == before


class TestMoves:
    def test_from_a_draft_to_retirement(self, pack: CorrectionPack, reviewer: User) -> None:
        assert state_of(pack) == ("draft", None, 1)
        submit(pack, by=reviewer)
        assert state_of(pack) == ("in_review", None, 1)
        assert pack.draft
        backtested(pack.draft, by=reviewer)
        version = publish(pack, by=reviewer)
        assert state_of(pack) == ("published", 1, None)
        assert (version.is_published, version.published_by) == (True, "rita")
        retire(pack, by=reviewer)
        assert state_of(pack) == ("retired", None, None)
        assert logged(pack) == ["created", "added", "submitted", "published", "retired"]
        assert set(pack.changes.values_list("by", "user")) == {("rita", reviewer.pk)}
        words = dict(pack.changes.values_list("what", "words"))
        assert words["added"] == "corrections 1"
        assert words["published"] == "1 corrections saved, 0 accepted suggestions changed"
        assert dict(pack.changes.values_list("what", "version_number"))["retired"] == 1

    def test_the_next_version_and_back_in_one_step(
        self, published: CorrectionPack, second: Correction, reviewer: User
    ) -> None:
        first = published.active
        draft = revise(published, by=reviewer)
        assert state_of(published) == ("published", 1, 2)
        assert items_of(draft) == items_of(first), "it starts as the applied one"
        assert revise(published, by=reviewer) == draft, "there is one already"
        add_corrections(published, [second], by=reviewer)
        assert add_corrections(published, [second], by=reviewer) == []
        submit(published, by=reviewer)
        assert state_of(published) == ("in_review", 1, 2)
        revise(published, by=reviewer)
        assert state_of(published) == ("published", 1, 2), "an applied pack goes back to what it is"
        publish_draft(published, by=reviewer)
        assert state_of(published) == ("published", 2, None)
        assert [item.number for item in items_of(published.active)] == [1, 2]
        assert rollback(published, by=reviewer) == first
        assert state_of(published) == ("published", 1, None)
        assert rollback(published, to=2, by=reviewer).number == 2, "forward as well"
        assert logged(published)[4:] == [
            "revised", "added", "submitted", "back to draft", "submitted", "published", "rolled back", "rolled back",
        ]  # fmt: skip
        assert published.changes.filter(what="rolled back").latest("pk").words == "from version 1"

    def test_a_draft_stays_when_its_pack_is_rolled_back(
        self, published: CorrectionPack, second: Correction, reviewer: User
    ) -> None:
        revise(published, by=reviewer)
        add_corrections(published, [second], by=reviewer)
        publish_draft(published, by=reviewer)
        draft = revise(published, by=reviewer)
        submit(published, by=reviewer)
        rollback(published, by=reviewer)
        assert state_of(published) == ("in_review", 1, 3)
        assert len(items_of(draft)) == 2

    def test_what_cannot_be_done_now(self, pack: CorrectionPack, correction: Correction, reviewer: User) -> None:
        refused(lambda: publish(pack, by=reviewer), words="submit it first")
        refused(lambda: rollback(pack, by=reviewer), words="not applied")
        submit(pack, by=reviewer)
        refused(lambda: submit(pack, by=reviewer), words="in review already")
        refused(lambda: publish(pack, by=reviewer), because=BackTestNeeded, words="Back-test this version first")
        publish_draft_in_review(pack, reviewer)
        refused(lambda: publish(pack, by=reviewer))
        refused(lambda: submit(pack, by=reviewer), words="start a new version first")
        refused(lambda: add_corrections(pack, [correction], by=reviewer), words="start a new version first")
        refused(lambda: rollback(pack, by=reviewer), words="no earlier version")
        for number in (0, 1, 2, 99):
            refused(lambda n=number: rollback(pack, to=n, by=reviewer))  # type: ignore[misc]
        refused(lambda: delete_pack(pack, by=reviewer), words="retire it")
        entry = entry_of(pack.active)
        refused(lambda: edit_entry(entry, new={"/selectors": [["#x"]]}, by=reviewer), words="Only a draft")
        refused(lambda: edit_entry(entry, note="why", by=reviewer))
        refused(lambda: reject_entry(entry, reason="no", by=reviewer))
        refused(lambda: set_enabled([entry], enabled=False, by=reviewer))
        refused(lambda: change_pack(pack, scope="target", by=reviewer))
        refused(lambda: change_pack(pack, name="Another", scope="target", by=reviewer))
        retire(pack, by=reviewer)
        for move in (
            partial(retire, pack), partial(submit, pack), partial(publish, pack), partial(revise, pack),
            partial(rollback, pack), partial(rollback, pack, to=1), partial(delete_pack, pack),
            partial(add_corrections, pack, [correction]),
        ):  # fmt: skip
            refused(partial(move, by=reviewer))

    def test_a_draft_without_anything_is_not_reviewed(self, pack: CorrectionPack, reviewer: User) -> None:
        empty = create_pack(name="Empty", by=reviewer)
        refused(lambda: submit(empty, by=reviewer), words="no correction")
        refused(lambda: start_backtest(empty.draft, by=reviewer), words="no correction")  # type: ignore[arg-type]
        set_enabled([entry_of(pack.draft)], enabled=False, by=reviewer)
        refused(lambda: submit(pack, by=reviewer), words="no correction")
        set_enabled([entry_of(pack.draft)], enabled=True, by=reviewer)
        submit(pack, by=reviewer)

    def test_names_and_ids(self, pack: CorrectionPack, reviewer: User) -> None:
        assert pack.pack_id == "release-2"
        assert create_pack(name="Release 2", by=reviewer).pack_id == "release-2-2"
        assert create_pack(name="Import", by=reviewer).pack_id == "import-2"
        assert create_pack(name="…", by=reviewer).pack_id == "pack"
        for about in (
            {"name": " "}, {"name": "x" * 201}, {"name": "N", "scope": "all"}, {"name": "N", "pack_id": "release-2"},
            {"name": "N", "pack_id": "import"}, {"name": "N", "pack_id": "a b"}, {"name": "N", "pack_id": "a\n"},
            {"name": "N", "pack_id": "x" * 101},
        ):  # fmt: skip
            refused(lambda a=about: create_pack(**a, by=reviewer), because=InvalidInput)  # type: ignore[misc]
        change_pack(pack, name="Renamed", description="Why", scope="target", by=reviewer)
        assert (pack.name, pack.description, pack.scope, pack.pack_id) == ("Renamed", "Why", "target", "release-2")
        refused(lambda: change_pack(pack, name="", by=reviewer), because=InvalidInput)
        refused(lambda: change_pack(pack, scope="all", by=reviewer), because=InvalidInput)
        assert logged(pack)[-1] == "changed"

    def test_deleting_a_draft(self, pack: CorrectionPack, correction: Correction, reviewer: User) -> None:
        backtested(pack.draft, by=reviewer)
        delete_pack(pack, by=reviewer)
        assert not any(model.objects.exists() for model in (CorrectionPack, PackVersion, PackItem, PackEntry))
        assert list(Correction.objects.all()) == [correction]
        create_pack(name="Release 2", corrections=[correction], by=reviewer)

    def test_a_suggested_pack_is_made_once(
        self, correction: Correction, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        assert not Correction.objects.suggested()
        run(browser_workflow, "correct", by=coach, changes=RENAMED)
        made = make_pack(Correction.objects.suggested(), by=reviewer)
        assert (made.name, state_of(made)) == ("Expense claim", ("draft", None, 1))
        assert not Correction.objects.suggested()
        refused(lambda: make_pack(Correction.objects.suggested(), by=reviewer), words="in a pack already")
        retire(made, by=reviewer)
        assert list(Correction.objects.suggested()) == [correction], "nobody covers it any more"
        into = create_pack(name="Another", by=reviewer)
        assert make_pack(Correction.objects.suggested(), into=into, by=reviewer) == into
        assert len(items_of(into.draft)) == 1


def publish_draft_in_review(pack: CorrectionPack, by: User) -> None:
    assert pack.draft
    backtested(pack.draft, by=by)
    publish(pack, by=by)


class TestNotBlind:
    def test_the_back_test_must_be_of_exactly_these_corrections(
        self, pack: CorrectionPack, second: Correction, reviewer: User
    ) -> None:
        backtested(pack.draft, by=reviewer)
        submit(pack, by=reviewer)
        revise(pack, by=reviewer)
        add_corrections(pack, [second], by=reviewer)
        submit(pack, by=reviewer)
        refused(lambda: publish(pack, confirmed=True, by=reviewer), because=BackTestNeeded)
        publish_draft_in_review(pack, reviewer)

    @pytest.mark.parametrize("change", ["edit", "leave out", "reject", "switch off"])
    def test_whatever_changes_what_it_does_asks_for_another(
        self, pack: CorrectionPack, second: Correction, reviewer: User, change: str
    ) -> None:
        add_corrections(pack, [second], by=reviewer)
        assert pack.draft
        backtested(pack.draft, by=reviewer)
        before = digest_of(pack.draft)
        entry = entry_of(pack.draft)
        if change == "edit":
            edit_entry(entry, new={"/selectors": [["aria/Sum"]]}, by=reviewer)
        elif change == "leave out":
            set_enabled([entry], enabled=False, by=reviewer)
        elif change == "reject":
            reject_entry(entry, reason="Not so.", by=reviewer)
        else:
            switch_off([entry.item], by=reviewer)
        assert digest_of(pack.draft) != before
        assert finished_backtest(pack.draft) is None
        submit(pack, by=reviewer)
        refused(lambda: publish(pack, confirmed=True, by=reviewer), because=BackTestNeeded)

    def test_undone_it_is_the_one_that_was_tested(self, pack: CorrectionPack, reviewer: User) -> None:
        assert pack.draft
        backtest = backtested(pack.draft, by=reviewer)
        for off in (True, False):
            change_correction(pack, 1, off=off, by=reviewer)
        assert finished_backtest(pack.draft) == backtest

    def test_what_breaks_accepted_suggestions_is_confirmed(
        self, pack: CorrectionPack, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        for _ in range(2):
            run(browser_workflow, "accept", by=coach)
        backtest = backtested(pack.draft, by=reviewer)
        assert (backtest.saved, backtest.broken) == (1, 2)
        submit(pack, by=reviewer)
        refused(lambda: publish(pack, by=reviewer), because=BreaksAccepted, words="2 accepted suggestions")
        publish(pack, confirmed=True, by=reviewer)
        assert pack.changes.latest("pk").words == "1 corrections saved, 2 accepted suggestions changed"

    def test_one_that_runs_or_has_failed_is_not_enough(self, pack: CorrectionPack, reviewer: User) -> None:
        assert pack.draft
        backtest = start_backtest(pack.draft, by=reviewer)
        submit(pack, by=reviewer)
        refused(lambda: publish(pack, by=reviewer), because=BackTestNeeded)
        backtest.__class__.objects.update(status="failed")
        refused(lambda: publish(pack, by=reviewer), because=BackTestNeeded)


class TestCorrections:
    def test_another_change_is_another_correction(self, pack: CorrectionPack, reviewer: User) -> None:
        edited = change_correction(pack, 1, new={"/selectors": [["aria/Sum"]]}, note="Shorter.", by=reviewer)
        assert (edited.item.number, edited.changes[0]["new"], edited.note) == (2, [["aria/Sum"]], "Shorter.")
        assert edited.changes[0]["old"] == TYPE["selectors"]
        assert [item.number for item in items_of(pack.draft)] == [2]
        assert logged(pack)[-1] == "edited"
        refused(
            lambda: change_correction(pack, 2, new={"/value": "1"}, by=reviewer),
            because=InvalidInput, words="does not change “/value”",
        )  # fmt: skip
        with pytest.raises(PackEntry.DoesNotExist):
            change_correction(pack, 1, note="gone", by=reviewer)

    def test_a_note_alone_keeps_the_number(self, pack: CorrectionPack, reviewer: User) -> None:
        same = {"/selectors": RENAMED["selectors"]}
        assert change_correction(pack, 1, new=same, note="Why", by=reviewer).item.number == 1
        refused(lambda: change_correction(pack, 1, note="x" * 10_001, by=reviewer), because=InvalidInput)

    def test_all_that_is_asked_or_nothing(self, pack: CorrectionPack, reviewer: User) -> None:
        refused(
            lambda: change_correction(pack, 1, new={"/selectors": [["#x"]]}, rejected=" ", by=reviewer),
            because=InvalidInput, words="Say why",
        )  # fmt: skip

    def test_a_rejected_one_is_left_behind(
        self, pack: CorrectionPack, second: Correction, reviewer: User, browser_workflow: Workflow, coach: User
    ) -> None:
        add_corrections(pack, [second], by=reviewer)
        change_correction(pack, 1, rejected="The field is right.", by=reviewer)
        assert [item.number for item in items_of(pack.draft)] == [2]
        assert pack.changes.first().words == "correction 1: The field is right."  # type: ignore[union-attr]
        publish_draft(pack, by=reviewer)
        assert planned(start_session(browser_workflow, by=coach)).packs.entries == ()
        assert [entry.item.number for entry in PackEntry.objects.applied()] == [2]
        draft = revise(pack, by=reviewer)
        assert [entry.item.number for entry in draft.entries.all()] == [2]

    def test_a_rejected_one_may_be_taken_in_again(self, pack: CorrectionPack, reviewer: User) -> None:
        change_correction(pack, 1, rejected="No.", by=reviewer)
        entry = change_correction(pack, 1, enabled=True, by=reviewer)
        assert (entry.rejected, entry.enabled) == ("", True)
        assert logged(pack)[-2:] == ["rejected", "taken in"]

    def test_left_out_it_is_not_applied_but_kept(
        self, pack: CorrectionPack, second: Correction, reviewer: User
    ) -> None:
        add_corrections(pack, [second], by=reviewer)
        change_correction(pack, 1, enabled=False, by=reviewer)
        publish_draft(pack, by=reviewer)
        assert [entry.item.number for entry in PackEntry.objects.applied()] == [2]
        draft = revise(pack, by=reviewer)
        assert [(i.number, i.enabled) for i in items_of(draft)] == [(1, False), (2, True)]

    def test_switched_off_and_on_at_once_in_whatever_version(self, published: CorrectionPack, reviewer: User) -> None:
        revise(published, by=reviewer)
        item = PackItem.objects.get()
        PackItem.objects.update(right=7, wrong=3)
        switch_off([item], by=reviewer, reason="It is wrong.")
        item.refresh_from_db()
        assert (item.off_by, item.off_reason, item.right, item.wrong) == ("rita", "It is wrong.", 7, 3)
        assert not PackEntry.objects.applied()
        assert not entry_of(published.draft).is_on
        before = rows()
        switch_off([item], by=reviewer)
        assert rows() == before, "it is off already"
        switch_on([item], by=reviewer)
        item.refresh_from_db()
        assert (item.off_since, item.off_by, item.off_reason, item.right, item.wrong) == (None, "", "", 0, 0)
        assert PackEntry.objects.applied().count() == 1
        assert logged(published)[-2:] == ["switched off", "switched on"]
        assert published.changes.get(what="switched off").words == "correction 1: It is wrong."

    def test_many_at_once(self, pack: CorrectionPack, second: Correction, reviewer: User) -> None:
        add_corrections(pack, [second], by=reviewer)
        publish_draft(pack, by=reviewer)
        other = create_pack(name="Other", corrections=[second], by=reviewer)
        switch_off(PackItem.objects.all(), by=reviewer)
        assert set(PackItem.objects.values_list("off_by", flat=True)) == {"rita"}
        assert logged(pack)[-2:] == ["switched off"] * 2
        assert logged(other)[-1] == "switched off"

    def test_the_placeholder_of_a_secret_is_kept_when_it_is_shown_masked(
        self, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        browser_workflow.variables.create(name="pin", label="PIN", secret=True)
        let_type(browser_workflow, "{{ pin }} old")
        session = start_session(browser_workflow, by=coach, variables={"pin": "90817263"})
        suggestion = propose(session, at=AMOUNT)
        answer(suggestion, "correct", by=coach, correction=suggestion.action | {"value": "{{ pin }} x"})
        pack = create_pack(name="PIN", corrections=Correction.objects.all(), by=reviewer)
        entry = change_correction(pack, 1, new={"/value": "*** x"}, by=reviewer)
        assert (entry.item.number, entry.changes[0]["new"]) == (1, "{{ pin }} x")


class TestFiles:
    def test_exported_and_imported_elsewhere_it_is_the_same(
        self, published: CorrectionPack, second: Correction, reviewer: User
    ) -> None:
        revise(published, by=reviewer)
        add_corrections(published, [second], by=reviewer)
        published.refresh_from_db()
        assert published.draft
        change_pack(published, description="What release 2 renamed", by=reviewer)
        publish_draft(published, by=reviewer)
        assert published.active
        file = export(PackVersion.objects.select_related("pack").get(pk=published.active.pk))
        CorrectionPack.objects.update(pack_id="away")
        imported = import_pack(json.dumps(file).encode(), by=reviewer)
        assert imported.pk != published.pk
        assert state_of(imported) == ("draft", None, 1)
        assert imported.draft
        again = export(imported.draft)
        assert {**again, "sha256": "", "version": 2} == {**file, "sha256": ""}
        assert digest_of(imported.draft) == digest_of(published.active)
        assert logged(imported) == ["created", "imported"]

    def test_onto_itself_nothing_changes(self, published: CorrectionPack, reviewer: User) -> None:
        assert published.active
        data = json.dumps(export(published.active)).encode()
        document, here, comparison = preview_import(data)
        assert (here, document.version) == (published, 1)
        assert (len(comparison.equal), comparison.ours, comparison.theirs, comparison.conflicts) == (1, (), (), ())
        import_pack(data, by=reviewer)
        published.refresh_from_db()
        assert items_of(published.draft) == items_of(published.active)

    @pytest.mark.parametrize(
        ("choice", "kept"), [("ours", ["aria/Total incl. VAT"]), ("theirs", ["aria/Sum"]), ("neither", [])]
    )
    def test_a_contradiction_asks_for_a_choice(
        self, published: CorrectionPack, reviewer: User, choice: str, kept: list[str]
    ) -> None:
        assert published.active
        revise(published, by=reviewer)
        change_correction(published, 1, new={"/selectors": [["aria/Sum"]]}, by=reviewer)
        published.refresh_from_db()
        assert published.draft
        theirs = json.dumps(export(published.draft)).encode()
        PackEntry.objects.filter(version=published.draft).delete()
        CorrectionPack.objects.update(draft=None)
        refused(lambda: import_pack(theirs, by=reviewer), because=UndecidedConflicts)
        refused(lambda: import_pack(theirs, choices={1: "both"}, by=reviewer), because=UndecidedConflicts)
        import_pack(theirs, choices={1: choice}, by=reviewer)
        published.refresh_from_db()
        assert [i.changes[0].new[0][0] for i in items_of(published.draft)] == kept
        assert [i.changes[0].new[0][0] for i in items_of(published.active)] == ["aria/Total incl. VAT"]

    def test_merging_takes_what_the_other_has(
        self, published: CorrectionPack, second: Correction, reviewer: User
    ) -> None:
        other = create_pack(name="Offsets", corrections=[second], by=reviewer)
        merge(published, other, by=reviewer)
        published.refresh_from_db()
        assert [item.number for item in items_of(published.draft)] == [1, 2]
        assert state_of(other) == ("draft", None, 1)
        assert logged(published)[-1] == "merged"
        refused(lambda: merge(other, other, by=reviewer), because=InvalidInput)
        retire(published, by=reviewer)
        refused(lambda: merge(published, other, by=reviewer), words="stays as it is")

    @pytest.mark.parametrize("data", [b"", b"{}", b'{"format": "coachsite-correction-pack"}'])
    @pytest.mark.usefixtures("pack")
    def test_a_bad_file_leaves_nothing(self, reviewer: User, data: bytes) -> None:
        refused(lambda: import_pack(data, by=reviewer), because=InvalidInput)
        with pytest.raises(InvalidInput):
            preview_import(data)

    def test_no_secret_leaves_the_site(self, browser_workflow: Workflow, coach: User, reviewer: User) -> None:
        browser_workflow.variables.create(name="pin", label="PIN", secret=True)
        let_type(browser_workflow, "{{ pin }} old")
        session = start_session(browser_workflow, by=coach, variables={"pin": "90817263"})
        suggestion = propose(session, at=AMOUNT)
        answer(suggestion, "correct", by=coach, correction=suggestion.action | {"value": "{{ pin }}"})
        pack = create_pack(name="PIN", corrections=Correction.objects.all(), by=reviewer)
        assert pack.draft
        file = json.dumps(export(pack.draft))
        assert "{{ pin }}" in file
        assert "90817263" not in file + everything_stored()


class TestEvidence:
    """A step that proposes something else is another step."""

    def test_an_auto_step_goes_back_to_the_coach(
        self, pack: CorrectionPack, browser_workflow: Workflow, owner: User, reviewer: User, coach: User
    ) -> None:
        make_auto(browser_workflow, by=owner, accepts=10)
        running = start_session(browser_workflow, by=coach)
        publish_draft(pack, by=reviewer)
        levels = {step.node_id: step.level for step in browser_workflow.current_steps()}
        assert levels == {"open": "AUTO", "change-amount": "COACHING", "click-save": "AUTO"}
        change = LevelChange.objects.latest("pk")
        assert (change.from_level, change.to_level, change.by, change.restarts) == ("AUTO", "COACHING", "rita", True)
        assert change.reason == (
            "A correction of pack “Release 2” was published: the step proposes something else now."
        )
        assert change.evidence["epoch"] == {"accepted": 10, "refused": 1}
        event = running.events.latest("seq")
        assert (event.type, event.data["node_id"], event.data["reason"]) == (
            "level.changed", "change-amount", change.reason,
        )  # fmt: skip
        counts = {s.node_id: (standing(s).accepted, standing(s).refused) for s in browser_workflow.current_steps()}
        assert counts == {"open": (10, 0), "change-amount": (0, 0), "click-save": (10, 0)}
        assert standing(browser_workflow.current_steps()[AMOUNT]).lifetime["accepted"] == 10
        assert_metrics_are_right()
        assert_consistent(running)

    @pytest.mark.usefixtures("second")
    def test_every_move_that_changes_what_is_proposed_restarts(
        self, pack: CorrectionPack, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        step = browser_workflow.current_steps()[AMOUNT]

        def counted() -> int:
            return standing(Step.objects.select_related("workflow", "current").get(pk=step.pk)).counted

        item = pack.items.get()

        def next_version() -> None:
            revise(pack, by=reviewer)
            change_correction(
                pack, max(pack.items.values_list("number", flat=True)), new={"/selectors": [["#z"]]}, by=reviewer
            )
            publish_draft(pack, by=reviewer)

        moves: list[tuple[str, Callable[[], Any]]] = [
            ("was published", lambda: publish_draft(pack, by=reviewer)),
            ("was switched off", lambda: switch_off([item], by=reviewer)),
            ("was switched on", lambda: switch_on([item], by=reviewer)),
            ("was published", next_version),
            ("was rolled back", lambda: rollback(pack, by=reviewer)),
            ("was retired", lambda: retire(pack, by=reviewer)),
        ]
        for words, move in moves:
            run(browser_workflow, "accept", by=coach)
            assert counted() > 0
            move()
            assert counted() == 0, words
            change = LevelChange.objects.filter(step=step).first()
            assert change
            assert words in change.reason
            assert (change.from_level, change.to_level, change.restarts) == ("COACHING", "COACHING", True)
            assert_metrics_are_right()
        untouched = browser_workflow.current_steps()[SAVED]
        assert not LevelChange.objects.filter(step=untouched, restarts=True)
        assert standing(untouched).counted == 1

    def test_what_stays_the_same_restarts_nothing(
        self, published: CorrectionPack, browser_workflow: Workflow, second: Correction, coach: User, reviewer: User
    ) -> None:
        run(browser_workflow, "accept", by=coach)
        revise(published, by=reviewer)
        add_corrections(published, [second], by=reviewer)
        publish_draft(published, by=reviewer)
        amount, save = (browser_workflow.current_steps()[index] for index in (AMOUNT, SAVED))
        assert (standing(amount).counted, standing(save).counted) == (1, 0)
        # Neither what is only worked on, nor what a reviewer has rejected, is applied.
        other = create_pack(name="Draft", corrections=[second], by=reviewer)
        before = LevelChange.objects.count()
        switch_off(other.items.all(), by=reviewer)
        revise(published, by=reviewer)
        change_correction(published, 1, rejected="No.", by=reviewer)
        publish_draft(published, by=reviewer)
        assert LevelChange.objects.count() == before + 1
        assert published.active
        # Rejected, it stands in no applied version: nothing more changes when it is switched.
        switch_off(published.items.filter(number=1), by=reviewer)
        assert LevelChange.objects.count() == before + 1
        assert_metrics_are_right()

    def test_the_same_target_of_another_workflow_is_touched_too(
        self, correction: Correction, owner: User, coach: User, reviewer: User
    ) -> None:
        other = create_workflow(
            workflow_id="other", name="Other", executor="browser", by=owner,
            steps=[{"node_id": "type", "action": TYPE}, {"node_id": "beside", "action": TYPE | {"selectors": [["aria/Date"]]}}],
        )  # fmt: skip
        other.variables.create(name="amount", label="Amount", default="1")
        demonstrate(other)
        for at in (0, 1):
            run(other, "accept", by=coach, at=at)
        for scope, counts in (("step", [1, 1]), ("target", [0, 1])):
            published_pack(by=reviewer, name=scope, scope=scope, corrections=[correction])
            assert [standing(step).counted for step in other.current_steps()] == counts
        assert planned(start_session(other, by=coach)).action["selectors"] == RENAMED["selectors"]
        assert_metrics_are_right()

    def test_a_step_that_nobody_has_coached_yet_stays_observed(
        self, pack: CorrectionPack, browser_workflow: Workflow, reviewer: User
    ) -> None:
        Step.objects.update(level="OBSERVATION")
        publish_draft(pack, by=reviewer)
        assert set(browser_workflow.steps.values_list("level", flat=True)) == {"OBSERVATION"}


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_two_reviewers_publish(self, correction: Correction, reviewer: User, owner: User) -> None:
        pack = create_pack(name="Release 2", corrections=[correction], by=reviewer)
        for number in range(1, 6):
            revise(pack, by=reviewer)
            pack.refresh_from_db()
            backtested(pack.draft, by=reviewer)
            submit(pack, by=reviewer)
            copies = [CorrectionPack.objects.get(pk=pack.pk) for _ in range(2)]
            results = together(
                partial(publish, copies[0], confirmed=True, by=reviewer),
                partial(publish, copies[1], confirmed=True, by=owner),
            )
            assert Counter(map(type, results)) == {PackVersion: 1, IllegalTransition: 1}
            (lost,) = [result for result in results if isinstance(result, IllegalTransition)]
            assert str(lost) == "Only a pack in review can be published: submit it first."
            winner = "rita" if isinstance(results[0], PackVersion) else "olga"
            assert state_of(pack) == ("published", number, None)
            assert pack.active
            assert pack.active.published_by == winner
            assert logged(pack).count("published") == number
        assert PackVersion.objects.exclude(published_at=None).count() == 5

    def test_one_publishes_and_one_edits(self, correction: Correction, reviewer: User, owner: User) -> None:
        """What is published is what was tested, or nothing is."""
        for number in range(5):
            pack = create_pack(name=f"P{number}", corrections=[correction], by=reviewer)
            assert pack.draft
            backtested(pack.draft, by=reviewer)
            submit(pack, by=reviewer)
            tested = digest_of(pack.draft)
            copy = CorrectionPack.objects.get(pk=pack.pk)
            publishing, editing = together(
                partial(publish, pack, by=reviewer),
                partial(change_correction, copy, 1, new={"/selectors": [["#edited"]]}, by=owner),
            )
            if isinstance(publishing, PackVersion):
                assert digest_of(publishing) == tested
                assert isinstance(editing, IllegalTransition)
            else:
                assert isinstance(publishing, BackTestNeeded)
                assert isinstance(editing, PackEntry)

    def test_a_suggested_pack_is_made_by_one(
        self, browser_workflow: Workflow, coach: User, reviewer: User, owner: User
    ) -> None:
        for number in range(5):
            for _ in range(2):
                run(browser_workflow, "correct", by=coach, changes={"selectors": [[f"#{number}"]]})
            results = together(
                *(partial(make_pack, Correction.objects.suggested(), by=by) for by in (reviewer, owner, reviewer))
            )
            assert Counter(map(type, results)) == {CorrectionPack: 1, IllegalTransition: 2}, results
        assert CorrectionPack.objects.count() == PackItem.objects.count() == 5

    def test_publishing_while_sessions_decide(self, browser_workflow: Workflow, coach: User, reviewer: User) -> None:
        """Nothing is lost and nobody waits in a circle; each decision is about what was proposed at its time."""
        set_policy(browser_workflow, {"min_decisions": 1000})
        run(browser_workflow, "correct", by=coach, changes=RENAMED)
        pack = published_pack(by=reviewer)
        item = PackItem.objects.get()
        sessions = [start_session(browser_workflow, by=coach) for _ in range(4)]

        def decided(session_pk: int) -> list[str]:
            session = browser_workflow.sessions.select_related("workflow").get(pk=session_pk)
            proposed = []
            for kind in ("accept", "accept", "reject", "accept", "skip", "accept"):
                suggestion = coached(session, kind, by=coach).suggestion
                assert suggestion
                proposed.append(suggestion.provenance["source"])
            return proposed

        def moving() -> None:
            for _ in range(3):
                switch_off([item], by=reviewer)
                switch_on([item], by=reviewer)
            retire(CorrectionPack.objects.get(pk=pack.pk), by=reviewer)

        *results, moved = together(*(partial(decided, session.pk) for session in sessions), moving)
        assert moved is None
        assert all(isinstance(proposed, list) and len(proposed) == 6 for proposed in results), results
        assert {source for proposed in results for source in proposed} <= {"pack", "workflow"}
        assert Decision.objects.count() == 1 + 4 * 6
        for session in sessions:
            assert_consistent(session)
        assert_metrics_are_right()
        assert planned(sessions[0]).packs.entries == ()

    def test_contradictions_are_noted_while_a_pack_is_published(
        self, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        for name in ("Sum", "Total"):
            run(browser_workflow, "correct", by=coach, changes={"selectors": [[f"aria/{name}"]]})
        first, second = Correction.objects.order_by("pk")
        published_pack(by=reviewer, name="A", corrections=[first])
        published_pack(by=reviewer, name="B", corrections=[second])
        item = PackItem.objects.get(pack__name="B")

        def asked() -> int:
            session = start_session(browser_workflow, by=coach)
            for _ in range(8):
                coached(session, "skip", by=coach)
            abandon_session(session, by=coach)
            return 8

        def switched() -> int:
            for _ in range(4):
                switch_off([item], by=reviewer)
                switch_on([item], by=reviewer)
            return 8

        assert together(asked, switched, asked) == [8, 8, 8]
        assert_metrics_are_right()


class AnyMoves(RuleBasedStateMachine):
    """One pack and any verbs in any order. Each example is rolled back; people and corrections are set by the test."""

    reviewer: User
    workflow: Workflow
    corrections: list[Correction]

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        #: What each published version holds and does, as it was when it was published.
        self.published: dict[int, tuple[list[Any], str]] = {}
        self.log = 0

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    @initialize(many=st.integers(0, 2))
    def create(self, many: int) -> None:
        self.pk = create_pack(name="Any", corrections=self.corrections[:many], by=self.reviewer).pk

    def fresh(self) -> CorrectionPack:
        return CorrectionPack.objects.select_related("active", "draft").get(pk=self.pk)

    def attempt(self, verb: Callable[[CorrectionPack], Any]) -> None:
        before = rows()
        try:
            with transaction.atomic():
                verb(self.fresh())
        except DomainError:
            assert rows() == before

    @rule()
    def submit(self) -> None:
        self.attempt(lambda pack: submit(pack, by=self.reviewer))

    @rule()
    def backtest(self) -> None:
        self.attempt(lambda pack: backtested(pack.shown, by=self.reviewer))

    @rule()
    def publish(self) -> None:
        def verb(pack: CorrectionPack) -> None:
            version = publish(pack, confirmed=True, by=self.reviewer)
            assert version.number > max(self.published, default=0), "numbers rise"
            self.published[version.number] = self.content(version)

        self.attempt(verb)

    @rule()
    def all_the_way(self) -> None:
        def verb(pack: CorrectionPack) -> None:
            revise(pack, by=self.reviewer)
            version = publish_draft(pack, by=self.reviewer)
            self.published[version.number] = self.content(version)

        self.attempt(verb)

    @rule()
    def revise(self) -> None:
        self.attempt(lambda pack: revise(pack, by=self.reviewer))

    @rule(to=st.one_of(st.none(), st.integers(0, 4)))
    def rollback(self, to: int | None) -> None:
        self.attempt(lambda pack: rollback(pack, to=to, by=self.reviewer))

    @rule(seldom=st.integers(0, 9))
    def end(self, seldom: int) -> None:
        if seldom == 0:
            self.attempt(lambda pack: retire(pack, by=self.reviewer))
        elif self.published:
            with pytest.raises(IllegalTransition):
                delete_pack(self.fresh(), by=self.reviewer)

    @rule(many=st.integers(0, 2))
    def add(self, many: int) -> None:
        self.attempt(lambda pack: add_corrections(pack, self.corrections[:many], by=self.reviewer))

    @rule(scope=st.sampled_from(["step", "target"]))
    def change_scope(self, scope: str) -> None:
        self.attempt(lambda pack: change_pack(pack, scope=scope, by=self.reviewer))

    @rule(
        number=st.integers(1, 4),
        change=st.sampled_from(
            [
                {"new": {"/selectors": [["#a"]]}}, {"new": {"/selectors": [["#b"]]}}, {"note": "Why"},
                {"enabled": False}, {"enabled": True}, {"rejected": "No."}, {"off": True}, {"off": False},
            ]
        ),
    )  # fmt: skip
    def change(self, number: int, change: dict[str, Any]) -> None:
        def verb(pack: CorrectionPack) -> None:
            if PackEntry.objects.filter(version=pack.shown, item__number=number).exists():
                change_correction(pack, number, **change, by=self.reviewer)

        self.attempt(verb)

    @rule(choice=st.sampled_from(["ours", "theirs", "neither"]), which=st.integers(1, 4))
    def import_again(self, choice: str, which: int) -> None:
        def verb(pack: CorrectionPack) -> None:
            version = pack.versions.select_related("pack").filter(number=which).first()
            if version:
                choices = {item.number: choice for item in items_of(pack.shown)}
                import_pack(json.dumps(export(version)).encode(), choices=choices, by=self.reviewer)

        self.attempt(verb)

    @staticmethod
    def content(version: PackVersion) -> tuple[list[Any], str]:
        entries = version.entries.order_by("pk").values()
        return list(entries), str(PackVersion.objects.filter(pk=version.pk).values().get())

    @invariant()
    def published_versions_never_change(self) -> None:
        if not hasattr(self, "pk"):
            return
        for number, content in self.published.items():
            assert self.content(PackVersion.objects.get(pack=self.pk, number=number)) == content
        versions = list(PackVersion.objects.filter(pack=self.pk).order_by("pk"))
        numbers = [version.number for version in versions]
        assert numbers == list(range(1, len(numbers) + 1))
        assert {version.number for version in versions if version.is_published} == set(self.published)

    @invariant()
    def rows_agree(self) -> None:
        if not hasattr(self, "pk"):
            return
        pack = self.fresh()
        assert pack.active is None or pack.active.is_published
        assert pack.draft is None or not pack.draft.is_published
        expected = {
            "draft": pack.active is None and pack.draft is not None,
            "in_review": pack.draft is not None,
            "published": pack.active is not None,
            "retired": pack.active is None and pack.draft is None,
        }
        assert expected[pack.status]
        applied = {entry.version_id for entry in PackEntry.objects.applied()}
        assert applied <= {pack.active_id}
        log = pack.changes.count()
        assert log >= self.log, "the log only grows"
        self.log = log
        last = pack.items.order_by("number").values_list("number", flat=True)
        assert list(last) == list(range(1, len(last) + 1))


def test_no_published_version_ever_changes(browser_workflow: Workflow, second: Correction, reviewer: User) -> None:
    AnyMoves.reviewer, AnyMoves.workflow = reviewer, browser_workflow
    AnyMoves.corrections = list(Correction.objects.order_by("pk"))
    run_state_machine_as_test(
        AnyMoves,
        settings=settings(
            max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
