"""Sessions over the API: their shape, their life, finding them again."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from coaching.actions.sessions import complete_session, pause_session, start_session
from coaching.models import Session, Suggestion, Workflow

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
SUMMARY = {
    "session_id", "workflow_id", "execution_id", "status", "mode", "current_step_index", "total_steps", "stats",
    "acceptance_rate", "correction_rate", "variables", "metadata", "started_at", "updated_at", "completed_at",
    "error_message",
}  # fmt: skip
SUGGESTION = {
    "n", "step_index", "attempt", "node_id", "action_type", "action", "description", "confidence", "risk",
    "rationale", "provenance", "asked_because", "target", "status", "decision", "outcome", "error",
    "screenshot_url", "opened_at", "expires_at",
}  # fmt: skip
#: The caller's token with its user, and the permissions.
TO_LET_IN = 2


@pytest.fixture
def program(coach: User, api: Callable[[User], APIClient]) -> APIClient:
    return api(coach)


def test_a_new_session_has_the_shape_of_the_contract(program: APIClient, browser_workflow: Workflow) -> None:
    body = {
        "workflow_id": "expense-claim",
        "execution_id": "claim-1",
        "mode": "auto",
        "variables": {"amount": 12.5},
        "metadata": {"batch": [7, {"ü": None}]},
    }
    answer = program.post("/api/v1/sessions/", body)
    assert answer.status_code == 201, answer.content
    session = answer.json()
    assert set(session) == SUMMARY | {"decisions", "open_suggestion"}
    assert re.fullmatch(r"coaching_\d{8}_\d{6}_[0-9a-f]{8}", session["session_id"])
    assert MOMENT.fullmatch(session["started_at"])
    assert MOMENT.fullmatch(session["updated_at"])
    moving = {"session_id", "started_at", "updated_at"}
    assert {name: value for name, value in session.items() if name not in moving} == {
        "workflow_id": "expense-claim",
        "execution_id": "claim-1",
        "status": "active",
        "mode": "auto",
        "current_step_index": 0,
        "total_steps": 3,
        "stats": {
            "suggestions_made": 0, "accepted": 0, "rejected": 0, "corrected": 0, "manual_executions": 0, "skipped": 0,
        },
        "acceptance_rate": 0.0,
        "correction_rate": 0.0,
        "variables": {"amount": "12.5"},
        "metadata": {"batch": [7, {"ü": None}]},
        "completed_at": None,
        "error_message": None,
        "decisions": [],
        "open_suggestion": None,
    }  # fmt: skip
    assert program.get(f"/api/v1/sessions/{session['session_id']}/").json() == session


def test_a_program_that_crashed_finds_its_run_again(program: APIClient, external_workflow: Workflow) -> None:
    body = {"workflow_id": "invoice-import", "execution_id": "run-1"}
    first = program.post("/api/v1/sessions/", body).json()
    again = program.post("/api/v1/sessions/", body)
    assert again.status_code == 409
    assert again.json()["type"] == "client_error"
    assert again.json()["errors"][0]["code"] == "duplicate_execution"
    assert again.json()["session"] == first
    made_up = program.post("/api/v1/sessions/", {"workflow_id": "invoice-import"}).json()
    assert made_up["execution_id"] == made_up["session_id"]


def test_a_session_of_no_workflow_is_a_404(program: APIClient, db: None) -> None:
    assert program.post("/api/v1/sessions/", {"workflow_id": "nowhere"}).status_code == 404


def move(program: APIClient, session: Session, verb: str, body: object = None) -> tuple[int, dict[str, object]]:
    answer = program.post(f"/api/v1/sessions/{session.session_id}/{verb}/", body)
    return answer.status_code, answer.json()


def test_pausing_resuming_completing(program: APIClient, session: Session) -> None:
    status, body = move(program, session, "pause")
    assert (status, body["status"]) == (200, "paused")
    status, body = move(program, session, "pause")
    assert (status, body["errors"][0]["code"]) == (409, "illegal_transition")  # type: ignore[index]
    status, body = move(program, session, "resume", {})
    assert (status, body["status"]) == (200, "active")
    status, body = move(program, session, "resume")
    assert (status, body["status"]) == (200, "active")
    status, body = move(program, session, "complete", {"success": True, "error_message": None})
    assert (status, body["status"]) == (200, "completed")
    assert MOMENT.fullmatch(str(body["completed_at"]))
    for verb in ("pause", "resume", "complete", "abandon"):
        status, body = move(program, session, verb)
        assert (status, body["errors"][0]["code"]) == (409, "illegal_transition"), verb  # type: ignore[index]


def test_completing_without_success_is_failing(program: APIClient, session: Session) -> None:
    status, body = move(program, session, "complete", {"success": False, "error_message": "The portal was down."})
    assert (status, body["status"], body["error_message"]) == (200, "failed", "The portal was down.")


def test_abandoning_withdraws_what_is_open(program: APIClient, suggestion: Suggestion) -> None:
    status, body = move(program, suggestion.session, "abandon")
    assert (status, body["status"], body["open_suggestion"]) == (200, "abandoned", None)
    answer = program.get(f"/api/v1/sessions/{suggestion.session.session_id}/suggestions/1/").json()
    assert (answer["status"], answer["decision"]) == ("withdrawn", None)


def test_deleting(owner: User, api: Callable[[User], APIClient], suggestion: Suggestion) -> None:
    address = f"/api/v1/sessions/{suggestion.session.session_id}/"
    client = api(owner)
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404
    assert client.delete(address).status_code == 404


def test_the_open_suggestion_and_its_picture(program: APIClient, suggestion: Suggestion) -> None:
    suggestion.screenshot.save("1.png", ContentFile(b"\x89PNG..."))
    session = program.get(f"/api/v1/sessions/{suggestion.session.session_id}/").json()
    shown = session["open_suggestion"]
    assert set(shown) == SUGGESTION
    assert (shown["n"], shown["status"], shown["decision"], shown["outcome"]) == (1, "open", None, None)
    assert shown["rationale"] is shown["error"] is shown["expires_at"] is None
    assert program.get(f"/api/v1/sessions/{session['session_id']}/suggestions/").json()["results"] == [shown]
    picture = program.get(shown["screenshot_url"], headers={"Accept": "image/avif"})
    assert (picture.status_code, picture.headers["Content-Type"]) == (200, "image/png")
    assert b"".join(picture) == b"\x89PNG..."
    suggestion.screenshot.storage.delete(suggestion.screenshot.name or "")
    assert program.get(shown["screenshot_url"]).status_code == 404


def test_secrets_are_stars(
    program: APIClient, browser_workflow: Workflow, coach: User, ask: Callable[..., Suggestion]
) -> None:
    browser_workflow.variables.create(name="password", label="Password", secret=True)
    session = start_session(browser_workflow, by=coach, variables={"password": "hunter2!"})
    action = {"type": "change", "selectors": [["#password"]], "value": "{{ password }}"}
    ask(session, action=action)
    address = f"/api/v1/sessions/{session.session_id}"
    shown = program.get(f"{address}/").json()
    assert shown["variables"] == {"amount": "42.50", "password": "***"}
    assert shown["open_suggestion"]["action"]["value"] == "***"
    correction = {"type": "change", "selectors": [["#secret"]], "value": "***"}
    decided = program.post(f"{address}/decisions/", {"decision": "correct", "correction": correction})
    assert decided.status_code == 201, decided.content
    assert decided.json()["correction"]["value"] == "***"
    for place in ("/", "/decisions/", "/suggestions/", "/suggestions/1/", "/events/"):
        assert "hunter2!" not in program.get(address + place).content.decode()


@pytest.fixture
def many(external_workflow: Workflow, session: Session, coach: User) -> list[Session]:
    """Five sessions; all but the last of one workflow, two of them changed at the very same moment."""
    sessions = [start_session(external_workflow, by=coach, execution_id=f"run-{i}") for i in range(4)]
    pause_session(sessions[1], by=coach)
    complete_session(sessions[2], by=coach)
    sessions.append(session)
    base = datetime(2031, 1, 1, tzinfo=UTC)
    for minutes, one in zip((4, 3, 3, 2, 1), sessions, strict=True):
        Session.objects.filter(pk=one.pk).update(updated_at=base + timedelta(minutes=minutes))
    return [sessions[0], sessions[2], sessions[1], *sessions[3:]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("workflow_id=invoice-import", [0, 1, 2, 3]),
        ("workflow_id=expense-claim&status=active", [4]),
        ("workflow_id=nowhere", []),
        ("status=paused", [2]),
        ("execution_id=run-3", [3]),
        ("resumable=true", [0, 2, 3, 4]),
        ("resumable=false", [1]),
        ("resumable=true&workflow_id=invoice-import&limit=2", [0, 2]),
    ],
)
def test_filters(program: APIClient, many: list[Session], query: str, expected: list[int]) -> None:
    found = program.get(f"/api/v1/sessions/?{query}").json()["results"]
    assert [session["session_id"] for session in found] == [many[i].session_id for i in expected]
    assert all(set(session) == SUMMARY for session in found)


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_pages_give_every_session_once(program: APIClient, many: list[Session], limit: int) -> None:
    seen: list[str] = []
    address: str | None = f"/api/v1/sessions/?limit={limit}"
    pages = 0
    while address:
        page = program.get(address).json()
        seen += [session["session_id"] for session in page["results"]]
        address = page["next"]
        pages += 1
    assert seen == [session.session_id for session in many]
    assert pages == -(-5 // limit)


def test_the_list_costs_one_query_however_long(
    program: APIClient, many: list[Session], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(TO_LET_IN + 1):
        assert len(program.get("/api/v1/sessions/").json()["results"]) == 5


def test_the_detail_costs_the_same_however_many_decisions(
    program: APIClient,
    session: Session,
    ask: Callable[..., Suggestion],
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    address = f"/api/v1/sessions/{session.session_id}/"
    for step in range(3):
        ask(session)
        program.post(f"{address}decisions/", {"decision": "skip", "step_index": step})
    ask(session)
    # The session, again after finding it, its decisions, and the open suggestion.
    with django_assert_num_queries(TO_LET_IN + 4):
        assert len(program.get(address).json()["decisions"]) == 3
    with django_assert_num_queries(TO_LET_IN + 2):
        assert len(program.get(f"{address}suggestions/").json()["results"]) == 4
    with django_assert_num_queries(TO_LET_IN + 2):
        assert len(program.get(f"{address}decisions/").json()["results"]) == 3
    with django_assert_num_queries(TO_LET_IN + 2):
        assert program.get("/api/v1/inbox/").json()["count"] == 1


def test_statistics(program: APIClient, session: Session, ask: Callable[..., Suggestion]) -> None:
    address = f"/api/v1/sessions/{session.session_id}/decisions/"
    for decision in ("accept", "accept", "skip", "manual"):
        ask(session)
        assert program.post(address, {"decision": decision}).status_code == 201
    assert program.get("/api/v1/statistics/").json() == {
        "total_sessions": 1,
        "by_status": {"active": 1, "paused": 0, "completed": 0, "failed": 0, "abandoned": 0},
        "total_decisions": 4,
        "total_accepted": 2,
        "total_corrected": 0,
        "overall_acceptance_rate": 0.5,
        "overall_correction_rate": 0.0,
    }
    shown = program.get(f"/api/v1/sessions/{session.session_id}/").json()
    assert (shown["acceptance_rate"], shown["stats"]["suggestions_made"]) == (1.0, 4)


def test_the_inbox_puts_what_cannot_be_undone_first(
    program: APIClient, session: Session, external_session: Session, ask: Callable[..., Suggestion]
) -> None:
    ask(session)
    ask(external_session, risk="irreversible")
    inbox = program.get("/api/v1/inbox/").json()
    assert inbox["count"] == 2
    assert [item["session_id"] for item in inbox["results"]] == [external_session.session_id, session.session_id]
    assert set(inbox["results"][0]) == SUGGESTION | {"session_id", "workflow_id"}
    first = program.get("/api/v1/inbox/?limit=1").json()
    second = program.get(first["next"]).json()
    assert [*first["results"], *second["results"]] == inbox["results"]
    assert (second["next"], second["count"]) == (None, 2)


def test_the_inbox_in_pages_leaves_nobody_out(
    program: APIClient, external_workflow: Workflow, coach: User, ask: Callable[..., Suggestion]
) -> None:
    moment = timezone.now()
    for number in range(7):
        risk = "irreversible" if number % 3 == 0 else "reversible"
        suggestion = ask(start_session(external_workflow, by=coach), risk=risk)
        # Some at the very same moment: the key decides between them.
        Suggestion.objects.filter(pk=suggestion.pk).update(opened_at=moment - timedelta(seconds=number // 4))
    whole = program.get("/api/v1/inbox/").json()["results"]
    pieces, address = [], "/api/v1/inbox/?limit=2"
    while address:
        page = program.get(address).json()
        pieces.extend(page["results"])
        address = page["next"]
    assert pieces == whole
    assert [item["risk"] for item in whole].index("reversible") == 3


def test_nothing_waits_for_a_viewer(viewer: User, api: Callable[[User], APIClient], suggestion: Suggestion) -> None:
    assert suggestion.is_open
    assert api(viewer).get("/api/v1/inbox/").json() == {"count": 0, "next": None, "results": []}
