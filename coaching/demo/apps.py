from __future__ import annotations

from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "coaching.demo"
    label = "demo"
    verbose_name = "Demo: expense claims"
    default_auto_field = "django.db.models.BigAutoField"
