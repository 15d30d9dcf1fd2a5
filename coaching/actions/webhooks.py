"""Endpoints of webhooks: made, changed, given another secret, switched on and off; and the hosts that owners allow."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from ..events import Event
from ..exceptions import IllegalTransition, InvalidInput
from ..models import AllowedHost, Webhook, WebhookDelivery, Workflow
from ..secrets import UnreadableSecret, decrypt, encrypt
from ..webhooks import AllowedHosts, BadAddress, body_of, host_of, is_private_name, new_secret, origin_of
from .audit import What, note
from .naming import name_of
from .webhook_deliveries import ask_after_commit, drop_pending

logger = logging.getLogger(__name__)

#: How long a secret that was replaced signs beside the new one.
OVERLAP = timedelta(hours=24)
#: How many secrets may sign at once: more signatures than that would not fit a sensible header.
MAX_SECRETS = 5
TEST_TYPE = "webhook.test"
SWITCHED_OFF = "The webhook was switched off before this could be sent."


def event_types() -> list[str]:
    """The names of all events, as the contract has them."""

    def below(kind: type[Event]) -> set[str]:
        names = {kind.type} if isinstance(getattr(kind, "type", None), str) else set()
        return names.union(*(below(each) for each in kind.__subclasses__()))

    return sorted(below(Event))


# ---- endpoints


def create_webhook(
    *,
    url: str,
    description: str = "",
    event_types: Collection[str] = (),
    workflow: Workflow | None = None,
    enabled: bool = True,
    by: User,
) -> tuple[Webhook, str]:
    """The endpoint and its secret, which is shown this once. Raises `InvalidInput`."""
    secret = new_secret()
    webhook = Webhook(
        url=check_url(url),
        description=description,
        event_types=_checked_types(event_types),
        workflow=workflow,
        enabled=enabled,
        encrypted_secrets=encrypt({secret: ""}),
        created_by=by,
    )
    with transaction.atomic():
        webhook.save(force_insert=True)
        note(What.WEBHOOK_MADE, webhook.pk, by=by, host=_host_of(webhook.url))
    logger.info("%s made webhook %s.", name_of(by), webhook.pk)
    return webhook, secret


def change_webhook(webhook: Webhook, *, by: User, **changes: Any) -> None:
    """Changes what is given of `url`, `description`, `event_types`, `workflow`, `enabled`. Raises `InvalidInput`.

    Switched off, what is still to be sent is given up; switched on again, it starts with a clean record.
    """
    if "url" in changes:
        changes["url"] = check_url(changes["url"])
    if "event_types" in changes:
        changes["event_types"] = _checked_types(changes["event_types"])
    if changes.get("enabled"):
        changes |= {"disabled_because": "", "failing_since": None, "rests_until": None}
    with transaction.atomic():
        for name, value in changes.items():
            setattr(webhook, name, value)
        webhook.save(update_fields=[*changes, "updated_at"])
        if changes.get("enabled") is False:
            drop_pending(webhook, SWITCHED_OFF)
        note(What.WEBHOOK_CHANGED, webhook.pk, by=by, changed=sorted(changes), host=_host_of(webhook.url))
    logger.info("%s changed %s of webhook %s.", name_of(by), ", ".join(sorted(changes)), webhook.pk)


def delete_webhook(webhook: Webhook, *, by: User) -> None:
    """Deletes it with the log of its deliveries."""
    pk = webhook.pk
    with transaction.atomic():
        Webhook.objects.select_for_update().get(pk=pk)
        webhook.delete()
        note(What.WEBHOOK_DELETED, pk, by=by, host=_host_of(webhook.url))
    logger.info("%s deleted webhook %s.", name_of(by), pk)


def _host_of(url: str) -> str:
    """What may be said of an address: the rest of it may be a secret of the receiver's."""
    return origin_of(url).host


def check_url(url: str) -> str:
    """The address itself. Raises `InvalidInput` where it is none, or private by its very name and not allowed."""
    try:
        _, host, port = origin_of(url)
    except BadAddress as error:
        raise InvalidInput(str(error), field="url") from None
    if is_private_name(host) and (host, port) not in allowed_hosts():
        raise InvalidInput(f"“{host}” is not a public host: an owner has to allow it for webhooks first.", field="url")
    return url


def _checked_types(names: Collection[str]) -> list[str]:
    if unknown := sorted(set(names) - set(event_types())):
        raise InvalidInput(f"There is no event “{unknown[0]}”.", field="event_types")
    return sorted(set(names))


# ---- secrets


def secret_of(webhook: Webhook, *, by: User) -> str:
    """The current secret, for an owner who asks for it. Raises `UnreadableSecret`."""
    secret = next(iter(decrypt(webhook.encrypted_secrets)))
    note(What.WEBHOOK_SECRET_SHOWN, webhook.pk, by=by)
    logger.info("%s looked at the secret of webhook %s.", name_of(by), webhook.pk)
    return secret


