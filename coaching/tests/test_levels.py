"""Levels: how steps come to COACHING and AUTO and back, what is written down of it, and who is asked meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User

from coaching import evidence
from coaching.actions.asking import audit_draw, whom_to_ask
from coaching.actions.autonomy import change_policy, demote, promote, set_policy
from coaching.actions.decisions import Answer, decide, record_decision
from coaching.actions.sessions import start_session
from coaching.actions.workflows import change_step, create_workflow, set_steps
from coaching.exceptions import DomainError, InvalidInput, NotReady
from coaching.models import LevelChange, Session, Step, Suggestion, Workflow
from conftest import OPEN, TYPE, demonstrate

from .domain import event_types, make_auto, together

Ask = Callable[..., Suggestion]


def levels(workflow: Workflow) -> list[str]:
    return [step.level for step in workflow.current_steps()]


def changes(workflow: Workflow, node_id: str) -> list[tuple[str, str, str]]:
    rows = LevelChange.objects.filter(step__workflow=workflow, step__node_id=node_id).order_by("pk")
    return list(rows.values_list("from_level", "to_level", "by"))


def standing(workflow: Workflow, node_id: str) -> evidence.Standing:
    step = workflow.steps.select_related("workflow", "current").get(node_id=node_id)
    return evidence.standing(step)


class TestObservation:
    @pytest.mark.parametrize(("needed", "after"), [(0, 0), (1, 1), (2, 2)])
    def test_ends_after_enough_demonstrations(self, owner: User, needed: int, after: int) -> None:
        workflow = create_workflow(workflow_id="w", name="W", executor="browser", by=owner)
        set_policy(workflow, {"min_demonstrations": needed})
        set_steps(workflow, [{"node_id": "open", "action": OPEN}], by=owner)
        for shown in range(after):
            assert levels(workflow) == ["OBSERVATION"], shown
            demonstrate(workflow)
        assert levels(workflow) == ["COACHING"]
        [change] = LevelChange.objects.filter(step__workflow=workflow)
        assert (change.by, change.version) == ("policy", workflow.steps.get().current)
        assert f"{after} demonstration" in change.reason

    @pytest.mark.parametrize(
        ("kind", "level"), [("accept", "COACHING"), ("reject", "COACHING"), ("skip", "OBSERVATION")]
    )
    def test_ends_with_the_first_decision_that_counts(
        self, external_session: Session, coach: User, kind: str, level: str
    ) -> None:
        for _ in range(2):
            record_decision(
                external_session, Answer(decision=kind), step_index=0, node_id="pay", action_type="do", by=coach
            )
        assert levels(external_session.workflow) == [level]
        assert event_types(external_session).count("level.changed") == (level == "COACHING")


class TestPromotion:
    def test_is_all_or_nothing_and_names_what_is_missing(self, browser_workflow: Workflow, owner: User) -> None:
        make_auto(browser_workflow, by=owner, but=["change-amount", "click-save"], accepts=1)
        with pytest.raises(NotReady) as refused:
            promote(browser_workflow, by=owner)
        assert set(refused.value.unmet) == {"change-amount", "click-save"}
        assert levels(browser_workflow) == ["AUTO", "COACHING", "COACHING"]

    def test_writes_down_who_when_and_on_what_evidence(self, browser_workflow: Workflow, owner: User) -> None:
        make_auto(browser_workflow, by=owner)
        assert changes(browser_workflow, "open")[-1] == ("COACHING", "AUTO", owner.username)
        change = LevelChange.objects.filter(step__node_id="open").latest("pk")
        assert (change.evidence["epoch"], change.user) == ({"accepted": 30, "refused": 0}, owner)
        assert change.evidence["policy"]["target"] == 0.85
        assert evidence.workflow_standing(browser_workflow).level == "AUTO"

    def test_of_what_is_auto_changes_nothing(self, browser_workflow: Workflow, owner: User) -> None:
        make_auto(browser_workflow, by=owner, accepts=1)
        count = LevelChange.objects.count()
        promote(browser_workflow, by=owner)
        assert LevelChange.objects.count() == count

    def test_of_a_step_that_coachsite_cannot_perform_is_refused(self, owner: User) -> None:
        custom = {"type": "customStep", "name": "script", "parameters": {}}
        workflow = create_workflow(
            workflow_id="w", name="W", executor="browser", steps=[{"node_id": "script", "action": custom}], by=owner
        )
        set_policy(workflow, {"min_decisions": 1, "confidence": 0})
        with pytest.raises(NotReady) as refused:
            promote(workflow, by=owner)
        assert refused.value.unmet["script"][0] == "supported"

    def test_of_nothing_or_of_unknown_steps_is_an_error(
        self, browser_workflow: Workflow, external_workflow: Workflow, owner: User
    ) -> None:
        with pytest.raises(InvalidInput, match="no step “nothing”"):
            promote(browser_workflow, node_ids=["open", "nothing"], by=owner)
        with pytest.raises(InvalidInput, match="no step to change"):
            promote(external_workflow, by=owner)

    def test_is_told_to_sessions_under_way(self, browser_workflow: Workflow, owner: User) -> None:
        make_auto(browser_workflow, by=owner, but=["click-save"], accepts=1)
        session = start_session(browser_workflow, by=owner)
        demote(browser_workflow, node_ids=["open"], by=owner)
        data = session.events.get(type="level.changed").data
        assert (data["node_id"], data["from_level"], data["to_level"], data["by"]) == (
            "open", "AUTO", "COACHING", owner.username
        )  # fmt: skip


class TestEvidenceStartsAnew:
    def test_after_a_demotion(self, browser_workflow: Workflow, owner: User) -> None:
        make_auto(browser_workflow, by=owner)
        demote(browser_workflow, by=owner)
        assert levels(browser_workflow) == ["COACHING"] * 3
        now = standing(browser_workflow, "open")
        assert (now.counted, now.lifetime["accepted"], now.accepts_needed) == (0, 30, 20)

    @pytest.mark.parametrize(
        ("change", "anew"),
        [
            ({"action": TYPE | {"value": "other"}}, True), ({"description": "In other words"}, False),
            ({"risk": "irreversible"}, True),
        ],
    )  # fmt: skip
    def test_with_a_version_that_does_something_else(
        self, browser_workflow: Workflow, owner: User, change: Any, anew: bool
    ) -> None:
        make_auto(browser_workflow, by=owner)
        change_step(browser_workflow.steps.get(node_id="change-amount"), by=owner, **change)
        now = standing(browser_workflow, "change-amount")
        assert (now.step.version.number, now.counted) == (2, 0 if anew else 30)
        assert now.step.level == ("COACHING" if anew else "AUTO")
        assert levels(browser_workflow)[0] == "AUTO", "other steps are what they were"

    def test_not_when_the_risk_is_lowered(self, browser_workflow: Workflow, owner: User) -> None:
        make_auto(browser_workflow, by=owner)
        change_step(browser_workflow.steps.get(node_id="click-save"), by=owner, risk="reversible")
        assert standing(browser_workflow, "click-save").counted == 30

    def test_and_a_decision_on_the_old_version_does_not_count(
        self, browser_workflow: Workflow, coach: User, ask: Ask
    ) -> None:
        session = start_session(browser_workflow, by=coach)
        old = browser_workflow.steps.get(node_id="change-amount").version
        change_step(old.step, by=coach, action=TYPE | {"value": "other"})
        decide(ask(session, step_version=old), Answer(decision="accept"), by=coach)
        now = standing(browser_workflow, "change-amount")
        assert (now.counted, now.lifetime["accepted"]) == (0, 1)

    def test_when_there_is_no_hope_left(self, session: Session, coach: User, ask: Ask) -> None:
        for kind in ["accept"] * 3 + ["reject"] * 7:
            decide(ask(session), Answer(decision=kind), by=coach)
        now = standing(session.workflow, "change-amount")
        assert (now.counted, now.lifetime["accepted"], now.lifetime["rejected"]) == (0, 3, 7)

    def test_and_the_history_says_what_was_known_and_sessions_hear_of_it(
        self, browser_workflow: Workflow, owner: User
    ) -> None:
        make_auto(browser_workflow, by=owner)
        session = start_session(browser_workflow, by=owner)
        change_step(browser_workflow.steps.get(node_id="change-amount"), by=owner, risk="irreversible")
        change = LevelChange.objects.latest("pk")
        assert change.evidence["epoch"] == {"accepted": 30, "refused": 0}
        assert change.reason == "It counts as irreversible since version 2."
        assert session.events.get(type="level.changed").data["node_id"] == "change-amount"

    def test_a_lower_risk_makes_the_same_evidence_suffice_at_once(
        self, browser_workflow: Workflow, coach: User, owner: User, ask: Ask
    ) -> None:
        session, save = start_session(browser_workflow, by=coach), browser_workflow.steps.get(node_id="click-save")
        for _ in range(20):
            decide(ask(session, node_id="click-save", step_version=save.version), Answer(decision="accept"), by=coach)
        assert not standing(browser_workflow, "click-save").ready
        change_step(save, by=owner, risk="reversible")
        assert standing(browser_workflow, "click-save").ready
        assert evidence.ready_counts([browser_workflow.pk]) == {browser_workflow.pk: 1}

    def test_accepting_what_failed_again_and_again_earns_nothing(self, session: Session, coach: User, ask: Ask) -> None:
        for _ in range(25):
            decide(ask(session, asked_because="trouble", error="It failed."), Answer(decision="accept"), by=coach)
        assert standing(session.workflow, "change-amount").counted == 0


class TestRisk:
    PAY = {"type": "click", "selectors": [["aria/Pay now"]], "offsetX": 1, "offsetY": 1}

    def risk(self, workflow: Workflow) -> tuple[str, bool]:
        version = workflow.steps.get().version
        return version.risk, version.risk_chosen

    def test_is_guessed_where_nobody_says_it_and_kept_where_nobody_changes_it(self, owner: User) -> None:
        steps: list[dict[str, Any]] = [{"node_id": "pay", "action": self.PAY}]
        workflow = create_workflow(workflow_id="w", name="W", executor="browser", steps=steps, by=owner)
        assert self.risk(workflow) == ("irreversible", False)
        set_steps(workflow, [{"node_id": "pay", "action": self.PAY | {"timeout": 900}}], by=owner)
        assert self.risk(workflow) == ("irreversible", False)

    def test_is_a_persons_choice_where_one_says_it(self, owner: User) -> None:
        steps: list[dict[str, Any]] = [{"node_id": "pay", "action": self.PAY, "risk": "reversible"}]
        workflow = create_workflow(workflow_id="w", name="W", executor="browser", steps=steps, by=owner)
        assert self.risk(workflow) == ("reversible", True)


class TestDetectors:
    def test_three_refused_audits_take_a_step_back(
        self, browser_workflow: Workflow, owner: User, coach: User, ask: Ask
    ) -> None:
        make_auto(browser_workflow, by=owner, accepts=1)
        session = start_session(browser_workflow, by=coach, mode="auto")
        for _ in range(3):
            assert standing(browser_workflow, "change-amount").step.level == "AUTO"
            decide(ask(session, asked_because="audit"), Answer(decision="reject"), by=coach)
        assert changes(browser_workflow, "change-amount")[-1] == ("AUTO", "COACHING", "policy")
        change = LevelChange.objects.filter(step__node_id="change-amount").latest("pk")
        assert "The audits alarm: score 51" in change.reason
        assert change.evidence["audit"]["score"] == 51
        assert event_types(session)[-1] == "level.changed"

    def test_trouble_is_no_audit(self, browser_workflow: Workflow, owner: User, coach: User, ask: Ask) -> None:
        make_auto(browser_workflow, by=owner, accepts=1)
        session = start_session(browser_workflow, by=coach, mode="auto")
        for _ in range(4):
            decide(ask(session, asked_because="trouble", error="not found"), Answer(decision="reject"), by=coach)
        now = standing(browser_workflow, "change-amount")
        assert (now.step.level, now.audit_score, now.refused) == ("AUTO", 0, 4)

    def test_failed_executions_take_a_step_back(self, external_workflow: Workflow, owner: User, coach: User) -> None:
        set_policy(external_workflow, {"min_decisions": 1, "confidence": 0})
        session = start_session(external_workflow, by=coach)
        record = partial(
            record_decision, session, Answer(decision="accept"), step_index=0, node_id="pay", action_type="do", by=coach
        )
        record(execution_success=True)
        promote(external_workflow, by=owner)
        record(execution_success=False)
        record(execution_success=False)
        assert levels(external_workflow) == ["AUTO"]
        record(execution_success=False)
        assert levels(external_workflow) == ["COACHING"]
        assert "It fails too often: score 27" in LevelChange.objects.latest("pk").reason

    def test_the_policy_may_promote_what_can_be_put_right(
        self, browser_workflow: Workflow, coach: User, ask: Ask
    ) -> None:
        set_policy(browser_workflow, {"auto_promote": True, "min_decisions": 2, "confidence": 0,
                                      "confidence_irreversible": 0})  # fmt: skip
        session = start_session(browser_workflow, by=coach)
        for node_id in ("change-amount", "click-save") * 2:
            version = browser_workflow.steps.get(node_id=node_id).version
            decide(ask(session, node_id=node_id, step_version=version), Answer(decision="accept"), by=coach)
        assert levels(browser_workflow) == ["COACHING", "AUTO", "COACHING"]
        assert changes(browser_workflow, "change-amount")[-1] == ("COACHING", "AUTO", "policy")
        assert event_types(session).count("readiness.reached") == 2
        assert standing(browser_workflow, "click-save").unmet == ("owner_confirmation",)


class TestWhomToAsk:
    """The step's standing and the session's mode decide; `drawn` is what the session's seed makes of the step."""

    @pytest.mark.parametrize(
        ("mode", "level", "number", "in_trouble", "rate", "because"),
        [
            ("coaching", "AUTO", 1, False, 0.0, "coaching"), ("coaching", "AUTO", 1, True, 0.0, "trouble"),
            ("auto", "COACHING", 1, False, 0.0, "not_auto"), ("auto", "OBSERVATION", 1, False, 0.0, "not_auto"),
            ("auto", "AUTO", 1, False, 0.0, ""), ("auto", "AUTO", 1, False, 1.0, "audit"),
            ("auto", "AUTO", 1, True, 1.0, "trouble"), ("auto", "AUTO", 0, False, 0.0, "not_auto"),
        ],
    )  # fmt: skip
    def test_in_every_case(
        self, *, mode: str, level: str, number: int, in_trouble: bool, rate: float, because: str
    ) -> None:
        session = Session(mode=mode, audit_seed=7)
        known: Any = SimpleNamespace(step=Step(level=level), audit_rate=rate, epoch_version=1)
        version: Any = SimpleNamespace(number=number)
        asking = whom_to_ask(session, version, known, step_index=0, in_trouble=in_trouble)
        assert asking.because == because

    def test_the_draw_follows_from_the_seed_alone(self) -> None:
        def drawn(seed: int) -> list[float]:
            return [audit_draw(Session(audit_seed=seed), index) for index in range(3)]

        assert drawn(42) == drawn(42) == pytest.approx([0.6394, 0.2, 0.5], abs=1)
        assert drawn(42) != drawn(43)

    @pytest.mark.parametrize("rate", [0.2, 0.1, 0.05])
    def test_as_many_are_audited_as_the_rate_says(self, rate: float) -> None:
        drawn = [audit_draw(Session(audit_seed=s), i) for s in range(500) for i in range(20)]
        assert sum(one < rate for one in drawn) / len(drawn) == pytest.approx(rate, abs=0.01)

    def test_audits_become_rarer(self, browser_workflow: Workflow, owner: User, coach: User, ask: Ask) -> None:
        make_auto(browser_workflow, by=owner, accepts=1)
        session = start_session(browser_workflow, by=coach, mode="auto")
        rates = []
        for kind in ["accept"] * 40 + ["reject"]:
            decide(ask(session, asked_because="audit"), Answer(decision=kind), by=coach)
            rates.append(standing(browser_workflow, "change-amount").audit_rate)
        assert (rates[18], rates[19], rates[38], rates[39], rates[40]) == (0.2, 0.1, 0.1, 0.05, 0.2)


