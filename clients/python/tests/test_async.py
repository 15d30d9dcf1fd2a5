"""The asynchronous client does the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from coachsite_client import AsyncCoach, Coach, NothingToPerform, StillWaiting

from coaching.tests.live import LiveSite

from .support import Decider

pytestmark = pytest.mark.live

Deciding = Callable[..., Decider]


async def test_the_whole_way(site: LiveSite, token: str, workflow: str, deciding: Deciding) -> None:
    answers = ["accept", {"decision": "correct", "correction": {"number": 22}}, "accept", "accept", "reject"]
    with deciding(*answers):
        async with AsyncCoach(site.url, token) as coach, coach.session(workflow, "november", total_steps=5) as session:
            first = await session.ask("post", {"number": 1})
            assert first.action == {"number": 1}
            await first.succeeded()
            second = await session.ask("post", {"number": 2})
            async with second.performing() as action:
                assert action == {"number": 22}
            third = await session.ask("post", {"number": 3})
            with pytest.raises(RuntimeError):
                async with third.performing():
                    raise RuntimeError("down")
            again = await session.ask("post", {"number": 3})
            assert (again.step_index, again.attempt) == (2, 2)
            await again.succeeded()
            last = await session.ask("post", {"number": 4})
            assert not last.perform
            with pytest.raises(NothingToPerform):
                await last.succeeded()
            with pytest.raises(StillWaiting):
                await session.ask("post", {"number": 5}, timeout=0.1)
            raised = [event["type"] async for event in session.events(follow=False)]
            assert raised.count("decision.recorded") == 5
    with Coach(site.url, token) as blocking:
        assert blocking.get_session(session.session_id)["status"] == "completed"
    async with AsyncCoach(site.url, token) as coach, coach.session(workflow, "november") as session:
        assert session.resumed
        replayed = await session.ask("post", {"number": 1})
        assert (replayed.perform, replayed.replayed, replayed.done_action) == (False, True, {"number": 1})


async def test_waiting_holds_up_nothing_else(site: LiveSite, token: str, workflow: str) -> None:
    async with AsyncCoach(site.url, token) as coach, coach.session(workflow) as session:
        asking = asyncio.create_task(session.ask("post", {"number": 1}))
        async for event in session.events():
            if event["type"] == "suggestion.opened":
                break
        assert [item["n"] for item in await coach.inbox(limit=500) if item["workflow_id"] == workflow] == [1]
        await coach.pause(session.session_id)
        await coach.resume(session.session_id)
        await coach.decide(session.session_id, 1, "skip")
        decision = await asyncio.wait_for(asking, 10)
        assert decision.decision == "skip"


async def test_a_cancelled_question_stays_open(site: LiveSite, token: str, workflow: str) -> None:
    async with AsyncCoach(site.url, token) as coach, coach.session(workflow, "named") as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await session.ask("post", {"number": 1})
        (found,) = await coach.suggestions(session.session_id)
        assert found["status"] == "open"
        await coach.decide(session.session_id, 1, "reject")
        assert (await session.ask("post", {"number": 1})).decision == "reject"
