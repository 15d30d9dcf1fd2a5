"""The sockets: who may connect, what they say, and what they do not say twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from knox.models import AuthToken

from coaching import consumers
from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import delete_session, pause_session, resume_session
from coaching.models import Session, SessionEvent, Suggestion
from coaching.pages import panel
from coaching.routing import websocket_application

pytestmark = pytest.mark.django_db(transaction=True)

Ask = Callable[..., Suggestion]
PATIENCE = 10.0
ORIGIN, HOST = (b"origin", b"http://localhost:8000"), (b"host", b"localhost:8000")

pause = sync_to_async(pause_session)
resume = sync_to_async(resume_session)


def cookies(user: User) -> list[tuple[bytes, bytes]]:
    """The headers of a browser in which this person is signed in."""
    client = Client()
    client.force_login(user)
    value = client.cookies[settings.SESSION_COOKIE_NAME].value
    return [ORIGIN, (b"cookie", f"{settings.SESSION_COOKIE_NAME}={value}".encode()), HOST]


def token(user: User) -> list[tuple[bytes, bytes]]:
    """The headers of a program with this person's token: no cookie, no Origin."""
    _, secret = AuthToken.objects.create(user)
    return [(b"authorization", f"Token {secret}".encode())]


@contextlib.asynccontextmanager
async def socket(path: str, headers: list[tuple[bytes, bytes]]) -> AsyncIterator[WebsocketCommunicator]:
    communicator = WebsocketCommunicator(websocket_application, path, headers=headers)
    connected, _ = await communicator.connect(timeout=PATIENCE)
    assert connected
    try:
        yield communicator
    finally:
        await communicator.disconnect(timeout=PATIENCE)


async def closed(communicator: WebsocketCommunicator) -> int:
    """The code that the server closes with; what it says before that is left unread."""
    while True:
        message = await communicator.receive_output(PATIENCE)
        if message["type"] == "websocket.close":
            return int(message["code"])


async def heard(communicator: WebsocketCommunicator) -> str:
    return str(await communicator.receive_from(PATIENCE))


async def told(communicator: WebsocketCommunicator, words: str) -> str:
    """Everything up to the first message that holds `words`."""
    text = ""
    while words not in text:
        text += await heard(communicator)
    return text


def events_path(session: Session, query: str = "") -> str:
    return f"/ws/v1/sessions/{session.session_id}/events/{query}"


def panel_path(session: Session) -> str:
    return f"/ws/sessions/{session.session_id}/panel/"


def every_path(session: Session) -> list[str]:
    return [events_path(session), panel_path(session), "/ws/inbox/"]


# ---- who may connect


async def test_without_a_login_nothing_is_said(session: Session) -> None:
    for path in every_path(session):
        for headers in ([ORIGIN, HOST], [(b"authorization", b"Token made-up")], [(b"authorization", b"Bearer x")]):
            async with socket(path, headers) as communicator:
                assert await closed(communicator) == consumers.NO_LOGIN


async def test_a_stranger_is_told_that_a_role_is_missing(session: Session, stranger: User) -> None:
    for headers in (await sync_to_async(cookies)(stranger), await sync_to_async(token)(stranger)):
        for path in every_path(session):
            async with socket(path, headers) as communicator:
                assert await closed(communicator) == consumers.NO_ROLE


async def test_what_does_not_exist_and_what_makes_no_sense(session: Session, viewer: User) -> None:
    headers = await sync_to_async(cookies)(viewer)
    for path, code in (
        ("/ws/sessions/coaching_20260101_000000_00000000/panel/", consumers.UNKNOWN),
        ("/ws/v1/sessions/coaching_20260101_000000_00000000/events/", consumers.UNKNOWN),
        ("/ws/nothing/", consumers.UNKNOWN),
        (events_path(session, "?after=x"), consumers.BAD_REQUEST),
        (events_path(session, "?after=-1"), consumers.BAD_REQUEST),
        (events_path(session, f"?after={'9' * 30}"), consumers.BAD_REQUEST),
    ):
        async with socket(path, headers) as communicator:
            assert await closed(communicator) == code, path