def test_a_program_that_runs_alone_gives_itself_no_evidence(external_workflow: Workflow, owner: User) -> None:
    set_policy(external_workflow, {"min_decisions": 1, "confidence": 0})
    place: dict[str, Any] = {"step_index": 0, "node_id": "pay", "action_type": "do", "by": owner}
    record_decision(start_session(external_workflow, by=owner), Answer(decision="accept"), **place)
    promote(external_workflow, by=owner)
    alone = start_session(external_workflow, by=owner, mode="auto")
    decision = record_decision(alone, Answer(decision="accept"), **place)
    assert (decision.unattended, decision.decided_by) == (True, "policy")
    now = standing(external_workflow, "pay")
    assert (now.accepted, now.clean_audits) == (1, 0)


@pytest.mark.django_db(transaction=True)
def test_of_two_changes_of_a_policy_at_once_none_is_lost(browser_workflow: Workflow) -> None:
    calls = [
        partial(change_policy, Workflow.objects.get(pk=browser_workflow.pk), change)
        for change in ({"target": 0.9}, {"min_decisions": 30}, {"confidence": 0.9}, {"auto_promote": True})
    ]
    together(*calls)
    browser_workflow.refresh_from_db()
    assert browser_workflow.policy == {"target": 0.9, "min_decisions": 30, "confidence": 0.9, "auto_promote": True}


@pytest.mark.django_db(transaction=True)
def test_of_a_promotion_and_a_demotion_at_once_both_leave_a_step_in_order(
    browser_workflow: Workflow, owner: User
) -> None:
    make_auto(browser_workflow, by=owner, accepts=1)
    for _ in range(5):
        results = together(
            partial(demote, browser_workflow, node_ids=["open"], by=owner),
            partial(promote, browser_workflow, node_ids=["open", "change-amount"], by=owner),
        )
        assert all(result is None or isinstance(result, DomainError) for result in results), results
    rows = LevelChange.objects.filter(step__node_id="open").order_by("fact")
    steps = list(rows.values_list("from_level", "to_level"))
    assert all(earlier[1] == later[0] for earlier, later in pairwise(steps))
    assert browser_workflow.steps.get(node_id="open").level == steps[-1][1]
