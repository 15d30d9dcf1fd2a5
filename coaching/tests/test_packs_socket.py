"""The list of packs over its socket: who may listen, and that it follows corrections and reviewers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from coaching import consumers
from coaching.actions.correction_packs import delete_pack, make_pack
from coaching.actions.decisions import Answer, decide
from coaching.models import Correction, Session, Suggestion
from conftest import TYPE

from .test_sockets import HOST, ORIGIN, closed, cookies, heard, socket, told

pytestmark = pytest.mark.django_db(transaction=True)

Ask = Callable[..., Suggestion]
PATH = "/ws/packs/"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "PACKS_SECONDS", 0.05)
    monkeypatch.setattr(consumers, "PACKS_PAUSE_SECONDS", 0.05)


async def test_only_who_may_look_listens(stranger: User) -> None:
    async with socket(PATH, [ORIGIN, HOST]) as communicator:
        assert await closed(communicator) == consumers.NO_LOGIN
    async with socket(PATH, await sync_to_async(cookies)(stranger)) as communicator:
        assert await closed(communicator) == consumers.NO_ROLE


async def test_a_permission_that_is_withdrawn_closes_it(viewer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.05)
    async with socket(PATH, await sync_to_async(cookies)(viewer)) as communicator:
        await heard(communicator)
        await sync_to_async(viewer.groups.clear)()
        assert await closed(communicator) == consumers.NO_ROLE


async def test_it_follows_corrections_and_reviewers(
    session: Session, ask: Ask, coach: User, reviewer: User, viewer: User
) -> None:
    mine, hers = await sync_to_async(cookies)(reviewer), await sync_to_async(cookies)(viewer)
    async with socket(PATH, mine) as communicator, socket(PATH, hers) as looking_on:
        assert "No pack yet." in await heard(communicator)
        assert "No pack yet." in await heard(looking_on)
        answer = Answer(decision="correct", correction=TYPE | {"value": "45"})
        for _ in range(2):
            await sync_to_async(decide)(await sync_to_async(ask)(session), answer, by=coach)
        suggested = await told(communicator, "made at least twice, and")
        assert "Make a pack" in suggested
        assert "<button" not in await told(looking_on, "made at least twice, and")

        pack = await sync_to_async(make_pack)(Correction.objects.all(), by=reviewer)
        # A frame that was being drawn meanwhile may come first, with the list as it was.
        await told(communicator, "v1 draft")
        await sync_to_async(delete_pack)(pack, by=reviewer)
        await told(communicator, "No pack yet.")
        assert await communicator.receive_nothing(timeout=0.3)
