"""Webhooks: endpoints of receivers, what is to be delivered to them, and the private hosts that owners have allowed."""

from __future__ import annotations

import json
import secrets
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from .session import Session
from .workflow import Workflow


def new_message_id() -> str:
    """The `webhook-id` of a message: the same however often it is sent, and not to be guessed."""
    return f"msg_{secrets.token_hex(16)}"


class Webhook(models.Model):
    """An endpoint that is told of events."""

    url = models.CharField("address", max_length=2000, help_text="https://… of the receiver")
    description = models.CharField(max_length=500, blank=True)
    event_types = models.JSONField(default=list, blank=True, help_text="Names of events; empty: all of them.")
    workflow = models.ForeignKey(
        Workflow,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="webhooks",
        help_text="Only events of this workflow; empty: of all workflows.",
    )
    enabled = models.BooleanField(default=True)
    disabled_because = models.TextField(blank=True, help_text="Why coachsite itself has switched it off.")
    encrypted_secrets = models.TextField(
        editable=False, help_text="{secret: until when it signs}, the current one first and without an end; encrypted."
    )
    failing_since = models.DateTimeField(
        null=True, blank=True, help_text="The first failure since something was last delivered."
    )
    rests_until = models.DateTimeField(
        null=True, blank=True, help_text="Not tried before, because its last failure held up others."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-pk"]
        permissions = [("manage_webhook", "Can manage webhooks and the hosts that they may reach")]

    def __str__(self) -> str:
        return self.url

    def wants(self, event_type: str, workflow_pk: int) -> bool:
        """Whether events of this type and workflow are for it."""
        return (not self.event_types or event_type in self.event_types) and self.workflow_id in {None, workflow_pk}


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def pending(self) -> WebhookDeliveryQuerySet:
        return self.filter(status=WebhookDelivery.Status.PENDING)

    def unclaimed(self, now: datetime) -> WebhookDeliveryQuerySet:
        """Those that nobody is sending at this moment."""
        return self.filter(Q(claimed_until=None) | Q(claimed_until__lt=now))

    def claimed(self, now: datetime) -> WebhookDeliveryQuerySet:
        return self.pending().filter(claimed_until__gte=now)

    def due(self, now: datetime) -> WebhookDeliveryQuerySet:
        """Those to be sent now, the oldest first."""
        resting = Q(webhook__rests_until__gt=now)
        waiting = self.pending().unclaimed(now).filter(next_attempt_at__lte=now, webhook__enabled=True)
        return waiting.exclude(resting).order_by("pk")


class WebhookDelivery(models.Model):
    """One message for one endpoint, written in the transaction of its event; the outbox and its log in one."""

    class Status(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        GAVE_UP = "gave_up", "gave up"

    message_id = models.CharField(
        "webhook-id", max_length=64, unique=True, default=new_message_id, editable=False,
        help_text="The same however often it is sent.",
    )  # fmt: skip
    # No constraint in the database: it would fail a decision that commits while its webhook is being deleted.
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries", db_constraint=False)
    session = models.ForeignKey(
        Session, null=True, blank=True, on_delete=models.CASCADE, related_name="webhook_deliveries"
    )
    seq = models.PositiveBigIntegerField(null=True, blank=True, help_text="Number of the event within its session.")
    event_type = models.CharField(max_length=40)
    body = models.TextField(help_text="What is sent, to the byte.")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    attempts = models.PositiveIntegerField(default=0, help_text="How often it was tried, in all.")
    retries = models.PositiveIntegerField(default=0, help_text="How often it has failed since it was last asked for.")
    next_attempt_at = models.DateTimeField(default=timezone.now)
    failing_since = models.DateTimeField(null=True, blank=True, help_text="Its first failure since it was asked for.")
    last_attempt_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    took_ms = models.PositiveIntegerField(null=True, blank=True, help_text="How long the last attempt took.")
    answer_status = models.PositiveIntegerField(null=True, blank=True)
    answer_text = models.TextField(blank=True, help_text="How the last answer begins.")
    error = models.TextField(blank=True, help_text="What was wrong with the last attempt.")
    asked_at = models.DateTimeField(null=True, blank=True, help_text="When a worker was last asked to send it.")
    claimed_by = models.CharField(max_length=200, blank=True, help_text="The worker process that is sending it.")
    claimed_until = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[WebhookDeliveryQuerySet] = WebhookDeliveryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "webhook deliveries"
        indexes = [
            models.Index(fields=["next_attempt_at"], name="webhook_delivery_due", condition=Q(status="pending")),
            models.Index(fields=["webhook", "-id"], name="webhook_delivery_newest"),
            models.Index(fields=["created_at"], name="webhook_delivery_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.message_id}"

    @property
    def is_pending(self) -> bool:
        return self.status == self.Status.PENDING

    @property
    def content(self) -> dict[str, Any]:
        """What is sent, read again: `{type, timestamp, data}`."""
        content: dict[str, Any] = json.loads(self.body)
        return content


class AllowedHost(models.Model):
    """A host that is not public and that webhooks may reach all the same, because an owner says so."""

    host = models.CharField(max_length=253, help_text="A name or an IP address, as it stands in the address.")
    port = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(2**16 - 1)],
        help_text="Only this port; empty: any.",
    )
    reason = models.CharField(max_length=500, help_text="Why it is safe to send there.")
    by = models.CharField(max_length=150, editable=False, help_text="The user name.")
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["host", "port"]
        constraints = [
            models.UniqueConstraint(fields=["host", "port"], name="allowed_host_once_per_port"),
            models.UniqueConstraint(fields=["host"], condition=Q(port=None), name="allowed_host_once_for_any_port"),
        ]

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"
