from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class MetricsConfig(AppConfig):
    name = "metrics"
    verbose_name = "Metrics"

    def ready(self) -> None:
        from coaching.evidence import provide  # noqa: PLC0415 - models are there only now

        from . import readiness, recount  # noqa: PLC0415

        import_module("metrics.collector")  # connects the receivers that count
        provide(readiness)
        post_migrate.connect(recount.recount, sender=self)
