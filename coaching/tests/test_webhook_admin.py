"""Webhooks in the admin site: an owner sets them up, sees what became of each message, and sends it again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from coaching.actions.webhook_deliveries import claim_due, record_attempt, send_due
from coaching.actions.webhooks import allow_host, create_webhook, secret_of, send_test
from coaching.models import AllowedHost, Session, Webhook, WebhookDelivery
from coaching.webhooks import Answer

from .domain import everything_stored
from .webhook_receiver import status, webhook_receiver

URL = "https://example.org/hooks/coachsite"
MODELS = (Webhook, WebhookDelivery, AllowedHost)


def page(model: type[Any], name: str = "changelist", *arguments: object) -> str:
    return reverse(f"admin:coaching_{model._meta.model_name}_{name}", args=arguments)


@pytest.fixture
def visitor(owner: User, sign_in: Callable[[User], Client]) -> Client:
    owner.is_staff = True
    owner.save()
    return sign_in(owner)


@pytest.fixture
def webhook(owner: User) -> Webhook:
    return create_webhook(url=URL, by=owner)[0]


def press(visitor: Client, model: type[Any], action: str, *rows: Any) -> Any:
    visitor.cookies.pop("messages", None)
    return visitor.post(page(model), {"action": action, "_selected_action": [row.pk for row in rows]})


def said(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


@pytest.mark.parametrize("person", ["stranger", "viewer", "coach", "reviewer"])
def test_nobody_else_sees_anything(
    request: pytest.FixtureRequest, sign_in: Callable[[User], Client], webhook: Webhook, owner: User, person: str
) -> None:
    user: User = request.getfixturevalue(person)
    user.is_staff = True
    user.save()
    delivery, host = send_test(webhook, by=owner), allow_host(host="10.0.0.1", reason="Ours.", by=owner)
    visitor = sign_in(user)
    for row in (webhook, delivery, host):
        for address in (page(type(row)), page(type(row), "change", row.pk), page(type(row), "delete", row.pk)):
            assert visitor.get(address).status_code == 403
            assert visitor.post(address, {"post": "yes"}).status_code == 403
    for model in MODELS:
        assert visitor.get(page(model, "add")).status_code == 403
    assert Webhook.objects.count() == WebhookDelivery.objects.count() == AllowedHost.objects.count() == 1


class TestEndpoints:
    FORM = {"url": URL, "description": "Robot", "event_types": ["decision.recorded"], "enabled": "on"}

    def test_made_with_its_secret_shown_once(self, visitor: Client) -> None:
        assertContains(visitor.get(page(Webhook, "add")), "decision.recorded")
        made = visitor.post(page(Webhook, "add"), self.FORM)
        webhook = Webhook.objects.get()
        assert (webhook.url, webhook.event_types, webhook.created_by) == (
            URL,
            ["decision.recorded"],
            User.objects.get(),
        )
        (secret,) = re.findall(r"<code>(whsec_[^<]+)</code>", made.content.decode())
        assert "no-store" in made.headers["Cache-Control"]
        assert secret == secret_of(webhook, by=User.objects.get())
        assert secret not in everything_stored(), "neither in its row nor in the session's"
        assert secret not in str(visitor.cookies)
        for address in (page(Webhook), page(Webhook, "change", webhook.pk), page(Webhook, "history", webhook.pk)):
            assertNotContains(visitor.get(address), "whsec_")

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"url": "http://10.0.0.1/"}, "is not a public host"),
            ({"url": "nonsense"}, "An address begins with"),
            ({"event_types": ["session.exploded"]}, "is not one of the available choices"),
        ],
    )
    def test_what_cannot_be_is_said_in_the_form(self, visitor: Client, changes: dict[str, Any], words: str) -> None:
        assertContains(visitor.post(page(Webhook, "add"), self.FORM | changes), words)
        assert not Webhook.objects.exists()

    def test_changed_and_switched_off(self, visitor: Client, webhook: Webhook, owner: User) -> None:
        delivery = send_test(webhook, by=owner)
        form = {"url": URL + "/2", "description": "New", "event_types": []}
        assert visitor.post(page(Webhook, "change", webhook.pk), form).status_code == 302
        webhook.refresh_from_db()
        delivery.refresh_from_db()
        assert (webhook.url, webhook.description, webhook.enabled) == (URL + "/2", "New", False)
        assert delivery.status == "gave_up"

    def test_deleted_with_its_log(self, visitor: Client, webhook: Webhook, owner: User) -> None:
        send_test(webhook, by=owner)
        assertContains(visitor.get(page(Webhook, "delete", webhook.pk)), "with the log of its deliveries")
        assert visitor.post(page(Webhook, "delete", webhook.pk), {"post": "yes"}).status_code == 302
        assert not WebhookDelivery.objects.exists()

    def test_several_deleted(self, visitor: Client, owner: User) -> None:
        for _ in range(2):
            create_webhook(url=URL, by=owner)
        form = {
            "action": "delete_selected",
            "_selected_action": [row.pk for row in Webhook.objects.all()],
            "post": "yes",
        }
        assert visitor.post(page(Webhook), form).status_code == 302
        assert not Webhook.objects.exists()

    def test_its_secret_is_replaced_and_shown(self, visitor: Client, webhook: Webhook, owner: User) -> None:
        old = secret_of(webhook, by=owner)
        replaced = press(visitor, Webhook, "replace_secret", webhook)
        webhook.refresh_from_db()
        new = secret_of(webhook, by=owner)
        assert new != old
        assertContains(replaced, new)
        assertContains(press(visitor, Webhook, "show_secret", webhook), new)
        other = create_webhook(url=URL, by=owner)[0]
        assert said(press(visitor, Webhook, "show_secret", webhook, other))[0].startswith("Choose one webhook")

    def test_a_test_message_is_on_its_way(self, visitor: Client, webhook: Webhook, owner: User) -> None:
        off = create_webhook(url="https://example.org/off", enabled=False, by=owner)[0]
        texts = said(press(visitor, Webhook, "test", webhook, off))
        assert texts == [
            "https://example.org/off: This webhook is switched off: switch it on first.",
            "1 message is on its way.",
        ]
        assert webhook.deliveries.get().event_type == "webhook.test"


class TestDeliveries:
    @pytest.mark.usefixtures("webhook")
    def test_it_shows_what_became_of_it(self, visitor: Client, session: Session) -> None:
        (claimed,) = claim_due("test", room=1)
        answer = Answer(status=500, text="<b>Out of order</b>", error="Answered 500, and only 2xx counts as received.")
        record_attempt(claimed, answer, owner="test")
        shown = visitor.get(page(WebhookDelivery, "change", claimed.pk))
        for text in (
            claimed.message_id,
            "&lt;b&gt;Out of order&lt;/b&gt;",
            session.session_id,
            "session.created",
            "500",
        ):
            assertContains(shown, text)
        assertNotContains(shown, 'name="_save"')
        found = visitor.get(page(WebhookDelivery), {"status__exact": "pending", "q": claimed.message_id})
        assertContains(found, "Answered 500")
        assertNotContains(visitor.get(page(WebhookDelivery), {"status__exact": "delivered"}), claimed.message_id)

    def test_an_endpoint_leads_to_its_deliveries(self, visitor: Client, webhook: Webhook, owner: User) -> None:
        mine = send_test(webhook, by=owner)
        other = send_test(create_webhook(url=URL, by=owner)[0], by=owner)
        address = f"{page(WebhookDelivery)}?webhook__id__exact={webhook.pk}"
        assertContains(visitor.get(page(Webhook, "change", webhook.pk)), f'href="{address}"')
        assertContains(visitor.get(address), mine.message_id)
        assertNotContains(visitor.get(address), other.message_id)

    def test_sent_again(self, visitor: Client, owner: User) -> None:
        with webhook_receiver(status(404)) as receiver:
            allow_host(host="127.0.0.1", reason="Test.", by=owner)
            webhook, secret = create_webhook(url=receiver.url, by=owner)
            delivery = send_test(webhook, by=owner)
            send_due(sender="test")
            texts = said(press(visitor, WebhookDelivery, "send_again", delivery))
            assert texts == ["1 message is on its way."]
            send_due(sender="test")
            assert [received.message_id for received in receiver.received] == [delivery.message_id] * 2
            assert receiver.received[1].verified(secret)
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts) == ("delivered", 2)

    def test_one_that_cannot_be_sent_again_is_named(self, visitor: Client, webhook: Webhook, owner: User) -> None:
        busy, idle = send_test(webhook, by=owner), send_test(webhook, by=owner)
        claim_due("test", room=1)
        texts = said(press(visitor, WebhookDelivery, "send_again", busy, idle))
        assert len(texts) == 2
        assert any(busy.message_id in text and "at this moment" in text for text in texts)


class TestAllowedHosts:
    def test_added_and_taken_back_and_never_changed(self, visitor: Client) -> None:
        form = {"host": "Robot.Internal.", "port": "8443", "reason": "The accounting robot."}
        assert visitor.post(page(AllowedHost, "add"), form).status_code == 302
        allowed = AllowedHost.objects.get()
        assert (str(allowed), allowed.by) == ("robot.internal:8443", "olga")
        assertContains(visitor.post(page(AllowedHost, "add"), form), "already exists")
        assert visitor.post(page(AllowedHost, "change", allowed.pk), form).status_code == 403
        assertContains(visitor.get(page(AllowedHost, "change", allowed.pk)), "robot.internal")
        assert visitor.post(page(AllowedHost, "delete", allowed.pk), {"post": "yes"}).status_code == 302
        assert not AllowedHost.objects.exists()

    @pytest.mark.parametrize(
        "changes",
        [{"host": "no host"}, {"host": ""}, {"reason": " "}, {"port": "0"}, {"port": "70000"}, {"port": "-1"}],
    )
    def test_what_cannot_be_is_said_in_the_form(self, visitor: Client, changes: dict[str, str]) -> None:
        form = {"host": "robot.internal", "port": "", "reason": "Ours."} | changes
        assertContains(visitor.post(page(AllowedHost, "add"), form), "errorlist")
        assert not AllowedHost.objects.exists()
