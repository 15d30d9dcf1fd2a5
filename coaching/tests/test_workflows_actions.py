from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from coaching.actions.decisions import Answer, record_decision
from coaching.actions.sessions import complete_session, pause_session, start_session
from coaching.actions.workflow_changes import change_workflow
from coaching.actions.workflows import (
    change_step,
    create_workflow,
    delete_workflow,
    export_recording,
    import_recording,
    set_steps,
    set_variable_default,
)
from coaching.evidence import workflow_standing
from coaching.exceptions import IllegalTransition, InvalidInput
from coaching.models import Recording, Session, Step, StepVersion, Suggestion, Variable, Workflow
from coaching.secrets import decrypt

from .domain import everything_stored

SECRET = "swordfish-4711"


def click(name: str) -> dict[str, Any]:
    return {"type": "click", "selectors": [[f"aria/{name}"]], "offsetX": 1, "offsetY": 1}


def step(node_id: str, name: str = "Save", **more: Any) -> dict[str, Any]:
    return {"node_id": node_id, "action": click(name)} | more


def recorded(title: str = "File a claim", *, amount: str = "42.50", button: str = "Save") -> bytes:
    steps = [
        {"type": "navigate", "url": "http://127.0.0.1:1/claims"},
        {"type": "change", "selectors": [["aria/Amount"], ["#amount"]], "value": amount},
        {"type": "change", "selectors": [["aria/Password"], ["#password"]], "value": SECRET},
        {"type": "click", "selectors": [[f"aria/{button}"], ["#save"]], "offsetX": 1, "offsetY": 1},
    ]
    return json.dumps({"title": title, "steps": steps}).encode()


def layout(workflow: Workflow) -> list[tuple[str, int]]:
    """`(node_id, number of its current version)` in order; the database's rows, not a cache."""
    return [(step.node_id, step.version.number) for step in workflow.current_steps()]


class TestCreate:
    def test_with_steps(self, browser_workflow: Workflow, owner: User) -> None:
        assert layout(browser_workflow) == [("open", 1), ("change-amount", 1), ("click-save", 1)]
        assert [step.step_index for step in browser_workflow.current_steps()] == [0, 1, 2]
        assert {step.level for step in browser_workflow.steps.all()} == {"COACHING"}
        versions = StepVersion.objects.order_by("step__step_index")
        assert [version.action_type for version in versions] == ["navigate", "change", "click"]
        assert [version.risk for version in versions] == ["reversible", "reversible", "irreversible"]
        assert {version.created_by for version in versions} == {owner}
        assert all(version.description for version in versions)
        assert (workflow_standing(browser_workflow).level, browser_workflow.created_by) == ("COACHING", owner)

    @pytest.mark.usefixtures("browser_workflow")
    def test_an_id_is_taken_once(self, owner: User) -> None:
        with pytest.raises(InvalidInput, match="already a workflow") as refused:
            create_workflow(workflow_id="expense-claim", name="Other", executor="external", by=owner)
        assert refused.value.field == "workflow_id"

    def test_a_bad_step_leaves_no_workflow(self, owner: User) -> None:
        with pytest.raises(InvalidInput, match="Step 2") as refused:
            create_workflow(
                workflow_id="new",
                name="New",
                executor="browser",
                steps=[step("a"), {"node_id": "b", "action": {"type": "navigate", "url": "javascript:alert(1)"}}],
                by=owner,
            )
        assert refused.value.field == "steps"
        assert not Workflow.objects.exists()

    def test_a_step_that_only_a_person_can_do(self, owner: User) -> None:
        custom = {"type": "customStep", "name": "captcha", "parameters": {}}
        workflow = create_workflow(
            workflow_id="new",
            name="New",
            executor="browser",
            steps=[{"node_id": "captcha", "action": custom}],
            by=owner,
        )
        assert [step.version.supported for step in workflow.current_steps()] == [False]

    def test_an_external_action_is_whatever_the_program_says(self, owner: User) -> None:
        steps: list[dict[str, Any]] = [
            {"node_id": "pay", "action_type": "payment", "action": {"iban": "DE1"}},
            {"node_id": "log"},
        ]
        workflow = create_workflow(workflow_id="ext", name="Ext", executor="external", steps=steps, by=owner)
        pay, log = workflow.current_steps()
        assert (pay.version.action_type, pay.version.action, pay.version.description) == (
            "payment", {"iban": "DE1"}, "payment pay"
        )  # fmt: skip
        assert (log.version.action, log.version.supported) == ({}, True)


