"""Asking one question until it has its answer, and going on with a run that was interrupted.

A program that crashed runs again from its start, under the same `execution_id`. Its questions are numbered in the order
in which they are asked (`step_index`), so what the server knows of number i is what became of question i before.
"""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any, Literal

from ._calls import ENDED, POLL_SECONDS, Calls, given
from ._wire import JSON, Steps, encode
from .errors import (
    AlreadyDecided,
    CoachError,
    IdempotencyMismatch,
    IllegalTransition,
    ReplayMismatch,
    SessionEnded,
    SessionNotActive,
    StaleStep,
    StillWaiting,
    Withdrawn,
)

logger = logging.getLogger("coachsite_client")

PERFORMS = frozenset({"accept", "correct"})
OnUncertain = Literal["ask", "perform"]

#: A key of which the server remembers another body is given up for the next one; so often, then something is wrong.
MOST_MISMATCHES = 20


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `fields` is the body without `step_index`, `action` as it is after a way through JSON."""

    node_id: str
    action: JSON
    fields: JSON

    def is_about(self, suggestion: JSON) -> bool:
        """Whether `suggestion` asks the same. Fields that packs have changed are left out of the comparison."""
        if (suggestion["node_id"], suggestion["action_type"]) != (self.node_id, self.fields["action_type"]):
            return False
        changes = (suggestion.get("provenance") or {}).get("changed") or []
        changed = {path.split("/")[1] for change in changes for path in (change["path"], change.get("from")) if path}
        return _without(self.action, changed) == _without(suggestion["action"], changed)


def question(
    node_id: str,
    action: Mapping[str, Any],
    *,
    action_type: str | None,
    confidence: float | None,
    rationale: str | None,
    risk: str | None,
    screenshot: bytes | str | Path | None,
    expires_in: float | None,
    on_expiry: str | None,
) -> Question:
    """Raises `CoachError` for an action that is no JSON object."""
    if not isinstance(action, Mapping):
        raise CoachError(f"An action is a mapping of names to values, not {type(action).__name__}.")
    plain: JSON = json.loads(encode(dict(action), "The action"))
    if isinstance(screenshot, str | Path):
        screenshot = Path(screenshot).read_bytes()
    fields = {"node_id": node_id, "action_type": action_type or node_id, "action": plain}
    fields |= given(
        confidence=confidence,
        rationale=rationale,
        risk=risk,
        screenshot=None if screenshot is None else b64encode(screenshot).decode(),
        expires_in=expires_in,
        on_expiry=on_expiry,
    )
    return Question(node_id, plain, fields)


@dataclass(slots=True)
class Run:
    """What this program knows of its session.

    `known`: the suggestions of each `step_index` in order. `answered_before`: the numbers of those that were answered
    when an interrupted run was taken up again; `mine`: of those that were asked since. `dropped`: those that the caller
    stopped waiting for and then asked something else instead. `seq`: the last event seen.
    """

    session_id: str
    exact_replay: bool = True
    known: dict[int, list[JSON]] = field(default_factory=dict)
    answered_before: frozenset[int] = frozenset()
    mine: set[int] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)
    next_index: int = 0
    seq: int = 0
    last_asked: tuple[int, Question] | None = None
    failed_index: int | None = None

    def latest(self, index: int) -> JSON | None:
        found = [suggestion for suggestion in self.known.get(index, []) if suggestion["n"] not in self.dropped]
        return found[-1] if found else None

    def note(self, suggestion: JSON, index: int | None = None) -> None:
        """Keeps the newest description of a suggestion."""
        of_step = self.known.setdefault(suggestion["step_index"] if index is None else index, [])
        of_step[:] = sorted([*(s for s in of_step if s["n"] != suggestion["n"]), suggestion], key=lambda s: int(s["n"]))

    def replace(self, suggestions: list[JSON]) -> bool:
        """Takes over the server's list; whether that was news."""
        before = self.known
        self.known = {}
        for suggestion in suggestions:
            self.note(suggestion)
        return self.known != before

    def went_on_from(self, index: int) -> bool:
        """Whether a later question was asked: the program knew what became of this one, and lived with it."""
        return any(later > index for later in self.known)

    def index_for(self, asked: Question, *, again: bool | None) -> int:
        """The place of a question. The same one right after its action failed stays in its place (`again` decides)."""
        if again is None:
            again = (
                self.last_asked is not None
                and self.failed_index == self.last_asked[0]
                and (asked.node_id, asked.action) == (self.last_asked[1].node_id, self.last_asked[1].action)
            )
        if not again:
            return self.next_index
        if self.last_asked is None:
            raise CoachError("again=True repeats the last question, and nothing was asked yet.")
        return self.last_asked[0]

    def finish(self, index: int, asked: Question) -> None:
        """Only a question with an answer takes its place: one that raised is asked again in the same."""
        self.next_index, self.last_asked, self.failed_index = index + 1, (index, asked), None


