"""What was answered to requests that may come twice."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone

KEPT_FOR = timedelta(hours=24)
KEY_LENGTH = 255


class GivenAnswer(models.Model):
    """The first answer to a request with an `Idempotency-Key`, written in the transaction that did what was asked."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=KEY_LENGTH)
    fingerprint = models.CharField(max_length=64, help_text="Of the request: method, address and body.")
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    encrypted_body = models.TextField(blank=True, help_text="An answer may show what is shown only once.")
    at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="given_answer_once_per_user_and_key")]

    def __str__(self) -> str:
        return f"{self.key}: {self.status}"
