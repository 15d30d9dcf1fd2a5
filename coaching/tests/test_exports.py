"""Exports in one answer: their shapes, their safety in spreadsheets, and that they are read piece by piece."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.signals import request_finished
from django.db import close_old_connections, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from coaching.actions.decisions import Answer, decide, record_decision
from coaching.actions.sessions import complete_session, pause_session, start_session
from coaching.exports.flow import GONE
from coaching.exports.formats import as_csv, as_json_lines, cell
from coaching.exports.reading import BITE
from coaching.exports.rows import DECISION_COLUMNS, SESSION_COLUMNS
from coaching.exports.streams import AT_ONCE
from coaching.models import Decision, Session, Suggestion, Workflow
from coaching.secrets import encrypt

pytestmark = pytest.mark.django_db

Api = Callable[[User], APIClient]


@pytest.fixture
def runs(
    browser_workflow: Workflow, external_workflow: Workflow, coach: User, owner: User, ask: Callable[..., Suggestion]
) -> list[Session]:
    """Three sessions: one that types a secret, one of a program with three decisions, one without any."""
    browser_workflow.variables.create(
        name="password", label="Password", secret=True, encrypted_default=encrypt({"password": "hunter2!x"})
    )
    secret = start_session(browser_workflow, by=coach)
    typed = {"type": "change", "selectors": [["#p"]], "value": "{{ password }}"}
    decide(ask(secret, action=typed | {"selectors": [["#q"]]}), Answer(decision="correct", correction=typed), by=coach)
    recorded = start_session(
        external_workflow, by=owner, mode="auto", execution_id="=2+5", metadata={"ü": 1}, total_steps=3
    )
    for i, feedback in enumerate(["-1", '=HYPERLINK("http://evil/")', "a,\n“b”"]):
        record_decision(
            recorded, Answer(decision="skip", feedback=feedback), step_index=i, node_id="@node", action_type="t",
            execution_success=bool(i), by=owner,
        )  # fmt: skip
    complete_session(recorded, by=owner)
    idle = start_session(external_workflow, by=owner)
    pause_session(idle, by=owner)
    return [secret, recorded, idle]


def content(response: Any) -> str:
    assert response.status_code == 200, response.content
    text: str = b"".join(response).decode()
    return text


def leave(response: Any) -> None:
    """As the server does when the reader has gone; the test goes on with its connection to the database."""
    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)


def table(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content(response), newline="")))


def lines(response: Any) -> list[dict[str, Any]]:
    text = content(response)
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.split("\n")[:-1]]


@pytest.fixture
def client(viewer: User, api: Api) -> APIClient:
    return api(viewer)


@pytest.mark.usefixtures("runs")
def test_sessions_as_json_lines_are_those_of_the_api(client: APIClient) -> None:
    exported = lines(client.get("/api/v1/export/sessions/?format=jsonl"))
    assert len(exported) == 3
    for session in exported:
        answered = client.get(f"/api/v1/sessions/{session['session_id']}/").json()
        del answered["open_suggestion"]
        assert session == answered


@pytest.mark.usefixtures("runs")
def test_decisions_as_json_lines_are_those_of_the_api(client: APIClient) -> None:
    exported = lines(client.get("/api/v1/export/decisions/?format=jsonl"))
    assert len(exported) == Decision.objects.count() == 4
    for session in Session.objects.all():
        answered = client.get(f"/api/v1/sessions/{session.session_id}/decisions/").json()["results"]
        own = [one for one in exported if one["session_id"] == session.session_id]
        beside = {"session_id": session.session_id, "workflow_id": session.workflow.workflow_id}
        for i, decision in enumerate(answered):
            n = {"n": 1 if session.workflow.is_browser else None}
            assert own[i] == decision | beside | n | {"execution_id": session.execution_id}


def test_sessions_as_csv(client: APIClient, runs: list[Session]) -> None:
    response = client.get("/api/v1/export/sessions/")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="sessions.csv"'
    assert response.headers["Cache-Control"] == "private, no-store"
    text = content(response)
    assert text.startswith(",".join(SESSION_COLUMNS) + "\r\n")
    _, recorded, _ = csv.DictReader(io.StringIO(text, newline=""))
    assert recorded["session_id"] == runs[1].session_id
    assert recorded["execution_id"] == "'=2+5"
    assert (recorded["skipped"], recorded["accepted"], recorded["acceptance_rate"]) == ("3", "0", "0.0")
    assert json.loads(recorded["metadata"]) == {"ü": 1}
    assert recorded["error_message"] == ""


@pytest.mark.usefixtures("runs")
def test_decisions_as_csv(client: APIClient) -> None:
    response = client.get("/api/v1/export/decisions/?format=csv")
    text = content(response)
    assert text.startswith(",".join(DECISION_COLUMNS) + "\r\n")
    assert "hunter2" not in text
    corrected, *recorded = csv.DictReader(io.StringIO(text, newline=""))
    assert json.loads(corrected["correction"])["value"] == "***"
    assert (corrected["n"], corrected["execution_success"]) == ("1", "")
    assert [one["feedback"] for one in recorded] == ["-1", """'=HYPERLINK("http://evil/")""", "a,\n“b”"]
    assert [one["execution_success"] for one in recorded] == ["false", "true", "true"]
    assert {one["node_id"] for one in recorded} == {"'@node"}
    assert {one["n"] for one in recorded} == {""}


