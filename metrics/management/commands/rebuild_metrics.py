from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metrics.rebuild import rebuild


class Command(BaseCommand):
    help = "Counts all metrics anew from the decisions, says what differs, and puts it right."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; fail if anything differs")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        found = 0
        for difference in rebuild(repair=not check):
            found += 1
            self.stdout.write(f"{difference.what}: {difference.kept}, should be {difference.counted}")
        if check and found:
            raise CommandError(f"{found} numbers differ from the decisions: run rebuild_metrics to put them right.")
        self.stdout.write(f"{found} numbers differed and are right now." if found else "All metrics are right.")
