"""The event log over the API, and waiting for news through the door that keeps no thread."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from a2wsgi import WSGIMiddleware
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.core.wsgi import get_wsgi_application
from knox.models import AuthToken
from rest_framework.test import APIClient

from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import pause_session
from coaching.asgi import Application
from coaching.longpoll import HEADER, LongPoll
from coaching.models import Session, Suggestion


@pytest.fixture
def program(viewer: User, api: Callable[[User], APIClient]) -> APIClient:
    return api(viewer)


def address(session: Session, query: str = "") -> str:
    return f"/api/v1/sessions/{session.session_id}/events/?{query}"


def test_events_have_the_shape_of_the_contract_and_go_on_where_one_left(
    program: APIClient, suggestion: Suggestion
) -> None:
    session = suggestion.session
    events = program.get(address(session)).json()["results"]
    assert [event["seq"] for event in events] == [1, 2]
    assert [event["type"] for event in events] == ["session.created", "suggestion.opened"]
    assert all(set(event) == {"seq", "type", "session_id", "at", "data"} for event in events)
    assert events[0]["at"].endswith("Z")
    assert program.get(address(session, "after=1")).json()["results"] == events[1:]
    assert program.get(address(session, "limit=1")).json()["results"] == events[:1]
    assert program.get(address(session, "after=2")).json() == {"results": []}


def test_only_an_answer_without_news_asks_to_be_kept_back(
    program: APIClient, suggestion: Suggestion, coach: User
) -> None:
    session = suggestion.session
    assert HEADER not in program.get(address(session, "after=2")).headers
    assert HEADER not in program.get(address(session, "after=1&wait=5")).headers
    assert program.get(address(session, "after=2&wait=5")).headers[HEADER] == str(session.pk)
    one = f"/api/v1/sessions/{session.session_id}/suggestions/1/"
    assert HEADER not in program.get(one).headers
    assert program.get(f"{one}?wait=5").headers[HEADER] == str(session.pk)
    decide(suggestion, Answer(decision="skip"), by=coach)
    assert HEADER not in program.get(f"{one}?wait=5").headers


async def poll(path: str, query: str, token: str) -> tuple[int, dict[str, Any]]:
    """One GET through the long-poll door, as a server would pass it on."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost"), (b"authorization", f"Token {token}".encode())],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
    }
    door = LongPoll(cast("Application", WSGIMiddleware(cast("Any", get_wsgi_application()), workers=2)))
    client: Any = cast("Any", ApplicationCommunicator)(door, scope)
    await client.send_input({"type": "http.request", "body": b"", "more_body": False})
    start = await client.receive_output(timeout=60)
    assert not any(name.lower() == HEADER.lower().encode() for name, _ in start["headers"])
    body = b""
    while True:
        part = await client.receive_output(timeout=60)
        body += part["body"]
        if not part.get("more_body"):
            return start["status"], json.loads(body)


@pytest.mark.django_db(transaction=True)
async def test_waiting_ends_with_the_decision_and_with_the_event(
    coach: User, session: Session, suggestion: Suggestion
) -> None:
    token = (await sync_to_async(AuthToken.objects.create)(coach))[1]
    path = f"/api/v1/sessions/{session.session_id}/"
    decision = asyncio.create_task(poll(f"{path}suggestions/1/", "wait=50", token))
    event = asyncio.create_task(poll(f"{path}events/", "after=2&wait=50", token))
    status, nothing = await poll(f"{path}events/", "after=2&wait=0.2", token)
    assert (status, nothing) == (200, {"results": []})
    assert not decision.done()
    assert not event.done()

    await sync_to_async(decide)(suggestion, Answer(decision="skip"), by=coach)
    status, shown = await decision
    assert (status, shown["status"], shown["decision"]["decision"]) == (200, "decided", "skip")
    status, news = await event
    assert [one["type"] for one in news["results"]] == ["decision.recorded"]

    later = asyncio.create_task(poll(f"{path}events/", "after=3&wait=50", token))
    await sync_to_async(session.refresh_from_db)()
    await sync_to_async(pause_session)(session, by=coach)
    assert [one["seq"] for one in (await later)[1]["results"]] == [4]


@pytest.mark.django_db(transaction=True)
async def test_nobody_waits_without_a_token(session: Session) -> None:
    status, _ = await poll(f"/api/v1/sessions/{session.session_id}/events/", "after=9&wait=50", "wrong")
    assert status == 401
