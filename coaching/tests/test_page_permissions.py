"""Who gets which page: a stranger nothing, a viewer everything to read, and each act only its role."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from coaching.models import Session, Suggestion, Workflow

SignIn = Callable[[User], Client]


@pytest.fixture
def addresses(suggestion: Suggestion, browser_workflow: Workflow) -> dict[str, str]:
    session, workflow = suggestion.session, browser_workflow
    step = workflow.current_steps()[0]
    return {
        "inbox": reverse("inbox"),
        "workflow-list": reverse("workflow-list"),
        "workflow-detail": reverse("workflow-detail", args=[workflow.workflow_id]),
        "workflow-export": reverse("workflow-export", args=[workflow.workflow_id]),
        "session-list": reverse("session-list"),
        "session-detail": reverse("session-detail", args=[session.session_id]),
        "session-start": reverse("session-start", args=[workflow.workflow_id]),
        "session-abandon": reverse("session-abandon", args=[session.session_id]),
        "session-decide": reverse("session-decide", args=[session.session_id]),
        "session-pause": reverse("session-pause", args=[session.session_id]),
        "session-resume": reverse("session-resume", args=[session.session_id]),
        "session-complete": reverse("session-complete", args=[session.session_id]),
        "session-delete": reverse("session-delete", args=[session.session_id]),
        "workflow-import": reverse("workflow-import"),
        "workflow-delete": reverse("workflow-delete", args=[workflow.workflow_id]),
        "step-edit": reverse("step-edit", args=[workflow.workflow_id, step.pk]),
        "variables-edit": reverse("variables-edit", args=[workflow.workflow_id]),
        "pack-list": reverse("pack-list"),
        "connect": reverse("connect"),
    }


READ = ("inbox", "workflow-list", "workflow-detail", "workflow-export", "session-list", "session-detail", "pack-list",
        "connect")  # fmt: skip
COACH_FORMS = ("session-start", "session-abandon")
COACH_POSTS = ("session-decide", "session-pause", "session-resume", "session-complete", *COACH_FORMS)
OWNER_FORMS = ("session-delete", "workflow-import", "workflow-delete", "step-edit", "variables-edit")


def test_everything_asks_for_a_login(client: Client, addresses: dict[str, str]) -> None:
    for name, address in addresses.items():
        answer = client.get(address) if name in READ + COACH_FORMS + OWNER_FORMS else client.post(address)
        assert answer.status_code == 302, name
        assert answer["Location"].startswith(reverse("login")), name


def test_health_is_open_to_all(client: Client, db: None) -> None:
    assert client.get("/healthz").content == b"ok"
    assert client.get("/readyz").content == b"ready"


def test_signing_in_leads_to_the_inbox(client: Client, coach: User) -> None:
    page = client.get(reverse("login"))
    assert "Sign in" in page.content.decode()
    wrong = client.post(reverse("login"), {"username": "carl", "password": "no"})
    assert "correct username and password" in wrong.content.decode()
    right = client.post(reverse("login"), {"username": "carl", "password": "correct horse battery staple"})
    assert right["Location"] == reverse("inbox")
    assert client.post(reverse("logout"))["Location"] == reverse("login")


def test_a_stranger_gets_nothing_and_is_told_whom_to_ask(
    stranger: User, sign_in: SignIn, addresses: dict[str, str]
) -> None:
    client = sign_in(stranger)
    for name, address in addresses.items():
        answer = client.get(address) if name in READ else client.post(address)
        assert answer.status_code == 403, name
        assert "ask an owner for a role" in answer.content.decode(), name
        assert "Expense claim" not in answer.content.decode(), name


def test_a_viewer_reads_without_buttons(viewer: User, sign_in: SignIn, addresses: dict[str, str]) -> None:
    client = sign_in(viewer)
    for name in READ:
        answer = client.get(addresses[name])
        assert answer.status_code == 200, name
        text = answer.content.decode()
        assert 'name="decision"' not in text, name
        assert "Start coaching" not in text, name
        assert "Import recording" not in text, name
    for name in (*COACH_POSTS, *OWNER_FORMS):
        assert client.post(addresses[name]).status_code == 403, name
    suggestion = Suggestion.objects.get()
    assert suggestion.is_open
    assert suggestion.session.status == Session.Status.ACTIVE


def test_a_coach_steers_but_does_not_edit(coach: User, sign_in: SignIn, addresses: dict[str, str]) -> None:
    client = sign_in(coach)
    for name in (*READ, *COACH_FORMS):
        assert client.get(addresses[name]).status_code == 200, name
    for name in OWNER_FORMS:
        assert client.get(addresses[name]).status_code == 403, name
        assert client.post(addresses[name]).status_code == 403, name


def test_an_owner_may_see_every_page(owner: User, sign_in: SignIn, addresses: dict[str, str]) -> None:
    client = sign_in(owner)
    for name in (*READ, *COACH_FORMS, *OWNER_FORMS):
        assert client.get(addresses[name]).status_code == 200, name


def test_what_is_unknown_is_not_found(owner: User, sign_in: SignIn) -> None:
    client = sign_in(owner)
    for address in (
        "/nothing/",
        "/sessions/coaching_20260101_000000_00000000/",
        "/workflows/none/",
        "/workflows/none/start/",
        "/sessions/coaching_20260101_000000_00000000/screenshots/1.png",
    ):
        answer = client.get(address)
        assert answer.status_code == 404, address
        assert "Not found" in answer.content.decode(), address


def test_wrong_methods_are_refused(coach: User, sign_in: SignIn, addresses: dict[str, str]) -> None:
    client = sign_in(coach)
    assert client.get(addresses["session-decide"]).status_code == 405
    assert client.post(addresses["session-list"]).status_code == 405


def test_a_form_without_its_token_is_explained(coach: User, addresses: dict[str, str]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(coach)
    answer = client.post(addresses["session-decide"], {"n": 1, "decision": "accept"})
    assert answer.status_code == 403
    assert "Open the page anew" in answer.content.decode()
    assert Suggestion.objects.get().is_open


def test_the_policy_allows_no_inline_script_or_style(owner: User, sign_in: SignIn, addresses: dict[str, str]) -> None:
    client = sign_in(owner)
    for name in (*READ[:3], *READ[4:], *COACH_FORMS, *OWNER_FORMS):
        answer = client.get(addresses[name])
        assert "default-src 'self'" in answer["Content-Security-Policy"], name
        text = answer.content.decode()
        assert "<style" not in text, name
        assert " style=" not in text, name
        assert " onclick" not in text, name
        assert "<script>" not in text, name
        assert "//cdn" not in text, name


def test_too_large_a_body_is_refused(coach: User, sign_in: SignIn, addresses: dict[str, str]) -> None:
    answer = sign_in(coach).post(
        addresses["session-decide"], {"n": 1, "decision": "reject", "feedback": "x" * (1024 * 1024)}
    )
    assert answer.status_code == 413
    assert Suggestion.objects.get().is_open
