from __future__ import annotations

from django.conf import settings
from django.db import models

from .workflow import Workflow


class Recording(models.Model):
    """One demonstration: a recording that somebody imported, its secret values replaced by placeholders."""

    class Format(models.TextChoices):
        CHROME_RECORDER = "chrome-recorder", "Chrome Recorder"
        SELENIUM_IDE = "selenium-ide", "Selenium IDE"

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="recordings")
    format = models.CharField(max_length=20, choices=Format)
    title = models.CharField(max_length=200)
    document = models.JSONField(help_text="The Chrome Recorder user flow, header and steps.")
    notes = models.JSONField(default=list, help_text="What the import had to say, as [{step_index, message}].")
    imported_at = models.DateTimeField(auto_now_add=True)
    imported_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["-imported_at", "-pk"]

    def __str__(self) -> str:
        return self.title