def resume(calls: Calls, run: Run) -> Steps[None]:
    """Loads what an earlier life of the program has asked."""
    suggestions = yield from calls.suggestions(run.session_id)
    run.replace(suggestions)
    run.answered_before = frozenset(
        suggestion["n"] for suggestion in suggestions if suggestion["status"] == "decided" or suggestion["decision"]
    )


class Move(Enum):
    """What is to be done about a question next."""

    ASK = auto()
    WAIT = auto()
    BEGIN = auto()
    """Decided, and nobody has begun: announce it and perform."""
    PERFORM = auto()
    """Begun before without an outcome, and the caller says that twice is no harm."""
    REPORT = auto()
    """Begun before without an outcome: tell the coach, and ask."""
    RETURN = auto()
    """Settled: there is nothing to perform."""
    AWAIT_RESUME = auto()
    TAKEN_BACK = auto()


def judge(latest: JSON | None, *, went_on: bool, on_uncertain: OnUncertain) -> Move:
    """What the latest suggestion of a place calls for. `went_on`: the program has asked later questions already."""
    if latest is None:
        return Move.ASK
    match latest["status"]:
        case "open":
            return Move.WAIT
        case "withdrawn":
            return Move.TAKEN_BACK
        case "expired":
            return Move.RETURN if latest["decision"] else Move.AWAIT_RESUME
    if went_on or latest["decision"]["decision"] not in PERFORMS:
        return Move.RETURN
    return _judge_action(latest, on_uncertain)


