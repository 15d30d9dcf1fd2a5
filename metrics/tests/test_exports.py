"""Where every step stands, as CSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from coaching.actions.autonomy import demote
from coaching.actions.workflows import create_workflow
from coaching.models import Step, Workflow
from coaching.tests.domain import make_auto
from metrics.exports import COLUMNS, metrics_rows

pytestmark = pytest.mark.django_db

Api = Callable[[User], APIClient]


@pytest.fixture
def coached(browser_workflow: Workflow, owner: User) -> Workflow:
    """One step is AUTO, one was taken back, one has nothing; a second workflow stands beside it."""
    make_auto(browser_workflow, by=owner, but=["click-save"])
    demote(browser_workflow, node_ids=["change-amount"], reason="=cmd", by=owner)
    steps = [{"node_id": f"node {i}", "action_type": "t"} for i in range(5)]
    create_workflow(workflow_id="another", name="Another", executor="external", steps=steps, by=owner)
    return browser_workflow


def content(response: Any) -> str:
    assert response.status_code == 200
    text: str = b"".join(response).decode()
    return text


@pytest.mark.usefixtures("coached")
def test_json_lines_are_the_steps_of_the_api(viewer: User, api: Api) -> None:
    client = api(viewer)
    rows = [json.loads(line) for line in content(client.get("/api/v1/export/metrics/?format=jsonl")).splitlines()]
    expected = [
        {"workflow_id": workflow.workflow_id, **step}
        for workflow in Workflow.objects.order_by("pk")
        for step in client.get(f"/api/v1/workflows/{workflow.workflow_id}/metrics/").json()["steps"]
    ]
    assert rows == expected
    assert len(rows) == 8


@pytest.mark.usefixtures("coached")
def test_csv_has_a_column_for_everything(viewer: User, api: Api) -> None:
    text = content(api(viewer).get("/api/v1/export/metrics/?workflow_id=expense-claim"))
    assert text.startswith(",".join(COLUMNS) + "\r\n")
    alone, taken_back, new = csv.DictReader(io.StringIO(text, newline=""))
    assert (alone["level"], alone["lifetime_accepted"], alone["epoch_accepted"]) == ("AUTO", "30", "30")
    assert (alone["acceptance_rate"], alone["ready"], alone["audit_rate"]) == ("1.0", "true", "0.2")
    assert alone["last_change_to"] == "AUTO"
    assert (taken_back["epoch_accepted"], taken_back["last_change_from"]) == ("0", "AUTO")
    assert taken_back["last_change_reason"] == "'=cmd"
    assert taken_back["unmet"].split() == ["min_decisions", "acceptance_rate", "confidence"]
    assert (new["risk"], new["acceptance_rate"], new["wilson_low"]) == ("irreversible", "", "")


@pytest.mark.usefixtures("coached")
def test_every_field_of_the_api_is_a_column(viewer: User, api: Api) -> None:
    line = json.loads(content(api(viewer).get("/api/v1/export/metrics/?format=jsonl")).splitlines()[0])
    flat = [
        f"{name}_{inner}" if isinstance(value, dict) else name
        for name, value in line.items()
        for inner in (value if isinstance(value, dict) else [""])
    ]
    assert tuple(flat) == COLUMNS


@pytest.mark.usefixtures("coached")
def test_it_is_read_in_bites() -> None:
    reader = metrics_rows(Step.objects.all(), size=3)
    counts, names = [], []
    for _ in range(3):
        with CaptureQueriesContext(connection) as queries:
            names += [row["node_id"] for row in next(reader)]
        counts.append(len(queries))
    assert len(set(counts)) == 1
    assert next(reader, None) is None
    assert names == ["open", "change-amount", "click-save", *(f"node {i}" for i in range(5))]


def test_a_removed_step_is_left_out(coached: Workflow) -> None:
    coached.steps.filter(node_id="open").update(step_index=None)
    names = [row["node_id"] for rows in metrics_rows(coached.steps.all()) for row in rows]
    assert names == ["change-amount", "click-save"]


def test_who_may(viewer: User, stranger: User, api: Api, sign_in: Callable[[User], Client]) -> None:
    place = "/api/v1/export/metrics/"
    assert APIClient().get(place).status_code == 401
    assert api(stranger).get(place).status_code == 403
    assert content(sign_in(viewer).get(place)) == ",".join(COLUMNS) + "\r\n"
    assert api(viewer).get(f"{place}?format=pdf").status_code == 400


@pytest.mark.usefixtures("coached")
def test_the_dashboard_links_to_it(viewer: User, sign_in: Callable[[User], Client]) -> None:
    page = sign_in(viewer).get("/dashboard/").content.decode()
    assert 'href="/api/v1/export/metrics/?format=csv" download' in page
    assert 'href="/api/v1/export/metrics/?format=jsonl" download' in page
