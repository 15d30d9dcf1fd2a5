from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from coaching.backups import BackupFailed, here, make_backup


class Command(BaseCommand):
    help = "Backs up the database, the pictures and the secret key into a folder, while coachsite goes on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="DIR", type=Path, help="an empty folder; made if need be")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        try:
            made = make_backup(folder)
        except BackupFailed as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"Backed up {here()} with {made.pictures} pictures to {folder}.")
        if not made.with_key:
            self.stderr.write("SECRET_KEY comes from the environment and is not in it: keep it elsewhere.")
