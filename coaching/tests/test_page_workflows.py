"""The workflow pages: list, detail, import, export, start, edit, delete."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django.asserts import assertContains, assertRedirects
from pytest_django.fixtures import DjangoAssertNumQueries

from coaching.actions.sessions import abandon_session, start_session
from coaching.actions.workflows import create_workflow, set_variable_default
from coaching.models import Session, Workflow
from coaching.secrets import decrypt
from conftest import CLICK

SignIn = Callable[[User], Client]
DEMO = Path(__file__).parents[1] / "demo" / "recordings" / "file-an-expense-claim.json"


def _upload(data: bytes, name: str = "recording.json") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, content_type="application/json")


def _many(owner: User, count: int, *, first: int = 0) -> None:
    for number in range(first, count):
        steps = [{"node_id": f"click-{k}", "action": CLICK} for k in range(3)]
        workflow = create_workflow(
            workflow_id=f"w{number}", name=f"Workflow {number}", executor="browser", steps=steps, by=owner
        )
        abandon_session(start_session(workflow, by=owner), by=owner)


def test_list_takes_the_same_queries_for_2_and_for_20(
    owner: User, sign_in: SignIn, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = sign_in(owner)
    _many(owner, 2)
    # Login (2), permissions (2), badge, workflows, levels, ready steps.
    with django_assert_num_queries(8):
        client.get(reverse("workflow-list"))
    _many(owner, 20, first=2)
    with django_assert_num_queries(8):
        page = client.get(reverse("workflow-list"))
    assertContains(page, "Workflow 19")
    assertContains(page, "Start coaching", count=20)


def test_an_empty_list_says_what_to_do(owner: User, viewer: User, sign_in: SignIn) -> None:
    assertContains(sign_in(owner).get(reverse("workflow-list")), "Import a recording")
    assertContains(sign_in(viewer).get(reverse("workflow-list")), "An owner imports a recording")


def test_detail_shows_steps_variables_and_sessions(
    browser_workflow: Workflow, session: Session, sign_in: SignIn, viewer: User
) -> None:
    page = sign_in(viewer).get(browser_workflow.get_absolute_url())
    assertContains(page, "irreversible")
    assertContains(page, "click-save")
    assertContains(page, "42.50")
    assertContains(page, session.get_absolute_url())


def test_a_recording_becomes_a_workflow(owner: User, sign_in: SignIn) -> None:
    page = sign_in(owner).post(
        reverse("workflow-import"), {"file": _upload(DEMO.read_bytes()), "name": "Claims"}, follow=True
    )
    workflow = Workflow.objects.get()
    assert workflow.name == "Claims"
    assertRedirects(page, workflow.get_absolute_url())
    assertContains(page, "was imported into ‘Claims’")
    assert "expenses-2026" not in page.content.decode()


def test_another_recording_is_a_demonstration(owner: User, sign_in: SignIn) -> None:
    client = sign_in(owner)
    client.post(reverse("workflow-import"), {"file": _upload(DEMO.read_bytes())})
    workflow = Workflow.objects.get()
    client.post(reverse("workflow-import"), {"file": _upload(DEMO.read_bytes()), "workflow_id": workflow.workflow_id})
    assert Workflow.objects.count() == 1
    assert workflow.recordings.count() == 2


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"hello", "JSON"),
        (b'{"title": "x"}', "steps"),
        (b'{"title": "x", "steps": [{"type": "dance"}]}', "dance"),
        (b'{"title": "x", "steps": [{"type": "navigate", "url": "file:///etc/passwd"}]}', "file:"),
        (b'{"title": "x", "steps": [{"type": "navigate", "url": "javascript:alert(1)"}]}', "javascript:"),
    ],
)
def test_a_bad_recording_is_refused_in_place(owner: User, sign_in: SignIn, data: bytes, says: str) -> None:
    page = sign_in(owner).post(reverse("workflow-import"), {"file": _upload(data), "name": "Kept name"})
    assert page.status_code == 400
    text = page.content.decode()
    assert says in text
    assert "Nothing was imported." in text
    assert "Kept name" in text
    assert not Workflow.objects.exists()


def test_no_file_and_too_large_a_file_are_refused(owner: User, sign_in: SignIn) -> None:
    client = sign_in(owner)
    assertContains(client.post(reverse("workflow-import")), "Choose the file", status_code=400)
    large = client.post(reverse("workflow-import"), {"file": _upload(b" " * (10 * 1024 * 1024 + 1))})
    assert large.status_code in {400, 413}
    assertContains(large, "10 MiB", status_code=large.status_code)
    huge = client.post(reverse("workflow-import"), {"file": _upload(b" " * (11 * 1024 * 1024))})
    assertContains(huge, "10 MiB", status_code=413)
    gone = client.post(reverse("workflow-import"), {"file": _upload(DEMO.read_bytes()), "workflow_id": "gone"})
    assertContains(gone, "does not exist any more", status_code=400)


def test_export_is_a_download(browser_workflow: Workflow, viewer: User, sign_in: SignIn) -> None:
    answer = sign_in(viewer).get(reverse("workflow-export", args=["expense-claim"]))
    assert answer["Content-Disposition"] == 'attachment; filename="expense-claim.json"'
    assert len(json.loads(answer.content)["steps"]) == 3


def test_export_of_an_external_workflow_says_why_not(
    external_workflow: Workflow, viewer: User, sign_in: SignIn
) -> None:
    answer = sign_in(viewer).get(reverse("workflow-export", args=["invoice-import"]))
    assertContains(answer, "Only browser workflows", status_code=400)


def test_the_button_in_the_list_starts_with_defaults(browser_workflow: Workflow, coach: User, sign_in: SignIn) -> None:
    answer = sign_in(coach).post(reverse("session-start", args=["expense-claim"]))
    session = Session.objects.get()
    assertRedirects(answer, session.get_absolute_url())
    assert session.variables == {"amount": "42.50"}
    assert session.started_by == coach


def test_the_form_starts_with_what_was_typed(browser_workflow: Workflow, coach: User, sign_in: SignIn) -> None:
    secret = browser_workflow.variables.create(name="password", label="Password", secret=True)
    set_variable_default(secret, "kept-secret-1")
    client = sign_in(coach)
    form = client.get(reverse("session-start", args=["expense-claim"]))
    assertContains(form, 'type="password"')
    assert "kept-secret-1" not in form.content.decode()
    client.post(
        reverse("session-start", args=["expense-claim"]),
        {"variable-amount": "7.00", "variable-password": "", "mode": "auto"},
    )
    session = Session.objects.get()
    assert session.mode == Session.Mode.AUTO
    assert session.variables == {"amount": "7.00", "password": "***"}
    assert decrypt(session.encrypted_secrets) == {"password": "kept-secret-1"}


def test_a_missing_secret_is_asked_for_and_the_rest_is_kept(
    browser_workflow: Workflow, coach: User, sign_in: SignIn
) -> None:
    browser_workflow.variables.create(name="password", label="Password", secret=True)
    answer = sign_in(coach).post(reverse("session-start", args=["expense-claim"]), {"variable-amount": "9.99"})
    assertContains(answer, "has no value yet", status_code=400)
    assertContains(answer, 'value="9.99"', status_code=400)
    assert not Session.objects.exists()


def test_unknown_variables_and_modes_are_refused(browser_workflow: Workflow, coach: User, sign_in: SignIn) -> None:
    client = sign_in(coach)
    for data in ({"variable-other": "x"}, {"mode": "wild"}):
        assert client.post(reverse("session-start", args=["expense-claim"]), data).status_code == 400
    assert not Session.objects.exists()


def test_a_changed_step_is_a_new_version(browser_workflow: Workflow, owner: User, sign_in: SignIn) -> None:
    step = browser_workflow.current_steps()[2]
    action = step.version.action | {"offsetX": 9}
    address = reverse("step-edit", args=["expense-claim", step.pk])
    data = {"risk": "reversible", "description": step.version.description, "action": json.dumps(action)}
    assertRedirects(sign_in(owner).post(address, data), browser_workflow.get_absolute_url())
    step.refresh_from_db()
    assert step.version.number == 2
    assert step.version.risk == "reversible"
    assert step.version.action["offsetX"] == 9


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"action": "{not json"}, "not valid JSON"),
        ({"action": "[1]"}, "must be a JSON object"),
        ({"action": '{"type": "navigate", "url": "file:///etc"}'}, "file:"),
        ({"risk": "some"}, "The risk is"),
    ],
)
def test_a_bad_step_is_refused_and_what_was_typed_is_kept(
    browser_workflow: Workflow, owner: User, sign_in: SignIn, changes: dict[str, str], says: str
) -> None:
    step = browser_workflow.current_steps()[2]
    data = {"risk": "reversible", "description": "My own words", "action": json.dumps(step.version.action)} | changes
    page = sign_in(owner).post(reverse("step-edit", args=["expense-claim", step.pk]), data)
    assertContains(page, says, status_code=400)
    assertContains(page, "My own words", status_code=400)
    step.refresh_from_db()
    assert step.version.number == 1


def test_defaults_are_edited_and_secrets_stay_secret(browser_workflow: Workflow, owner: User, sign_in: SignIn) -> None:
    secret = browser_workflow.variables.create(name="password", label="Password", secret=True)
    client = sign_in(owner)
    address = reverse("variables-edit", args=["expense-claim"])
    client.post(address, {"variable-amount": "10", "variable-password": "hush-hush-1"})
    secret.refresh_from_db()
    assert decrypt(secret.encrypted_default) == {"password": "hush-hush-1"}
    assert browser_workflow.variables.get(name="amount").default == "10"
    page = client.get(address).content.decode()
    assert "hush-hush-1" not in page
    client.post(address, {"variable-amount": "10", "variable-password": ""})
    secret.refresh_from_db()
    assert decrypt(secret.encrypted_default) == {"password": "hush-hush-1"}
    client.post(address, {"variable-password": "", "forget-password": "on"})
    secret.refresh_from_db()
    assert secret.encrypted_default == ""


def test_delete_says_what_goes_with_it(
    browser_workflow: Workflow, session: Session, owner: User, sign_in: SignIn
) -> None:
    client = sign_in(owner)
    address = reverse("workflow-delete", args=["expense-claim"])
    assertContains(client.get(address), "3 steps, 1 recording and 1 session")
    assertContains(client.post(address), "still going on", status_code=409)
    abandon_session(session, by=owner)
    assertRedirects(client.post(address), reverse("workflow-list"))
    assert not Workflow.objects.exists()
