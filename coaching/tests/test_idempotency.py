"""The same request twice happens once, over the API and from pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from coaching.idempotency import forget_outdated
from coaching.models import Decision, GivenAnswer, Session, Suggestion, Workflow
from coaching.tests.domain import assert_consistent, together

Api = Callable[[User], APIClient]
SESSIONS = "/api/v1/sessions/"


def post(client: APIClient, path: str, body: Any, key: str) -> Any:
    return client.post(path, body, headers={"Idempotency-Key": key})


@pytest.fixture
def body(external_workflow: Workflow) -> dict[str, Any]:
    return {"workflow_id": external_workflow.workflow_id, "metadata": {"a": 1}}


class TestApi:
    def test_the_second_gets_the_first_answer(self, coach: User, api: Api, body: dict[str, Any]) -> None:
        first = post(api(coach), SESSIONS, body, "one")
        again = post(api(coach), SESSIONS, body, "one")
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["Content-Type"] == "application/json"
        assert Session.objects.count() == 1

    def test_another_key_or_none_is_another_request(self, coach: User, api: Api, body: dict[str, Any]) -> None:
        post(api(coach), SESSIONS, body, "one")
        post(api(coach), SESSIONS, body, "two")
        api(coach).post(SESSIONS, body)
        api(coach).post(SESSIONS, body)
        assert Session.objects.count() == 4

    def test_the_same_key_for_another_body_or_address_is_refused(
        self, coach: User, api: Api, body: dict[str, Any]
    ) -> None:
        session = post(api(coach), SESSIONS, body, "one").json()
        for path, other in ((SESSIONS, body | {"metadata": {}}), (f"{SESSIONS}{session['session_id']}/pause/", {})):
            answer = post(api(coach), path, other, "one")
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "idempotency_mismatch")
        assert Session.objects.get().status == "active"

    def test_keys_belong_to_whoever_sends_them(
        self, coach: User, second_coach: User, api: Api, body: dict[str, Any]
    ) -> None:
        post(api(coach), SESSIONS, body, "one")
        post(api(second_coach), SESSIONS, body, "one")
        assert Session.objects.count() == 2

    @pytest.mark.parametrize("key", ["", " ", "x" * 256, "a b", "ä"])
    def test_a_key_that_is_none_is_refused_not_ignored(
        self, coach: User, api: Api, body: dict[str, Any], key: str
    ) -> None:
        answer = post(api(coach), SESSIONS, body, key)
        assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "Idempotency-Key")
        assert not Session.objects.exists()

    def test_what_was_refused_may_succeed_later(self, coach: User, api: Api, suggestion: Suggestion) -> None:
        client, session = api(coach), suggestion.session
        address = f"{SESSIONS}{session.session_id}/"
        client.post(f"{address}pause/", {})
        refused = post(client, f"{address}decisions/", {"decision": "accept"}, "one")
        assert refused.status_code == 409
        client.post(f"{address}resume/", {})
        assert post(client, f"{address}decisions/", {"decision": "accept"}, "one").status_code == 201
        assert_consistent(session)

    def test_a_decision_is_made_once(self, coach: User, api: Api, suggestion: Suggestion) -> None:
        address = f"{SESSIONS}{suggestion.session.session_id}/decisions/"
        answers = [post(api(coach), address, {"decision": "accept", "n": 1}, "one") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 201]
        assert Decision.objects.count() == 1

    def test_after_a_day_it_is_forgotten(self, coach: User, api: Api, body: dict[str, Any]) -> None:
        post(api(coach), SESSIONS, body, "one")
        GivenAnswer.objects.update(at=timezone.now() - timedelta(hours=24, minutes=1))
        assert "Idempotency-Replayed" not in post(api(coach), SESSIONS, body, "one").headers
        assert Session.objects.count() == 2
        assert forget_outdated() == 0
        GivenAnswer.objects.update(at=timezone.now() - timedelta(hours=25))
        assert forget_outdated() == 1

    def test_a_file_that_is_sent_again_is_the_same(self, owner: User, api: Api, settings: Any) -> None:
        recording = (settings.BASE_DIR / "coaching/demo/recordings/file-an-expense-claim.json").read_bytes()

        def send(content: bytes) -> Any:
            file = SimpleUploadedFile("claim.json", content, content_type="application/json")
            return api(owner).post(
                "/api/v1/workflows/import/", {"file": file}, format="multipart", headers={"Idempotency-Key": "one"}
            )

        first, again = send(recording), send(recording)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert Workflow.objects.count() == 1
        assert send(recording + b" ").status_code == 422

    def test_two_files_under_one_name(self, owner: User, api: Api) -> None:
        files = [SimpleUploadedFile("a.json", b"1"), SimpleUploadedFile("b.json", b"2")]
        answer = api(owner).post(
            "/api/v1/workflows/import/", {"file": files}, format="multipart", headers={"Idempotency-Key": "one"}
        )
        assert answer.status_code == 400

    def test_what_was_answered_is_not_kept_in_the_clear(self, coach: User, api: Api, body: dict[str, Any]) -> None:
        session_id = post(api(coach), SESSIONS, body, "one").json()["session_id"]
        assert session_id not in GivenAnswer.objects.get().encrypted_body

    def test_a_method_that_is_not_there(self, coach: User, api: Api) -> None:
        assert post(api(coach), "/api/v1/statistics/", {}, "one").status_code == 405

    @pytest.mark.django_db(transaction=True)
    def test_of_many_at_once_one_happens(self, coach: User, api: Api, body: dict[str, Any]) -> None:
        clients = [api(coach) for _ in range(8)]
        answers = together(*[lambda c=client: post(c, SESSIONS, body, "one") for client in clients])
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["session_id"] for answer in answers}) == 1
        assert Session.objects.count() == 1

    def test_what_was_refused_is_not_kept(self, coach: User, api: Api, body: dict[str, Any]) -> None:
        client = api(coach)
        duplicate = body | {"execution_id": "mine"}
        assert post(client, SESSIONS, duplicate, "one").status_code == 201
        assert post(client, SESSIONS, duplicate, "two").status_code == 409
        assert set(GivenAnswer.objects.values_list("key", flat=True)) == {"one"}


class TestPages:
    """Real forms: the key comes out of the page that was sent."""

    def form(self, client: Client, address: str, marker: str) -> dict[str, str]:
        html = client.get(address).content.decode()
        form = html[html.index(marker) :]
        return {"idempotency_key": re.findall(r'name="idempotency_key" value="([^"]+)"', form)[0]}

    def test_pressing_start_twice_starts_one_session(
        self, coach: User, sign_in: Callable[[User], Client], browser_workflow: Workflow
    ) -> None:
        client = sign_in(coach)
        start = reverse("session-start", args=[browser_workflow.workflow_id])
        form = self.form(client, reverse("workflow-list"), f'action="{start}"')
        first, again = client.post(start, form), client.post(start, form)
        assert (first.status_code, again.status_code) == (302, 302)
        assert first["Location"] == again["Location"]
        assert Session.objects.count() == 1

    def test_later_the_same_form_starts_another(
        self, coach: User, sign_in: Callable[[User], Client], browser_workflow: Workflow
    ) -> None:
        client = sign_in(coach)
        start = reverse("session-start", args=[browser_workflow.workflow_id])
        form = self.form(client, start, "<form")
        client.post(start, form)
        GivenAnswer.objects.update(at=timezone.now() - timedelta(minutes=1))
        client.post(start, form)
        assert Session.objects.count() == 2

    def test_pressing_accept_twice_decides_once_and_complains_never(
        self, coach: User, sign_in: Callable[[User], Client], suggestion: Suggestion
    ) -> None:
        client, session = sign_in(coach), suggestion.session
        form = self.form(client, session.get_absolute_url(), 'id="decide"') | {"n": "1", "decision": "accept"}
        decide = reverse("session-decide", args=[session.session_id])
        by_htmx = {"HX-Request": "true"}
        assert client.post(decide, form, headers=by_htmx).status_code == 200
        assert client.post(decide, form, headers=by_htmx).status_code == 204
        assert Decision.objects.count() == 1
        # Another answer with the same form is told what was decided.
        other = client.post(decide, form | {"decision": "reject"}, headers=by_htmx)
        assert "already decided" in other.content.decode()

    @pytest.mark.django_db(transaction=True)
    def test_at_once_too(self, coach: User, sign_in: Callable[[User], Client], suggestion: Suggestion) -> None:
        client, session = sign_in(coach), suggestion.session
        form = self.form(client, session.get_absolute_url(), 'id="decide"') | {"n": "1", "decision": "accept"}
        decide = reverse("session-decide", args=[session.session_id])
        answers = together(*[lambda: sign_in(coach).post(decide, form, headers={"HX-Request": "true"})] * 4)
        assert sorted(answer.status_code for answer in answers) == [200, 204, 204, 204]
        assert_consistent(session)
