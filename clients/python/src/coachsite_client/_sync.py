"""The blocking client: drives the steps of `_calls` and `_asking` with `httpx.Client`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


class Driver:
    """Carries steps out with blocking calls."""

    def __init__(self, url: str, token: str, policy: Policy, http: httpx.Client) -> None:
        self.calls = Calls(policy)
        self.http = http
        self._base, self._token = _http.base_of(url), token

    def run(self, steps: Steps[T]) -> T:
        """What the steps return, or raises what they raise."""
        try:
            effect = next(steps)
            while True:
                effect = steps.send(self._do(effect))
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            steps.close()

    def _do(self, effect: Effect) -> Answer:
        if isinstance(effect, Sleep):
            time.sleep(effect.seconds)
            return None
        try:
            return _http.reply(self.http.request(**_http.arguments(self._base, self._token, effect)))
        except (httpx.TransportError, httpx.InvalidURL) as error:
            return _http.trouble(error, self._base)


class Coach:
    """A coachsite server, for one user.

    `url` as in the browser, with or without `/api/v1`; `token` from `manage.py issue_token`. `patience`: seconds
    without any answer after which `Unreachable` is raised; None waits for ever, through restarts of the server. `http`:
    a client of your own (proxies, certificates), which you close yourself. Safe to share between threads.

    All methods raise `ApiError` when the server refuses, and `Unreachable`.
    """

    def __init__(
        self, url: str, token: str, *, patience: float | None = None, http: httpx.Client | None = None
    ) -> None:
        self._own = http is None
        self._driver = Driver(url, token, Policy(patience=patience), http or httpx.Client())
        self._calls, self._run = self._driver.calls, self._driver.run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._own:
            self._driver.http.close()

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
    ) -> Session:
        """A run of `workflow_id`, to be used as `with coach.session(…) as session:`.

        `execution_id` is your own name for the run: a program that was interrupted names it again and goes on. `mode`:
        `coaching` asks about every step, `auto` only where a step has not earned to run alone. `total_steps`: how many
        questions there will be, if known. `create_workflow` makes the workflow if it is missing (role owner).
        `exact_replay`: on going on, an answered question must be about the same action as now; False lets the answer
        hold for another action at the same step.

        When the block ends, the session is completed. When it raises: a named run stays open, to be gone on with; one
        without a name is marked failed with the error's text.
        """
        body = given(
            workflow_id=workflow_id,
            execution_id=execution_id,
            mode=mode,
            variables=None if variables is None else dict(variables),
            metadata=None if metadata is None else dict(metadata),
            total_steps=total_steps,
        )
        return Session(self, self._driver, body, create_workflow=create_workflow, exact_replay=exact_replay)

    def ensure_workflow(self, workflow_id: str, name: str | None = None, *, description: str | None = None) -> JSON:
        """The workflow, made as an external one without steps if it is missing. `PermissionDenied`: not an owner."""
        return self._run(self._calls.ensure_workflow(workflow_id, name, description))

    def metrics(self, workflow_id: str) -> JSON:
        """Where each step stands on its way to running alone, and what is missing."""
        return self._run(self._calls.metrics(workflow_id))

    def sessions(
        self,
        *,
        workflow_id: str | None = None,
        status: str | None = None,
        execution_id: str | None = None,
        resumable: bool | None = None,
        limit: int | None = None,
    ) -> list[JSON]:
        """Summaries of sessions, the last changed first: all pages of them, or the first `limit`."""
        filters = given(workflow_id=workflow_id, status=status, execution_id=execution_id, resumable=resumable)
        return self._run(self._calls.sessions(filters, limit))

    def get_session(self, session_id: str) -> JSON:
        """The session with its decisions and its open suggestion."""
        return self._run(self._calls.session(session_id))

    def start_session(self, workflow_id: str, execution_id: str | None = None, **more: Any) -> JSON:
        """A new session as the server describes it; `more`: mode, variables, metadata, total_steps.

        Raises `DuplicateExecution`, whose `session` is the run that exists, and `NotFound` without the workflow.
        """
        body = given(workflow_id=workflow_id, execution_id=execution_id, **more)
        return self._run(self._calls.start_session(body, create_workflow=False))

    def suggestions(self, session_id: str) -> list[JSON]:
        """All suggestions of a session, in order."""
        return self._run(self._calls.suggestions(session_id))

    def inbox(self, *, limit: int = 100) -> list[JSON]:
        """Open suggestions that wait for this user, each with `session_id` and `workflow_id`; at most 500."""
        return self._run(self._calls.inbox(limit))

    def decide(
        self,
        session_id: str,
        n: int,
        decision: str,
        *,
        correction: Mapping[str, Any] | None = None,
        feedback: str | None = None,
        reason_code: str | None = None,
    ) -> JSON:
        """Answers suggestion `n`; `correction` is the whole corrected action. Returns the decision.

        Raises `AlreadyDecided` (its `decision` is the first one), `StaleStep`, `SessionNotActive`.
        """
        corrected = None if correction is None else dict(correction)
        body = given(n=n, decision=decision, correction=corrected, feedback=feedback, reason_code=reason_code)
        return self._run(self._calls.decide(session_id, body))

    def events(self, session_id: str, *, after: int = 0, follow: bool = True) -> Iterator[JSON]:
        """The session's events after number `after`, in order and without gaps, as they happen, until it has ended.

        Go on later with the `seq` of the last one you had. `follow=False`: only those that there are now.
        """
        while batch := self._run(self._calls.next_events(session_id, after, follow=follow)):
            yield from batch
            after = batch[-1]["seq"]

    def pause(self, session_id: str) -> JSON:
        return self._run(self._calls.move(session_id, "pause"))

    def resume(self, session_id: str) -> JSON:
        return self._run(self._calls.move(session_id, "resume"))

    def complete(self, session_id: str) -> JSON:
        return self._run(self._calls.move(session_id, "complete", {"success": True}))

    def fail(self, session_id: str, error: str) -> JSON:
        return self._run(self._calls.fail(session_id, error))

    def abandon(self, session_id: str) -> JSON:
        return self._run(self._calls.move(session_id, "abandon"))


class Session:
    """One run. Use it in a `with` block, or call `start` and end it yourself."""

    def __init__(self, coach: Coach, driver: Driver, body: JSON, *, create_workflow: bool, exact_replay: bool) -> None:
        self._coach, self._driver, self._body = coach, driver, body
        self._create_workflow, self._exact_replay = create_workflow, exact_replay
        self._run: Run | None = None
        self._asking = threading.Lock()
        self.info: JSON = {}
        """The session as the server described it at the start."""
        self.resumed = False
        """True when the run existed already."""

    def start(self) -> Self:
        """Starts the run, or takes up the one of this `execution_id`."""
        calls = self._driver.calls
        try:
            self.info = self._driver.run(calls.start_session(self._body, create_workflow=self._create_workflow))
        except DuplicateExecution as duplicate:
            self.info, self.resumed = duplicate.session, True
        self._run = Run(self.info["session_id"], exact_replay=self._exact_replay)
        if self.resumed:
            self._driver.run(_asking.resume(calls, self._run))
        return self

    @property
    def session_id(self) -> str:
        return self._started.session_id

    @property
    def _started(self) -> Run:
        if self._run is None:
            raise CoachError("The session has not started: use it in a `with` block, or call start().")
        return self._run

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        steps = _leaving.leave(self._driver.calls, self.session_id, error, named="execution_id" in self._body)
        if error is None:
            self._driver.run(steps)
            return
        try:
            self._driver.run(steps)
        except CoachError as second:
            # What went wrong in the block is what its caller must hear of.
            logger.warning("session %s: its end could not be told: %s", self.session_id, second)

    def ask(
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
        timeout: float | None = None,
        announce: bool = True,
        on_uncertain: OnUncertain = "ask",
        again: bool | None = None,
    ) -> Decision:
        """Asks whether to do `action` (a JSON object) at the step `node_id`, and waits for the decision.

        For the coach: `action_type` (the node_id unless given), `confidence` 0 to 1, `rationale`, `risk`
        (`reversible` or `irreversible`), `screenshot` (PNG or JPEG, or the path of one). After `expires_in` seconds
        without an answer `on_expiry` happens: `reject`, `skip`, or `pause` (default), which waits until somebody
        resumes the session and then asks again.

        `timeout`: seconds after which `StillWaiting` is raised; the question stays open. `announce=False` saves the
        request that tells the server that the action begins: after a crash it may then be done twice. `on_uncertain`:
        what to do about an action that was begun before a crash and not reported: `ask` the coach, or `perform` it
        again because twice is no harm. `again`: whether this repeats the last question, whose action failed; unless
        given, it does when node_id and action are the same.

        Raises `StillWaiting`, `Withdrawn`, `SessionEnded`, `ReplayMismatch`, `ApiError`, `Unreachable`.
        """
        asked = question(
            node_id, action, action_type=action_type, confidence=confidence, rationale=rationale, risk=risk,
            screenshot=screenshot, expires_in=expires_in, on_expiry=on_expiry,
        )  # fmt: skip
        run = self._started
        with self._asking:
            asking = Asking(
                self._driver.calls, run, asked, timeout=timeout, announce=announce, on_uncertain=on_uncertain,
                again=again,
            )  # fmt: skip
            return Decision(self._driver, run, self._driver.run(asking.steps()))

    def events(self, *, after: int = 0, follow: bool = True) -> Iterator[JSON]:
        """See `Coach.events`."""
        return self._coach.events(self.session_id, after=after, follow=follow)

    def pause(self) -> JSON:
        return self._coach.pause(self.session_id)

    def resume(self) -> JSON:
        return self._coach.resume(self.session_id)

    def complete(self) -> JSON:
        return self._coach.complete(self.session_id)

    def fail(self, error: str) -> JSON:
        return self._coach.fail(self.session_id, error)

    def abandon(self) -> JSON:
        return self._coach.abandon(self.session_id)


class Decision(Facts):
    """The answer to one question, and where to report what became of it."""

    def __init__(self, driver: Driver, run: Run, settled: _asking.Settled) -> None:
        super().__init__(run, settled)
        self._driver = driver

    def _report(self, status: str, error: str | None = None) -> None:
        self._must_perform()
        steps = _asking.report(self._driver.calls, self._run, self._settled, status, error)
        self._keep(self._driver.run(steps))

    def succeeded(self) -> None:
        """The action is done. Raises `NothingToPerform`, or `IllegalTransition` when something else was reported."""
        self._report("succeeded")

    def failed(self, error: str) -> None:
        """The action did not happen; `error` says why. Asking the same again is the next attempt."""
        self._report("failed", error)

    def uncertain(self, error: str) -> None:
        """It is not known whether the action happened. Asking the same again asks the coach about it."""
        self._report("uncertain", error)

    @contextmanager
    def performing(self) -> Iterator[JSON]:
        """Gives the action; the end of the block reports `succeeded`, an exception in it `failed`, and goes on.

        A program that is being stopped (KeyboardInterrupt, SystemExit) reports nothing: it is not known whether the
        action happened. Raises `NothingToPerform`.
        """
        action = self._must_perform()
        try:
            yield action
        except Exception as error:
            try:
                self.failed(error_text(error))
            except CoachError as second:
                # What went wrong in the block is what its caller must hear of.
                logger.warning("%r: its failure could not be reported: %s", self, second)
            raise
        self.succeeded()
