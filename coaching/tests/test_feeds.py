"""Many sockets of one session are told at once: each gets everything, once, in order, however slowly it reads."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from knox.models import AuthToken
from websockets.frames import Frame
from websockets.streams import StreamReader

from coaching import consumers, feeds
from coaching.actions.sessions import delete_session, pause_session, resume_session
from coaching.models import Session
from coaching.pages import panel
from coaching.routing import websocket_application
from coachsite import patience

PATIENCE = 10.0

pause = sync_to_async(pause_session)
resume = sync_to_async(resume_session)


def read_frames(octets: bytes) -> list[str]:
    """The messages that a client would find in them, read by another library."""
    reader, found = StreamReader(), []
    reader.feed_data(octets)
    while reader.buffer:
        parsing = Frame.parse(reader.read_exact, mask=False)
        with pytest.raises(StopIteration) as ended:
            next(parsing)
        found.append(bytes(ended.value.value.data).decode())
    return found


class Wire:
    """A connection that is written to directly, and takes nothing while it is `full`."""

    def __init__(self) -> None:
        self.octets: list[bytes] = []
        self.full = False
        self._written = asyncio.Event()

    def write(self, frame: bytes) -> bool:
        if self.full:
            return False
        self.octets.append(frame)
        self._written.set()
        return True

    @property
    def messages(self) -> list[str]:
        return read_frames(b"".join(self.octets))

    async def until(self, enough: Callable[[list[str]], bool]) -> list[str]:
        async with asyncio.timeout(PATIENCE):
            while not enough(self.messages):
                self._written.clear()
                await self._written.wait()
        return self.messages


@contextlib.asynccontextmanager
async def socket(path: str, user: User) -> AsyncIterator[tuple[WebsocketCommunicator, Wire]]:
    """A program's socket under a server that can be written to directly."""
    _, secret = await sync_to_async(AuthToken.objects.create)(user)
    headers = [(b"authorization", f"Token {secret}".encode())]
    communicator = WebsocketCommunicator(websocket_application, path, headers=headers)
    communicator.scope[feeds.OUTLET] = wire = Wire()
    await communicator.connect(timeout=PATIENCE)
    try:
        yield communicator, wire
    finally:
        await communicator.disconnect(timeout=PATIENCE)


def events_of(session: Session, after: int = 0) -> str:
    return f"/ws/v1/sessions/{session.session_id}/events/?after={after}"


def panel_of(session: Session) -> str:
    return f"/ws/sessions/{session.session_id}/panel/"


async def joined(count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while sum(len(feed.members) for feed in feeds._feeds.values()) < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def numbers(messages: list[str]) -> list[int]:
    return [json.loads(message)["seq"] for message in messages]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 100_000])
def test_a_frame_is_what_a_client_reads(length: int) -> None:
    text = ("é" * length)[:length]
    assert read_frames(feeds.frame_of(text) + feeds.frame_of("next")) == [text, "next"]


def test_our_server_leaves_the_outlet_where_feeds_look_for_it() -> None:
    assert patience.OUTLET == feeds.OUTLET


