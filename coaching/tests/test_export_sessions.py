"""Sessions become files, and the files the same sessions again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from coaching.actions.decisions import Answer, decide, record_decision
from coaching.actions.session_files import import_session
from coaching.actions.sessions import (
    abandon_session,
    complete_session,
    delete_session,
    fail_session,
    pause_session,
    start_session,
)
from coaching.actions.suggestions import record_outcome
from coaching.exports.reading import in_bites, with_decisions
from coaching.exports.rows import session_row
from coaching.models import Decision, Session, Suggestion, Workflow
from coaching.secrets import encrypt
from coaching.session_files import read_session, write_session

pytestmark = pytest.mark.django_db

#: Of *Session* and *Decision* in the contract, in its order.
SESSION_FIELDS = [
    "session_id", "workflow_id", "execution_id", "status", "mode", "current_step_index", "total_steps", "decisions",
    "stats", "acceptance_rate", "correction_rate", "variables", "metadata", "started_at", "updated_at", "completed_at",
    "error_message",
]  # fmt: skip
DECISION_FIELDS = [
    "step_index", "node_id", "action_type", "decision", "correction", "feedback", "reason_code", "timestamp",
    "execution_success", "decided_by", "latency_ms",
]  # fmt: skip


def export(folder: Path) -> dict[str, bytes]:
    """The files that the command writes, by name."""
    out = StringIO()
    call_command("export_sessions", str(folder), stdout=out)
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert out.getvalue() == f"{len(files)} exported.\n"
    return files


def move_to_another_site(folder: Path) -> None:
    """Everything is gone but the files; then they are imported."""
    Workflow.objects.all().delete()
    assert not Session.objects.exists()
    call_command("import_sessions", str(folder), stdout=StringIO())


@pytest.fixture
def all_kinds(
    browser_workflow: Workflow, external_workflow: Workflow, coach: User, ask: Callable[..., Suggestion]
) -> None:
    """A session of every status with every kind of decision, secrets, and text from everywhere."""
    browser_workflow.variables.create(
        name="password", label="Password", secret=True, encrypted_default=encrypt({"password": "hunter2!x"})
    )
    active = start_session(browser_workflow, by=coach, metadata={"z": 1, "a": {"ü": ["☕", None, 1.5, True]}})
    asked = ask(active)
    decide(asked, Answer(decision="accept"), by=coach)
    record_outcome(asked, Suggestion.Outcome.FAILED, error="gone")
    typed = {"type": "change", "selectors": [["#p"]], "value": "{{ password }}"}
    corrected = ask(active, action=typed | {"selectors": [["#q"]]}, node_id="change-amount")
    decide(corrected, Answer(decision="correct", correction=typed, reason_code="wrong_target"), by=coach)
    pause_session(start_session(browser_workflow, by=coach, execution_id="Ausführung 7"), by=coach)
    auto = start_session(external_workflow, by=coach, mode="auto", total_steps=9, variables={"n": [1, {"b": "ß"}]})
    for i, (kind, correction, success) in enumerate(
        [("accept", None, True), ("accept", None, False), ("reject", None, None), ("skip", None, None),
         ("manual", None, True), ("manual", {"y": 1, "x": "\u2028'\"\\"}, None), ("correct", {"to": "né"}, True)]
    ):  # fmt: skip
        answer = Answer(decision=kind, correction=correction, feedback="так" if i % 2 else "")
        record_decision(
            auto, answer, step_index=i, node_id=f"node {i} é", action_type="t", execution_success=success, by=coach
        )
    complete_session(auto, by=coach)
    fail_session(start_session(external_workflow, by=coach), by=coach, error_message="No\nnetwork ☹")
    abandon_session(start_session(external_workflow, by=coach), by=coach)
    left = start_session(external_workflow, by=coach)
    record_decision(left, Answer(decision="accept"), step_index=0, node_id="node 0 é", action_type="t", by=coach)


@pytest.mark.usefixtures("all_kinds")
def test_there_and_back_again(tmp_path: Path) -> None:
    first = export(tmp_path / "first")
    assert len(first) == 6
    assert {json.loads(file)["status"] for file in first.values()} == set(Session.Status.values)
    assert all(b"hunter2" not in file for file in first.values())
    assert any(b'"***"' in file for file in first.values())
    move_to_another_site(tmp_path / "first")
    assert export(tmp_path / "second") == first
    call_command("rebuild_metrics", "--check", stdout=StringIO())


@pytest.mark.usefixtures("all_kinds")
def test_a_file_has_exactly_the_fields_of_the_contract(tmp_path: Path) -> None:
    decisions = 0
    for name, content in export(tmp_path).items():
        session = json.loads(content)
        assert list(session) == SESSION_FIELDS
        assert name == f"{session['session_id']}.json"
        assert content.endswith(b"}\n")
        for decision in session["decisions"]:
            decisions += 1
            assert list(decision) == DECISION_FIELDS
    assert decisions == Decision.objects.count() > 8


@pytest.mark.usefixtures("all_kinds")
def test_a_file_says_what_the_api_says(tmp_path: Path, viewer: User, api: Callable[[User], APIClient]) -> None:
    client = api(viewer)
    for content in export(tmp_path).values():
        session = json.loads(content)
        answered = client.get(f"/api/v1/sessions/{session['session_id']}/").json()
        assert answered.pop("open_suggestion") is None
        assert session == answered


def test_what_was_there_is_replaced_as_a_whole(tmp_path: Path, external_session: Session, coach: User) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not ours")
    folder = tmp_path / "new" / "folder"
    folder.mkdir(parents=True)
    (folder / f"{external_session.session_id}.json").symlink_to(elsewhere)
    (folder / "sessions_index.json").write_text("{}")
    call_command("export_sessions", str(folder), stdout=StringIO())
    call_command("export_sessions", str(folder), stdout=StringIO())
    assert elsewhere.read_text() == "not ours"
    assert sorted(file.name for file in folder.iterdir()) == [
        f"{external_session.session_id}.json", "sessions_index.json",
    ]  # fmt: skip


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, external_session: Session) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="cannot be written to"):
        call_command("export_sessions", str(tmp_path / "file"))


def test_it_reads_in_bites(external_workflow: Workflow, coach: User, tmp_path: Path) -> None:
    """As many queries for each bite, however large it is; what goes meanwhile is left out, and nothing stays open."""
    sessions = [start_session(external_workflow, by=coach) for _ in range(7)]
    for session in sessions:
        for i in range(3):
            record_decision(session, Answer(decision="skip"), step_index=i, node_id="a", action_type="t", by=coach)

    reader = with_decisions(Session.objects.all(), size=6)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        first = next(reader)
    assert [len(made) for _, made in first] == [3, 3]
    assert len(queries) == 2
    delete_session(sessions[-1])
    rest = [session for group in reader for session, _ in group]
    assert len(first) + len(rest) == 7 - (sessions[-1] not in rest)
    with CaptureQueriesContext(connection) as queries:
        list(in_bites(Session.objects.all(), size=2))
    assert len(queries) == 4


# ---- any session

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NAMES = st.text("abcXYZ019-_", min_size=1, max_size=20)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - a bound
# Numbers with an exponent come back from PostgreSQL in another spelling.
NUMBERS = st.integers() | st.floats(min_value=-1e6, max_value=1e6, allow_nan=False).map(lambda x: round(x, 3) + 0.0)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=3)
SOME_OBJECT = st.dictionaries(TEXT, VALUES, min_size=1, max_size=3)
REASON = st.none() | st.sampled_from(Decision.Reason.values)


def decisions() -> st.SearchStrategy[dict[str, Any]]:
    shared = {
        "step_index": st.integers(0, 30),
        "node_id": st.text("abc é☕", min_size=1, max_size=3),
        "action_type": TEXT,
        "feedback": st.none() | TEXT,
        "timestamp": st.none() | MOMENTS.map(datetime.isoformat),
        "execution_success": st.none() | st.booleans(),
        "decided_by": st.none() | st.sampled_from(["policy", "carl", "a program"]),
        "latency_ms": st.none() | st.integers(0, 2**63 - 1),
    }
    plain = st.fixed_dictionaries({"decision": st.sampled_from(["accept", "skip"])} | shared)
    rejected = st.fixed_dictionaries({"decision": st.just("reject"), "reason_code": REASON} | shared)
    corrected = st.fixed_dictionaries(
        {"decision": st.just("correct"), "correction": SOME_OBJECT, "reason_code": REASON} | shared
    )
    manual = st.fixed_dictionaries({"decision": st.just("manual"), "correction": st.none() | OBJECTS} | shared)
    return st.one_of(plain, rejected, corrected, manual)


@st.composite
def sessions(draw: st.DrawFn) -> dict[str, Any]:
    status = draw(st.sampled_from(Session.Status.values))
    session = {
        "session_id": draw(NAMES),
        "workflow_id": draw(NAMES),
        "execution_id": draw(st.none() | TEXT),
        "status": status,
        "mode": draw(st.sampled_from([None, *Session.Mode.values])),
        "total_steps": draw(st.sampled_from([None, 0, 40])),
        "decisions": draw(st.lists(decisions(), max_size=5)),
        "variables": draw(OBJECTS),
        "metadata": draw(OBJECTS),
        "started_at": draw(st.none() | MOMENTS.map(datetime.isoformat)),
        "updated_at": draw(st.none() | MOMENTS.map(datetime.isoformat)),
        "error_message": draw(st.none() | TEXT),
    }
    if status in Session.ENDED:
        session["completed_at"] = draw(st.none() | MOMENTS.map(datetime.isoformat))
    return session


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(session=sessions())
def test_any_session_comes_back_as_it_went(session: dict[str, Any]) -> None:
    Workflow.objects.all().delete()
    data = json.dumps(session).encode()
    import_session(data)
    first = _written(session["session_id"])
    told = read_session(data, now=datetime.now(UTC))
    kept = read_session(first, now=datetime.now(UTC))
    assert kept.warnings == ()
    if any(session[name] for name in ("started_at", "updated_at")):
        assert kept == told, "the file says what it said before, defaults filled in"
    call_command("rebuild_metrics", "--check", stdout=StringIO())
    Workflow.objects.all().delete()
    assert import_session(first).new
    assert _written(session["session_id"]) == first


def _written(session_id: str) -> bytes:
    ((session, made),) = next(with_decisions(Session.objects.filter(session_id=session_id)))
    return write_session(session_row(session, made))


def test_reading_takes_no_longer_for_the_last_than_for_the_first(external_workflow: Workflow) -> None:
    now = datetime.now(UTC)
    Session.objects.bulk_create(
        Session(workflow=external_workflow, session_id=f"s{i}", execution_id=f"e{i}", updated_at=now - timedelta(i))
        for i in range(1200)
    )
    with CaptureQueriesContext(connection) as queries:
        count = sum(len(group) for group in with_decisions(Session.objects.all(), size=500))
    assert count == 1200
    assert len(queries) == 6, "one for 500 sessions, one for their decisions"
