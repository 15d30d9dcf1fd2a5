from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import Error, close_old_connections
from django.utils import timezone

from coaching.actions.logins import forget_old_logins
from coaching.execution.hosts import Watch, take_over
from coaching.execution.recovery import sweep
from coaching.idempotency import forget_outdated

logger = logging.getLogger(__name__)

PRUNE_EVERY = timedelta(hours=1)


def prune() -> None:
    """Deletes rows that nobody needs any more. Not in each round: it takes longer than all the rest of one."""
    call_command("prune_db_task_results", verbosity=0)
    forget_outdated()
    forget_old_logins()


class Command(BaseCommand):
    help = "Recovers interrupted sessions and closes browsers that nobody needs; once, or for ever with --every."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=float, metavar="SECONDS", help="go on for ever, at this interval")

    def handle(self, *args: Any, every: float | None, **options: Any) -> None:
        if every is None:
            take_over()
            self.stdout.write(str(sweep()))
            prune()
            return
        watch = Watch()
        pruned = timezone.now() - PRUNE_EVERY
        while True:
            try:
                close_old_connections()
                watch.look()
                sweep()
                if timezone.now() - pruned >= PRUNE_EVERY:
                    pruned = timezone.now()
                    prune()
            except (Error, OSError):
                # The next round tries again: a sweep that has died would recover nobody.
                watch.interrupted()
                logger.exception("This sweep could not finish.")
            time.sleep(every)
