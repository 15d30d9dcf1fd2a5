"""What coaches correct is kept, gathered with its equals, and free of secrets."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coaching.actions.backtests import run_backtest, start_backtest
from coaching.actions.correction_packs import create_pack
from coaching.actions.pack_items import edit_entry
from coaching.actions.secrecy import keep_secret
from coaching.actions.sessions import delete_session, start_session
from coaching.actions.workflows import create_workflow
from coaching.models import (
    BackTestFinding,
    Correction,
    CorrectionMade,
    Decision,
    PackEntry,
    Session,
    Suggestion,
    Workflow,
)
from coaching.packs import digest, target_print
from coaching.tests.domain import everything_stored, together
from coaching.tests.packing import AMOUNT, PAGE, SAVED, answer, propose, run
from conftest import CLICK, TYPE, demonstrate

RENAMED = {"selectors": [["aria/Total incl. VAT"]]}
SECRET = "hunter-two-is-long"


@pytest.fixture
def with_password(browser_workflow: Workflow) -> Workflow:
    browser_workflow.variables.create(name="password", label="Password", secret=True)
    step = browser_workflow.current_steps()[AMOUNT]
    step.version.__class__.objects.filter(pk=step.version.pk).update(action=TYPE | {"value": "{{ password }}"})
    return browser_workflow


class TestWhatIsKept:
    def test_all_about_a_correction(self, browser_workflow: Workflow, coach: User) -> None:
        decision = run(
            browser_workflow, "correct", by=coach, changes=RENAMED, feedback="It is called otherwise now.",
            reason_code="wrong_target",
        )  # fmt: skip
        original = TYPE | {"value": "42.50"}
        correction = browser_workflow.corrections.get()
        assert (correction.node_id, correction.action_type) == ("change-amount", "change")
        assert correction.action_fingerprint == digest(original)
        assert correction.target == {"role": "", "name": "Amount", "label": "", "path": "/claims/new"}
        assert correction.target_key == target_print(original, PAGE["url"]).key("change") != ""
        assert (correction.original, correction.corrected) == (original, original | RENAMED)
        old, new = TYPE["selectors"], RENAMED["selectors"]
        assert correction.changes == [{"path": "/selectors", "old": old, "new": new}]
        assert {step["op"] for step in correction.difference} <= {"replace", "remove", "add", "move"}
        assert correction.difference == decision.difference
        assert (correction.count, correction.first_at, correction.last_at) == (
            1,
            decision.timestamp,
            decision.timestamp,
        )
        (made,) = correction.made.select_related("decision")
        assert made.decision == decision
        assert (made.decision.reason_code, made.decision.decided_by) == ("wrong_target", "carl")
        assert made.decision.feedback == "It is called otherwise now."

    def test_what_was_done_by_hand_instead(self, browser_workflow: Workflow, coach: User) -> None:
        run(browser_workflow, "manual", by=coach, changes=RENAMED)
        correction = Correction.objects.get()
        assert correction.corrected == TYPE | {"value": "42.50"} | RENAMED
        assert correction.made.get().decision.decision == "manual"

    @pytest.mark.parametrize("kind", ["accept", "reject", "skip", "manual"])
    def test_what_corrects_nothing_is_not_kept(self, browser_workflow: Workflow, coach: User, kind: str) -> None:
        run(browser_workflow, kind, by=coach)
        assert not Correction.objects.exists()
        assert not CorrectionMade.objects.exists()

    def test_by_hand_what_was_suggested_is_no_correction(self, browser_workflow: Workflow, coach: User) -> None:
        run(browser_workflow, "manual", by=coach, changes={})
        assert not Correction.objects.exists()

    def test_a_field_that_is_taken_away_and_one_that_comes(self, browser_workflow: Workflow, coach: User) -> None:
        suggestion = propose(start_session(browser_workflow, by=coach), at=SAVED)
        corrected = {**CLICK, "button": "secondary"}
        answer(suggestion, "correct", by=coach, correction=corrected | {"duration": 600})
        added = Correction.objects.get().changes
        assert added == [{"path": "/button", "new": "secondary"}, {"path": "/duration", "new": 600}]

    def test_a_refused_answer_leaves_nothing(self, browser_workflow: Workflow, coach: User) -> None:
        suggestion = propose(start_session(browser_workflow, by=coach), at=AMOUNT)
        with pytest.raises(Exception, match="not a valid action"):
            answer(suggestion, "correct", by=coach, correction={"type": "change"})
        assert not Correction.objects.exists()


class TestGathering:
    def test_equal_ones_are_one_with_a_count_and_its_sessions(
        self, browser_workflow: Workflow, coach: User, second_coach: User
    ) -> None:
        first = run(browser_workflow, "correct", by=coach, changes=RENAMED)
        last = run(browser_workflow, "manual", by=second_coach, changes=RENAMED)
        correction = Correction.objects.get()
        assert (correction.count, correction.first_at, correction.last_at) == (2, first.timestamp, last.timestamp)
        made = correction.made.select_related("decision")
        assert {one.decision.session_id for one in made} == {first.session_id, last.session_id}
        assert list(Correction.objects.suggested()) == [correction]

    def test_another_value_of_a_variable_keeps_them_together(self, browser_workflow: Workflow, coach: User) -> None:
        for amount in ("1.00", "2.00"):
            run(browser_workflow, "correct", by=coach, changes=RENAMED, variables={"amount": amount})
        correction = Correction.objects.get()
        assert correction.count == 2
        assert correction.original["value"] == "1.00", "as it was first seen"

    def test_numbers_that_are_written_otherwise_keep_them_together(
        self, browser_workflow: Workflow, coach: User
    ) -> None:
        for offset in (7, 7.0):
            run(browser_workflow, "correct", by=coach, at=SAVED, changes={"offsetX": offset})
        assert Correction.objects.get().count == 2

    @pytest.mark.parametrize(
        "other",
        [
            {"changes": {"selectors": [["aria/Sum"]]}},
            {"changes": RENAMED | {"timeout": 9}},
            {"changes": {"value": "43"}},
            {"changes": {"value": "42.5"}},
        ],
    )
    def test_different_ones_stay_apart(self, browser_workflow: Workflow, coach: User, other: dict[str, Any]) -> None:
        run(browser_workflow, "correct", by=coach, changes=RENAMED)
        run(browser_workflow, "correct", by=coach, **other)
        assert list(Correction.objects.values_list("count", flat=True)) == [1, 1]
        assert not Correction.objects.suggested().exists()

    def test_the_same_at_another_step_or_workflow_stays_apart(
        self, browser_workflow: Workflow, coach: User, owner: User
    ) -> None:
        other = create_workflow(
            workflow_id="other", name="Other", executor="browser", by=owner,
            steps=[{"node_id": "change-amount", "action": TYPE}, {"node_id": "again", "action": TYPE}],
        )  # fmt: skip
        other.variables.create(name="amount", label="Amount", default="42.50")
        demonstrate(other)
        run(browser_workflow, "correct", by=coach, changes=RENAMED)
        run(other, "correct", by=coach, at=0, changes=RENAMED)
        run(other, "correct", by=coach, at=1, changes=RENAMED)
        corrections = Correction.objects.order_by("pk")
        assert [c.count for c in corrections] == [1, 1, 1]
        assert len({c.target_key for c in corrections}) == 1, "the same target on the same page"

    def test_deleting_a_session_keeps_the_count(self, browser_workflow: Workflow, coach: User) -> None:
        decisions = [run(browser_workflow, "correct", by=coach, changes=RENAMED) for _ in range(2)]
        delete_session(decisions[0].session)
        correction = Correction.objects.get()
        assert (correction.count, correction.made.count()) == (2, 1)
        delete_session(decisions[1].session)
        correction.refresh_from_db()
        assert (correction.count, correction.made.count()) == (2, 0)
        assert list(Correction.objects.suggested()) == [correction]

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(corrected=st.lists(st.sampled_from(["Sum", "Total", "Net"]), max_size=6))
    def test_counts_are_what_was_decided(self, browser_workflow: Workflow, coach: User, corrected: list[str]) -> None:
        Correction.objects.all().delete()
        for name in corrected:
            run(browser_workflow, "correct", by=coach, changes={"selectors": [[f"aria/{name}"]]})
        counts = {c.changes[0]["new"][0][0]: c.count for c in Correction.objects.all()}
        assert counts == {f"aria/{name}": corrected.count(name) for name in corrected}
        assert all(c.made.count() == c.count for c in Correction.objects.all())


@pytest.mark.django_db(transaction=True)
def test_corrected_alike_at_the_same_moment(browser_workflow: Workflow, coach: User, second_coach: User) -> None:
    for round_ in range(5):
        asked = [propose(start_session(browser_workflow, by=coach), at=AMOUNT) for _ in range(4)]
        correction = asked[0].action | RENAMED
        coaches = (coach, second_coach) * 2
        results = together(
            *(
                partial(answer, suggestion, "correct", by=by, correction=correction)
                for suggestion, by in zip(asked, coaches, strict=True)
            )
        )
        assert [type(result) for result in results] == [Decision] * 4
        kept = Correction.objects.get()
        assert kept.count == kept.made.count() == 4 * (round_ + 1)


class TestSecrets:
    def test_the_value_of_a_secret_is_stored_nowhere(
        self, with_password: Workflow, coach: User, reviewer: User
    ) -> None:
        decision = run(
            with_password, "correct", by=coach, changes=RENAMED, variables={"password": SECRET},
            feedback=f"it is {SECRET}",
        )  # fmt: skip
        correction = Correction.objects.get()
        assert correction.original["value"] == correction.corrected["value"] == "{{ password }}"
        create_pack(name="Renamed", corrections=[correction], by=reviewer)
        assert SECRET not in everything_stored()
        assert decision.feedback == "it is ***"

    def test_a_secret_that_was_typed_for_one_session_belongs_to_no_other(
        self, with_password: Workflow, coach: User
    ) -> None:
        suggestion = propose(start_session(with_password, by=coach, variables={"password": SECRET}), at=AMOUNT)
        decision = answer(suggestion, "correct", by=coach, correction=suggestion.action | {"value": "a new one, long"})
        assert decision.correction
        assert decision.correction["value"] == "{{ password_2 }}"
        assert not Correction.objects.exists()
        assert "a new one, long" not in everything_stored()

    def test_what_becomes_secret_later_goes_out_of_all_that_was_kept(
        self, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        value = "9081726354"
        session = start_session(browser_workflow, by=coach, variables={"amount": value})
        page = {"url": f"http://127.0.0.1:1/claims/{value}/", "title": value, "viewport": [1, 1]}
        suggestion = propose(session, at=AMOUNT, page=page)
        action = TYPE | {"value": value}
        corrected = action | {"value": f"{value} EUR", "selectors": [[f"aria/Amount {value}"]]}
        answer(suggestion, "correct", by=coach, correction=corrected)
        correction = Correction.objects.get()
        assert value in str([correction.changes, correction.difference, correction.target])
        pack = create_pack(name="Currency", corrections=[correction], by=reviewer)
        entry = PackEntry.objects.select_related("item__pack", "version__pack").get()
        edit_entry(entry, note=f"as with {value}", by=reviewer)
        assert pack.draft
        run_backtest(start_backtest(pack.draft, by=reviewer).pk)
        assert value in str(BackTestFinding.objects.get().now)

        keep_secret(browser_workflow, ["amount"])

        for model in (Correction, PackEntry, BackTestFinding, Decision, Suggestion):
            assert value not in str(list(model.objects.values())), model
        kept, entry = Correction.objects.get(), PackEntry.objects.get()
        assert kept.original["value"] == "{{ amount }}"
        assert kept.corrected["value"] == "{{ amount }} EUR"
        assert kept.target["path"] == "/claims/***/"
        (selectors, typed) = entry.changes
        assert (typed["old"], typed["new"]) == ("{{ amount }}", "{{ amount }} EUR")
        assert selectors["new"] == [["aria/Amount {{ amount }}"]]
        assert entry.note == "as with ***"
        assert BackTestFinding.objects.get().now["value"] == "{{ amount }} EUR"
        assert Session.objects.get(pk=session.pk).variables["amount"] == "***"
