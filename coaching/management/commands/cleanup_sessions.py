from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from coaching.actions.sessions import delete_old_sessions


class Command(BaseCommand):
    help = "Removes sessions that were not updated for so many days, and prints how many."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--max-age-days", type=int, default=30)
        parser.add_argument("--dry-run", action="store_true", help="only count them")

    def handle(self, *args: Any, max_age_days: int, dry_run: bool, **options: Any) -> None:
        if max_age_days < 0:
            raise CommandError("--max-age-days must not be negative.")
        self.stdout.write(str(delete_old_sessions(max_age=timedelta(days=max_age_days), dry_run=dry_run)))
