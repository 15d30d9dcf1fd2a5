"""`manage.py work`: runs the tasks that are for this host's workers, and outlives faults of the database."""

from __future__ import annotations

import logging
import time
from argparse import ArgumentParser
from functools import cache
from typing import Any

from django.core.management.base import CommandError
from django.db import Error, connection
from django_tasks_db.management.commands import db_worker
from django_tasks_db.models import DBTaskResult

from coaching.execution.hosts import DifferentKey, queues_here, signs_of_life

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
#: Unless told otherwise, how often an idle worker looks whether any task waits, by one small query …
GLANCE_SECONDS = 0.05
#: … and how often it asks for one as the library does, which takes the lock of all writers on SQLite.
LOOK_SECONDS = 5.0


class SteadyWorker(db_worker.Worker):
    """Goes on when the database was locked, full or away: whatever was lost meanwhile, the sweep asks for again.

    While there is nothing to do it costs next to nothing, and yet begins a task within `--interval` seconds.
    """

    @property
    def interval(self) -> float:
        """How long the library's loop is to sleep when it has found no task: not at all, after we have waited."""
        over = time.monotonic() + LOOK_SECONDS
        while time.monotonic() < over:
            time.sleep(self._glance)
            if self._tasks_wait():
                break
        return 0.0

    @interval.setter
    def interval(self, seconds: float) -> None:
        self._glance = seconds

    def _tasks_wait(self) -> bool:
        queues = [] if self.process_all_queues else self.queue_names
        with connection.cursor() as cursor:
            cursor.execute(_any_ready(len(queues)), queues)
            return cursor.fetchone() is not None

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


@cache
def _any_ready(queues: int) -> str:
    """SQL that finds a row where a task is ready in one of so many queues; in any queue for 0."""
    quoted = connection.ops.quote_name
    here = f" AND {quoted('queue_name')} IN ({', '.join(['%s'] * queues)})" if queues else ""
    # The status stands in the text: only so is the library's index of what is ready used.
    table = quoted(DBTaskResult._meta.db_table)
    return f"SELECT 1 FROM {table} WHERE {quoted('status')} = 'READY'{here} LIMIT 1"  # noqa: S608


class Command(db_worker.Command):
    help = "Runs the tasks of coachsite that are for this host, for ever."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(queue_name="", interval=GLANCE_SECONDS, startup_delay=False, reload=False)

    def handle(self, *args: Any, **options: Any) -> None:
        options["queue_name"] = options["queue_name"] or queues_here()
        # The library's command makes its worker by this name.
        db_worker.Worker = SteadyWorker  # type: ignore[misc]
        try:
            with signs_of_life():
                super().handle(*args, **options)
        except DifferentKey as problem:
            raise CommandError(str(problem)) from None
