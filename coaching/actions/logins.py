"""Logins that are over: tokens and sign-ins that have expired, and what is kept of attempts to sign in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session as SignIn
from django.db.models import QuerySet
from django.utils import timezone
from knox.models import AuthToken

#: How many rows one statement deletes, and how many of each kind one round: other writers wait in between only.
BATCH = 500
MOST = 10 * BATCH


def forget_old_logins() -> int:
    """Deletes what is over for more than `LOGIN_KEEP_DAYS`, at most `MOST` of each kind; returns how many rows.

    Sign-ins that have expired open nothing and say nothing: they are deleted at once. The audit log points to none of
    all these and stays as it is.
    """
    now = timezone.now()
    before = now - timedelta(days=settings.LOGIN_KEEP_DAYS)
    over: list[QuerySet[Any]] = [
        AuthToken.objects.filter(expiry__lt=before).order_by("expiry"),
        SignIn.objects.filter(expire_date__lt=now).order_by("expire_date"),
        *(model.objects.filter(attempt_time__lt=before).order_by("pk") for model in _ATTEMPTS),
    ]
    return sum(map(_delete, over))


_ATTEMPTS = (AccessAttempt, AccessFailureLog, AccessLog)


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    keys = list(rows.values_list("pk", flat=True)[:MOST])
    for start in range(0, len(keys), BATCH):
        # Asked again: who is locked out anew meanwhile stays so.
        deleted += rows.order_by().filter(pk__in=keys[start : start + BATCH]).delete()[0]
    return deleted