class TestSetSteps:
    def test_what_is_the_same_keeps_its_version(self, browser_workflow: Workflow, owner: User) -> None:
        same = [
            {"node_id": s.node_id, "action": s.version.action, "risk": s.version.risk}
            for s in browser_workflow.current_steps()
        ]
        set_steps(browser_workflow, same, by=owner)
        assert StepVersion.objects.count() == 3

    def test_a_change_makes_the_next_version_and_keeps_the_last(self, browser_workflow: Workflow, owner: User) -> None:
        set_steps(browser_workflow, [step("click-save", "Send", risk="irreversible")], by=owner)
        assert layout(browser_workflow) == [("click-save", 2)]
        old, new = StepVersion.objects.filter(step__node_id="click-save").order_by("number")
        assert old.action["selectors"] == [["aria/Save"], ["#save"]]
        assert new.action["selectors"] == [["aria/Send"]]

    def test_reorders(self, owner: User) -> None:
        steps = [step(name) for name in "abc"]
        workflow = create_workflow(workflow_id="w", name="W", executor="browser", steps=steps, by=owner)
        for order in [[2, 0, 1], [1, 0, 2], [2, 1, 0]]:
            set_steps(workflow, [steps[i] for i in order], by=owner)
            assert layout(workflow) == [("abc"[i], 1) for i in order]
            assert [s.step_index for s in workflow.current_steps()] == [0, 1, 2]

    def test_what_is_left_out_keeps_its_history_and_comes_back_with_it(self, owner: User) -> None:
        workflow = create_workflow(
            workflow_id="w", name="W", executor="browser", steps=[step("a"), step("b")], by=owner
        )
        kept = workflow.steps.get(node_id="b")
        Step.objects.filter(pk=kept.pk).update(level="AUTO")
        set_steps(workflow, [step("a")], by=owner)
        assert layout(workflow) == [("a", 1)]
        kept.refresh_from_db()
        assert (kept.step_index, kept.versions.count()) == (None, 1)
        set_steps(workflow, [step("b"), step("a"), step("c")], by=owner)
        assert layout(workflow) == [("b", 1), ("a", 1), ("c", 1)]
        kept.refresh_from_db()
        assert (kept.step_index, kept.level) == (0, "AUTO")

    def test_a_name_occurs_once(self, browser_workflow: Workflow, owner: User) -> None:
        with pytest.raises(InvalidInput, match="only once"):
            set_steps(browser_workflow, [step("a"), step("a", "Other")], by=owner)
        assert len(layout(browser_workflow)) == 3

    def test_touches_the_workflow(self, browser_workflow: Workflow, owner: User) -> None:
        before = browser_workflow.updated_at
        set_steps(browser_workflow, [], by=owner)
        browser_workflow.refresh_from_db()
        assert browser_workflow.updated_at > before

    def test_an_index_is_taken_once_by_the_database_s_own_word(self, browser_workflow: Workflow) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            browser_workflow.steps.filter(step_index=2).update(step_index=1)


class TestChangeStep:
    def test_each_change_is_a_version(self, browser_workflow: Workflow, owner: User) -> None:
        save = browser_workflow.steps.get(node_id="click-save")
        assert change_step(save, by=owner, risk="reversible").number == 2
        assert change_step(save, by=owner, description="Press Save").number == 3
        version = change_step(save, by=owner, action=click("Send"))
        assert (version.number, version.risk) == (4, "reversible")
        assert "Send" in version.description, "another action is described anew"
        assert layout(browser_workflow)[2] == ("click-save", 4)

    def test_no_change_is_no_version(self, browser_workflow: Workflow, owner: User) -> None:
        save = browser_workflow.steps.get(node_id="click-save")
        assert change_step(save, by=owner, risk="irreversible").number == 1

    def test_a_bad_action_is_refused(self, browser_workflow: Workflow, owner: User) -> None:
        save = browser_workflow.steps.get(node_id="click-save")
        with pytest.raises(InvalidInput):
            change_step(save, by=owner, action={"type": "dance"})
        assert save.versions.count() == 1

    def test_a_running_session_keeps_its_plan(self, session: Session, browser_workflow: Workflow, owner: User) -> None:
        save = browser_workflow.steps.get(node_id="click-save")
        new = change_step(save, by=owner, risk="reversible")
        session.refresh_from_db()
        assert new.pk not in session.plan
        assert start_session(browser_workflow, by=owner).plan[2] == new.pk