def test_json_lines_have_their_own_type(client: APIClient) -> None:
    response = client.get("/api/v1/export/decisions/?format=jsonl")
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["Content-Disposition"] == 'attachment; filename="decisions.jsonl"'
    assert content(response) == ""


def test_nothing_is_a_header_alone(client: APIClient) -> None:
    assert content(client.get("/api/v1/export/decisions/")) == ",".join(DECISION_COLUMNS) + "\r\n"


def test_filters(runs: list[Session], owner: User, api: Api) -> None:
    names = {session.session_id: name for session, name in zip(runs, ["secret", "recorded", "idle"], strict=True)}
    client = api(owner)

    def found(query: str) -> set[str]:
        rows = table(client.get(f"/api/v1/export/sessions/?{query}"))
        assert lines(client.get(f"/api/v1/export/sessions/?format=jsonl&{query}")).__len__() == len(rows)
        return {names[row["session_id"]] for row in rows}

    assert found("workflow_id=invoice-import") == {"recorded", "idle"}
    assert found("workflow_id=unknown") == set()
    assert found("status=completed") == {"recorded"}
    assert found("mode=auto") == {"recorded"}
    assert found("resumable=true") == {"secret", "idle"}
    assert found("resumable=false") == {"recorded"}
    assert found("mine=true") == {"recorded", "idle"}
    assert found("mine=true&status=paused&mode=coaching&workflow_id=invoice-import") == {"idle"}
    Session.objects.filter(pk=runs[0].pk).update(started_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert found("since=2020-01-02") == {"recorded", "idle"}
    assert found("until=2020-01-01T00:00:00Z") == set(), "until is the first moment that is out"
    assert found("since=2020-01-01T00:00:00Z&until=2020-01-01T00:00:00.000001Z") == {"secret"}
    assert len(table(client.get("/api/v1/export/decisions/?status=completed"))) == 3
    assert len(table(client.get(f"/api/v1/export/decisions/?session_id={runs[0].session_id}"))) == 1
    Decision.objects.filter(step_index=2).update(timestamp=datetime(2020, 1, 1, tzinfo=UTC))
    assert len(table(client.get("/api/v1/export/decisions/?until=2020-01-02"))) == 1


@pytest.mark.parametrize(
    "query",
    ["format=xlsx", "status=done", "mode=x", "since=yesterday", "until=1969-01-01", "resumable=perhaps", "wait=25"],
)
@pytest.mark.parametrize("what", ["sessions", "decisions"])
def test_what_makes_no_sense_is_refused_as_json(client: APIClient, what: str, query: str) -> None:
    response = client.get(f"/api/v1/export/{what}/?{query}", headers={"Accept": "text/csv"})
    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"] == query.partition("=")[0]


@pytest.mark.parametrize("what", ["sessions", "decisions"])
def test_who_may(what: str, viewer: User, stranger: User, api: Api, sign_in: Callable[[User], Client]) -> None:
    place = f"/api/v1/export/{what}/?format=csv"
    assert APIClient().get(place).status_code == 401
    refused = api(stranger).get(place)
    assert refused.status_code == 403
    assert refused.json()["errors"][0]["code"] == "permission_denied"
    assert content(api(viewer).get(place, headers={"Accept": "text/csv"}))
    assert content(sign_in(viewer).get(place)), "the links of the pages come with the session cookie"
    assert sign_in(stranger).get(place).status_code == 403
    assert api(viewer).post(place).status_code == 405


def many(workflow: Workflow, count: int) -> None:
    sessions = Session.objects.bulk_create(
        Session(workflow=workflow, session_id=f"s{i:05}", execution_id=f"e{i}", skipped=1) for i in range(count)
    )
    Decision.objects.bulk_create(
        Decision(session=session, step_index=0, node_id="a", action_type="t", decision="skip", decided_by="x")
        for session in sessions
    )


@pytest.mark.parametrize(
    ("address", "queries_of_a_bite"),
    [
        ("sessions/?format=csv", 1),
        ("sessions/?format=jsonl", 2),
        ("decisions/?format=csv", 2),
        ("decisions/?format=jsonl", 2),
    ],
)
def test_the_first_rows_arrive_before_the_last_are_read(
    external_workflow: Workflow, client: APIClient, address: str, queries_of_a_bite: int
) -> None:
    many(external_workflow, 3 * BITE)
    response: Any = client.get(f"/api/v1/export/{address}")
    pieces: Iterator[bytes] = iter(response)
    header = address.endswith("csv")
    if header:
        with CaptureQueriesContext(connection) as queries:
            next(pieces)
        assert len(queries) == 0
    counts = []
    rows = 0
    for _ in range(3):
        with CaptureQueriesContext(connection) as queries:
            rows += next(pieces).count(b"\n")
        counts.append(len(queries))
    assert counts == [queries_of_a_bite] * 3
    assert rows == 3 * BITE
    assert not list(pieces)


def test_few_at_once(external_workflow: Workflow, client: APIClient) -> None:
    many(external_workflow, 3)
    reading: list[Any] = [client.get("/api/v1/export/sessions/") for _ in range(AT_ONCE)]
    refused = client.get("/api/v1/export/decisions/")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "10"
    assert refused.json()["errors"][0]["code"] == "throttled"
    leave(reading[0])  # before the first piece
    leave(reading[0])
    other: Any = client.get("/api/v1/export/decisions/")
    assert other.status_code == 200
    assert client.get("/api/v1/export/decisions/").status_code == 429, "closing twice frees one place"
    for response in (reading[1], other):
        content(response)
    assert content(client.get("/api/v1/export/decisions/"))


def test_it_ends_when_its_reader_has_gone(external_workflow: Workflow, client: APIClient) -> None:
    import threading  # noqa: PLC0415

    many(external_workflow, 2 * BITE)
    gone = threading.Event()
    beside: dict[str, Any] = {"asgi.scope": {GONE: gone}}
    response: Any = client.get("/api/v1/export/sessions/?format=jsonl", **beside)
    pieces = iter(response)
    next(pieces)
    gone.set()
    assert not list(pieces)


# ---- cells


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1 234", "'+1 234"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("-", "'-"),
        ("-1+2", "'-1+2"),
        ("-1\n", "'-1\n"),
        ("-1", "-1"),
        ("+3.50", "+3.50"),
        ("-2.5e-3", "-2.5e-3"),
        ("a=1", "a=1"),
        ("", ""),
        (-1, "-1"),
        (0.5, "0.5"),
        (True, "true"),
        (None, ""),
        ({"a": "=1"}, '{"a": "=1"}'),
        (["=1"], '["=1"]'),
    ],
)  # fmt: skip
def test_no_cell_is_a_formula(value: Any, written: str) -> None:
    assert cell(value) == written


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=2, max_size=2)
    )
)
def test_csv_reads_back_as_it_was_written(rows: list[list[str]]) -> None:
    written = b"".join(as_csv(["a", "b"], [[dict(zip("ab", row, strict=True)) for row in rows]]))
    back = list(csv.reader(io.StringIO(written.decode(), newline="")))
    assert back == [["a", "b"], *([cell(value) for value in row] for row in rows)]
    assert all(len(row) == 2 for row in back)


