"""Workflows over the API: by hand, by recording, changed, exported."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from coaching.actions.workflows import create_workflow
from coaching.models import Session, Variable, Workflow
from coaching.secrets import decrypt

WORKFLOW = {
    "workflow_id", "name", "description", "executor", "level", "start_url", "variables", "steps", "created_at",
    "updated_at", "allowed_hosts",
}  # fmt: skip
STEP = {"node_id", "step_index", "version", "action_type", "action", "description", "risk", "level", "supported"}
FLOW = {
    "title": "File a claim",
    "steps": [
        {"type": "navigate", "url": "https://example.org/claims"},
        {"type": "change", "selectors": [["aria/Amount"], ["#amount"]], "value": "42.50", "target": "main"},
        {"type": "change", "selectors": [["aria/Password"], ["#password"]], "value": "hunter2!", "target": "main"},
        {"type": "customStep", "name": "something else", "parameters": {}},
    ],
}
MANY = 5


@pytest.fixture
def program(owner: User, api: Callable[[User], APIClient]) -> APIClient:
    return api(owner)


def test_the_shape_of_the_contract(program: APIClient, browser_workflow: Workflow) -> None:
    workflow = program.get("/api/v1/workflows/expense-claim/").json()
    assert set(workflow) == WORKFLOW
    assert (workflow["executor"], workflow["level"]) == ("browser", "COACHING")
    assert workflow["variables"] == [{"name": "amount", "label": "Amount", "secret": False, "default": "42.50"}]
    assert [step["node_id"] for step in workflow["steps"]] == ["open", "change-amount", "click-save"]
    assert all(set(step) == STEP for step in workflow["steps"])
    step = workflow["steps"][2]
    assert (step["step_index"], step["version"], step["risk"], step["supported"]) == (2, 1, "irreversible", True)
    assert workflow["created_at"].endswith("Z")
    assert program.get("/api/v1/workflows/").json() == {"next": None, "results": [workflow]}


def test_creating_an_external_workflow(program: APIClient) -> None:
    body = {"workflow_id": "invoice-import", "name": "Invoice import", "executor": "external"}
    answer = program.post("/api/v1/workflows/", body)
    assert answer.status_code == 201, answer.content
    assert answer.json()["steps"] == []
    assert answer.json()["level"] == "OBSERVATION"
    again = program.post("/api/v1/workflows/", body)
    assert (again.status_code, again.json()["errors"][0]["attr"]) == (400, "workflow_id")


def test_creating_with_steps_is_all_or_nothing(program: APIClient) -> None:
    good = {"node_id": "open", "action": {"type": "navigate", "url": "https://example.org/"}}
    bad = {"node_id": "more", "action": {"type": "navigate", "url": "javascript:alert(1)"}}
    body = {"workflow_id": "claim", "name": "Claim", "executor": "browser", "steps": [good, bad]}
    refused = program.post("/api/v1/workflows/", body)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["attr"] == "steps"
    assert not Workflow.objects.exists()
    answer = program.post("/api/v1/workflows/", body | {"steps": [good]})
    assert answer.json()["steps"][0]["action_type"] == "navigate"


def test_changing_a_step_makes_a_version_and_leaves_the_rest(program: APIClient, browser_workflow: Workflow) -> None:
    before = program.get("/api/v1/workflows/expense-claim/").json()
    steps = [{key: step[key] for key in ("node_id", "action", "risk")} for step in before["steps"]]
    steps[1]["action"]["timeout"] = 9000
    answer = program.patch("/api/v1/workflows/expense-claim/", {"name": "Claims", "steps": steps})
    assert answer.status_code == 200, answer.content
    after = answer.json()
    assert after["name"] == "Claims"
    assert [step["version"] for step in after["steps"]] == [1, 2, 1]
    assert after["variables"] == before["variables"]
    assert after["steps"][2]["risk"] == "irreversible"


def test_changing_defaults(program: APIClient, browser_workflow: Workflow) -> None:
    secret = browser_workflow.variables.create(name="password", label="Password", secret=True)
    changes = [{"name": "amount", "default": " 7 "}, {"name": "password", "default": "hunter2!"}]
    address = "/api/v1/workflows/expense-claim/"
    shown = program.patch(address, {"variables": changes}).json()["variables"]
    assert [variable["default"] for variable in shown] == [" 7 ", "***"]
    # What was read may be sent back: the stars leave the secret as it is.
    program.patch(address, {"variables": [{"name": "password", "default": "***"}]})
    assert decrypt(Variable.objects.get(pk=secret.pk).encrypted_default) == {"password": "hunter2!"}


@pytest.mark.parametrize(
    ("changes", "attr"),
    [
        ({"variables": [{"name": "nothing", "default": "1"}]}, "variables"),
        ({"start_url": "file:///etc/passwd"}, "start_url"),
        ({"start_url": "javascript:alert(1)"}, "start_url"),
        ({"steps": [{"node_id": "a", "action": {"type": "nonsense"}}]}, "steps"),
        ({"steps": [{"node_id": "a", "action": {"type": "close"}}] * 2}, "steps"),
        ({"steps": [{"node_id": "a", "action": {"type": "close"}, "level": "AUTO"}]}, "steps.0.level"),
        ({"executor": "external"}, "executor"),
    ],
)
def test_a_bad_change_changes_nothing(
    program: APIClient, browser_workflow: Workflow, changes: dict[str, object], attr: str
) -> None:
    before = program.get("/api/v1/workflows/expense-claim/").json()
    answer = program.patch("/api/v1/workflows/expense-claim/", {"name": "Half", "description": "written"} | changes)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == attr
    assert program.get("/api/v1/workflows/expense-claim/").json() == before


def test_deleting_waits_for_the_sessions(program: APIClient, session: Session) -> None:
    refused = program.delete("/api/v1/workflows/expense-claim/")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "illegal_transition")
    program.post(f"/api/v1/sessions/{session.session_id}/abandon/")
    assert program.delete("/api/v1/workflows/expense-claim/").status_code == 204
    assert program.get("/api/v1/workflows/expense-claim/").status_code == 404


def as_form(**fields: str) -> dict[str, object]:
    file = SimpleUploadedFile("claim.json", json.dumps(FLOW).encode(), content_type="application/json")
    return {"file": file, **fields}


def test_importing_a_form_and_a_body_give_the_same(program: APIClient) -> None:
    by_form = program.post("/api/v1/workflows/import/", as_form(workflow_id="one", name="One"), format="multipart")
    by_body = program.post("/api/v1/workflows/import/?workflow_id=two&name=Two", FLOW)
    assert by_form.status_code == by_body.status_code == 201, by_form.content
    for answer, name in ((by_form, "One"), (by_body, "Two")):
        imported = answer.json()
        assert set(imported) == {"workflow", "recording_id", "warnings"}
        assert isinstance(imported["recording_id"], str)
        assert set(imported["workflow"]) == WORKFLOW
        assert (imported["workflow"]["workflow_id"], imported["workflow"]["name"]) == (name.lower(), name)
        assert imported["warnings"] == []
        assert not imported["workflow"]["steps"][3]["supported"]
        assert "hunter2!" not in answer.content.decode()
        secret = [variable for variable in imported["workflow"]["variables"] if variable["secret"]]
        assert [variable["default"] for variable in secret] == ["***"]
    steps = [answer.json()["workflow"]["steps"] for answer in (by_form, by_body)]
    assert steps[0] == steps[1]


def test_importing_warns_of_what_a_person_should_know(program: APIClient) -> None:
    flow = {"title": "New tab", "steps": [{"type": "navigate", "url": "chrome://new-tab-page/"}, *FLOW["steps"]]}
    imported = program.post("/api/v1/workflows/import/", flow).json()
    assert [set(warning) for warning in imported["warnings"]] == [{"step_index", "message"}]
    assert imported["warnings"][0]["step_index"] == 0


def test_importing_again_adds_a_demonstration(program: APIClient) -> None:
    program.post("/api/v1/workflows/import/?workflow_id=claim", FLOW)
    again = program.post("/api/v1/workflows/import/?workflow_id=claim", FLOW)
    assert again.status_code == 201, again.content
    assert Workflow.objects.get().recordings.count() == 2


def test_exporting_gives_the_recording_back(program: APIClient) -> None:
    program.post("/api/v1/workflows/import/?workflow_id=claim", FLOW)
    answer = program.get("/api/v1/workflows/claim/export/")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="claim.json"'
    exported = answer.json()
    assert exported["title"] == "File a claim"
    assert exported["steps"][:2] == FLOW["steps"][:2]
    assert exported["steps"][2]["value"] == "{{ password }}"


def test_an_external_workflow_cannot_be_exported(program: APIClient, external_workflow: Workflow) -> None:
    answer = program.get("/api/v1/workflows/invoice-import/export/")
    assert (answer.status_code, answer.json()["type"]) == (400, "validation_error")


def test_the_list_costs_the_same_however_long(
    program: APIClient, owner: User, browser_workflow: Workflow, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(MANY - 1):
        create_workflow(
            workflow_id=f"w-{number}",
            name=f"W {number}",
            executor="external",
            steps=[{"node_id": name, "action_type": "call"} for name in "abc"],
            by=owner,
        )
    # Letting in (4), workflows, steps with their versions, variables.
    with django_assert_num_queries(5):
        listed = program.get("/api/v1/workflows/").json()["results"]
    assert [workflow["name"] for workflow in listed] == ["Expense claim", "W 0", "W 1", "W 2", "W 3"]
    seen, address = [], "/api/v1/workflows/?limit=2"
    while address:
        page = program.get(address).json()
        seen += page["results"]
        address = page["next"]
    assert seen == listed