class TestChangeWorkflow:
    def test_all_or_nothing(self, browser_workflow: Workflow, owner: User) -> None:
        with pytest.raises(InvalidInput, match="no variable “nope”"):
            change_workflow(browser_workflow, name="New", steps=[step("a")], defaults={"nope": "1"}, by=owner)
        browser_workflow.refresh_from_db()
        assert browser_workflow.name == "Expense claim"
        assert len(layout(browser_workflow)) == 3
        change_workflow(browser_workflow, name="New", steps=[step("a")], defaults={"amount": "1"}, by=owner)
        browser_workflow.refresh_from_db()
        assert (browser_workflow.name, layout(browser_workflow)) == ("New", [("a", 1)])
        assert browser_workflow.variables.get().default == "1"

    def test_a_start_address_must_be_one_of_the_web(self, browser_workflow: Workflow, owner: User) -> None:
        with pytest.raises(InvalidInput) as refused:
            change_workflow(browser_workflow, start_url="file:///etc/passwd", by=owner)
        assert refused.value.field == "start_url"


class TestVariables:
    def test_a_secret_s_default_is_kept_encrypted(self, browser_workflow: Workflow) -> None:
        password = browser_workflow.variables.create(name="password", label="Password", secret=True)
        set_variable_default(password, SECRET)
        password.refresh_from_db()
        assert password.default == ""
        assert decrypt(password.encrypted_default) == {"password": SECRET}
        assert password.as_json()["default"] == "***"
        set_variable_default(password, "")
        password.refresh_from_db()
        assert password.as_json()["default"] == ""

    def test_the_database_itself_refuses_one_in_the_clear(self, browser_workflow: Workflow) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            browser_workflow.variables.create(name="password", label="Password", secret=True, default=SECRET)


class TestImport:
    def test_makes_a_workflow(self, owner: User) -> None:
        imported = import_recording(recorded(), by=owner)
        workflow = imported.workflow
        assert (workflow.workflow_id, workflow.name, workflow.executor) == ("file-a-claim", "File a claim", "browser")
        assert workflow.start_url == "http://127.0.0.1:1/claims"
        assert [s.version.action_type for s in workflow.current_steps()] == ["navigate", "change", "change", "click"]
        assert {(v.name, v.label, v.secret, v.default) for v in workflow.variables.all()} == {
            ("amount", "Amount", False, "42.50"),
            ("password", "Password", True, ""),
        }
        assert imported.recording.imported_by == owner
        assert imported.recording.get_format_display() == "Chrome Recorder"

    def test_a_chosen_name_and_id_win(self, owner: User) -> None:
        workflow = import_recording(recorded(), workflow_id="claims", name="Claims", by=owner).workflow
        assert (workflow.workflow_id, workflow.name) == ("claims", "Claims")

    def test_the_same_title_gets_the_next_free_id(self, owner: User) -> None:
        ids = [import_recording(recorded(), by=owner).workflow.workflow_id for _ in range(3)]
        assert ids == ["file-a-claim", "file-a-claim-2", "file-a-claim-3"]

    def test_a_typed_password_is_nowhere_in_the_clear(self, owner: User) -> None:
        workflow = import_recording(recorded(), by=owner).workflow
        assert decrypt(workflow.variables.get(name="password").encrypted_default) == {"password": SECRET}
        assert SECRET not in everything_stored()
        assert SECRET not in json.dumps(export_recording(workflow))

    @pytest.mark.parametrize("data", [b"", b"no json", b"[]", b'{"title": "x", "steps": []}', b"\xff\xfe\x00"])
    def test_what_is_no_recording_stores_nothing(self, owner: User, data: bytes) -> None:
        with pytest.raises(InvalidInput) as refused:
            import_recording(data, by=owner)
        assert refused.value.field == "file"
        assert not Workflow.objects.exists()

    def test_another_demonstration_shows_what_varies(self, owner: User) -> None:
        first = import_recording(recorded(), by=owner).workflow
        Variable.objects.filter(name="amount").update(default="50.00")
        imported = import_recording(
            recorded("Again", amount="17.00", button="Save claim 7"), workflow_id=first.workflow_id, by=owner
        )
        assert imported.workflow == first
        assert Recording.objects.filter(workflow=first).count() == 2
        assert len(layout(first)) == 4
        assert first.variables.get(name="amount").default == "50.00", "what an owner has set stays"
        assert first.name == "File a claim"

    def test_the_same_demonstration_again_changes_nothing(self, owner: User) -> None:
        workflow = import_recording(recorded(), by=owner).workflow
        import_recording(recorded(), workflow_id=workflow.workflow_id, by=owner)
        assert [number for _, number in layout(workflow)] == [1, 1, 1, 1]
        assert workflow.variables.count() == 2

    def test_fills_an_empty_workflow(self, owner: User) -> None:
        workflow = create_workflow(workflow_id="empty", name="Empty", executor="browser", by=owner)
        import_recording(recorded(), workflow_id="empty", by=owner)
        assert len(layout(workflow)) == 4

    def test_an_external_workflow_has_no_recordings(self, external_workflow: Workflow, owner: User) -> None:
        with pytest.raises(InvalidInput, match="has no recordings"):
            import_recording(recorded(), workflow_id=external_workflow.workflow_id, by=owner)
        assert not Recording.objects.exists()