async def test_another_site_s_page_is_refused(session: Session, viewer: User) -> None:
    headers = await sync_to_async(cookies)(viewer)
    others = (
        "http://evil.example", "http://localhost", "http://localhost:8001", "https://localhost:8000",
        "http://localhost:80000", "http://127.0.0.1:8000", "null", "",
    )  # fmt: skip
    for origin in ([], *([(b"origin", other.encode())] for other in others)):
        communicator = WebsocketCommunicator(
            websocket_application, panel_path(session), headers=[*origin, *headers[1:]]
        )
        connected, _ = await communicator.connect(timeout=PATIENCE)
        assert not connected


async def test_a_permission_that_is_withdrawn_closes_the_socket(
    session: Session, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.05)
    headers = await sync_to_async(cookies)(viewer)
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(socket(path, headers)) for path in every_path(session)]
        for communicator in opened:
            await heard(communicator)
        await sync_to_async(viewer.groups.clear)()
        for communicator in opened:
            assert await closed(communicator) == consumers.NO_ROLE


async def test_signing_out_closes_the_socket(session: Session, viewer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.05)
    by_cookie, by_token = await sync_to_async(cookies)(viewer), await sync_to_async(token)(viewer)
    async with socket(panel_path(session), by_cookie) as panel, socket(events_path(session), by_token) as events:
        await heard(panel)
        await heard(events)
        await sync_to_async(AuthToken.objects.all().delete)()
        await sync_to_async(_end_logins)()
        assert await closed(panel) == consumers.NO_LOGIN
        assert await closed(events) == consumers.NO_LOGIN


def _end_logins() -> None:
    from django.contrib.sessions.models import Session as Login  # noqa: PLC0415 - another thing of the same name

    Login.objects.all().delete()


async def test_a_deleted_session_closes_its_sockets(
    session: Session, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.05)
    headers = await sync_to_async(cookies)(viewer)
    async with socket(panel_path(session), headers) as panel, socket(events_path(session), headers) as events:
        await heard(panel)
        await heard(events)
        await sync_to_async(delete_session)(session)
        assert await closed(panel) == consumers.UNKNOWN
        assert await closed(events) == consumers.UNKNOWN


async def test_what_a_client_says_is_ignored_and_too_much_ends_it(session: Session, viewer: User) -> None:
    async with socket(events_path(session), await sync_to_async(cookies)(viewer)) as communicator:
        await communicator.send_to(text_data="hello")
        await communicator.send_to(bytes_data=b"\x00\xff")
        assert json.loads(await heard(communicator))["seq"] == 1
        await communicator.send_to(text_data="x" * (consumers.MAX_FRAME + 1))
        assert await closed(communicator) == consumers.TOO_LARGE


# ---- events for programs


async def test_events_come_in_order_and_from_where_one_left_off(session: Session, coach: User) -> None:
    headers = await sync_to_async(token)(coach)
    async with socket(events_path(session), headers) as communicator:
        first = json.loads(await heard(communicator))
        assert first["type"] == "session.created"
        assert set(first) == {"seq", "type", "session_id", "at", "data"}
        assert first["session_id"] == session.session_id
        assert first["at"].endswith("Z")
        for _ in range(3):
            await pause(session, by=coach)
            await resume(session, by=coach)
        got = [json.loads(await heard(communicator))["seq"] for _ in range(6)]
        assert got == [2, 3, 4, 5, 6, 7]
    async with socket(events_path(session, "?after=5"), headers) as communicator:
        assert [json.loads(await heard(communicator))["seq"] for _ in range(2)] == [6, 7]
        assert await communicator.receive_nothing(timeout=0.3)


async def test_a_long_log_comes_whole(session: Session, viewer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "BATCH", 7)
    rows = [SessionEvent(session=session, seq=seq, type="session.paused", data={"by": "x"}) for seq in range(2, 101)]
    await sync_to_async(SessionEvent.objects.bulk_create)(rows)
    async with socket(events_path(session), await sync_to_async(cookies)(viewer)) as communicator:
        got = [json.loads(await heard(communicator))["seq"] for _ in range(100)]
    assert got == list(range(1, 101))


