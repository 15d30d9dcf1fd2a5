from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class CoachingConfig(AppConfig):
    name = "coaching"
    verbose_name = "Coaching"

    def ready(self) -> None:
        import_module("coaching.tasks")  # connects the receivers that enqueue
