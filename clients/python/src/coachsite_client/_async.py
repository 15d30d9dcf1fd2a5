"""The asynchronous client: the same surface as `_sync`, awaited. What it means is written there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from . import _asking, _http, _leaving
from ._asking import Asking, OnUncertain, Run, question
from ._calls import Calls, given
from ._decision import Facts, error_text
from ._wire import JSON, Answer, Effect, Policy, Sleep, Steps
from .errors import CoachError, DuplicateExecution

T = TypeVar("T")
logger = logging.getLogger("coachsite_client")


class AsyncDriver:
    """Carries steps out with awaited calls."""

    def __init__(self, url: str, token: str, policy: Policy, http: httpx.AsyncClient) -> None:
        self.calls = Calls(policy)
        self.http = http
        self._base, self._token = _http.base_of(url), token

    async def run(self, steps: Steps[T]) -> T:
        """What the steps return, or raises what they raise."""
        try:
            effect = next(steps)
            while True:
                effect = steps.send(await self._do(effect))
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            steps.close()

    async def _do(self, effect: Effect) -> Answer:
        if isinstance(effect, Sleep):
            await asyncio.sleep(effect.seconds)
            return None
        try:
            return _http.reply(await self.http.request(**_http.arguments(self._base, self._token, effect)))
        except (httpx.TransportError, httpx.InvalidURL) as error:
            return _http.trouble(error, self._base)


class AsyncCoach:
    """A coachsite server, for one user. See `Coach`; share it within one event loop."""

    def __init__(
        self, url: str, token: str, *, patience: float | None = None, http: httpx.AsyncClient | None = None
    ) -> None:
        self._own = http is None
        self._driver = AsyncDriver(url, token, Policy(patience=patience), http or httpx.AsyncClient())
        self._calls, self._run = self._driver.calls, self._driver.run

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._own:
            await self._driver.http.aclose()

    def session(
        self,
        workflow_id: str,
        execution_id: str | None = None,
        *,
        mode: str = "coaching",
        variables: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        total_steps: int | None = None,
        create_workflow: bool = True,
        exact_replay: bool = True,
    ) -> AsyncSession:
        """See `Coach.session`; to be used as `async with coach.session(…) as session:`."""
        body = given(
            workflow_id=workflow_id,
            execution_id=execution_id,
            mode=mode,
            variables=None if variables is None else dict(variables),
            metadata=None if metadata is None else dict(metadata),
            total_steps=total_steps,
        )
        return AsyncSession(self, self._driver, body, create_workflow=create_workflow, exact_replay=exact_replay)

    async def ensure_workflow(
        self, workflow_id: str, name: str | None = None, *, description: str | None = None
    ) -> JSON:
        """See `Coach.ensure_workflow`."""
        return await self._run(self._calls.ensure_workflow(workflow_id, name, description))

    async def metrics(self, workflow_id: str) -> JSON:
        """See `Coach.metrics`."""
        return await self._run(self._calls.metrics(workflow_id))

    async def sessions(
        self,
        *,
        workflow_id: str | None = None,
        status: str | None = None,
        execution_id: str | None = None,
        resumable: bool | None = None,
        limit: int | None = None,
    ) -> list[JSON]:
        """See `Coach.sessions`."""
        filters = given(workflow_id=workflow_id, status=status, execution_id=execution_id, resumable=resumable)
        return await self._run(self._calls.sessions(filters, limit))

    async def get_session(self, session_id: str) -> JSON:
        """See `Coach.get_session`."""
        return await self._run(self._calls.session(session_id))

    async def start_session(self, workflow_id: str, execution_id: str | None = None, **more: Any) -> JSON:
        """See `Coach.start_session`."""
        body = given(workflow_id=workflow_id, execution_id=execution_id, **more)
        return await self._run(self._calls.start_session(body, create_workflow=False))

    async def suggestions(self, session_id: str) -> list[JSON]:
        """See `Coach.suggestions`."""
        return await self._run(self._calls.suggestions(session_id))

    async def inbox(self, *, limit: int = 100) -> list[JSON]:
        """See `Coach.inbox`."""
        return await self._run(self._calls.inbox(limit))

    async def decide(
        self,
        session_id: str,
        n: int,
        decision: str,
        *,
        correction: Mapping[str, Any] | None = None,
        feedback: str | None = None,
        reason_code: str | None = None,
    ) -> JSON:
        """See `Coach.decide`."""
        corrected = None if correction is None else dict(correction)
        body = given(n=n, decision=decision, correction=corrected, feedback=feedback, reason_code=reason_code)
        return await self._run(self._calls.decide(session_id, body))

    async def events(self, session_id: str, *, after: int = 0, follow: bool = True) -> AsyncIterator[JSON]:
        """See `Coach.events`."""
        while batch := await self._run(self._calls.next_events(session_id, after, follow=follow)):
            for event in batch:
                yield event
            after = batch[-1]["seq"]

    async def pause(self, session_id: str) -> JSON:
        return await self._run(self._calls.move(session_id, "pause"))

    async def resume(self, session_id: str) -> JSON:
        return await self._run(self._calls.move(session_id, "resume"))

    async def complete(self, session_id: str) -> JSON:
        return await self._run(self._calls.move(session_id, "complete", {"success": True}))

    async def fail(self, session_id: str, error: str) -> JSON:
        return await self._run(self._calls.fail(session_id, error))

    async def abandon(self, session_id: str) -> JSON:
        return await self._run(self._calls.move(session_id, "abandon"))


class AsyncSession:
    """One run. Use it in a `with` block, or call `start` and end it yourself."""

    def __init__(
        self, coach: AsyncCoach, driver: AsyncDriver, body: JSON, *, create_workflow: bool, exact_replay: bool
    ) -> None:
        self._coach, self._driver, self._body = coach, driver, body
        self._create_workflow, self._exact_replay = create_workflow, exact_replay
        self._run: Run | None = None
        self._asking = asyncio.Lock()
        self.info: JSON = {}
        """The session as the server described it at the start."""
        self.resumed = False
        """True when the run existed already."""

    async def start(self) -> Self:
        """See `Session.start`."""
        calls = self._driver.calls
        try:
            self.info = await self._driver.run(calls.start_session(self._body, create_workflow=self._create_workflow))
        except DuplicateExecution as duplicate:
            self.info, self.resumed = duplicate.session, True
        self._run = Run(self.info["session_id"], exact_replay=self._exact_replay)
        if self.resumed:
            await self._driver.run(_asking.resume(calls, self._run))
        return self

    @property
    def session_id(self) -> str:
        return self._started.session_id

    @property
    def _started(self) -> Run:
        if self._run is None:
            raise CoachError("The session has not started: use it in a `with` block, or call start().")
        return self._run

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        steps = _leaving.leave(self._driver.calls, self.session_id, error, named="execution_id" in self._body)
        if error is None:
            await self._driver.run(steps)
            return
        try:
            await self._driver.run(steps)
        except CoachError as second:
            # What went wrong in the block is what its caller must hear of.
            logger.warning("session %s: its end could not be told: %s", self.session_id, second)

    async def ask(
        self,
        node_id: str,
        action: Mapping[str, Any],
        *,
        action_type: str | None = None,
        confidence: float | None = None,
        rationale: str | None = None,
        risk: str | None = None,
        screenshot: bytes | str | Path | None = None,
        expires_in: float | None = None,
        on_expiry: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of the question, not of this call
        announce: bool = True,
        on_uncertain: OnUncertain = "ask",
        again: bool | None = None,
    ) -> AsyncDecision:
        """See `Session.ask`."""
        asked = question(
            node_id, action, action_type=action_type, confidence=confidence, rationale=rationale, risk=risk,
            screenshot=screenshot, expires_in=expires_in, on_expiry=on_expiry,
        )  # fmt: skip
        run = self._started
        async with self._asking:
            asking = Asking(
                self._driver.calls, run, asked, timeout=timeout, announce=announce, on_uncertain=on_uncertain,
                again=again,
            )  # fmt: skip
            return AsyncDecision(self._driver, run, await self._driver.run(asking.steps()))

    def events(self, *, after: int = 0, follow: bool = True) -> AsyncIterator[JSON]:
        """See `Coach.events`."""
        return self._coach.events(self.session_id, after=after, follow=follow)

    async def pause(self) -> JSON:
        return await self._coach.pause(self.session_id)

    async def resume(self) -> JSON:
        return await self._coach.resume(self.session_id)

    async def complete(self) -> JSON:
        return await self._coach.complete(self.session_id)

    async def fail(self, error: str) -> JSON:
        return await self._coach.fail(self.session_id, error)

    async def abandon(self) -> JSON:
        return await self._coach.abandon(self.session_id)


class AsyncDecision(Facts):
    """The answer to one question, and where to report what became of it."""

    def __init__(self, driver: AsyncDriver, run: Run, settled: _asking.Settled) -> None:
        super().__init__(run, settled)
        self._driver = driver

    async def _report(self, status: str, error: str | None = None) -> None:
        self._must_perform()
        steps = _asking.report(self._driver.calls, self._run, self._settled, status, error)
        self._keep(await self._driver.run(steps))

    async def succeeded(self) -> None:
        """See `Decision.succeeded`."""
        await self._report("succeeded")

    async def failed(self, error: str) -> None:
        """See `Decision.failed`."""
        await self._report("failed", error)

    async def uncertain(self, error: str) -> None:
        """See `Decision.uncertain`."""
        await self._report("uncertain", error)

    @asynccontextmanager
    async def performing(self) -> AsyncIterator[JSON]:
        """See `Decision.performing`; to be used as `async with`."""
        action = self._must_perform()
        try:
            yield action
        except Exception as error:
            try:
                await self.failed(error_text(error))
            except CoachError as second:
                # What went wrong in the block is what its caller must hear of.
                logger.warning("%r: its failure could not be reported: %s", self, second)
            raise
        await self.succeeded()
