"""`manage.py work`: an idle worker costs next to nothing and yet begins a task at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_tasks import task
from django_tasks_db.management.commands import db_worker
from django_tasks_db.models import DBTaskResult

from coaching.management.commands.work import GLANCE_SECONDS, SteadyWorker

done: list[float] = []


@task()
def note_the_time() -> None:
    done.append(time.monotonic())


def worker(*queues: str, interval: float = GLANCE_SECONDS) -> SteadyWorker:
    return SteadyWorker(
        queue_names=list(queues) or ["*"], interval=interval, batch=False, backend_name="default",
        startup_delay=False, max_tasks=1, worker_id="of-a-test", excluded_queue_names=[],
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    done.clear()


@pytest.mark.django_db(transaction=True)
def test_begins_a_task_soon() -> None:
    def work() -> None:
        worker().run()
        connection.close()

    waits: list[float] = []
    for _ in range(7):
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(3.5 * GLANCE_SECONDS)  # it is idle by now
        asked = time.monotonic()
        note_the_time.enqueue()
        thread.join()
        waits.append(done.pop() - asked)
    assert sorted(waits)[3] < 0.25


def test_an_idle_look_is_one_small_query(db: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert not worker()._tasks_wait()
    assert len(queries) == 1
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
            assert "tasks_db_new_ordering_idx" in str(cursor.fetchall())


@pytest.mark.parametrize(("queue", "waits"), [("*", True), ("default", True), ("host-a", False)])
def test_looks_only_at_its_own_queues(db: None, queue: str, waits: bool) -> None:
    note_the_time.enqueue()
    assert worker(queue)._tasks_wait() is waits
    DBTaskResult.objects.update(status="RUNNING")
    assert not worker(queue)._tasks_wait()


def test_the_interval_can_be_told(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SteadyWorker] = []

    def note(self: SteadyWorker) -> None:
        made.append(self)

    monkeypatch.setattr(SteadyWorker, "run", note)
    monkeypatch.setattr(db_worker, "Worker", SteadyWorker)
    call_command("work", interval=0.5, verbosity=0)
    call_command("work", verbosity=0)
    assert [one._glance for one in made] == [0.5, GLANCE_SECONDS]
