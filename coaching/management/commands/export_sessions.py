from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from coaching.exports.files import export_sessions


class Command(BaseCommand):
    help = "Writes every session to a JSON file of its own, from which it can be imported again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="DIR", type=Path, help="the folder for the files; made if need be")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        try:
            count = export_sessions(folder)
        except OSError as error:
            raise CommandError(f"{folder} cannot be written to: {error.strerror}.") from error
        self.stdout.write(f"{count} exported.")
