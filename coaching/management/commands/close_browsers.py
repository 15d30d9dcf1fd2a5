from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from coaching.execution.recovery import close_all_browsers


class Command(BaseCommand):
    help = "Closes every Chromium that sessions of this data folder have opened. Their sessions stay resumable."

    def handle(self, *args: Any, **options: Any) -> None:
        count = close_all_browsers()
        if count:
            self.stdout.write(f"Closed {count} browsers.")