def _judge_action(latest: JSON, on_uncertain: OnUncertain) -> Move:
    """What a decided action calls for."""
    if latest["outcome"] is not None:
        return Move.ASK if latest["outcome"] in {"failed", "uncertain"} else Move.RETURN
    # A server that does not say when it began refuses a second beginning: see `Asking._begin`.
    if latest.get("performing_since") is None:
        return Move.BEGIN
    return Move.PERFORM if on_uncertain == "perform" else Move.REPORT


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of asking: `perform` says whether the caller is to act now."""

    index: int
    suggestion: JSON
    perform: bool
    replayed: bool


@dataclass(slots=True)
class Asking:
    """One call of `ask`. `timeout` in seconds; None waits for as long as it takes."""

    calls: Calls
    run: Run
    question: Question
    timeout: float | None = None
    announce: bool = True
    on_uncertain: OnUncertain = "ask"
    again: bool | None = None
    index: int = 0
    deadline: float | None = None
    keys_used: int = 0
    mismatches: int = 0
    #: Numbers of the suggestions for which this call waits.
    ours: set[int] = field(default_factory=set)

    def steps(self) -> Steps[Settled]:
        """Raises what `Session.ask` says."""
        self.deadline = None if self.timeout is None else self.calls.policy.clock() + self.timeout
        self.index = self.run.index_for(self.question, again=self.again)
        self._check_that_it_is_the_same()
        while True:
            latest = self.run.latest(self.index)
            move = judge(latest, went_on=self.run.went_on_from(self.index), on_uncertain=self.on_uncertain)
            if latest is None or move is Move.ASK:
                yield from self._put()
            elif move in {Move.RETURN, Move.PERFORM}:
                return self._settled(latest, perform=move is Move.PERFORM)
            elif move is Move.BEGIN:
                if (yield from self._begin(latest)):
                    return self._settled(self.run.latest(self.index) or latest, perform=True)
            else:
                yield from self._not_yet(latest, move)

    def _not_yet(self, latest: JSON, move: Move) -> Steps[None]:
        if move is Move.WAIT:
            yield from self._wait(latest) if self.question.is_about(latest) else self._drop(latest)
        elif move is Move.REPORT:
            yield from self._report_uncertain(latest)
        elif move is Move.TAKEN_BACK and latest["n"] in self.ours:
            yield from self._taken_back(latest)
        else:
            # Expired, or taken back before this question was asked: neither was answered, so it is asked.
            if move is Move.AWAIT_RESUME:
                yield from self._active()
            yield from self._put()

    def _settled(self, suggestion: JSON, *, perform: bool) -> Settled:
        self.run.finish(self.index, self.question)
        return Settled(self.index, suggestion, perform, suggestion["n"] in self.run.answered_before)

    def _check_that_it_is_the_same(self) -> None:
        latest = self.run.latest(self.index)
        if latest is None or latest["status"] == "withdrawn" or latest["n"] in self.run.mine:
            return
        place = f"Question {self.index} of session {self.run.session_id}"
        if latest["node_id"] != self.question.node_id:
            raise ReplayMismatch(
                f"{place} was “{latest['node_id']}” when this run began, and now it is “{self.question.node_id}”. A "
                "run goes on by asking the same questions in the same order: start the program that began it, or start "
                "anew under another execution_id."
            )
        if latest["n"] in self.run.answered_before and not self.question.is_about(latest):
            words = (
                f"{place} was about {_brief(latest['action'])} when it was decided, and now it is about "
                f"{_brief(self.question.action)}."
            )
            if self.run.exact_replay:
                raise ReplayMismatch(f"{words} Start anew under another execution_id.")
            logger.warning("%s The earlier decision holds.", words)

    # Putting the question

    def _key(self) -> str:
        """The same for a program that was killed before it heard the answer, and asks again."""
        attempt = len(self.run.known.get(self.index, [])) + 1
        self.keys_used += 1
        more = f":{self.keys_used}" if self.keys_used > 1 else ""
        return f"ask:{self.run.session_id}:{self.index}:{attempt}{more}"

    def _put(self) -> Steps[None]:
        path = f"sessions/{self.run.session_id}/suggestions/"
        body = self.question.fields | {"step_index": self.index}
        try:
            suggestion = yield from self.calls.post(path, body, key=self._key(), deadline=self.deadline)
        except IdempotencyMismatch:
            self.mismatches += 1
            if self.mismatches > MOST_MISMATCHES:
                raise
            # Our earlier life has asked something else here after all: look, and judge anew.
            self.run.replace((yield from self.calls.suggestions(self.run.session_id)))
        except SessionNotActive:
            yield from self._active()
        except StaleStep as stale:
            if stale.suggestion is None or stale.suggestion["step_index"] != self.index:
                raise
            yield from self._withdraw(stale.suggestion)
        else:
            self.keys_used = 0
            self.ours.add(suggestion["n"])
            self.run.mine.add(suggestion["n"])
            self.run.note(suggestion, self.index)

    def _drop(self, other: JSON) -> Steps[None]:
        """Something else is open in this place. What this life of the program asked itself, it does not want any more.

        What an earlier life asked may have been answered by now: that answer counts.
        """
        if other["n"] in self.run.mine:
            self.run.dropped.add(other["n"])
        yield from self._withdraw(other)

    def _withdraw(self, other: JSON) -> Steps[None]:
        """Takes back what was asked in this place before and is not asked any more."""
        reason = {"reason": "The program asks something else in its place."}
        try:
            taken = yield from self.calls.about(
                self.run.session_id, other["n"], "withdraw", reason, deadline=self.deadline
            )
        except (AlreadyDecided, IllegalTransition):
            taken = yield from self.calls.suggestion(self.run.session_id, other["n"], deadline=self.deadline)
        self.run.note(taken, self.index)

    # Waiting

    def _left(self) -> float:
        return POLL_SECONDS if self.deadline is None else self.deadline - self.calls.policy.clock()

    def _wait(self, latest: JSON) -> Steps[None]:
        self.ours.add(latest["n"])
        left = self._left()
        if left <= 0:
            raise StillWaiting(
                f"No decision on “{latest['description']}” within {self.timeout:g} s. It stays open: ask the same "
                "again to go on waiting.",
                latest,
            )
        try:
            found = yield from self.calls.suggestion(
                self.run.session_id, latest["n"], wait=min(POLL_SECONDS, left), deadline=self.deadline
            )
        except StillWaiting as still:
            raise StillWaiting(str(still), latest) from None
        self.run.note(found, self.index)

    def _active(self) -> Steps[None]:
        """Until the session is active again. Raises `SessionEnded`, `StillWaiting`."""
        yield from until_active(self.calls, self.run, self.deadline)

    def _taken_back(self, latest: JSON) -> Steps[None]:
        session = yield from self.calls.session(self.run.session_id, deadline=self.deadline)
        if session["status"] in ENDED:
            raise SessionEnded(session)
        raise Withdrawn(
            f"The question “{latest['description']}” was taken back: {latest['error'] or 'no reason given'}", latest
        )

    # Once decided

    def _begin(self, latest: JSON) -> Steps[bool]:
        """Tells the server that the action begins now; False when that has to be judged anew."""
        if not self.announce:
            return True
        try:
            begun = yield from self.calls.about(self.run.session_id, latest["n"], "performing", deadline=self.deadline)
        except SessionNotActive:
            yield from self._active()
            return False
        except IllegalTransition:
            found = yield from self.calls.suggestion(self.run.session_id, latest["n"], deadline=self.deadline)
            # Refused although its outcome is open: it has begun, by whomever, whether or not the server says when.
            self.run.note(found | {"performing_since": found.get("performing_since") or "before"}, self.index)
            return False
        self.run.note(begun, self.index)
        return True

    def _report_uncertain(self, latest: JSON) -> Steps[None]:
        error = "The program was interrupted while it performed this: whether it happened is not known."
        body = {"status": "uncertain", "error": error}
        try:
            found = yield from self.calls.about(
                self.run.session_id, latest["n"], "outcome", body, deadline=self.deadline
            )
        except IllegalTransition:
            found = yield from self.calls.suggestion(self.run.session_id, latest["n"], deadline=self.deadline)
            if found == latest:
                raise
        self.run.note(found, self.index)


def until_active(calls: Calls, run: Run, deadline: float | None) -> Steps[None]:
    """Waits by the session's events until it is active. Raises `SessionEnded`, or `StillWaiting` at the deadline."""
    told = False
    while True:
        # Events first, the status after: a change in between is then an event still to come, and ends the poll.
        while found := (yield from calls.events(run.session_id, run.seq, deadline=deadline)):
            run.seq = found[-1]["seq"]
        session = yield from calls.session(run.session_id, deadline=deadline)
        if session["status"] in ENDED:
            raise SessionEnded(session)
        if session["status"] == "active":
            return
        if not told:
            logger.info("session %s is paused; waiting for somebody to resume it", run.session_id)
            told = True
        left = POLL_SECONDS if deadline is None else deadline - calls.policy.clock()
        if left <= 0:
            raise StillWaiting(f"Session {run.session_id} is still paused. Ask the same again to go on waiting.")
        yield from calls.events(run.session_id, run.seq, min(POLL_SECONDS, left), deadline)


def report(calls: Calls, run: Run, settled: Settled, status: str, error: str | None) -> Steps[JSON]:
    """Tells what became of an action: `succeeded`, `failed` or `uncertain`. Raises `Conflict` when told otherwise."""
    body = given(status=status, error=error[:10_000] if error else None)
    found = yield from calls.about(run.session_id, settled.suggestion["n"], "outcome", body)
    run.note(found, settled.index)
    if status != "succeeded" and run.last_asked is not None and run.last_asked[0] == settled.index:
        run.failed_index = settled.index
    return found


def _without(action: JSON, names: set[str]) -> JSON:
    return {name: value for name, value in action.items() if name not in names}


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:199]}…"
