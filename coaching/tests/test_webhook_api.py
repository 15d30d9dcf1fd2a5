"""`webhooks/…` of the API: for owners alone, and all that an owner does with webhooks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from coaching.actions.sessions import pause_session
from coaching.actions.webhook_deliveries import claim_due, record_attempt, send_due
from coaching.actions.webhooks import allow_host, create_webhook, send_test
from coaching.models import AllowedHost, Session, Webhook, Workflow
from coaching.webhooks import Answer

from .test_api_access import PEOPLE, client_of
from .test_api_bad_input import EVIL_JSON, raw
from .webhook_receiver import webhook_receiver

__all__ = ["client_of"]

URL = "https://example.org/hooks/coachsite"
WEBHOOK = {
    "webhook_id", "url", "description", "event_types", "workflow_id", "enabled", "disabled_because", "failing_since",
    "created_by", "created_at", "updated_at",
}  # fmt: skip
DELIVERY = {
    "message_id", "webhook_id", "event_type", "session_id", "seq", "status", "attempts", "next_attempt_at",
    "last_attempt_at", "delivered_at", "took_ms", "answer_status", "answer_text", "error", "created_at",
}  # fmt: skip

CALLS = [
    ("get", "", None, 200),
    ("post", "", {"url": URL}, 201),
    ("get", "{webhook}/", None, 200),
    ("patch", "{webhook}/", {"description": "New"}, 200),
    ("delete", "{webhook}/", None, 204),
    ("post", "{webhook}/rotate/", None, 200),
    ("post", "{webhook}/test/", None, 201),
    ("get", "{webhook}/deliveries/", None, 200),
    ("get", "{webhook}/deliveries/{message}/", None, 200),
    ("post", "{webhook}/deliveries/{message}/resend/", None, 200),
    ("get", "allowed-hosts/", None, 200),
    ("post", "allowed-hosts/", {"host": "robot.internal", "reason": "Ours."}, 201),
    ("delete", "allowed-hosts/{host}/", None, 204),
]


@pytest.fixture
def webhook(owner: User) -> Webhook:
    return create_webhook(url=URL, by=owner)[0]


@pytest.fixture
def client(owner: User, api: Callable[[User], APIClient]) -> APIClient:
    return api(owner)


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize(("method", "address", "body", "allowed"), CALLS, ids=lambda value: str(value)[:40])
def test_owners_only(  # noqa: PLR0917 - fixtures and a table's columns
    webhook: Webhook,
    owner: User,
    client_of: Callable[[str], APIClient],
    person: str,
    method: str,
    address: str,
    body: object,
    allowed: int,
) -> None:
    delivery = send_test(webhook, by=owner)
    host = allow_host(host="10.0.0.1", reason="Ours.", by=owner)
    place = address.format(webhook=webhook.pk, message=delivery.message_id, host=host.pk)
    answer = getattr(client_of(person), method)(f"/api/v1/webhooks/{place}", body, format="json")
    assert answer.status_code == {"nobody": 401, "owner": allowed}.get(person, 403), answer.content


class TestEndpoints:
    @pytest.mark.usefixtures("external_workflow")
    def test_made_shown_changed_and_deleted(self, client: APIClient) -> None:
        given = {"url": URL, "event_types": ["session.paused", "decision.recorded"], "workflow_id": "invoice-import"}
        made = client.post("/api/v1/webhooks/", given)
        assert made.status_code == 201
        assert made.headers["Cache-Control"] == "no-store"
        body = made.json()
        assert set(body) == WEBHOOK | {"secret"}
        assert body["secret"].startswith("whsec_")
        assert body["event_types"] == ["decision.recorded", "session.paused"]
        assert (body["workflow_id"], body["enabled"], body["created_by"]) == ("invoice-import", True, "olga")
        address = f"/api/v1/webhooks/{body['webhook_id']}/"
        shown = client.get(address).json()
        assert shown == {name: value for name, value in body.items() if name != "secret"}
        assert client.get("/api/v1/webhooks/").json() == {"next": None, "results": [shown]}
        changed = client.patch(address, {"workflow_id": None, "event_types": [], "enabled": False}).json()
        assert (changed["workflow_id"], changed["event_types"], changed["enabled"]) == (None, [], False)
        assert client.patch(address, {}).json()["enabled"] is False
        assert client.delete(address).status_code == 204
        assert client.get(address).status_code == 404

    def test_a_replaced_secret_is_shown_once(self, client: APIClient, webhook: Webhook) -> None:
        first = client.post(f"/api/v1/webhooks/{webhook.pk}/rotate/").json()["secret"]
        second = client.post(f"/api/v1/webhooks/{webhook.pk}/rotate/").json()["secret"]
        assert first != second
        assert "whsec_" not in client.get("/api/v1/webhooks/").content.decode()

    @pytest.mark.parametrize(
        ("given", "attr", "code"),
        [
            ({}, "url", "required"),
            ({"url": "nonsense"}, "url", "invalid"),
            ({"url": "http://127.0.0.1/"}, "url", "invalid"),
            ({"url": "http://metadata.google.internal/"}, "url", "invalid"),
            ({"url": URL, "event_types": ["session.exploded"]}, "event_types.0", "invalid_choice"),
            ({"url": URL, "event_types": "all"}, "event_types", "not_a_list"),
            ({"url": URL, "workflow_id": "none-such"}, "workflow_id", "invalid"),
            ({"url": URL, "secret": "whsec_mine"}, "secret", "unknown_field"),
            ({"url": URL, "enabled": "perhaps"}, "enabled", "invalid"),
        ],
    )
    def test_what_cannot_be(self, client: APIClient, given: object, attr: str, code: str) -> None:
        answer = client.post("/api/v1/webhooks/", given, format="json")
        assert answer.status_code == 400
        assert [(error["attr"], error["code"]) for error in answer.json()["errors"]] == [(attr, code)]
        assert not Webhook.objects.exists()

    @pytest.mark.parametrize("place", ["", "{webhook}/test/", "allowed-hosts/"])
    @pytest.mark.parametrize("body", EVIL_JSON.values(), ids=EVIL_JSON.keys())
    def test_bodies_that_are_none(self, client: APIClient, webhook: Webhook, place: str, body: bytes) -> None:
        assert raw(client, "POST", "webhooks/" + place.format(webhook=webhook.pk), body)[0] == 400

    @pytest.mark.parametrize("number", ["999999", "9" * 30])
    def test_what_there_is_not(self, client: APIClient, number: str) -> None:
        for place in ("", "deliveries/", "deliveries/msg_1/"):
            assert client.get(f"/api/v1/webhooks/{number}/{place}").status_code == 404
        for place in ("rotate/", "test/", "deliveries/msg_1/resend/"):
            assert client.post(f"/api/v1/webhooks/{number}/{place}").status_code == 404
        assert client.delete(f"/api/v1/webhooks/allowed-hosts/{number}/").status_code == 404


class TestDeliveries:
    def test_a_test_message_is_sent_now(self, client: APIClient, owner: User) -> None:
        with webhook_receiver() as receiver:
            allow_host(host="127.0.0.1", reason="Test.", by=owner)
            made = client.post("/api/v1/webhooks/", {"url": receiver.url, "event_types": ["session.failed"]}).json()
            sent = client.post(f"/api/v1/webhooks/{made['webhook_id']}/test/")
            assert sent.status_code == 201
            assert sent.json()["status"] == "pending"
            send_due(sender="test")
            assert receiver.received[0].verified(made["secret"]) == sent.json()["body"]
        shown = client.get(f"/api/v1/webhooks/{made['webhook_id']}/deliveries/{sent.json()['message_id']}/").json()
        assert set(shown) == DELIVERY | {"body"}
        assert (shown["status"], shown["attempts"], shown["answer_status"], shown["error"]) == (
            "delivered",
            1,
            204,
            None,
        )
        assert (shown["next_attempt_at"], shown["session_id"], shown["seq"]) == (None, None, None)

    def test_the_list_is_filtered_and_in_pages(
        self, client: APIClient, webhook: Webhook, session: Session, owner: User
    ) -> None:
        pause_session(session, by=owner)
        send_test(webhook, by=owner)
        address = f"/api/v1/webhooks/{webhook.pk}/deliveries/"
        everything = client.get(address).json()["results"]
        assert [row["event_type"] for row in everything] == ["webhook.test", "session.paused", "session.created"]
        assert all(set(row) == DELIVERY for row in everything)
        assert [row["seq"] for row in client.get(f"{address}?session_id={session.session_id}").json()["results"]] == [
            2,
            1,
        ]
        assert len(client.get(f"{address}?event_type=session.paused&status=pending").json()["results"]) == 1
        assert client.get(f"{address}?status=delivered").json()["results"] == []
        assert client.get(f"{address}?status=lost").status_code == 400
        found, page = [], f"{address}?limit=2"
        while page:
            answer = client.get(page).json()
            found += answer["results"]
            page = answer["next"]
        assert found == everything

    def test_lists_stay_at_the_same_number_of_queries(
        self,
        client: APIClient,
        webhook: Webhook,
        owner: User,
        external_workflow: Workflow,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        for _ in range(10):
            create_webhook(url=URL, workflow=external_workflow, by=owner)
            send_test(webhook, by=owner)
        client.get("/api/v1/webhooks/")
        with django_assert_num_queries(3):
            client.get("/api/v1/webhooks/")
        with django_assert_num_queries(4):
            client.get(f"/api/v1/webhooks/{webhook.pk}/deliveries/")

    def test_sent_again_under_the_same_id(self, client: APIClient, webhook: Webhook, owner: User) -> None:
        delivery = send_test(webhook, by=owner)
        (claimed,) = claim_due("test", room=1)
        record_attempt(claimed, Answer(status=200), owner="test")
        address = f"/api/v1/webhooks/{webhook.pk}/deliveries/{delivery.message_id}/"
        assert client.get(address).json()["status"] == "delivered"
        again = client.post(f"{address}resend/")
        assert again.status_code == 200
        assert (again.json()["status"], again.json()["message_id"]) == ("pending", delivery.message_id)
        assert again.json()["next_attempt_at"]

    def test_not_while_it_is_switched_off(self, client: APIClient, webhook: Webhook, owner: User) -> None:
        delivery = send_test(webhook, by=owner)
        client.patch(f"/api/v1/webhooks/{webhook.pk}/", {"enabled": False})
        for place in ("test/", f"deliveries/{delivery.message_id}/resend/"):
            answer = client.post(f"/api/v1/webhooks/{webhook.pk}/{place}")
            assert answer.status_code == 409
            assert answer.json()["errors"][0]["code"] == "illegal_transition"

    def test_of_this_webhook_only(self, client: APIClient, webhook: Webhook, owner: User) -> None:
        delivery = send_test(create_webhook(url=URL, by=owner)[0], by=owner)
        assert client.get(f"/api/v1/webhooks/{webhook.pk}/deliveries/{delivery.message_id}/").status_code == 404


class TestAllowedHosts:
    def test_allowed_listed_and_taken_back(self, client: APIClient) -> None:
        given = {"host": "Robot.Internal", "port": 8443, "reason": "The accounting robot."}
        made = client.post("/api/v1/webhooks/allowed-hosts/", given)
        assert made.status_code == 201
        body = made.json()
        assert set(body) == {"allowed_host_id", "host", "port", "reason", "by", "at"}
        assert (body["host"], body["port"], body["by"]) == ("robot.internal", 8443, "olga")
        assert client.post("/api/v1/webhooks/allowed-hosts/", given).status_code == 400
        assert client.post("/api/v1/webhooks/", {"url": "https://robot.internal:8443/"}).status_code == 201
        assert client.post("/api/v1/webhooks/", {"url": "https://robot.internal/"}).status_code == 400
        assert client.get("/api/v1/webhooks/allowed-hosts/").json()["results"] == [body]
        assert client.delete(f"/api/v1/webhooks/allowed-hosts/{body['allowed_host_id']}/").status_code == 204
        assert not AllowedHost.objects.exists()
