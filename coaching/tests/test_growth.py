"""What is read often must not grow with the history: the database walks an index, whatever is asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from coaching.execution.recovery import sweep
from coaching.models import Session

LARGE = ("coaching_session", "coaching_suggestion", "coaching_decision", "coaching_sessionevent")


@pytest.fixture
def program(api: Callable[..., APIClient], coach: User) -> APIClient:
    return api(coach)


pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="reads the query plans of SQLite")


def plans(queries: CaptureQueriesContext) -> list[str]:
    """A line for each table that a query goes through."""
    found = []
    with connection.cursor() as cursor:
        for query in queries:
            if query["sql"].startswith("SELECT"):
                cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                found += [row[3] for row in cursor.fetchall()]
    return found


def scans(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("SCAN") and line.split()[1] in LARGE]


@pytest.mark.parametrize(
    "asked",
    ["", "status=completed", "status=active", "workflow_id={0}", "workflow_id={0}&status=failed", "execution_id=x"],
)
def test_lists_of_sessions_are_read_in_their_order(program: APIClient, session: Session, asked: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        query = asked.format(session.workflow.workflow_id)
        assert program.get(f"/api/v1/sessions/?{query}").status_code == 200
    lines = plans(queries)
    assert any("coaching_session USING INDEX" in line for line in lines)
    sorted_here = [line for line in lines if "TEMP B-TREE" in line]
    # Executions of one name are few: a workflow has one at most.
    assert sorted_here == [] or asked.startswith("execution_id")
    # Everything, newest first, is a walk along the index that stops at the end of the page.
    assert scans(lines) == ([] if asked else ["SCAN coaching_session USING INDEX session_newest_first"])


def test_the_sweep_looks_for_what_is_to_be_done(session: Session) -> None:
    sweep()
    with CaptureQueriesContext(connection) as queries:
        sweep()
    lines = plans(queries)
    assert scans(lines) == []
    assert any("session_leased" in line for line in lines)
    assert any("suggestion_performing" in line for line in lines)


def test_statistics_read_tallies(program: APIClient, session: Session) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert program.get("/api/v1/statistics/").status_code == 200
    assert scans(plans(queries)) == []