async def test_a_client_that_does_not_read_delays_nobody(session: Session, coach: User) -> None:
    headers = await sync_to_async(cookies)(coach)
    async with socket(panel_path(session), headers), socket(events_path(session), headers) as reads:
        await heard(reads)
        for _ in range(20):
            await pause(session, by=coach)
            await resume(session, by=coach)
        got = [json.loads(await heard(reads))["seq"] for _ in range(40)]
        assert got == list(range(2, 42))


# ---- the panel


async def test_the_panel_comes_whole_and_then_what_changed(session: Session, ask: Ask, coach: User) -> None:
    headers = await sync_to_async(cookies)(coach)
    async with socket(panel_path(session), headers) as communicator:
        whole = await heard(communicator)
        for part in ("top", "status", "picture", "proposal", "steps", "stats", "timeline", "record"):
            assert f'id="panel-{part}"' in whole
        suggestion = await sync_to_async(ask)(session)
        pushed = await told(communicator, 'id="decide"')
        assert "Type “42.50” into “Amount”" in pushed
        assert 'id="panel-stats"' not in pushed

        await pause(session, by=coach)
        pushed = await told(communicator, "Paused.")
        # While the same question is open its form is never sent again: somebody may be typing in it.
        assert 'id="decide"' not in pushed
        await resume(session, by=coach)
        pushed = await told(communicator, "carl resumed")
        assert 'id="decide"' not in pushed

        await sync_to_async(decide)(suggestion, Answer(decision="accept"), by=coach)
        pushed = await told(communicator, "accepted <b>1</b>")
        assert "Waiting for a worker to perform" in pushed


async def test_a_reconnecting_panel_gets_the_whole_state(session: Session, ask: Ask, coach: User) -> None:
    headers = await sync_to_async(cookies)(coach)
    async with socket(panel_path(session), headers) as communicator:
        await heard(communicator)
    await sync_to_async(ask)(session)
    async with socket(panel_path(session), headers) as communicator:
        whole = await heard(communicator)
        assert 'id="decide"' in whole
        assert 'id="panel-record"' in whole


async def test_a_viewer_s_panel_has_no_buttons(suggestion: Suggestion, viewer: User) -> None:
    async with socket(panel_path(suggestion.session), await sync_to_async(cookies)(viewer)) as communicator:
        whole = await heard(communicator)
        assert "A coach decides this" in whole
        assert "<button" not in whole


async def test_who_watches_is_counted(session: Session, coach: User, viewer: User) -> None:
    mine, hers = await sync_to_async(cookies)(coach), await sync_to_async(cookies)(viewer)
    async with socket(panel_path(session), mine) as communicator:
        assert "1 watching" in await heard(communicator)
        async with socket(panel_path(session), hers):
            assert 'title="carl, vera">2 watching' in await told(communicator, "2 watching")
        await told(communicator, "1 watching")


async def test_one_state_is_rendered_once_for_all_who_watch(
    session: Session, coach: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[Any] = []
    whole = panel.render_fragments

    def counted(context: Any) -> dict[str, str]:
        rendered.append(context["session"].last_seq)
        return whole(context)

    monkeypatch.setattr(panel, "render_fragments", counted)
    headers = await sync_to_async(cookies)(coach)
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(socket(panel_path(session), headers)) for _ in range(8)]
        for communicator in sockets:
            await told(communicator, "8 watching")
        rendered.clear()
        await pause(session, by=coach)
        await asyncio.gather(*(told(communicator, "Paused.") for communicator in sockets))
        assert rendered == [2]


# ---- the inbox


async def test_the_inbox_follows_with_its_count(session: Session, ask: Ask, coach: User, viewer: User) -> None:
    mine, hers = await sync_to_async(cookies)(coach), await sync_to_async(cookies)(viewer)
    async with socket("/ws/inbox/", mine) as communicator, socket("/ws/inbox/", hers) as looking_on:
        assert "Nothing waits for you." in await heard(communicator)
        suggestion = await sync_to_async(ask)(session)
        pushed = await told(communicator, "Type “42.50” into “Amount”")
        assert 'aria-label="1 waiting"' in pushed
        await sync_to_async(decide)(suggestion, Answer(decision="skip"), by=coach)
        assert "Nothing waits for you." in await told(communicator, "Nothing waits")
        await heard(looking_on)
        assert await looking_on.receive_nothing(timeout=0.3)