class TestExport:
    def test_gives_the_recording_back(self, owner: User) -> None:
        document = json.loads(recorded())
        exported = export_recording(import_recording(recorded(), by=owner).workflow)
        document["steps"][2]["value"] = "{{ password }}"
        assert exported == document

    def test_not_of_an_external_workflow(self, external_workflow: Workflow) -> None:
        with pytest.raises(InvalidInput, match="Only browser workflows"):
            export_recording(external_workflow)


class TestDelete:
    @pytest.mark.parametrize("move", [None, pause_session])
    def test_is_refused_while_a_session_goes_on(
        self, session: Session, coach: User, move: Callable[..., None] | None
    ) -> None:
        if move:
            move(session, by=coach)
        with pytest.raises(IllegalTransition, match="1 sessions of this workflow are still going on"):
            delete_workflow(session.workflow)
        assert Workflow.objects.exists()

    def test_takes_everything_with_it(
        self,
        session: Session,
        external_session: Session,
        coach: User,
        ask: Callable[..., Suggestion],
    ) -> None:
        ask(session, step_version=StepVersion.objects.get(pk=session.plan[0]))
        complete_session(session, by=coach)
        record_decision(
            external_session, Answer(decision="skip"), step_index=0, node_id="pay", action_type="do", by=coach
        )
        delete_workflow(session.workflow)
        assert list(Workflow.objects.all()) == [external_session.workflow]
        assert list(Session.objects.all()) == [external_session]
        assert [s.node_id for s in Step.objects.all()] == ["pay"]
        assert StepVersion.objects.count() == 1
        assert not Variable.objects.exists()
        assert not Suggestion.objects.exists()


def test_the_list_takes_one_query(
    browser_workflow: Workflow, session: Session, django_assert_num_queries: Callable[..., Any]
) -> None:
    with django_assert_num_queries(1):
        (workflow,) = Workflow.objects.with_overview().values("step_count", "last_run_at")  # type: ignore[misc]
    assert workflow == {"step_count": 3, "last_run_at": session.started_at}


def test_a_password_in_a_step_becomes_a_secret_variable(browser_workflow: Workflow, owner: User) -> None:
    action = {"type": "change", "selectors": [["aria/Password"]], "target": "main", "value": "PatchHunter4!"}
    set_steps(browser_workflow, [{"node_id": "change-password", "action": action}], by=owner)
    [step] = browser_workflow.current_steps()
    assert step.version.action["value"] == "{{ change_password }}"
    assert step.version.description == "Type “{{ change_password }}” into “Password”"
    assert browser_workflow.variables.get(name="change_password").secret
    assert "PatchHunter4!" not in everything_stored()