@pytest.mark.django_db(transaction=True)
class TestEvents:
    async def test_all_are_told_the_same_once_and_in_order(self, session: Session, coach: User, viewer: User) -> None:
        async with (
            socket(events_of(session), coach) as (first, at_once),
            socket(events_of(session, after=1), viewer) as (_, other),
        ):
            assert json.loads(await first.receive_from(PATIENCE))["seq"] == 1
            await joined(2)
            for _ in range(3):
                await pause(session, by=coach)
                await resume(session, by=coach)
            for wire in (at_once, other):
                assert numbers(await wire.until(lambda found: len(found) >= 6)) == [2, 3, 4, 5, 6, 7]
            assert at_once.octets == other.octets
            assert json.loads(at_once.messages[0])["type"] == "session.paused"

    async def test_who_does_not_read_goes_on_alone_and_comes_back(self, session: Session, coach: User) -> None:
        async with (
            socket(events_of(session, after=1), coach) as (communicator, slow),
            socket(events_of(session, after=1), coach) as (_, quick),
        ):
            await joined(2)
            slow.full = True
            await pause(session, by=coach)
            # By its own task, which waits for its client wherever the server makes it wait.
            assert json.loads(await communicator.receive_from(PATIENCE))["seq"] == 2
            await resume(session, by=coach)
            assert json.loads(await communicator.receive_from(PATIENCE))["seq"] == 3
            slow.full = False
            await joined(2)
            await pause(session, by=coach)
            assert numbers(await slow.until(bool)) == [4]
            assert numbers(await quick.until(lambda found: len(found) >= 3)) == [2, 3, 4]

    async def test_who_comes_while_much_happens_misses_nothing(self, session: Session, coach: User) -> None:
        async def much() -> None:
            for _ in range(15):
                await pause(session, by=coach)
                await resume(session, by=coach)

        async def watch() -> list[int]:
            async with socket(events_of(session), coach) as (communicator, wire):
                heard: list[int] = []
                async with asyncio.timeout(30):
                    while len(heard) + len(wire.messages) < 31:
                        with contextlib.suppress(TimeoutError, asyncio.QueueEmpty):
                            if not communicator.output_queue.empty():
                                heard.append(json.loads(await communicator.receive_from(PATIENCE))["seq"])
                        await asyncio.sleep(0.002)
                return heard + numbers(wire.messages)

        async def later(seconds: float) -> list[int]:
            await asyncio.sleep(seconds)
            return await watch()

        found = await asyncio.gather(much(), *[later(n * 0.03) for n in range(8)])
        for heard in found[1:]:
            # A socket that fell behind and came back has them from two sides: by number none is missing or doubled.
            assert sorted(heard or []) == list(range(1, 32))

    async def test_nothing_is_left_when_all_have_gone(self, session: Session, coach: User) -> None:
        async with socket(events_of(session), coach), socket(panel_of(session), coach):
            await joined(2)
        assert feeds._feeds == {}


@pytest.mark.django_db(transaction=True)
class TestPanel:
    async def test_it_is_rendered_once_for_all_who_see_the_same(
        self, session: Session, coach: User, viewer: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rendered: list[panel.Reader] = []
        original = panel.FragmentCache._render

        def counting(self: panel.FragmentCache, session_pk: int, key: tuple[object, ...]) -> object:
            rendered.append(key[2])  # type: ignore[arg-type]
            return original(self, session_pk, key)

        async with (
            socket(panel_of(session), coach) as (first, one),
            socket(panel_of(session), coach) as (second, two),
            socket(panel_of(session), viewer) as (third, three),
        ):
            for communicator in (first, second, third):
                assert 'id="' in await communicator.receive_from(PATIENCE)
            await joined(3)
            monkeypatch.setattr(panel.FragmentCache, "_render", counting)
            await pause(session, by=coach)
            texts = [
                "".join(await wire.until(lambda found: any("paused" in text for text in found)))
                for wire in (one, two, three)
            ]
            assert one.octets[-1] == two.octets[-1]
            assert len(rendered) == 2
            assert "resume" in texts[0]
            assert f"/sessions/{session.session_id}/resume/" not in texts[2]

    async def test_the_others_see_who_comes_and_who_goes(self, session: Session, coach: User, viewer: User) -> None:
        async with socket(panel_of(session), coach) as (_, wire):
            await joined(1)
            async with socket(panel_of(session), viewer):
                await wire.until(lambda found: bool(found) and viewer.username in found[-1])
            await wire.until(lambda found: viewer.username not in found[-1])

    async def test_a_deleted_session_closes_it(self, session: Session, coach: User) -> None:
        async with socket(panel_of(session), coach) as (communicator, _):
            await joined(1)
            await sync_to_async(delete_session)(session)
            while (message := await communicator.receive_output(PATIENCE))["type"] != "websocket.close":
                continue
            assert message["code"] == consumers.UNKNOWN

    async def test_who_does_not_read_gets_what_has_changed_meanwhile(self, session: Session, coach: User) -> None:
        async with socket(panel_of(session), coach) as (communicator, wire):
            await communicator.receive_from(PATIENCE)
            await joined(1)
            wire.full = True
            await pause(session, by=coach)
            assert "paused" in await communicator.receive_from(PATIENCE)
            wire.full = False
            await joined(1)
            await resume(session, by=coach)
            await wire.until(bool)