@given(st.lists(st.dictionaries(st.text(), st.text(st.characters(exclude_categories=["Cs"])))))
def test_a_line_is_an_object(rows: list[dict[str, str]]) -> None:
    written = b"".join(as_json_lines([rows])).decode()
    assert [json.loads(line) for line in written.split("\n")[:-1]] == rows


# ---- pages


@pytest.mark.usefixtures("runs")
def test_the_list_links_to_what_it_shows(owner: User, sign_in: Callable[[User], Client]) -> None:
    client = sign_in(owner)
    page = client.get("/sessions/?workflow=invoice-import&status=ongoing&mode=coaching&mine=on&older=").content.decode()
    query = "workflow_id=invoice-import&amp;resumable=true&amp;mode=coaching&amp;mine=true"
    for what in ("sessions", "decisions"):
        for kind in ("csv", "jsonl"):
            assert f'href="/api/v1/export/{what}/?format={kind}&amp;{query}" download' in page
    page = client.get("/sessions/?status=completed").content.decode()
    assert 'href="/api/v1/export/sessions/?format=csv&amp;status=completed" download' in page
    page = client.get("/sessions/").content.decode()
    assert 'href="/api/v1/export/sessions/?format=csv" download' in page
    assert content(client.get("/api/v1/export/sessions/?format=csv"))


