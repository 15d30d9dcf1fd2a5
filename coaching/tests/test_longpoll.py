"""Long polls through the real application, as a web process serves it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.cache import cache
from knox.models import AuthToken
from pytest_django.fixtures import Settings

from coaching import hub
from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import pause_session, resume_session
from coaching.longpoll import MAX_WAIT_SECONDS, wait_seconds
from coaching.models import Session, Suggestion
from coachsite.asgi import HTTP_THREADS, application

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 20.0
pause = sync_to_async(pause_session)


@pytest.fixture
def token(viewer: User) -> str:
    text: str = AuthToken.objects.create(viewer)[1]
    return text


@pytest_asyncio.fixture
async def client(token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=application),
        base_url="http://localhost/api/v1/",
        headers={"Authorization": f"Token {token}"},
        timeout=PATIENCE,
    ) as client:
        yield client


def events(session: Session, **query: Any) -> str:
    return str(httpx.URL(f"sessions/{session.session_id}/events/", params=query))


def seqs(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [event["seq"] for event in answer.json()["results"]]


async def until_watched(session: Session, watchers: int = 1) -> None:
    """Returns once so many polls wait for the session."""
    async with asyncio.timeout(PATIENCE):
        while hub.current().watchers(session.pk) < watchers:  # noqa: ASYNC110 - the hub tells nobody who waits
            await asyncio.sleep(0.01)


async def test_news_that_is_there_is_told_at_once(client: httpx.AsyncClient, session: Session) -> None:
    assert seqs(await client.get(events(session, wait=60))) == [1]


async def test_without_wait_nothing_is_waited_for(client: httpx.AsyncClient, session: Session) -> None:
    assert seqs(await client.get(events(session, after=1))) == []
    assert hub.current().watchers(session.pk) == 0


async def test_news_ends_the_wait(client: httpx.AsyncClient, session: Session, coach: User) -> None:
    poll = asyncio.create_task(client.get(events(session, after=1, wait=60)))
    await until_watched(session)
    await pause(session, by=coach)
    answer = await asyncio.wait_for(poll, PATIENCE)
    assert seqs(answer) == [2]
    assert not [name for name in answer.headers if "coachsite" in name]
    assert hub.current().watchers(session.pk) == 0


async def test_news_of_another_session_does_not(
    client: httpx.AsyncClient, session: Session, external_session: Session, coach: User
) -> None:
    poll = asyncio.create_task(client.get(events(session, after=1, wait=0.5)))
    await until_watched(session)
    await pause(external_session, by=coach)
    assert seqs(await poll) == []


async def test_the_wait_ends_with_the_time(client: httpx.AsyncClient, session: Session) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await client.get(events(session, after=1, wait=0.3))
    assert seqs(answer) == []
    assert 0.3 <= loop.time() - began < 5
    assert not [name for name in answer.headers if "coachsite" in name]


async def test_a_suggestion_is_told_once_it_is_decided(
    client: httpx.AsyncClient, session: Session, suggestion: Suggestion, coach: User
) -> None:
    poll = asyncio.create_task(client.get(f"sessions/{session.session_id}/suggestions/1/", params={"wait": 60}))
    await until_watched(session)
    await sync_to_async(decide)(suggestion, Answer(decision="skip"), by=coach)
    answer = await asyncio.wait_for(poll, PATIENCE)
    assert (answer.json()["status"], answer.json()["decision"]["decision"]) == ("decided", "skip")


async def test_what_the_client_knows_is_waited_through(
    client: httpx.AsyncClient, session: Session, suggestion: Suggestion, coach: User
) -> None:
    address = f"sessions/{session.session_id}/suggestions/1/"
    known = (await client.get(address)).headers["ETag"]
    headers = {"If-None-Match": known}
    unchanged = await client.get(address, params={"wait": 0.2}, headers=headers)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert not [name for name in unchanged.headers if "coachsite" in name]
    poll = asyncio.create_task(client.get(address, params={"wait": 60}, headers=headers))
    await until_watched(session)
    await sync_to_async(decide)(suggestion, Answer(decision="skip"), by=coach)
    answer = await asyncio.wait_for(poll, PATIENCE)
    assert (answer.status_code, answer.json()["status"]) == (200, "decided")


async def test_what_a_poll_asks_again_while_it_waits_is_not_counted(
    client: httpx.AsyncClient, session: Session, coach: User, settings: Settings
) -> None:
    settings.COACHSITE_API_RATE = 2
    cache.clear()
    poll = asyncio.create_task(client.get(events(session, after=5, wait=60)))
    await until_watched(session)
    # Each of these makes the poll look again, and has nothing for it until the last.
    for _ in range(2):
        await pause(session, by=coach)
        await asyncio.sleep(0.3)
        await sync_to_async(resume_session)(session, by=coach)
        await asyncio.sleep(0.3)
    await pause(session, by=coach)
    assert seqs(await asyncio.wait_for(poll, PATIENCE)) == [6]
    assert (await client.get("statistics/")).status_code == 200
    assert (await client.get("statistics/")).status_code == 429
    cache.clear()


@pytest.mark.parametrize("name", ["X-Coachsite-Asked-Again", "X_Coachsite_Asked_Again"])
async def test_nobody_can_say_that_it_is_such_a_question(
    client: httpx.AsyncClient, settings: Settings, name: str
) -> None:
    settings.COACHSITE_API_RATE = 2
    cache.clear()
    answers = [await client.get("statistics/", headers={name: "1"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    cache.clear()


async def test_waiting_costs_no_thread(client: httpx.AsyncClient, session: Session, coach: User) -> None:
    """Many more wait than there are threads, and others are served meanwhile."""
    many = 10 * HTTP_THREADS
    polls = [asyncio.create_task(client.get(events(session, after=1, wait=60))) for _ in range(many)]
    await until_watched(session, many)
    assert seqs(await client.get(events(session))) == [1]
    assert threading.active_count() < many
    await pause(session, by=coach)
    for answer in await asyncio.wait_for(asyncio.gather(*polls), PATIENCE):
        assert seqs(answer) == [2]


@pytest.mark.parametrize("wait", ["61", "-1", "soon", "nan", "inf"])
async def test_a_wait_that_is_none_is_refused(client: httpx.AsyncClient, session: Session, wait: str) -> None:
    answer = await client.get(events(session, after=1, wait=wait))
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == "wait"


async def test_a_stranger_does_not_wait(client: httpx.AsyncClient, session: Session) -> None:
    answer = await client.get(events(session, after=1, wait=60), headers={"Authorization": ""})
    assert answer.status_code == 401
    assert (await client.get("sessions/coaching_nope/events/?wait=60")).status_code == 404


async def test_a_client_that_goes_is_not_waited_for(session: Session, token: str) -> None:
    gone = asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": f"/api/v1/sessions/{session.session_id}/events/",
        "query_string": b"after=1&wait=60",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Token {token}".encode())],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
    }
    waiting = asyncio.create_task(application(scope, receive, send))
    await until_watched(session)
    gone.set()
    await asyncio.wait_for(waiting, PATIENCE)
    assert hub.current().watchers(session.pk) == 0


def test_what_a_wait_may_be() -> None:
    assert [wait_seconds(text) for text in (None, "", "0", "2.5", "60")] == [0, 0, 0, 2.5, MAX_WAIT_SECONDS]
    for text in ("61", "-0.1", "nan", "inf", "x"):
        with pytest.raises(ValueError):  # noqa: PT011 - the door does not look at the words
            wait_seconds(text)
