"""Decisions that come at the same time are kept in one transaction, and each is answered as if it had come alone."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import pytest
from a2wsgi import WSGIMiddleware
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.test import override_settings
from knox.models import AuthToken

from coaching.actions import decisions
from coaching.actions.sessions import start_session
from coaching.models import Decision, Session, SessionEvent, Workflow
from coachsite.sqlite import base
from coachsite.together import Together

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has one writer at a time"),
]

GOOD = {"decision": "accept", "step_index": 0, "node_id": "a", "action_type": "click", "execution_success": True}


class Door:
    """`Together` before Django's usual application, which notes what comes to it alone."""

    def __init__(self) -> None:
        self.alone: list[dict[str, Any]] = []
        self.ordinary: Any = WSGIMiddleware(cast("Any", get_wsgi_application()), workers=1)
        self.together = Together(self._alone)

    async def _alone(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.alone.append(scope)
        await self.ordinary(scope, receive, send)

    def ask(self, *requests: tuple[dict[str, Any], bytes]) -> list[tuple[int, dict[str, str], Any]]:
        """All of them at once, while the one thread is busy."""

        async def all_of_them() -> Any:
            free = threading.Event()
            self.together._thread.submit(free.wait, 10)
            asked = [asyncio.ensure_future(_ask(self.together, *request)) for request in requests]
            await asyncio.sleep(0.05)
            free.set()
            return await asyncio.gather(*asked)

        return cast("list[Any]", async_to_sync(all_of_them)())

    def close(self) -> None:
        for executor in (self.together._thread, self.ordinary.executor):
            executor.submit(_close_this_threads_connection).result()
            executor.shutdown()


def _close_this_threads_connection() -> None:
    connection.close()


async def _ask(application: Callable[..., Awaitable[None]], scope: dict[str, Any], body: bytes) -> Any:
    said: list[dict[str, Any]] = []
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not pending:
            await asyncio.sleep(60)
        return pending.pop()

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    await application(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in said[1:])
    headers = {name.decode(): value.decode() for name, value in said[0]["headers"]}
    return said[0]["status"], headers, json.loads(content)


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.close()


@pytest.fixture
def token(coach: User) -> str:
    return str(AuthToken.objects.create(coach)[1])


@pytest.fixture
def sessions(external_workflow: Workflow, coach: User) -> list[Session]:
    return [start_session(external_workflow, by=coach) for _ in range(4)]


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that commit, in order."""
    found: list[str] = []
    original = base.DatabaseWrapper._commit

    def committing(self: Any) -> Any:
        found.append(threading.current_thread().name)
        return original(self)

    monkeypatch.setattr(base.DatabaseWrapper, "_commit", committing)
    return found


def decision(
    session: Session, token: str, given: dict[str, Any] = GOOD, **headers: str
) -> tuple[dict[str, Any], bytes]:
    body = json.dumps(given).encode()
    said = {
        "host": "testserver",
        "authorization": f"Token {token}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    scope = {
        "type": "http", "method": "POST", "path": f"/api/v1/sessions/{session.session_id}/decisions/",
        "query_string": b"", "http_version": "1.1", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        "headers": [(name.encode(), value.encode()) for name, value in said.items()],
    }  # fmt: skip
    return scope, body


def test_one_transaction_keeps_them_all(door: Door, sessions: list[Session], token: str, commits: list[str]) -> None:
    answers = door.ask(*[decision(session, token) for session in sessions for _ in range(2)])
    assert [status for status, _, _ in answers] == [201] * 8
    assert Decision.objects.count() == 8
    for session in sessions:
        events = list(SessionEvent.objects.filter(session=session).order_by("seq").values_list("seq", "type"))
        assert [seq for seq, _ in events] == list(range(1, len(events) + 1))
        assert [kind for _, kind in events].count("decision.recorded") == 2
    assert len(commits) == 1
    assert commits[0].startswith("together")
    assert door.alone == []


def test_more_than_fit_into_one_transaction(
    door: Door, sessions: list[Session], token: str, commits: list[str]
) -> None:
    answers = door.ask(*[decision(session, token) for session in sessions for _ in range(5)])
    assert [status for status, _, _ in answers] == [201] * 20
    assert Decision.objects.count() == 20
    assert len(commits) == 2


def test_what_is_refused_leaves_the_others_alone(door: Door, sessions: list[Session], token: str) -> None:
    Session.objects.filter(pk=sessions[1].pk).update(status=Session.Status.PAUSED)
    answers = door.ask(
        decision(sessions[0], token),
        decision(sessions[1], token),
        decision(sessions[2], token, {**GOOD, "decision": "perhaps"}),
        decision(sessions[2], "coach_wrong"),
        decision(sessions[3], token),
    )
    assert [status for status, _, _ in answers] == [201, 409, 400, 401, 201]
    assert answers[1][2]["errors"][0]["code"] == "session_not_active"
    assert set(Decision.objects.values_list("session_id", flat=True)) == {sessions[0].pk, sessions[3].pk}
    assert door.alone == []


def test_a_token_that_was_withdrawn_is_refused_by_the_next_transaction(
    door: Door, sessions: list[Session], token: str
) -> None:
    requests = [decision(session, token) for session in sessions[:2]]
    assert [status for status, _, _ in door.ask(*requests)] == [201, 201]
    AuthToken.objects.all().delete()
    assert [status for status, _, _ in door.ask(*requests)] == [401, 401]


def test_a_key_that_comes_twice_at_once_happens_once(door: Door, sessions: list[Session], token: str) -> None:
    first, second = door.ask(*[decision(sessions[0], token, idempotency_key="k-1") for _ in range(2)])
    assert (first[0], second[0]) == (201, 201)
    assert first[2] == second[2]
    assert second[1]["idempotency-replayed"] == "true"
    assert Decision.objects.count() == 1


def test_a_fault_in_one_brings_all_apart(
    door: Door, sessions: list[Session], token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the common transaction stays: each is handled alone, and only the faulty one fails."""

    keep = decisions._keep_with_outcome

    def failing(made: Decision, *more: Any) -> None:
        if made.session_id == sessions[1].pk:
            raise RuntimeError("a fault of ours")
        keep(made, *more)

    monkeypatch.setattr(decisions, "_keep_with_outcome", failing)
    answers = door.ask(*[decision(session, token) for session in sessions])
    assert [status for status, _, _ in answers] == [201, 500, 201, 201]
    assert len(door.alone) == 4
    assert sorted(Decision.objects.values_list("session_id", flat=True)) == sorted(
        session.pk for session in sessions if session != sessions[1]
    )


def test_a_database_that_another_process_holds_is_waited_for_apart(
    door: Door, sessions: list[Session], token: str
) -> None:
    other = sqlite3.connect(str(connection.settings_dict["NAME"]), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(1.0, other.rollback)
    release.start()
    answers = door.ask(decision(sessions[0], token), decision(sessions[1], token))
    release.join()
    other.close()
    assert [status for status, _, _ in answers] == [201, 201]
    assert len(door.alone) == 2


def test_the_answer_is_the_ordinary_one(door: Door, sessions: list[Session], token: str) -> None:
    ordinary = async_to_sync(_ask)(door.ordinary, *decision(sessions[0], token))
    ((status, headers, body),) = door.ask(decision(sessions[1], token))
    assert (status, {**body, "timestamp": ""}) == (ordinary[0], {**ordinary[2], "timestamp": ""})
    expected = {name: value for name, value in ordinary[1].items() if name != "vary"}
    assert headers == expected
    assert door.alone == []


@override_settings(COACHSITE_API_RATE=3)
def test_they_are_counted_once_each(door: Door, sessions: list[Session], token: str) -> None:
    answers = door.ask(*[decision(session, token) for session in sessions])
    assert sorted(status for status, _, _ in answers) == [201, 201, 201, 429]


def test_everything_else_passes(door: Door, sessions: list[Session], token: str) -> None:
    scope, body = decision(sessions[0], token)
    without_token = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
    others = [
        {**scope, "method": "GET"},
        {**scope, "path": "/api/v1/statistics/"},
        {**scope, "headers": without_token},
        {**scope, "headers": [*without_token, (b"authorization", b"Basic eDp5")]},
        {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"content-length"]},
    ]
    door.ask(*[(other, body) for other in others])
    assert len(door.alone) == len(others)