def test_a_list_that_shows_nothing_links_to_nothing(viewer: User, sign_in: Callable[[User], Client]) -> None:
    assert "export" not in sign_in(viewer).get("/sessions/").content.decode()


def test_a_record_links_to_its_decisions(runs: list[Session], viewer: User, sign_in: Callable[[User], Client]) -> None:
    client = sign_in(viewer)
    page = client.get(f"/sessions/{runs[1].session_id}/").content.decode()
    address = f"/api/v1/export/decisions/?format=csv&amp;session_id={runs[1].session_id}"
    assert f'href="{address}" download' in page
    assert len(table(client.get(address.replace("&amp;", "&")))) == 3


def test_times_are_in_the_order_of_the_keys(external_workflow: Workflow, client: APIClient) -> None:
    """What is exported first is what came first, however often it was changed since."""
    now = datetime.now(UTC)
    Session.objects.bulk_create(
        Session(workflow=external_workflow, session_id=f"s{i}", execution_id=f"e{i}", updated_at=now - timedelta(i))
        for i in range(3)
    )
    assert [row["session_id"] for row in table(client.get("/api/v1/export/sessions/"))] == ["s0", "s1", "s2"]


@pytest.mark.parametrize(
    "text",
    ["＝1+1", "＋1", "－1", "＠x", "\ufeff=1+1", "\u200b=1", " =1", 'x;=HYPERLINK("http://e")', "x\t=1", "x; @a"],
)
def test_what_only_some_spreadsheets_take_for_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["a=b", "x; y", "1-2", "-1.5e3", "a - b", "mail@example.org"])
def test_what_none_takes_for_a_formula(text: str) -> None:
    assert cell(text) == text