def rotate_secret(webhook: Webhook, *, by: User) -> str:
    """A new secret, which is shown this once; the old one signs beside it for another 24 hours.

    One that cannot be read any more, because `SECRET_KEY` was changed, is replaced without that.
    """
    secret, now = new_secret(), timezone.now()
    with transaction.atomic():
        held = Webhook.objects.select_for_update().get(pk=webhook.pk)
        webhook.encrypted_secrets = encrypt({secret: ""} | _going_on(held, now))
        webhook.save(update_fields=["encrypted_secrets", "updated_at"])
        note(What.WEBHOOK_SECRET_REPLACED, webhook.pk, by=by)
    logger.info("%s replaced the secret of webhook %s.", name_of(by), webhook.pk)
    return secret


def _going_on(webhook: Webhook, now: datetime) -> dict[str, str]:
    """The secrets that sign beside a new one, each with its end."""
    try:
        kept = decrypt(webhook.encrypted_secrets)
    except UnreadableSecret:
        return {}
    ends = {secret: until or (now + OVERLAP).isoformat() for secret, until in kept.items()}
    going_on = [(secret, until) for secret, until in ends.items() if datetime.fromisoformat(until) > now]
    return dict(going_on[: MAX_SECRETS - 1])


# ---- messages by hand


def send_test(webhook: Webhook, *, by: User) -> WebhookDelivery:
    """Puts a `webhook.test` message into the outbox. Raises `IllegalTransition` when the webhook is switched off."""
    about = {"webhook_id": str(webhook.pk), "by": name_of(by)}
    words = {"message": "This is a test: if its signature is right, everything is set up."}
    with transaction.atomic():
        _hold_enabled(webhook)
        now = timezone.now()
        delivery = WebhookDelivery.objects.create(
            webhook=webhook,
            event_type=TEST_TYPE,
            body=body_of(TEST_TYPE, now, about, words).decode(),
            asked_at=now,
        )
        ask_after_commit()
    return delivery


def send_again(delivery: WebhookDelivery, *, by: User) -> None:
    """Sends a message once more, under the same `webhook-id` and at once, whatever became of it before.

    Raises `IllegalTransition` when its webhook is switched off, or when it is being sent at this moment.
    """
    now = timezone.now()
    fresh = {"retries": 0, "failing_since": None, "next_attempt_at": now, "asked_at": now}
    with transaction.atomic():
        _hold_enabled(delivery.webhook)
        # Whoever asks by hand does not wait for the rest of a webhook that has failed.
        Webhook.objects.filter(pk=delivery.webhook_id).update(rests_until=None)
        idle = WebhookDelivery.objects.filter(pk=delivery.pk).unclaimed(now)
        if not idle.update(status=WebhookDelivery.Status.PENDING, claimed_by="", claimed_until=None, **fresh):
            raise IllegalTransition(f"{delivery.message_id} is being sent at this moment.")
        ask_after_commit()
    logger.info("%s sends %s again.", name_of(by), delivery.message_id)


def _hold_enabled(webhook: Webhook) -> None:
    """Holds the webhook's row. Raises `IllegalTransition` unless it is switched on."""
    held = Webhook.objects.select_for_update().filter(pk=webhook.pk).first()
    if held is None or not held.enabled:
        raise IllegalTransition("This webhook is switched off: switch it on first.")


# ---- hosts


def allowed_hosts() -> AllowedHosts:
    return AllowedHosts([(row.host, row.port) for row in AllowedHost.objects.all()])


def check_host(host: str) -> str:
    """The host in the form that is compared. Raises `InvalidInput`."""
    try:
        return host_of(host)
    except BadAddress as error:
        raise InvalidInput(str(error), field="host") from None


def allow_host(*, host: str, port: int | None = None, reason: str, by: User) -> AllowedHost:
    """Lets webhooks reach a host that is not public. Raises `InvalidInput`."""
    host = check_host(host)
    if port is not None and not 0 < port < 2**16:
        raise InvalidInput("A port is a number from 1 to 65535.", field="port")
    if not reason.strip():
        raise InvalidInput("Say why it is safe to send there.", field="reason")
    try:
        with transaction.atomic():
            allowed = AllowedHost.objects.create(host=host, port=port, reason=reason, by=name_of(by))
            note(What.HOST_ALLOWED, allowed, by=by, reason=reason)
    except IntegrityError:
        raise InvalidInput("This host is allowed already.", field="host") from None
    logger.warning("%s allowed webhooks to reach %s.", name_of(by), allowed)
    return allowed


def forbid_host(allowed: AllowedHost, *, by: User) -> None:
    """Takes the permission back; what is still to be sent there is refused."""
    name = str(allowed)
    with transaction.atomic():
        allowed.delete()
        note(What.HOST_FORBIDDEN, name, by=by)
    logger.warning("%s no longer allows webhooks to reach %s.", name_of(by), name)
