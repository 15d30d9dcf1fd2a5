from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from coaching.actions.audit import entries_as_json


class Command(BaseCommand):
    help = "Prints the audit log as JSON Lines, the oldest entry first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", help="only entries from this moment on, e.g. 2026-01-31 or 2026-01-31T12:00Z")

    def handle(self, *args: Any, since: str | None, **options: Any) -> None:
        for entry in entries_as_json(since=_moment(since) if since else None):
            self.stdout.write(json.dumps(entry, ensure_ascii=False))


def _moment(text: str) -> datetime:
    """Without a zone it is read as UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--since: “{text}” is no ISO 8601 date.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
