"""An owner says that a variable is a secret: on the page, by the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from coaching.actions.sessions import abandon_session, start_session
from coaching.models import Session, Suggestion, Workflow
from coaching.secrets import decrypt


@pytest.fixture
def earlier(workflow: Workflow, coach: User, ask: Callable[..., Suggestion]) -> Session:
    """A session that ran before anybody knew; it was asked about the value, and then ended."""
    session = start_session(workflow, by=coach)
    ask(session)
    abandon_session(session, by=coach)
    return session


@pytest.fixture
def workflow(browser_workflow: Workflow) -> Workflow:
    step = {"type": "change", "selectors": [["#word"]], "value": "42.50"}
    browser_workflow.recordings.create(format="chrome-recorder", title="T", document={"title": "T", "steps": [step]})
    return browser_workflow


def check(workflow: Workflow, earlier: Session) -> None:
    earlier.refresh_from_db()
    assert earlier.variables == {"amount": "***"}
    assert decrypt(earlier.encrypted_secrets) == {"amount": "42.50"}
    suggestion = earlier.suggestions.get()
    assert (suggestion.action["value"], suggestion.description) == ("{{ amount }}", "Type “***” into “Amount”")
    assert "42.50" not in str(list(earlier.events.values_list("data", flat=True)))
    variable = workflow.variables.get(name="amount")
    assert (variable.secret, variable.default) == (True, "")
    assert decrypt(variable.encrypted_default) == {"amount": "42.50"}
    assert workflow.recordings.latest("pk").document["steps"][0]["value"] == "{{ amount }}"
    session = start_session(workflow, by=None)
    assert session.variables == {"amount": "***"}


def test_by_the_page(workflow: Workflow, earlier: Session, owner: User, sign_in: Callable[[User], Client]) -> None:
    address = reverse("variables-edit", args=[workflow.workflow_id])
    sign_in(owner).post(address, {"variable-amount": "42.50", "secret-amount": "on"})
    check(workflow, earlier)


def test_by_the_api(workflow: Workflow, earlier: Session, owner: User, api: Callable[[User], APIClient]) -> None:
    body = {"variables": [{"name": "amount", "secret": True}]}
    answer = api(owner).patch(f"/api/v1/workflows/{workflow.workflow_id}/", body)
    assert answer.status_code == 200, answer.content
    assert answer.json()["variables"] == [{"name": "amount", "label": "Amount", "secret": True, "default": "***"}]
    check(workflow, earlier)


def test_not_by_a_coach(workflow: Workflow, coach: User, api: Callable[[User], APIClient]) -> None:
    body = {"variables": [{"name": "amount", "secret": True}]}
    assert api(coach).patch(f"/api/v1/workflows/{workflow.workflow_id}/", body).status_code == 403
    assert not workflow.variables.get(name="amount").secret
