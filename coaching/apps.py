from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from .policy import InvalidPolicy, Policy


class CoachingConfig(AppConfig):
    name = "coaching"
    verbose_name = "Coaching"

    def ready(self) -> None:
        try:
            Policy.of(settings.AUTONOMY)
        except InvalidPolicy as error:
            raise ImproperlyConfigured(f"AUTONOMY: {error}") from error
        import_module("coaching.tasks")  # connects the receivers that enqueue
        import_module("coaching.watching")  # and those that write the audit log
