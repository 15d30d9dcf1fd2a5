"""Who may do what at every address of the API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import URLPattern
from knox.models import AuthToken
from rest_framework.request import Request
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate

from coaching.api.urls import urlpatterns
from coaching.api.views import ApiView
from coaching.models import Session, Suggestion, Workflow

PEOPLE = ("nobody", "stranger", "viewer", "coach", "reviewer", "owner")
FLOW = {"title": "Claim", "steps": [{"type": "navigate", "url": "https://example.org/"}]}

#: method, address, body, the answer to: nobody, stranger, viewer, coach, reviewer, owner
READ = (401, 403, 200, 200, 200, 200)
CASES = [
    ("get", "workflows/", None, READ),
    ("post", "workflows/", {"workflow_id": "w", "name": "W", "executor": "external"}, (401, 403, 403, 403, 403, 201)),
    ("post", "workflows/import/", FLOW, (401, 403, 403, 403, 403, 201)),
    ("get", "workflows/{workflow}/", None, READ),
    ("patch", "workflows/{workflow}/", {"name": "New"}, (401, 403, 403, 403, 403, 200)),
    ("delete", "workflows/{external}/", None, (401, 403, 403, 403, 403, 204)),
    ("get", "workflows/{workflow}/export/", None, READ),
    ("get", "sessions/", None, READ),
    ("post", "sessions/", {"workflow_id": "invoice-import"}, (401, 403, 403, 201, 201, 201)),
    ("get", "sessions/{session}/", None, READ),
    ("delete", "sessions/{session}/", None, (401, 403, 403, 403, 403, 204)),
    ("post", "sessions/{session}/pause/", None, (401, 403, 403, 200, 200, 200)),
    ("post", "sessions/{session}/resume/", None, (401, 403, 403, 200, 200, 200)),
    ("post", "sessions/{session}/complete/", None, (401, 403, 403, 200, 200, 200)),
    ("post", "sessions/{session}/abandon/", None, (401, 403, 403, 200, 200, 200)),
    ("get", "sessions/{session}/suggestions/", None, READ),
    ("get", "sessions/{session}/suggestions/1/", None, READ),
    ("get", "sessions/{session}/suggestions/1/screenshot/", None, READ),
    ("get", "sessions/{session}/decisions/", None, READ),
    ("post", "sessions/{session}/decisions/", {"decision": "skip"}, (401, 403, 403, 201, 201, 201)),
    ("get", "sessions/{session}/events/", None, READ),
    ("get", "statistics/", None, READ),
    ("get", "inbox/", None, READ),
    ("get", "schema/", None, READ),
    ("get", "docs/", None, (302, 302, 302, 302, 302, 302)),
    ("get", "no/such/place/", None, (401, 403, 404, 404, 404, 404)),
    ("get", "sessions", None, (401, 403, 404, 404, 404, 404)),
    ("put", "sessions/{session}/", {}, (401, 403, 405, 405, 405, 405)),
    ("options", "sessions/", None, READ),
]  # fmt: skip


def every_case() -> list[object]:
    return [
        pytest.param((method, address, body), person, status, id=f"{method} {address} {person}")
        for method, address, body, answers in CASES
        for person, status in zip(PEOPLE, answers, strict=True)
    ]


@pytest.fixture
def places(suggestion: Suggestion, external_workflow: Workflow) -> dict[str, str]:
    """What stands for the names in braces in the addresses."""
    suggestion.screenshot.save("1.png", ContentFile(b"\x89PNG"))
    session = suggestion.session
    return {
        "workflow": session.workflow.workflow_id,
        "external": external_workflow.workflow_id,
        "session": session.session_id,
    }


@pytest.fixture
def client_of(request: pytest.FixtureRequest, api: Callable[[User], APIClient]) -> Callable[[str], APIClient]:
    def client(person: str) -> APIClient:
        return APIClient() if person == "nobody" else api(request.getfixturevalue(person))

    return client


@pytest.mark.parametrize(("call", "person", "status"), every_case())
def test_access(
    call: tuple[str, str, object],
    person: str,
    status: int,
    places: dict[str, str],
    client_of: Callable[[str], APIClient],
) -> None:
    method, address, body = call
    answer = getattr(client_of(person), method)("/api/v1/" + address.format(**places), body, format="json")
    assert answer.status_code == status, answer.content
    if status in {401, 403, 404, 405}:
        assert answer.json()["type"] == "client_error"
        assert set(answer.json()["errors"][0]) == {"code", "detail", "attr"}
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == "Token"


def test_every_method_of_every_view_names_its_permission() -> None:
    """A new method cannot be forgotten: without a permission it would be refused to all, and this fails."""
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        view = pattern.callback.view_class  # type: ignore[attr-defined]
        methods = {name.upper() for name in ("get", "post", "put", "patch", "delete") if hasattr(view, name)}
        assert methods == set(view.needs), view


def test_a_method_without_a_permission_is_refused_even_to_the_owner(owner: User) -> None:
    class Forgotten(ApiView):
        def get(self, _request: Request) -> None:
            raise AssertionError("never reached")

    request = APIRequestFactory().get("/")
    force_authenticate(request, owner)
    assert Forgotten.as_view()(request).status_code == 403


@pytest.mark.parametrize(
    "header",
    ["Token", "Token wrong", "Token a b", "Token ÿÿ", "Token \x7f", "Bearer x", "Basic YTpi", "Token " + "x" * 5000],
)
def test_a_bad_token_is_a_401(db: None, header: str) -> None:
    answer = APIClient().get("/api/v1/sessions/", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Token"


def test_an_expired_token_and_a_disabled_account_are_a_401(coach: User, api: Callable[[User], APIClient]) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {AuthToken.objects.create(coach, expiry=timedelta(seconds=-1))[1]}")
    assert client.get("/api/v1/sessions/").status_code == 401
    valid = api(coach)
    coach.is_active = False
    coach.save()
    assert valid.get("/api/v1/sessions/").status_code == 401


def test_a_withdrawn_token_and_a_role_taken_away_act_at_once(coach: User, api: Callable[[User], APIClient]) -> None:
    client = api(coach)
    assert client.get("/api/v1/sessions/").status_code == 200
    coach.groups.clear()
    assert client.get("/api/v1/sessions/").status_code == 403
    coach.user_permissions.add(Permission.objects.get(content_type__app_label="coaching", codename="view_session"))
    assert client.get("/api/v1/sessions/").status_code == 200
    AuthToken.objects.filter(user=coach).delete()
    assert client.get("/api/v1/sessions/").status_code == 401


def test_a_token_costs_one_statement_and_its_permissions_another(
    coach: User, api: Callable[[User], APIClient], django_assert_num_queries: Any
) -> None:
    client = api(coach)
    with django_assert_num_queries(2):
        assert client.get("/api/v1/nothing-here/").status_code == 404


def test_the_cookie_needs_csrf_and_the_token_does_not(coach: User, session: Session) -> None:
    address = f"/api/v1/sessions/{session.session_id}/pause/"
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(coach)
    assert browser.get("/api/v1/sessions/").status_code == 200
    refused = browser.post(address, content_type="application/json")
    assert refused.status_code == 403
    assert "CSRF" in refused.json()["errors"][0]["detail"]
    browser.cookies["csrftoken"] = "a" * 32
    assert browser.post(address, content_type="application/json", headers={"X-CSRFToken": "a" * 32}).status_code == 200

    program = APIClient(enforce_csrf_checks=True)
    program.credentials(HTTP_AUTHORIZATION=f"Token {AuthToken.objects.create(coach)[1]}")
    assert program.post(f"/api/v1/sessions/{session.session_id}/resume/").status_code == 200


def test_the_docs_are_a_page_for_people_with_a_role(
    sign_in: Callable[[User], Client], viewer: User, stranger: User
) -> None:
    page = sign_in(viewer).get("/api/v1/docs/")
    assert page.status_code == 200
    assert "<style" not in page.content.decode(), "the content security policy would refuse it"
    assert sign_in(stranger).get("/api/v1/docs/").status_code == 403
