"""/metrics: what it says, to whom, and at what cost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import abandon_session, pause_session
from coaching.execution.hosts import give_sign_of_life
from coaching.models import Session, Suggestion
from coachsite.observed import Observed

Samples = dict[tuple[str, tuple[str, ...]], float]


def read(**headers: str) -> Samples:
    """`{(name, values of labels): value}`, as Prometheus understands what we say."""
    response = Client().get("/metrics", headers=headers)
    assert response.status_code == 200
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def test_counts_what_has_happened(suggestion: Suggestion, external_session: Session, coach: User) -> None:
    before = read()
    assert before["coachsite_sessions_started_total", ()] == 2
    assert before["coachsite_sessions", ("active",)] == 2
    assert before["coachsite_sessions", ("paused",)] == 0
    assert before["coachsite_open_suggestions", ()] == 1
    decide(suggestion, Answer(decision="accept"), by=coach)
    pause_session(suggestion.session, by=coach)
    abandon_session(external_session, by=coach)
    after = read()
    assert after["coachsite_decisions_total", ("accepted",)] == 1
    assert after["coachsite_decisions_total", ("rejected",)] == 0
    assert after["coachsite_sessions", ("active",)] == 0
    assert after["coachsite_sessions", ("paused",)] == 1
    assert after["coachsite_sessions_ended_total", ("abandoned",)] == 1
    assert after["coachsite_open_suggestions", ()] == 0
    assert after["coachsite_webhook_deliveries_due", ()] == 0


def test_says_how_long_the_oldest_waits(session: Session, ask: Callable[[Session], Suggestion]) -> None:
    now = timezone.now()
    Session.objects.update(updated_at=now - timedelta(minutes=2))
    found = read()
    assert found["coachsite_waiting_sessions", ()] == 1
    assert 120 <= found["coachsite_oldest_waiting_session_seconds", ()] < 180
    assert found["coachsite_oldest_open_suggestion_seconds", ()] == 0
    assert found["coachsite_queued_tasks", ("default",)] == 0
    ask(session)
    Suggestion.objects.update(opened_at=now - timedelta(minutes=5))
    found = read()
    assert found["coachsite_waiting_sessions", ()] == 0
    assert 300 <= found["coachsite_oldest_open_suggestion_seconds", ()] < 360


@pytest.mark.django_db(transaction=True)
def test_says_what_no_worker_has_begun(session: Session) -> None:
    assert read()["coachsite_queued_tasks", ("default",)] == 1


def test_says_how_many_hosts_live(db: None, settings: Settings) -> None:
    settings.COACHSITE_HOST = "north"
    give_sign_of_life()
    assert read()["coachsite_hosts", ()] == 1


@pytest.mark.skipif("DATABASE_URL" in os.environ, reason="asks SQLite how it would read")
def test_reads_no_table_from_end_to_end(suggestion: Suggestion) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        read()
    plans = []
    for query in queries.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plans += [(row[3], query["sql"]) for row in cursor.fetchall()]
    grows = (
        "coaching_session",
        "coaching_suggestion",
        "coaching_decision",
        "coaching_sessionevent",
        "coaching_webhookdelivery",
    )
    scans = [
        (plan, sql)
        for plan, sql in plans
        if plan.startswith("SCAN") and "USING" not in plan and any(table in plan for table in grows)
    ]
    assert not scans
    assert len(queries.captured_queries) <= 8


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"REMOTE_ADDR": "127.0.0.1"}, 200),
        ({"REMOTE_ADDR": "::1"}, 200),
        ({"REMOTE_ADDR": "192.0.2.7"}, 403),
        ({"REMOTE_ADDR": ""}, 403),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.7"}, 403),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=192.0.2.7"}, 403),
    ],
)
def test_without_a_token_only_this_machine_may_ask(db: None, environ: dict[str, str], status: int) -> None:
    assert Client().get("/metrics", **cast("Any", environ)).status_code == status


def test_with_a_token_only_who_has_it(db: None, settings: Settings) -> None:
    settings.COACHSITE_METRICS_TOKEN = "a long enough token"
    ask = Client().get
    assert ask("/metrics").status_code == 403
    assert ask("/metrics", headers={"Authorization": "Bearer another"}).status_code == 403
    assert (
        ask("/metrics", headers={"Authorization": "Bearer a long enough token"}, REMOTE_ADDR="192.0.2.7").status_code
        == 200
    )
    assert ask("/metrics", headers={"Authorization": "Bearer ä"}).status_code == 403
    assert Client().post("/metrics", headers={"Authorization": "Bearer a long enough token"}).status_code == 405


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def call(application: Any, query: bytes = b"", method: str = "GET") -> dict[str, Any]:
    scope = {"type": "http", "method": method, "path": "/x", "query_string": query, "headers": []}
    client: Any = cast("Any", ApplicationCommunicator)(Observed(application), scope)
    await client.send_input({"type": "http.request", "body": b""})
    start: dict[str, Any] = await client.receive_output(timeout=10)
    await client.wait()
    return start


async def test_requests_are_counted_by_their_status() -> None:
    polls: list[float] = []

    async def teapot(scope: Any, receive: Any, send: Any) -> None:
        polls.append(value("coachsite_long_polls"))
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    before = value("coachsite_requests_total", method="GET", status="418")
    timed = value("coachsite_request_seconds_count")
    await call(teapot)
    await call(teapot, b"after=1&wait=30")
    await call(teapot, method="BREW")
    assert value("coachsite_requests_total", method="GET", status="418") == before + 2
    assert value("coachsite_requests_total", method="other", status="418") >= 1
    assert value("coachsite_request_seconds_count") == timed + 2
    assert polls == [0, 1, 0]
    assert value("coachsite_long_polls") == 0


async def test_open_sockets_are_counted_until_they_close() -> None:
    seen: list[float] = []

    async def socket(scope: Any, receive: Any, send: Any) -> None:
        seen.append(value("coachsite_sockets"))

    before = value("coachsite_sockets")
    await Observed(socket)({"type": "websocket", "headers": []}, cast("Any", None), cast("Any", None))
    assert seen == [before + 1]
    assert value("coachsite_sockets") == before


AS_A_PROCESS = """
import django
django.setup()
from coachsite.prometheus import _registry, as_text, count_request
count_request("GET", 200, 0.1)
print(as_text(_registry()).decode())
"""


def test_web_processes_that_share_a_folder_are_counted_together(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "coachsite.settings",
        "COACHSITE_DATA": str(tmp_path / "data"),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
    }
    said = ""
    for _ in range(2):
        said = subprocess.run(
            [sys.executable, "-c", AS_A_PROCESS],
            cwd=django_settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    assert 'coachsite_requests_total{method="GET",status="200"} 2.0' in said
