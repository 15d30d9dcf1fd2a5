from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from coaching.backups import BackupFailed, here, restore_backup


class Command(BaseCommand):
    help = "Restores a backup into an empty data folder (or database). coachsite must not be running on it."
    # There is no database to check yet.
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="DIR", type=Path, help="what “backup” has written")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        try:
            count = restore_backup(folder)
        except BackupFailed as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"Restored {count} sessions to {here()}. Start coachsite as always.")
