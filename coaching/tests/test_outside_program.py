"""A program asks before it acts, waits, acts and reports: packs and autonomy hold for its steps as for others."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from coaching.actions.autonomy import demote, set_policy
from coaching.actions.backtests import run_backtest, start_backtest
from coaching.actions.caller import Question, ask
from coaching.actions.caller_words import in_words
from coaching.actions.correction_packs import create_pack, publish, submit
from coaching.actions.sessions import pause_session, start_session
from coaching.exceptions import IdempotencyMismatch
from coaching.models import Decision, Level, Session, Suggestion, Workflow
from coaching.tests.domain import assert_consistent, event_types, together
from metrics.rebuild import rebuild

INVOICE = {"number": 7, "amount": "42.50"}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\3\0\0\0\4 and the rest").decode()

Api = Callable[[User], APIClient]


class Program:
    """An outside program of this user, at work in one session."""

    def __init__(self, client: APIClient, session: Session) -> None:
        self.client, self.session = client, session
        self.at = f"/api/v1/sessions/{session.session_id}"

    def asks(self, node_id: str = "post-invoice", action: dict[str, Any] | None = None, **more: Any) -> Any:
        body = {"node_id": node_id, "action_type": "post_invoice", "action": INVOICE if action is None else action}
        return self.client.post(f"{self.at}/suggestions/", body | more)

    def hears(self, n: int) -> Any:
        return self.client.get(f"{self.at}/suggestions/{n}/").json()

    def tells(self, n: int, what: str, **body: Any) -> Any:
        return self.client.post(f"{self.at}/suggestions/{n}/{what}/", body)

    def decides(self, decision: str, **more: Any) -> Any:
        return self.client.post(f"{self.at}/decisions/", {"decision": decision} | more)


@pytest.fixture
def program(external_session: Session, coach: User, api: Api) -> Program:
    return Program(api(coach), external_session)


def step_of(session: Session, node_id: str = "post-invoice") -> Any:
    return session.workflow.steps.select_related("current").get(node_id=node_id)


class TestAsking:
    def test_the_question_and_the_program_s_own_view_of_it_are_shown(self, program: Program) -> None:
        answer = program.asks(
            confidence=0.8, rationale="It stands twice on the scan.", risk="irreversible", screenshot=PNG
        )
        assert answer.status_code == 201
        asked = answer.json()
        assert asked["n"] == 1
        assert asked["step_index"] == 0
        assert asked["action"] == INVOICE
        assert asked["description"] == "post_invoice: number 7, amount 42.50"
        assert asked["confidence"] == 0.8
        assert asked["rationale"].startswith("It stands twice on the scan.")
        assert asked["risk"] == "irreversible"
        assert asked["provenance"] == {
            "source": "caller", "pack": None, "version": None, "correction": None, "changed": []
        }  # fmt: skip
        assert (asked["status"], asked["asked_because"], asked["decision"]) == ("open", "coaching", None)
        picture = program.client.get(asked["screenshot_url"])
        assert picture["Content-Type"] == "image/png"
        assert_consistent(program.session)

    def test_the_step_comes_into_being_with_the_first_question_that_names_it(self, program: Program) -> None:
        program.asks(risk="irreversible")
        step = step_of(program.session)
        assert (step.step_index, step.level, step.version.risk) == (0, Level.OBSERVATION, "irreversible")
        program.decides("accept")
        program.asks(action={"number": 8})
        assert program.session.workflow.steps.count() == 1
        assert step_of(program.session).level == Level.COACHING

    def test_unless_told_otherwise_it_is_sure_as_its_evidence_is(self, program: Program) -> None:
        first = program.asks().json()
        assert first["confidence"] == 0.5
        program.decides("accept")
        assert program.asks(action={"number": 8}).json()["confidence"] == pytest.approx(2 / 3, abs=0.001)

    @pytest.mark.parametrize(
        ("wrong", "attr"),
        [
            ({"node_id": ""}, "node_id"),
            ({"action": None}, "action"),
            ({"action": [1]}, "action"),
            ({"confidence": 1.2}, "confidence"),
            ({"confidence": -0.1}, "confidence"),
            ({"risk": "high"}, "risk"),
            ({"screenshot": "not base64!"}, "screenshot"),
            ({"screenshot": base64.b64encode(b"GIF89a").decode()}, "screenshot"),
            ({"expires_in": 0}, "expires_in"),
            ({"expires_in": 1e12}, "expires_in"),
            ({"on_expiry": "accept"}, "on_expiry"),
            ({"step_index": -1}, "step_index"),
            ({"step_index": 10_000}, "step_index"),
            ({"decision": "accept"}, "decision"),
        ],
    )
    def test_what_cannot_be_asked(self, program: Program, wrong: dict[str, Any], attr: str) -> None:
        body = {"node_id": "post", "action_type": "post", "action": INVOICE} | wrong
        answer = program.client.post(f"{program.at}/suggestions/", body)
        assert answer.status_code == 400
        assert attr in {error["attr"] for error in answer.json()["errors"]}
        assert not program.session.suggestions.exists()

    def test_a_step_beyond_the_last(self, external_workflow: Workflow, coach: User, api: Api) -> None:
        program = Program(api(coach), start_session(external_workflow, total_steps=1, by=coach))
        assert program.asks(step_index=1).status_code == 400
        program.asks()
        program.decides("accept")
        assert program.asks(action={"number": 8}).status_code == 400

    def test_not_in_a_browser_workflow(self, session: Session, coach: User, api: Api) -> None:
        answer = Program(api(coach), session).asks()
        assert answer.status_code == 400
        assert "browser" in answer.json()["errors"][0]["detail"]

    def test_not_while_paused_nor_after_the_end(self, program: Program) -> None:
        pause_session(program.session, by=None)
        answer = program.asks()
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "session_not_active")
        assert not program.session.workflow.steps.exists()

    @pytest.mark.parametrize("why", ["ended", "another is open", "beyond the last"])
    def test_what_is_refused_changes_nothing(
        self, program: Program, owner: User, coach: User, api: Api, why: str
    ) -> None:
        program.asks()
        program.decides("accept")
        program.tells(1, "outcome", status="succeeded")
        workflow = program.session.workflow
        set_policy(workflow, {"min_decisions": 1, "confidence": 0, "confidence_irreversible": 0})
        api(owner).post(f"/api/v1/workflows/{workflow.workflow_id}/promote/", {})
        if why == "beyond the last":
            program = Program(api(coach), start_session(workflow, total_steps=1, by=coach))
        elif why == "ended":
            program.client.post(f"{program.at}/complete/", {})
        else:
            program.asks("another-step")
        steps = workflow.steps.count()
        beyond: dict[str, Any] = {"step_index": 5} if why == "beyond the last" else {}
        wishes: list[dict[str, Any]] = [{"action_type": "typo"}, {"risk": "irreversible"}, {"node_id": "new-one"}]
        for wish in wishes:
            assert program.asks(**wish, **beyond).status_code in {400, 409}
        step = step_of(program.session)
        assert (step.level, step.version.number, workflow.steps.count()) == (Level.AUTO, 1, steps)

    def test_a_viewer_may_not(self, program: Program, viewer: User, api: Api) -> None:
        assert Program(api(viewer), program.session).asks().status_code == 403


class TestOneAtATime:
    def test_the_same_question_again_is_the_one_that_is_open(self, program: Program) -> None:
        first = program.asks(screenshot=PNG)
        again = program.asks()
        assert (again.status_code, again.json()["n"]) == (200, 1)
        assert first.json() == again.json()
        assert event_types(program.session).count("suggestion.opened") == 1

    def test_another_one_is_told_which_is_open(self, program: Program) -> None:
        program.asks()
        answer = program.asks(action={"number": 8})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "stale_step")
        assert answer.json()["suggestion"]["n"] == 1

    def test_yes_is_not_one(self, program: Program) -> None:
        program.asks(action={"p": 1})
        assert program.asks(action={"p": True}).status_code == 409
        assert program.asks(action={"p": 1}).status_code == 200

    def test_under_the_same_reference_it_is_asked_once_for_ever(self, program: Program, coach: User) -> None:
        question = Question(node_id="post", action_type="post", action=INVOICE, reference="use-1")
        first, new = ask(program.session, question, by=coach)
        program.decides("reject")
        again, new_again = ask(program.session, question, by=coach)
        assert (again, new, new_again) == (first, True, False)
        other = Question(node_id="post", action_type="post", action={"number": 8}, reference="use-1")
        with pytest.raises(IdempotencyMismatch):
            ask(program.session, other, by=coach)
        # Without it, or with another, it is another question.
        assert ask(program.session, replace(question, reference="use-2"), by=coach)[1]

    def test_taken_back_it_makes_room_for_another(self, program: Program) -> None:
        program.asks()
        taken = program.tells(1, "withdraw", reason="Cancelled.")
        assert (taken.status_code, taken.json()["status"], taken.json()["error"]) == (200, "withdrawn", "Cancelled.")
        assert program.tells(1, "withdraw").status_code == 200
        fresh = program.asks(action={"number": 8}).json()
        # That the program has changed its mind is no trouble.
        assert (fresh["n"], fresh["attempt"], fresh["asked_because"], fresh["error"]) == (2, 2, "coaching", None)

    def test_what_is_decided_cannot_be_taken_back(self, program: Program) -> None:
        program.asks()
        program.decides("reject")
        answer = program.tells(1, "withdraw")
        assert answer.json()["errors"][0]["code"] == "already_decided"
        assert answer.json()["decision"]["decision"] == "reject"

    @pytest.mark.django_db(transaction=True)
    def test_of_many_at_once_one_opens_it(self, external_session: Session, coach: User) -> None:
        question = Question(node_id="post", action_type="post", action=INVOICE)
        results = together(
            *[lambda: ask(Session.objects.get(pk=external_session.pk), question, by=coach) for _ in range(8)]
        )
        assert {suggestion.n for suggestion, _ in results} == {1}
        assert sum(new for _, new in results) == 1
        assert_consistent(external_session)


class TestOutcomes:
    @pytest.mark.parametrize(
        ("status", "outcome", "success"),
        [("succeeded", "performed", True), ("failed", "failed", False), ("uncertain", "uncertain", None)],
    )
    def test_what_became_of_it(self, program: Program, status: str, outcome: str, success: bool | None) -> None:
        program.asks()
        program.decides("accept")
        begun = program.tells(1, "performing")
        assert begun.status_code == 200
        told = program.tells(1, "outcome", status=status)
        assert (told.status_code, told.json()["outcome"]) == (200, outcome)
        assert told.json()["decision"]["execution_success"] is success
        assert event_types(program.session)[-2:] == ["step.performing", f"step.{outcome}"]
        assert_consistent(program.session)

    def test_the_same_again_changes_nothing_and_another_is_refused(self, program: Program) -> None:
        program.asks()
        program.decides("accept")
        program.tells(1, "outcome", status="succeeded")
        assert program.tells(1, "outcome", status="succeeded").status_code == 200
        answer = program.tells(1, "outcome", status="failed")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "illegal_transition")
        assert event_types(program.session).count("step.performed") == 1

    def test_a_failure_brings_the_step_back_and_the_coach_is_told(self, program: Program) -> None:
        program.asks()
        program.decides("accept")
        program.tells(1, "outcome", status="failed", error="The portal was down.")
        again = program.asks().json()
        assert (again["step_index"], again["attempt"], again["asked_because"]) == (0, 2, "trouble")
        assert (again["error"], again["confidence"]) == ("The portal was down.", 0.0)
        program.decides("accept")
        program.tells(2, "outcome", status="succeeded")
        assert program.asks(action={"number": 8}).json()["step_index"] == 1

    def test_a_failure_that_is_told_late_is_told_with_the_next_question(self, program: Program) -> None:
        program.asks()
        program.decides("accept")
        program.asks("archive")
        program.tells(1, "outcome", status="failed", error="The portal was down.")
        program.session.refresh_from_db()
        # The program has gone on: its place is where it asks.
        assert program.session.current_step_index == 1
        program.decides("accept")
        program.tells(2, "outcome", status="succeeded")
        asked = program.asks("send").json()
        assert (asked["step_index"], asked["asked_because"]) == (2, "trouble")
        assert asked["error"] == "Step 1 before this: The portal was down."
        # Told once.
        program.decides("accept")
        program.tells(3, "outcome", status="succeeded")
        assert program.asks("notify").json()["asked_because"] == "coaching"

    def test_going_back_loses_no_later_step(self, program: Program) -> None:
        for _ in range(3):
            program.asks()
            n = program.client.get(f"{program.at}/").json()["open_suggestion"]["n"]
            program.decides("accept")
            program.tells(n, "outcome", status="succeeded")
        program.asks(step_index=0)
        program.decides("accept")
        program.session.refresh_from_db()
        assert program.session.current_step_index == 3

    def test_trouble_is_not_forgotten_by_taking_a_question_back(self, program: Program) -> None:
        program.asks()
        program.decides("accept")
        program.tells(1, "outcome", status="failed")
        program.asks()
        program.tells(2, "withdraw")
        again = program.asks().json()
        assert (again["asked_because"], again["error"]) == ("trouble", "The program says that it failed, but not why.")

    def test_nothing_becomes_of_what_nobody_accepted(self, program: Program) -> None:
        program.asks()
        assert program.tells(1, "outcome", status="succeeded").status_code == 409
        assert program.tells(1, "performing").status_code == 409
        program.decides("reject")
        assert program.tells(1, "outcome", status="succeeded").status_code == 409
        assert program.tells(1, "performing").status_code == 409
        assert program.hears(1)["outcome"] == "not_performed"

    def test_who_begins_twice_learns_that_it_may_have_happened(self, program: Program) -> None:
        program.asks()
        program.decides("accept")
        assert program.tells(1, "performing").status_code == 200
        answer = program.tells(1, "performing")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "illegal_transition")

    def test_nobody_begins_while_the_session_is_paused(self, program: Program) -> None:
        program.asks()
        program.decides("accept")
        program.client.post(f"{program.at}/pause/")
        answer = program.tells(1, "performing")
        assert answer.json()["errors"][0]["code"] == "session_not_active"
        program.client.post(f"{program.at}/resume/")
        assert program.tells(1, "performing").status_code == 200

    def test_the_last_outcome_may_come_after_the_end(self, program: Program) -> None:
        program.asks()
        program.decides("accept")
        program.client.post(f"{program.at}/complete/", {"success": True})
        assert program.tells(1, "outcome", status="succeeded").json()["decision"]["execution_success"] is True

    def test_no_outcome_of_what_coachsite_performs_itself(self, suggestion: Suggestion, coach: User, api: Api) -> None:
        program = Program(api(coach), suggestion.session)
        program.decides("accept")
        for what, body in (("performing", {}), ("outcome", {"status": "succeeded"}), ("withdraw", {})):
            assert program.tells(1, what, **body).status_code == 400


class TestPacks:
    @pytest.fixture
    def published(self, program: Program, reviewer: User) -> Workflow:
        """A coach has corrected the account twice; the pack of it is published."""
        for number in (1, 2):
            program.asks(action={"number": number, "account": "6300"})
            program.decides("correct", correction={"number": number, "account": "6310"})
            program.tells(number, "outcome", status="succeeded")
        workflow = program.session.workflow
        pack = create_pack(name="Accounts", corrections=workflow.corrections.all(), by=reviewer)
        assert pack.draft
        run_backtest(start_backtest(pack.draft, by=reviewer).pk)
        submit(pack, by=reviewer)
        publish(pack, by=reviewer)
        return workflow

    def test_a_published_correction_changes_what_the_program_is_to_do(
        self, program: Program, published: Workflow
    ) -> None:
        asked = program.asks(action={"number": 3, "account": "6300"}).json()
        assert asked["action"] == {"number": 3, "account": "6310"}
        assert asked["provenance"]["source"] == "pack"
        assert asked["provenance"]["changed"] == [{"op": "replace", "path": "/account", "value": "6310"}]
        assert asked["action_type"] == "post_invoice"
        # The same question again is the same, although packs have changed it.
        again = program.asks(action={"number": 3, "account": "6300"})
        assert (again.status_code, again.json()["n"]) == (200, 3)
        program.decides("accept")
        assert published.corrections.get().items.get().right == 1

    @pytest.mark.usefixtures("published")
    def test_what_differs_is_left_alone(self, program: Program) -> None:
        asked = program.asks(action={"number": 3, "account": "7000"}).json()
        assert asked["action"] == {"number": 3, "account": "7000"}
        assert asked["provenance"]["source"] == "caller"

    def test_a_correction_of_a_changed_action_keeps_its_kind(self, program: Program, published: Workflow) -> None:
        program.asks(action={"number": 3, "account": "6300", "type": "a field of the program's own"})
        program.decides("correct", correction={"number": 3, "account": "6320", "type": "a field of the program's own"})
        assert set(published.corrections.values_list("action_type", flat=True)) == {"post_invoice"}


class TestAutonomy:
    @pytest.fixture
    def alone(self, program: Program, owner: User, api: Api, coach: User) -> Program:
        """A session of mode auto; its step has earned to run alone, and is never audited."""
        program.asks()
        program.decides("accept")
        program.tells(1, "outcome", status="succeeded")
        workflow = program.session.workflow
        set_policy(
            workflow, {"min_decisions": 1, "confidence": 0, "confidence_irreversible": 0, "audit_rates": [0, 0, 0]}
        )
        api(owner).post(f"/api/v1/workflows/{workflow.workflow_id}/promote/", {})
        assert step_of(program.session).level == Level.AUTO
        return Program(api(coach), start_session(workflow, mode="auto", by=coach))

    def test_a_step_that_runs_alone_is_decided_at_once(self, alone: Program) -> None:
        answer = alone.asks(action={"number": 9})
        assert answer.status_code == 201
        asked = answer.json()
        assert (asked["status"], asked["asked_because"], asked["outcome"]) == ("decided", None, None)
        assert (asked["decision"]["decision"], asked["decision"]["decided_by"]) == ("accept", "policy")
        alone.session.refresh_from_db()
        assert alone.session.current_step_index == 1
        assert_consistent(alone.session)

    def test_trouble_is_asked_about(self, alone: Program) -> None:
        alone.asks()
        alone.tells(1, "outcome", status="failed", error="Refused.")
        assert alone.asks().json()["asked_because"] == "trouble"

    def test_failures_take_it_back(self, alone: Program) -> None:
        for number in range(3):
            if alone.asks().json()["status"] == "open":
                alone.decides("accept")
            alone.tells(number + 1, "outcome", status="failed")
        assert step_of(alone.session).level == Level.COACHING

    def test_another_kind_of_action_under_the_same_name_is_not_trusted(self, alone: Program) -> None:
        asked = alone.asks(action_type="delete_invoice").json()
        assert (asked["status"], asked["asked_because"]) == ("open", "not_auto")
        step = step_of(alone.session)
        assert (step.level, step.version.number, step.version.action_type) == (Level.COACHING, 2, "delete_invoice")

    def test_what_the_program_calls_irreversible_now_was_not_decided_as_such(self, alone: Program) -> None:
        asked = alone.asks(risk="irreversible").json()
        assert (asked["status"], asked["risk"]) == ("open", "irreversible")
        # Said once, it holds for all that do not say otherwise.
        alone.decides("accept")
        assert alone.asks(action={"number": 8}).json()["risk"] == "irreversible"

    def test_an_owner_who_has_chosen_the_risk_knows_better(self, alone: Program, owner: User, api: Api) -> None:
        workflow = alone.session.workflow
        steps = [{"node_id": "post-invoice", "action_type": "post_invoice", "action": INVOICE, "risk": risk}
                 for risk in ("irreversible", "reversible")]  # fmt: skip
        for step in steps:
            api(owner).patch(f"/api/v1/workflows/{workflow.workflow_id}/", {"steps": [step]})
        version = step_of(alone.session).version
        alone.asks(risk="irreversible")
        assert step_of(alone.session).version == version

    def test_an_audit_is_asked_about(self, alone: Program) -> None:
        set_policy(alone.session.workflow, {"audit_rates": [1, 1, 1]})
        asked = alone.asks().json()
        assert (asked["status"], asked["asked_because"]) == ("open", "audit")

    def test_an_audit_is_not_dodged_by_taking_it_back(self, alone: Program) -> None:
        workflow = alone.session.workflow
        set_policy(workflow, {"audit_rates": [1, 1, 1]})
        assert alone.asks().json()["asked_because"] == "audit"
        set_policy(workflow, {"audit_rates": [0, 0, 0]})
        alone.tells(1, "withdraw")
        again = alone.asks(step_index=7).json()
        assert (again["status"], again["asked_because"]) == ("open", "audit")
        alone.decides("accept")
        assert alone.asks(step_index=8).json()["status"] == "decided"

    @pytest.mark.django_db(transaction=True)
    def test_taken_back_at_the_same_moment_it_is_asked(self, alone: Program, owner: User, coach: User) -> None:
        """Whoever comes first: no step that was taken back is accepted by the policy afterwards."""
        workflow = alone.session.workflow
        sessions = [start_session(workflow, mode="auto", by=coach) for _ in range(6)]
        question = Question(node_id="post-invoice", action_type="post_invoice", action=INVOICE)
        results = together(
            *[lambda s=s: ask(Session.objects.select_related("workflow").get(pk=s.pk), question, by=coach) for s in sessions],
            lambda: demote(Workflow.objects.get(pk=workflow.pk), by=owner),
        )  # fmt: skip
        assert not [result for result in results if isinstance(result, Exception)]
        demoted = step_of(alone.session).level_changes.latest("pk").fact
        by_policy = Decision.objects.filter(unattended=True)
        assert all(decision.fact is not None and decision.fact < demoted for decision in by_policy)
        assert by_policy.count() + Suggestion.objects.open().count() == len(sessions)

    def test_the_tallies_are_those_of_a_rebuild(self, alone: Program) -> None:
        alone.asks()
        alone.tells(1, "outcome", status="failed")
        alone.asks(expires_in=60, on_expiry="skip")
        alone.decides("accept")
        assert list(rebuild(repair=False)) == []


class TestWords:
    def test_short(self) -> None:
        assert in_words("post", {}) == "post"
        action = {"number": 1, "to": "x  y", "lines": [1, 2], "paid": True, "late": False, "due": None, "more": {}}
        assert in_words("post", action) == "post: number 1, to x y, 2 lines, paid, not late, more …"

    def test_long(self) -> None:
        assert (
            len(in_words("post", {"text": "x" * 1000, "more": "y" * 1000, "again": "z" * 1000, "and": "a" * 300}))
            <= 200
        )
