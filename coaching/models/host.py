"""The hosts of a grown layout, by their signs of life."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


def moments_ago(seconds: float) -> Any:
    """That time by the database's clock, so that the clocks of hosts need not agree."""
    return Now() - timedelta(seconds=seconds)


class HostQuerySet(models.QuerySet["Host"]):
    def alive(self) -> HostQuerySet:
        return self.filter(seen_at__gte=moments_ago(settings.HOST_DEAD_SECONDS))


class Host(models.Model):
    """One machine (and data folder) with workers. Sessions whose browser it holds name it in `Session.host`."""

    name = models.CharField(max_length=200, unique=True, help_text="Its COACHSITE_HOST.")
    seen_at = models.DateTimeField(db_default=Now(), help_text="When a worker of it gave its last sign of life.")
    key_print = models.CharField(max_length=64, help_text="By which hosts find out whether their SECRET_KEY is one.")

    objects: ClassVar[HostQuerySet] = HostQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.name
