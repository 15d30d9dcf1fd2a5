"""`manage.py work`: runs the tasks that are for this host's workers, and outlives faults of the database."""

from __future__ import annotations

import logging
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import Error, connection
from django_tasks_db.management.commands import db_worker

from coaching.execution.hosts import DifferentKey, queues_here, signs_of_life

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0


class SteadyWorker(db_worker.Worker):
    """Goes on when the database was locked, full or away: whatever was lost meanwhile, the sweep asks for again."""

    def run(self) -> None:
        while self.running:
            try:
                super().run()
            except (Error, OSError):
                logger.exception("This worker could not go on; it tries again.")
                connection.close()
                time.sleep(PAUSE_SECONDS)
            else:
                return


class Command(db_worker.Command):
    help = "Runs the tasks of coachsite that are for this host, for ever."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(queue_name="", interval=0.1, startup_delay=False, reload=False)

    def handle(self, *args: Any, **options: Any) -> None:
        options["queue_name"] = options["queue_name"] or queues_here()
        # The library's command makes its worker by this name.
        db_worker.Worker = SteadyWorker  # type: ignore[misc]
        try:
            with signs_of_life():
                super().handle(*args, **options)
        except DifferentKey as problem:
            raise CommandError(str(problem)) from None
