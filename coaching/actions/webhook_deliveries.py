"""The outbox of webhooks: filled in the transaction of each event, emptied by workers, kept moving by the sweep.

Delivery is at least once. The rows are the truth: tasks may be lost or run twice. So that slow receivers never hold up
sessions, at most `WEBHOOK_SENDERS` workers send at a time, each to several receivers at once.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.dispatch import receiver
from django.utils import timezone

from .. import signals
from ..afterwards import after_commit
from ..exceptions import DomainError
from ..models import AllowedHost, Session, Webhook, WebhookDelivery
from ..secrets import decrypt
from ..webhooks import AllowedHosts, Answer, Letter, Limits, body_of, delay_before, send, sign

logger = logging.getLogger(__name__)

Status = WebhookDelivery.Status
Flying = dict[Future[Answer], WebhookDelivery]

#: How many messages one worker sends at once, in all and to one webhook; to one that fails, one at a time.
AT_ONCE = 8
AT_ONCE_TO_ONE = 4
#: How long a worker takes new messages before it makes room for other tasks, in seconds.
SHIFT = 10.0
#: How often a worker that waits for answers looks for what else is due, in seconds.
LOOK_AGAIN = 0.2
#: Longer than an attempt may take: only a dead worker loses its claim.
CLAIM = timedelta(seconds=60)
#: A failure that took longer than this (seconds) makes its webhook rest for this many times as long.
SLOW, REST = 1.0, 4
#: What was due for so long, and nobody was asked to send since, has lost its task.
ASK_AGAIN_AFTER = timedelta(seconds=5)
#: How many old deliveries one round of the sweep removes.
PRUNE_BATCH = 500
USER_AGENT = "coachsite-webhooks/1.0"
GONE = "The receiver answered 410 Gone: it wants no more."
FAILED_ALL_DAY = "Nothing could be delivered for a whole day, up to the last retry."

_ANY_ENABLED = f"SELECT 1 FROM {Webhook._meta.db_table} WHERE enabled LIMIT 1"  # noqa: S608 - a constant


# ---- filling it


@receiver(signals.event_recorded)
def put_into_outbox(session: Session, seq: int, type: str, at: datetime, data: Mapping[str, Any], **_: Any) -> None:  # noqa: A002
    """A delivery for each webhook that wants the event, in the event's own transaction.

    Every decision passes here: without webhooks it is one query, past the ORM, which would take ten times as long.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ANY_ENABLED)
        if cursor.fetchone() is None:
            return
    webhooks = Webhook.objects.filter(enabled=True).order_by("pk").only("event_types", "workflow_id")
    wanting = [webhook for webhook in webhooks if webhook.wants(type, session.workflow_id)]
    if not wanting:
        return
    about = {
        "session_id": session.session_id,
        "workflow_id": session.workflow.workflow_id,
        "execution_id": session.execution_id,
        "seq": seq,
    }
    body = body_of(type, at, about, data).decode()
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(
            webhook=webhook, session=session, seq=seq, event_type=type, body=body, next_attempt_at=at, asked_at=at
        )
        for webhook in wanting
    )
    ask_after_commit()


def ask_after_commit() -> None:
    """Asks a worker to send what is due, as soon as it is committed."""
    after_commit(signals.webhooks_need_worker.send, sender=WebhookDelivery)


# ---- emptying it


def send_due(*, sender: str) -> None:
    """Sends what is due, until nothing is or the shift is over; `sender` names the process (`lease.this_process`).

    Returns at once when enough workers are sending already: they will find what there is to do.
    """
    owner = f"{sender} {secrets.token_hex(4)}"
    end = time.monotonic() + SHIFT
    flying: Flying = {}
    worked = False
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="webhook") as threads:
        while True:
            if time.monotonic() < end:
                worked |= _take_off(flying, threads, owner)
            if not flying:
                break
            landed, _ = wait(flying, timeout=LOOK_AGAIN, return_when=FIRST_COMPLETED)
            for future in landed:
                _land(flying.pop(future), future, owner)
    if worked and WebhookDelivery.objects.due(timezone.now()).exists():
        ask_after_commit()


