"""From an event to a receiver: the outbox, retries, giving up, switching off, claims, and forgetting."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from coaching import events
from coaching.actions import webhook_deliveries
from coaching.actions.decisions import Answer as Decided
from coaching.actions.decisions import decide
from coaching.actions.sessions import delete_session, pause_session, start_session
from coaching.actions.webhook_deliveries import (
    FAILED_ALL_DAY,
    GONE,
    ask_again,
    claim_due,
    delete_old_deliveries,
    free_dead_claims,
    record_attempt,
    send_due,
)
from coaching.actions.webhooks import (
    allow_host,
    change_webhook,
    create_webhook,
    delete_webhook,
    event_types,
    forbid_host,
    rotate_secret,
    secret_of,
    send_again,
    send_test,
)
from coaching.actions.workflows import create_workflow
from coaching.exceptions import IllegalTransition, InvalidInput
from coaching.models import AllowedHost, Session, Suggestion, Webhook, WebhookDelivery, Workflow
from coaching.signals import webhooks_need_worker
from coaching.webhooks import Answer

from .domain import event_types as types_of
from .domain import everything_stored, together
from .live import until
from .webhook_receiver import Held, Receiver, status, webhook_receiver

ME = "this-machine/pid 1 1"


@pytest.fixture
def receiver(owner: User) -> Iterator[Receiver]:
    """A receiver that webhooks may reach."""
    with webhook_receiver() as running:
        allow_host(host="127.0.0.1", port=running.port, reason="The receiver of a test.", by=owner)
        yield running


@pytest.fixture
def webhook(receiver: Receiver, owner: User) -> Webhook:
    return create_webhook(url=receiver.url, by=owner)[0]


@pytest.fixture
def at_once(settings: Settings) -> None:
    """Ten retries, each at once."""
    settings.WEBHOOK_RETRY_SECONDS = [0.0] * 10


def only(webhook: Webhook) -> WebhookDelivery:
    return webhook.deliveries.get()


class TestOutbox:
    def test_each_event_is_put_in_with_what_it_belongs_to(
        self, webhook: Webhook, session: Session, coach: User
    ) -> None:
        pause_session(session, by=coach)
        created, paused = webhook.deliveries.order_by("pk")
        assert [created.event_type, paused.event_type] == types_of(session) == ["session.created", "session.paused"]
        assert paused.content["data"] == {
            "by": "carl",
            "session_id": session.session_id,
            "workflow_id": "expense-claim",
            "execution_id": session.execution_id,
            "seq": 2,
        }
        event = session.events.get(seq=2)
        assert paused.content["timestamp"] == event.as_json("")["at"]
        assert (paused.seq, paused.session, paused.status) == (2, session, "pending")
        assert created.message_id != paused.message_id
        assert all(row.message_id.startswith("msg_") and len(row.message_id) == 36 for row in (created, paused))

    def test_only_what_is_asked_for(
        self, receiver: Receiver, session: Session, external_session: Session, owner: User, coach: User
    ) -> None:
        make = {
            "type": {"event_types": ["session.paused"]},
            "other type": {"event_types": ["session.completed", "level.changed"]},
            "workflow": {"workflow": session.workflow},
            "other workflow": {"workflow": external_session.workflow},
            "off": {"enabled": False},
        }
        webhooks = {name: create_webhook(url=receiver.url, by=owner, **options)[0] for name, options in make.items()}  # type: ignore[arg-type]
        pause_session(session, by=coach)
        assert {name for name, each in webhooks.items() if each.deliveries.exists()} == {"type", "workflow"}

    def test_a_decision_that_is_rolled_back_leaves_no_delivery(
        self, webhook: Webhook, suggestion: Suggestion, coach: User
    ) -> None:
        before = webhook.deliveries.count()
        with transaction.atomic():
            decide(suggestion, Decided(decision="accept"), by=coach)
            assert webhook.deliveries.count() > before
            transaction.set_rollback(True)
        assert webhook.deliveries.count() == before
        assert not suggestion.session.decisions.exists()

    @pytest.mark.usefixtures("webhook")
    def test_a_worker_is_asked_after_the_commit_and_not_before(
        self,
        session: Session,
        coach: User,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        asked: list[int] = []

        def listen(**_: Any) -> None:
            asked.append(1)

        webhooks_need_worker.connect(listen)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                pause_session(session, by=coach)
                assert not asked
            assert asked
        finally:
            webhooks_need_worker.disconnect(listen)

    def test_without_webhooks_it_is_one_query(self, session: Session, receiver: Receiver, owner: User) -> None:
        create_webhook(url=receiver.url, enabled=False, by=owner)
        with transaction.atomic(), CaptureQueriesContext(connection) as captured:
            events.record_event(session, events.SessionPaused(by="carl"))
        assert len([query for query in captured if "webhook" in query["sql"]]) == 1
        assert not WebhookDelivery.objects.exists()

    def test_with_ten_it_is_three(self, session: Session, receiver: Receiver, owner: User) -> None:
        for _ in range(10):
            create_webhook(url=receiver.url, by=owner)
        with transaction.atomic(), CaptureQueriesContext(connection) as captured:
            events.record_event(session, events.SessionPaused(by="carl"))
        assert len([query for query in captured if "webhook" in query["sql"]]) == 3
        assert WebhookDelivery.objects.count() == 10

    def test_the_names_of_the_events_are_the_contracts(self) -> None:
        assert set(event_types()) >= {
            "session.created", "session.paused", "session.resumed", "session.completed", "session.failed",
            "session.abandoned", "suggestion.opened", "suggestion.withdrawn", "decision.recorded", "step.performing",
            "step.performed", "step.failed", "step.uncertain", "level.changed", "readiness.reached",
        }  # fmt: skip
        assert all("." in name for name in event_types())


class TestDelivery:
    @pytest.mark.usefixtures("at_once")
    def test_two_failures_and_then_it_arrives(self, receiver: Receiver, owner: User) -> None:
        webhook, secret = create_webhook(url=receiver.url, by=owner)
        receiver.replies[:] = [status(500, "not yet"), status(503)]
        delivery = send_test(webhook, by=owner)
        send_due(sender=ME)
        assert [received.message_id for received in receiver.received] == [delivery.message_id] * 3
        for received in receiver.received:
            content = received.verified(secret)
            assert (content["type"], content["data"]["by"]) == ("webhook.test", "olga")
            assert received.headers["content-type"] == "application/json"
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts, delivery.answer_status) == ("delivered", 3, 204)
        assert delivery.delivered_at
        assert delivery.error == ""
        webhook.refresh_from_db()
        assert webhook.failing_since is None

    def test_retries_keep_to_the_schedule(self, webhook: Webhook, receiver: Receiver, owner: User) -> None:
        receiver.replies[:] = [status(500, "Out of order")] * 3
        delivery = send_test(webhook, by=owner)
        for attempt, seconds in enumerate((5, 30, 120), start=1):
            WebhookDelivery.objects.update(next_attempt_at=timezone.now())
            send_due(sender=ME)
            delivery.refresh_from_db()
            wait = (delivery.next_attempt_at - timezone.now()).total_seconds()
            assert 0.8 * seconds - 1 < wait < 1.2 * seconds
            assert (delivery.status, delivery.attempts, delivery.answer_status) == ("pending", attempt, 500)
            assert delivery.answer_text == "Out of order"
            send_due(sender=ME)
            assert len(receiver.received) == attempt

    @pytest.mark.usefixtures("at_once")
    def test_it_gives_up_and_switches_off_what_failed_all_the_time(
        self, webhook: Webhook, receiver: Receiver, owner: User
    ) -> None:
        receiver.replies[:] = [status(500)] * 50
        first, second = send_test(webhook, by=owner), send_test(webhook, by=owner)
        send_due(sender=ME)
        for delivery in (first, second):
            delivery.refresh_from_db()
        webhook.refresh_from_db()
        assert (first.status, first.attempts) == ("gave_up", 11)
        assert (webhook.enabled, webhook.disabled_because) == (False, FAILED_ALL_DAY)
        assert second.status == "gave_up"
        assert second.error.startswith("The webhook was switched off")
        with pytest.raises(IllegalTransition, match="switched off"):
            send_test(webhook, by=owner)
        change_webhook(webhook, enabled=True, by=owner)
        assert (webhook.disabled_because, webhook.failing_since) == ("", None)
        receiver.replies.clear()
        send_again(first, by=owner)
        send_due(sender=ME)
        first.refresh_from_db()
        assert first.status == "delivered"

    def test_it_stays_on_when_anything_arrived_meanwhile(
        self, webhook: Webhook, receiver: Receiver, owner: User, settings: Settings
    ) -> None:
        settings.WEBHOOK_RETRY_SECONDS = [0.0]
        poison = send_test(webhook, by=owner)
        receiver.replies[:] = [status(500), status(200), status(500)]
        (claimed,) = claim_due(ME, room=1)
        record_attempt(claimed, Answer(status=500, error="x"), owner=ME)
        WebhookDelivery.objects.update(next_attempt_at=timezone.now() + timedelta(hours=1))
        healthy = send_test(webhook, by=owner)
        (claimed,) = claim_due(ME, room=1)
        assert claimed == healthy
        record_attempt(claimed, Answer(status=200), owner=ME)
        WebhookDelivery.objects.filter(pk=poison.pk).update(next_attempt_at=timezone.now())
        (claimed,) = claim_due(ME, room=1)
        record_attempt(claimed, Answer(status=500, error="x"), owner=ME)
        poison.refresh_from_db()
        webhook.refresh_from_db()
        assert poison.status == "gave_up"
        assert webhook.enabled

    def test_410_switches_it_off_at_once(self, webhook: Webhook, receiver: Receiver, owner: User) -> None:
        receiver.replies[:] = [status(410)]
        delivery = send_test(webhook, by=owner)
        send_due(sender=ME)
        delivery.refresh_from_db()
        webhook.refresh_from_db()
        assert (delivery.status, delivery.answer_status) == ("gave_up", 410)
        assert (webhook.enabled, webhook.disabled_because) == (False, GONE)
        send_due(sender=ME)
        assert len(receiver.received) == 1

    def test_a_host_that_is_not_allowed_any_more_is_refused_and_not_retried(
        self, webhook: Webhook, receiver: Receiver, owner: User
    ) -> None:
        forbid_host(AllowedHost.objects.get(), by=owner)
        delivery = send_test(webhook, by=owner)
        send_due(sender=ME)
        delivery.refresh_from_db()
        webhook.refresh_from_db()
        assert not receiver.received
        assert delivery.status == "gave_up"
        assert delivery.error.startswith("127.0.0.1 is not a public address. An owner may allow")
        assert webhook.enabled
        allow_host(host="127.0.0.1", reason="Again.", by=owner)
        send_again(delivery, by=owner)
        send_due(sender=ME)
        assert [received.message_id for received in receiver.received] == [delivery.message_id]

    def test_sent_again_it_is_the_same_message(self, webhook: Webhook, receiver: Receiver, owner: User) -> None:
        delivery = send_test(webhook, by=owner)
        send_due(sender=ME)
        send_again(delivery, by=owner)
        send_due(sender=ME)
        first, second = receiver.received
        assert first.message_id == second.message_id
        assert first.body == second.body
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts) == ("delivered", 2)

    def test_each_attempt_is_signed_for_its_own_moment(self, webhook: Webhook, owner: User) -> None:
        """Receivers refuse what is older than some minutes: a retry after hours must be of today."""
        delivery, now = send_test(webhook, by=owner), timezone.now()
        first, later = (
            webhook_deliveries.letter_of(delivery, moment).headers for moment in (now, now + timedelta(hours=8))
        )
        assert int(later["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 8 * 3600
        assert first["webhook-id"] == later["webhook-id"]
        assert first["webhook-signature"] != later["webhook-signature"]

    def test_what_is_being_sent_is_not_sent_again(self, webhook: Webhook, owner: User) -> None:
        delivery = send_test(webhook, by=owner)
        claim_due(ME, room=1)
        with pytest.raises(IllegalTransition, match="at this moment"):
            send_again(delivery, by=owner)

    def test_a_slow_failure_lets_the_webhook_rest(self, webhook: Webhook, owner: User, receiver: Receiver) -> None:
        send_test(webhook, by=owner)
        send_test(webhook, by=owner)
        (claimed,) = claim_due(ME, room=1)
        record_attempt(claimed, Answer(error="No answer.", took=15.0), owner=ME)
        webhook.refresh_from_db()
        assert webhook.rests_until
        assert 58 < (webhook.rests_until - timezone.now()).total_seconds() <= 60
        assert not claim_due(ME, room=8)
        send_due(sender=ME)
        assert not receiver.received
        send_again(claimed, by=owner)
        assert claim_due(ME, room=8) == [claimed]

    def test_a_slow_receiver_holds_up_no_other(self, owner: User, receiver: Receiver, settings: Settings) -> None:
        settings.WEBHOOK_TOTAL_SECONDS = 4
        held = Held()
        with webhook_receiver(*[held] * 20) as slow:
            allow_host(host="127.0.0.1", port=slow.port, reason="Slow.", by=owner)
            webhook = create_webhook(url=slow.url, by=owner)[0]
            for _ in range(10):
                send_test(webhook, by=owner)
            other = create_webhook(url=receiver.url, by=owner)[0]
            for _ in range(10):
                send_test(other, by=owner)
            waited_meanwhile: list[int] = []

            def watch() -> None:
                until(lambda: len(receiver.received) == 10, what="all for the other")
                waited_meanwhile.append(held.now)

            watcher = threading.Thread(target=watch)
            watcher.start()
            send_due(sender=ME)
            watcher.join()
            # None of the slow one's was through, and to one webhook at most so many go at once.
            assert waited_meanwhile == [held.most] == [4]
        assert other.deliveries.filter(status="delivered").count() == 10

    def test_a_secret_that_cannot_be_read_is_said(
        self, webhook: Webhook, owner: User, receiver: Receiver, settings: Settings
    ) -> None:
        delivery = send_test(webhook, by=owner)
        settings.SECRET_KEY = "another key altogether, long enough to be one"
        send_due(sender=ME)
        delivery.refresh_from_db()
        assert delivery.status == "pending"
        assert "SECRET_KEY has changed" in delivery.error
        secret = rotate_secret(webhook, by=owner)
        send_again(delivery, by=owner)
        send_due(sender=ME)
        assert receiver.received[0].verified(secret)


class TestSecrets:
    def test_a_replaced_secret_signs_for_another_day(self, receiver: Receiver, owner: User) -> None:
        webhook, old = create_webhook(url=receiver.url, by=owner)
        new = rotate_secret(webhook, by=owner)
        assert secret_of(webhook, by=owner) == new != old
        delivery = send_test(webhook, by=owner)
        send_due(sender=ME)
        (received,) = receiver.received
        assert received.verified(old) == received.verified(new)
        assert len(received.headers["webhook-signature"].split()) == 2
        later = timezone.now() + timedelta(hours=24, seconds=1)
        delivery.webhook = webhook
        letter = webhook_deliveries.letter_of(delivery, later)
        assert len(letter.headers["webhook-signature"].split()) == 1

    def test_replaced_again_and_again_it_keeps_a_few(self, webhook: Webhook, owner: User) -> None:
        secrets = [rotate_secret(webhook, by=owner) for _ in range(8)]
        letter = webhook_deliveries.letter_of(send_test(webhook, by=owner), timezone.now())
        assert len(letter.headers["webhook-signature"].split()) == 5
        assert secret_of(webhook, by=owner) == secrets[-1]

    def test_it_is_kept_encrypted_and_logged_nowhere(
        self, receiver: Receiver, owner: User, caplog: pytest.LogCaptureFixture, session: Session
    ) -> None:
        caplog.set_level(logging.DEBUG)
        webhook, old = create_webhook(url=receiver.url, by=owner)
        new = rotate_secret(webhook, by=owner)
        receiver.replies[:] = [status(500)]
        send_test(webhook, by=owner)
        pause_session(session, by=owner)
        send_due(sender=ME)
        assert len(receiver.received) == 2
        stored = everything_stored()
        for secret in (old, new):
            key = secret.removeprefix("whsec_")
            assert secret not in stored
            assert key not in stored
            assert key not in caplog.text
            assert all(key.encode() not in received.body for received in receiver.received)
        assert "/hook" not in caplog.text, "addresses may hold a token of the receiver"


class TestEndpoints:
    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"url": "https://localhost/"}, "url"),
            ({"url": "http://10.0.0.1/x"}, "url"),
            ({"url": "http://169.254.169.254/latest/meta-data/"}, "url"),
            ({"url": "nonsense"}, "url"),
            ({"event_types": ["session.created", "session.exploded"]}, "event_types"),
        ],
    )
    def test_what_cannot_be(self, owner: User, webhook: Webhook, changes: dict[str, Any], field: str) -> None:
        for call in (
            lambda: create_webhook(**{"url": "https://example.org/", **changes}, by=owner),
            lambda: change_webhook(webhook, **changes, by=owner),
        ):
            with pytest.raises(InvalidInput) as refused:
                call()
            assert refused.value.field == field

    def test_switched_off_it_gives_up_what_waits(self, webhook: Webhook, owner: User) -> None:
        delivery = send_test(webhook, by=owner)
        change_webhook(webhook, enabled=False, by=owner)
        delivery.refresh_from_db()
        assert delivery.status == "gave_up"
        with pytest.raises(IllegalTransition, match="switched off"):
            send_again(delivery, by=owner)

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"host": "no host", "reason": "x"}, "host"),
            ({"host": "robot", "reason": " "}, "reason"),
            ({"host": "robot", "port": 70_000, "reason": "x"}, "port"),
            ({"host": "127.0.0.1", "port": 81, "reason": "twice"}, "host"),
            ({"host": "127.0.0.2", "reason": "twice"}, "host"),
        ],
    )
    def test_hosts_that_cannot_be_allowed(self, owner: User, given: dict[str, Any], field: str) -> None:
        allow_host(host="127.0.0.1", port=81, reason="first", by=owner)
        allow_host(host="127.0.0.2", reason="first", by=owner)
        with pytest.raises(InvalidInput) as refused:
            allow_host(**given, by=owner)
        assert refused.value.field == field

    def test_who_allowed_a_host_stays_on_record(self, owner: User) -> None:
        allowed = allow_host(host="ROBOT.internal.", port=8443, reason="Ours.", by=owner)
        assert (str(allowed), allowed.by, allowed.reason) == ("robot.internal:8443", "olga", "Ours.")


class TestClaims:
    def test_what_a_dead_worker_was_sending_is_sent_again(
        self, webhook: Webhook, owner: User, receiver: Receiver
    ) -> None:
        delivery = send_test(webhook, by=owner)
        assert claim_due(f"{ME} dead", room=8) == [delivery]
        assert not claim_due(ME, room=8)
        send_due(sender=ME)
        assert not receiver.received, "another worker is known to be at it"
        assert free_dead_claims(lambda _name: False) == 0
        assert free_dead_claims(lambda name: name.endswith("dead")) == 1
        assert ask_again() == 1
        send_due(sender=ME)
        assert len(receiver.received) == 1

    def test_who_is_not_needed_asks_for_nobody(
        self, webhook: Webhook, owner: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
    ) -> None:
        """Else workers would wake each other, again and again, until the one that sends is through."""
        for _ in range(6):
            send_test(webhook, by=owner)
        assert len(claim_due("elsewhere", room=4)) == 4
        with django_capture_on_commit_callbacks() as asked:
            send_due(sender=ME)
        assert not asked
        WebhookDelivery.objects.update(claimed_until=None, claimed_by="")
        with django_capture_on_commit_callbacks() as asked:
            send_due(sender=ME)
        assert not asked
        assert webhook.deliveries.filter(status="delivered").count() == 6

    def test_a_claim_ends_by_itself(self, webhook: Webhook, owner: User) -> None:
        delivery = send_test(webhook, by=owner)
        claim_due("elsewhere", room=8)
        WebhookDelivery.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
        send_due(sender=ME)
        delivery.refresh_from_db()
        assert delivery.status == "delivered"
        # The other one comes back from the dead: what it says counts no more.
        record_attempt(delivery, Answer(status=500, error="late"), owner="elsewhere")
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts) == ("delivered", 1)

    def test_to_one_that_fails_one_at_a_time(self, webhook: Webhook, owner: User) -> None:
        for _ in range(6):
            send_test(webhook, by=owner)
        assert len(claim_due(ME, room=8)) == 4
        WebhookDelivery.objects.update(claimed_until=None, claimed_by="")
        Webhook.objects.update(failing_since=timezone.now())
        assert len(claim_due(ME, room=8)) == 1
        assert not claim_due(ME, room=8, flying=[webhook.pk])

    def test_a_long_queue_of_one_does_not_hide_another(self, webhook: Webhook, owner: User, receiver: Receiver) -> None:
        Webhook.objects.update(failing_since=timezone.now())
        for _ in range(100):
            send_test(webhook, by=owner)
        other = create_webhook(url=receiver.url, by=owner)[0]
        delivery = send_test(other, by=owner)
        assert delivery in claim_due(ME, room=8)


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_two_workers_send_each_message_once(self, owner: User, settings: Settings) -> None:
        settings.WEBHOOK_SENDERS = 8
        with webhook_receiver() as receiver:
            allow_host(host="127.0.0.1", reason="Test.", by=owner)
            webhook = create_webhook(url=receiver.url, by=owner)[0]
            for _ in range(40):
                send_test(webhook, by=owner)
            results = together(*[lambda: send_due(sender=ME)] * 4)
            assert results == [None] * 4
            sent = [received.message_id for received in receiver.received]
            assert len(sent) == len(set(sent)) == 40
        assert webhook.deliveries.filter(status="delivered", attempts=1).count() == 40

    def test_one_worker_sends_at_a_time(self, owner: User, settings: Settings) -> None:
        """Workers that were asked at the same moment all saw that nobody was sending, and all began."""
        settings.WEBHOOK_TOTAL_SECONDS = 1
        held = Held()
        with webhook_receiver(*[held] * 40) as receiver:
            allow_host(host="127.0.0.1", reason="Test.", by=owner)
            webhook = create_webhook(url=receiver.url, by=owner)[0]
            for _ in range(40):
                send_test(webhook, by=owner)
            assert together(*[lambda name=name: send_due(sender=f"w{name}") for name in range(6)]) == [None] * 6
        assert held.most == 4
        assert webhook.deliveries.filter(attempts=1).count() == 4

    def test_of_many_claims_one_holds(self, owner: User) -> None:
        webhook = create_webhook(url="https://example.org/", by=owner)[0]
        send_test(webhook, by=owner)
        claims = together(*[lambda name=name: claim_due(f"w{name}", room=1) for name in range(6)])
        assert sorted(map(len, claims)) == [0, 0, 0, 0, 0, 1]

    def test_deciding_while_webhooks_come_and_go(self, owner: User, coach: User) -> None:
        """A decision is never lost to a webhook that is deleted at the same moment."""
        workflow = create_workflow(workflow_id="w", name="W", executor="external", by=owner)
        session = start_session(workflow, by=coach)
        before = session.last_seq

        def come_and_go() -> None:
            for _ in range(10):
                webhook = create_webhook(url="https://example.org/", by=owner)[0]
                delete_webhook(webhook, by=owner)

        def record() -> None:
            for _ in range(10):
                with transaction.atomic():
                    events.record_event(session, events.SessionPaused(by="carl"))

        assert together(come_and_go, record, come_and_go, record) == [None] * 4
        session.refresh_from_db()
        assert session.last_seq == before + 20


class TestKeepingItMoving:
    def test_lost_tasks_and_retries_are_asked_for_again(self, webhook: Webhook, owner: User) -> None:
        send_test(webhook, by=owner)
        assert ask_again() == 0
        WebhookDelivery.objects.update(asked_at=timezone.now() - timedelta(seconds=6))
        assert ask_again() == 1
        assert ask_again() == 0
        (claimed,) = claim_due(ME, room=1)
        record_attempt(claimed, Answer(status=500, error="x"), owner=ME)
        assert ask_again() == 0
        WebhookDelivery.objects.update(next_attempt_at=timezone.now())
        assert ask_again() == 1

    def test_old_deliveries_are_forgotten(self, webhook: Webhook, owner: User) -> None:
        old, new = send_test(webhook, by=owner), send_test(webhook, by=owner)
        WebhookDelivery.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=31))
        assert delete_old_deliveries() == 1
        assert list(webhook.deliveries.all()) == [new]
        assert delete_old_deliveries() == 0

    def test_a_deleted_session_takes_its_deliveries_along(
        self, webhook: Webhook, session: Session, owner: User
    ) -> None:
        kept = send_test(webhook, by=owner)
        assert webhook.deliveries.count() == 2
        claimed = claim_due(ME, room=8)
        delete_session(session)
        assert list(webhook.deliveries.all()) == [kept]
        for delivery in claimed:
            record_attempt(delivery, Answer(status=200), owner=ME)
        kept.refresh_from_db()
        assert kept.status == "delivered"
        assert webhook.deliveries.count() == 1

    def test_a_deleted_workflow_takes_its_webhooks_along(
        self, receiver: Receiver, external_workflow: Workflow, owner: User
    ) -> None:
        create_webhook(url=receiver.url, workflow=external_workflow, by=owner)
        external_workflow.delete()
        assert not Webhook.objects.exists()


def test_nothing_in_a_body_is_secret(
    webhook: Webhook, browser_workflow: Workflow, ask: Callable[..., Suggestion], coach: User
) -> None:
    browser_workflow.variables.create(name="password", label="Password", secret=True)
    secret = "swordfish-4711"
    session = start_session(browser_workflow, variables={"password": secret}, by=coach)
    action = {"type": "change", "selectors": [["aria/Password"]], "value": "{{ password }}"}
    suggestion = ask(session, action=action)
    decide(
        suggestion,
        Decided(decision="correct", correction=action | {"value": "{{ password }}", "timeout": 900}),
        by=coach,
    )
    bodies = [json.dumps(delivery.content) for delivery in webhook.deliveries.all()]
    assert len(bodies) >= 3
    assert not [body for body in bodies if secret in body]
