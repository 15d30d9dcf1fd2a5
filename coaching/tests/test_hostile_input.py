"""What no form or client of ours sends: cursors of nobody's making, NUL characters, rows deleted in between."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import delete_session, pause_session, start_session
from coaching.actions.workflows import create_workflow
from coaching.exceptions import IllegalTransition, InvalidInput
from coaching.models import Session, Suggestion, Workflow


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "\ud800", 7, None])
@pytest.mark.parametrize("list_name", ["sessions", "workflows", "inbox"])
def test_made_up_cursors(viewer: User, api: Callable[[User], APIClient], list_name: str, moment: Any) -> None:
    cursor = urlsafe_b64encode(json.dumps([moment, 1]).encode()).decode()
    assert api(viewer).get(f"/api/v1/{list_name}/", {"cursor": cursor}).status_code in {200, 400}


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday"])
def test_made_up_places_of_pages(viewer: User, sign_in: Callable[[User], Client], moment: str) -> None:
    assert sign_in(viewer).get(reverse("session-list"), {"older": f"{moment}_1"}).status_code == 200


def test_nul_in_a_form(owner: User, browser_workflow: Workflow, sign_in: Callable[[User], Client]) -> None:
    address = reverse("session-start", args=[browser_workflow.workflow_id])
    answer = sign_in(owner).post(address, {"variable-amount": "4\0"})
    assert answer.status_code == 400
    assert "NUL" in answer.content.decode()
    assert not Session.objects.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", "\0"])
def test_a_step_of_an_external_workflow_is_plain_json(external_workflow: Workflow, owner: User, value: Any) -> None:
    step = {"node_id": "n", "action_type": "post", "action": {"k": value}}
    with pytest.raises(InvalidInput):
        create_workflow(workflow_id="w", name="W", executor="external", steps=[step], by=owner)
    assert not Workflow.objects.filter(workflow_id="w").exists()


def test_deciding_in_a_session_deleted_meanwhile(
    suggestion: Suggestion, coach: User, sign_in: Callable[[User], Client], api: Callable[[User], APIClient]
) -> None:
    delete_session(Session.objects.get(pk=suggestion.session_id))
    with pytest.raises(Suggestion.DoesNotExist):
        decide(suggestion, Answer(decision="accept"), by=coach)
    with pytest.raises(IllegalTransition):
        pause_session(suggestion.session, by=coach)


@pytest.mark.django_db(transaction=True)
def test_starting_a_workflow_deleted_meanwhile(external_workflow: Workflow, coach: User) -> None:
    gone = Workflow.objects.get(pk=external_workflow.pk)
    external_workflow.delete()
    with pytest.raises(Workflow.DoesNotExist):
        start_session(gone, by=coach)