def _take_off(flying: Flying, threads: ThreadPoolExecutor, owner: str) -> bool:
    """Begins to send what there is room for; whether there was anything for this worker to do."""
    if flying:
        load = [delivery.webhook_id for delivery in flying.values()]
        claimed = claim_due(owner, room=AT_ONCE - len(flying), flying=load)
    else:
        claimed = _claim_first(owner)
    if not claimed:
        return False
    allowed = AllowedHosts(list(AllowedHost.objects.values_list("host", "port")))
    limits = Limits(connect=settings.WEBHOOK_CONNECT_SECONDS, whole=settings.WEBHOOK_TOTAL_SECONDS)
    for delivery in claimed:
        try:
            letter = letter_of(delivery, timezone.now())
        except DomainError as problem:
            record_attempt(delivery, Answer(error=str(problem)), owner=owner)
        else:
            flying[threads.submit(send, letter, allowed, limits)] = delivery
    return True


def _claim_first(owner: str) -> list[WebhookDelivery]:
    """What a worker that sends nothing yet begins with; nothing while enough others send.

    Who sends is who has claims, so to look and to claim are one: workers are asked at the same moment.
    """
    with transaction.atomic():
        # SQLite has one writer anyway. On PostgreSQL the first row stands for them all.
        Webhook.objects.order_by("pk").select_for_update(no_key=True).first()
        senders = WebhookDelivery.objects.claimed(timezone.now()).order_by().values("claimed_by").distinct()
        return claim_due(owner, room=AT_ONCE) if senders.count() < settings.WEBHOOK_SENDERS else []


def _land(delivery: WebhookDelivery, future: Future[Answer], owner: str) -> None:
    problem = future.exception()
    if problem is not None:
        logger.error("Sending %s broke off.", delivery.message_id, exc_info=problem)
        record_attempt(delivery, Answer(error=f"Sending broke off: {type(problem).__name__}."), owner=owner)
    else:
        record_attempt(delivery, future.result(), owner=owner)


def claim_due(owner: str, *, room: int, flying: Collection[int] = ()) -> list[WebhookDelivery]:
    """At most `room` due deliveries, oldest first, that nobody else sends now; `flying` are the webhooks of others
    that this worker is sending already. What is claimed stays so for `CLAIM`.
    """
    load = Counter(flying)
    claimed: list[WebhookDelivery] = []
    full: set[int] = set()
    while len(claimed) < room:
        now = timezone.now()
        due = WebhookDelivery.objects.due(now).exclude(webhook__in=full)
        looked_at = list(due.select_related("webhook")[: room * 4])
        before = len(full)
        for delivery in looked_at:
            webhook = delivery.webhook
            if load[webhook.pk] >= (1 if webhook.failing_since else AT_ONCE_TO_ONE):
                full.add(webhook.pk)
            elif len(claimed) < room and _claim(delivery, owner, now):
                load[webhook.pk] += 1
                claimed.append(delivery)
        if len(full) == before:
            break
    return claimed


def _claim(delivery: WebhookDelivery, owner: str, now: datetime) -> bool:
    # The WHERE clause is the lock: of two workers, one updates no row.
    free = WebhookDelivery.objects.pending().unclaimed(now).filter(pk=delivery.pk, attempts=delivery.attempts)
    return bool(free.update(claimed_by=owner, claimed_until=now + CLAIM))


def letter_of(delivery: WebhookDelivery, now: datetime) -> Letter:
    """What goes over the wire at `now`. Raises `UnreadableSecret`."""
    until = decrypt(delivery.webhook.encrypted_secrets)
    signing = [secret for secret, end in until.items() if not end or datetime.fromisoformat(end) > now]
    body, timestamp = delivery.body.encode(), int(now.timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(signing, message_id=delivery.message_id, timestamp=timestamp, body=body),
    }
    return Letter(url=delivery.webhook.url, headers=headers, body=body)


# ---- what came of it


def record_attempt(delivery: WebhookDelivery, answer: Answer, *, owner: str) -> None:
    """Writes down what came of an attempt, and when the next one is; nothing if the claim was lost meanwhile."""
    now = timezone.now()
    values: dict[str, Any] = {
        "attempts": delivery.attempts + 1,
        "last_attempt_at": now,
        "took_ms": round(answer.took * 1000),
        "answer_status": answer.status,
        "answer_text": answer.text,
        "error": answer.error,
        "claimed_by": "",
        "claimed_until": None,
    }
    with transaction.atomic():
        # First, as in every verb: so nobody waits for the other's row in a circle.
        webhook = Webhook.objects.select_for_update().filter(pk=delivery.webhook_id).first()
        if answer.delivered:
            values |= {"status": Status.DELIVERED, "delivered_at": now}
        else:
            values |= _after_failure(delivery, answer, now)
        mine = WebhookDelivery.objects.pending().filter(pk=delivery.pk, claimed_by=owner)
        if webhook is None or not mine.update(**values):
            return
        _tell_webhook(webhook, answer, now, failing_since=values.get("failing_since"), status=values.get("status"))
    if not answer.delivered:
        logger.info("Webhook %s: %s was not delivered.", delivery.webhook_id, delivery.message_id)


