from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from coaching.actions.session_files import import_sessions
from coaching.recordings.document import quoted


class Command(BaseCommand):
    help = (
        "Imports sessions that were kept as JSON files, one per session. Sessions that are here already are left as "
        "they are; broken files are named, and make the command fail after the rest is imported."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="DIR", type=Path, help="the folder with the files")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        imported = known = broken = 0
        try:
            for report in import_sessions(folder):
                name = quoted(report.name, limit=200)
                if report.imported is None:
                    broken += 1
                    self.stderr.write(f"{name} is broken: {report.broken}")
                    continue
                imported += report.imported.new
                known += not report.imported.new
                for remark in report.imported.remarks:
                    self.stderr.write(f"{name}: {remark}.")
        except OSError as error:
            raise CommandError(f"{folder} cannot be read: {error.strerror}.") from error
        self.stdout.write(f"{imported} imported, {known} known already, {broken} broken.")
        if broken:
            sys.exit(1)