def _after_failure(delivery: WebhookDelivery, answer: Answer, now: datetime) -> dict[str, Any]:
    retries = delivery.retries + 1
    values: dict[str, Any] = {"retries": retries, "failing_since": delivery.failing_since or now, "asked_at": None}
    delay = delay_before(retries, settings.WEBHOOK_RETRY_SECONDS)
    if answer.refused or answer.gone or delay is None:
        return values | {"status": Status.GAVE_UP}
    return values | {"next_attempt_at": now + timedelta(seconds=delay)}


def _tell_webhook(
    webhook: Webhook, answer: Answer, now: datetime, *, failing_since: datetime | None, status: str | None
) -> None:
    """What an attempt says about the endpoint as a whole."""
    if answer.delivered:
        if webhook.failing_since:
            _keep(webhook, failing_since=None, rests_until=None)
        return
    rests_until = now + timedelta(seconds=REST * answer.took) if answer.took > SLOW else webhook.rests_until
    _keep(webhook, failing_since=webhook.failing_since or now, rests_until=rests_until)
    if answer.gone:
        _switch_off(webhook, GONE)
    elif status == Status.GAVE_UP and not answer.refused and _nothing_since(failing_since, webhook):
        _switch_off(webhook, FAILED_ALL_DAY)


def _nothing_since(first_failure: datetime | None, webhook: Webhook) -> bool:
    """Whether nothing has arrived since one that is given up now failed for the first time."""
    return bool(first_failure and webhook.failing_since and webhook.failing_since <= first_failure)


def _keep(webhook: Webhook, **values: Any) -> None:
    for name, value in values.items():
        setattr(webhook, name, value)
    webhook.save(update_fields=list(values))


def _switch_off(webhook: Webhook, because: str) -> None:
    if webhook.enabled:
        _keep(webhook, enabled=False, disabled_because=because)
        drop_pending(webhook, f"The webhook was switched off: {because}")
        logger.warning("Webhook %s was switched off: %s", webhook.pk, because)


def drop_pending(webhook: Webhook, because: str) -> None:
    """Gives up what is still to be sent to an endpoint that was switched off."""
    webhook.deliveries.pending().update(status=Status.GAVE_UP, error=because, claimed_by="", claimed_until=None)


# ---- keeping it moving


def ask_again() -> int:
    """Asks for a worker where deliveries are due and nobody was asked lately: retries, and lost tasks. How many."""
    now = timezone.now()
    overdue = WebhookDelivery.objects.due(now).exclude(asked_at__gt=now - ASK_AGAIN_AFTER)
    waiting = list(overdue.values_list("pk", flat=True)[:PRUNE_BATCH])
    if waiting:
        WebhookDelivery.objects.filter(pk__in=waiting).update(asked_at=now)
        ask_after_commit()
    return len(waiting)


def free_dead_claims(is_dead: Callable[[str], bool]) -> int:
    """Takes back what workers that are known to be dead were sending; it is sent again. How many."""
    claimed = WebhookDelivery.objects.claimed(timezone.now())
    owners = set(claimed.order_by().values_list("claimed_by", flat=True).distinct())
    dead = [owner for owner in owners if is_dead(owner)]
    if not dead:
        return 0
    return claimed.filter(claimed_by__in=dead).update(claimed_by="", claimed_until=None, asked_at=None)


def delete_old_deliveries() -> int:
    """Forgets what was made more than `WEBHOOK_KEEP_DAYS` ago, a batch at a time; returns how many."""
    old = WebhookDelivery.objects.filter(created_at__lt=timezone.now() - timedelta(days=settings.WEBHOOK_KEEP_DAYS))
    batch = list(old.order_by("created_at").values_list("pk", flat=True)[:PRUNE_BATCH])
    return WebhookDelivery.objects.filter(pk__in=batch).delete()[0] if batch else 0
