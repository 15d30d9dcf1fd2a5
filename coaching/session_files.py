"""Session files: one JSON object for one session, with exactly the fields of the contract's *Session* and *Decision*.

Pure functions: no database, no clock. What a file leaves out has a default (see docs/import-export.md); what it says
twice is recounted from its decisions.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .session_files_fields import MAX_BYTES, BrokenFile, Fields, parsed

__all__ = [
    "COUNTERS",
    "ENDED",
    "INDEX",
    "MAX_BYTES",
    "MODES",
    "REASONS",
    "STATUSES",
    "BrokenFile",
    "DecisionRecord",
    "SessionRecord",
    "counts_of",
    "read_session",
    "stamp",
    "write_session",
]

#: Written by older programs beside their sessions; it holds nothing that the sessions do not hold.
INDEX = "sessions_index.json"

STATUSES = ("active", "paused", "completed", "failed", "abandoned")
ENDED = frozenset(STATUSES[2:])
MODES = ("coaching", "auto")
REASONS = ("wrong_target", "wrong_value", "wrong_order", "not_needed", "unsafe", "other")
#: The counter of each kind of decision, as `stats` names it.
COUNTERS = {
    "accept": "accepted",
    "reject": "rejected",
    "correct": "corrected",
    "manual": "manual_executions",
    "skip": "skipped",
}
#: Who decided, where the file does not say.
UNKNOWN = "unknown"

MAX_STEPS = 10_000
_MAX_MILLISECONDS = 2**63 - 1
_ROUNDED = 0.005

_STATS = ("suggestions_made", *COUNTERS.values())
_SESSION = (
    "session_id", "workflow_id", "execution_id", "status", "mode", "current_step_index", "total_steps", "decisions",
    "stats", "acceptance_rate", "correction_rate", "variables", "metadata", "started_at", "updated_at", "completed_at",
    "error_message",
)  # fmt: skip
_DECISION = (
    "step_index", "node_id", "action_type", "decision", "correction", "feedback", "reason_code", "timestamp",
    "execution_success", "decided_by", "latency_ms",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    step_index: int
    node_id: str
    action_type: str
    decision: str
    correction: dict[str, Any] | None
    feedback: str
    reason_code: str
    timestamp: datetime
    execution_success: bool | None
    decided_by: str
    latency_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A session as its file has it, all defaults filled in.

    `warnings` name what the file said otherwise than its decisions do, in words.
    """

    session_id: str
    workflow_id: str
    execution_id: str
    status: str
    mode: str
    current_step_index: int
    total_steps: int
    variables: dict[str, Any]
    metadata: dict[str, Any]
    started_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    error_message: str
    decisions: tuple[DecisionRecord, ...]
    warnings: tuple[str, ...]

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


def read_session(data: bytes, *, now: datetime) -> SessionRecord:
    """The session in a file. `now` stands in for times where the file has none at all. Raises `BrokenFile`."""
    given = Fields(parsed(data), known=_SESSION)
    status = given.choice("status", STATUSES)
    decisions = [Fields(one, known=_DECISION, at=f"decisions[{i}]") for i, one in enumerate(given.items("decisions"))]
    times = _times(given, [fields.moment("timestamp") for fields in decisions], status=status, now=now)
    made = tuple(_decision(fields, otherwise_at=times.started_at) for fields in decisions)
    session_id = given.slug("session_id", limit=64)
    if f"{session_id}.json" == INDEX:
        raise BrokenFile(f"session_id: “{session_id}” would be written to {INDEX}, which is no session.")
    total_steps, warnings = _total_steps(given, made)
    current = given.whole("current_step_index", limit=MAX_STEPS, otherwise=_reached(made))
    if total_steps and current > total_steps:
        raise BrokenFile(f"current_step_index: {current} is beyond total_steps, which is {total_steps}.")
    return SessionRecord(
        session_id=session_id,
        workflow_id=given.slug("workflow_id", limit=100),
        execution_id=given.text("execution_id", limit=200) or session_id,
        status=status,
        mode=given.choice("mode", MODES, otherwise="coaching"),
        current_step_index=current,
        total_steps=total_steps,
        variables=given.json_object("variables") or {},
        metadata=given.json_object("metadata") or {},
        started_at=times.started_at,
        updated_at=times.updated_at,
        completed_at=times.completed_at,
        error_message=given.text("error_message"),
        decisions=made,
        warnings=(*warnings, *_recounted(given, counts_of(made))),
    )


def counts_of(decisions: Iterable[DecisionRecord]) -> dict[str, int]:
    """`{accepted, rejected, corrected, manual_executions, skipped}`."""
    found = Counter(decision.decision for decision in decisions)
    return {counter: found[kind] for kind, counter in COUNTERS.items()}


def _reached(decisions: Sequence[DecisionRecord]) -> int:
    return max((decision.step_index + 1 for decision in decisions), default=0)


def _total_steps(given: Fields, decisions: Sequence[DecisionRecord]) -> tuple[int, tuple[str, ...]]:
    total, reached = given.whole("total_steps", limit=MAX_STEPS, otherwise=0), _reached(decisions)
    if not total or total >= reached:
        return total, ()
    return reached, (f"total_steps is {total}, but a decision is about step {reached}: kept as {reached}",)


@dataclass(frozen=True, slots=True)
class _Times:
    started_at: datetime
    updated_at: datetime
    completed_at: datetime | None


def _times(given: Fields, decided: Sequence[datetime | None], *, status: str, now: datetime) -> _Times:
    """What is missing follows from the other times: the earliest known began it, the latest was its last change."""
    started, updated, completed = (given.moment(name) for name in ("started_at", "updated_at", "completed_at"))
    if completed and status not in ENDED:
        raise BrokenFile(f"completed_at: a session that is {status} has not ended.")
    known = [moment for moment in (started, updated, completed, *decided) if moment] or [now]
    updated = updated or max(known)
    return _Times(started or min(known), updated, (completed or updated) if status in ENDED else None)


def _decision(fields: Fields, *, otherwise_at: datetime) -> DecisionRecord:
    kind = fields.choice("decision", tuple(COUNTERS))
    correction = fields.json_object("correction")
    if kind == "correct" and not correction:
        fields.refuse("correction", "to correct, it says what was done instead")
    if correction is not None and kind not in {"correct", "manual"}:
        fields.refuse("correction", f"it does not go with “{kind}”")
    reason = fields.choice("reason_code", REASONS, otherwise="")
    if reason and kind not in {"reject", "correct"}:
        fields.refuse("reason_code", f"it does not go with “{kind}”")
    return DecisionRecord(
        step_index=fields.whole("step_index", limit=MAX_STEPS - 1),
        node_id=fields.text("node_id", limit=200, needed=True),
        action_type=fields.text("action_type", limit=100, otherwise=None),
        decision=kind,
        correction=correction,
        feedback=fields.text("feedback"),
        reason_code=reason,
        timestamp=fields.moment("timestamp") or otherwise_at,
        execution_success=fields.yes_or_no("execution_success"),
        decided_by=fields.text("decided_by", limit=150) or UNKNOWN,
        latency_ms=fields.whole("latency_ms", limit=_MAX_MILLISECONDS, otherwise=None),
    )


def _recounted(given: Fields, counts: Mapping[str, int]) -> list[str]:
    """Where `stats` and the rates say otherwise than the decisions."""
    stats = Fields(given.json_object("stats") or {}, known=_STATS, at="stats")
    counted = counts["accepted"] + counts["rejected"] + counts["corrected"]
    true = {"suggestions_made": sum(counts.values()), **counts}
    said = {name: stats.whole(name, limit=_MAX_MILLISECONDS, otherwise=None) for name in _STATS}
    wrong = [f"{name} is {said[name]}, not {true[name]}" for name in _STATS if said[name] not in {None, true[name]}]
    for name, part in (("acceptance_rate", "accepted"), ("correction_rate", "corrected")):
        rate, right = given.number(name), counts[part] / counted if counted else 0.0
        if rate is not None and abs(rate - right) > _ROUNDED:
            wrong.append(f"{name} is {rate:g}, not {right:g}")
    return [f"counted anew from the decisions: {', '.join(wrong)}"] if wrong else []


def write_session(session: Mapping[str, Any]) -> bytes:
    """The file of a session in the contract's shape: the same session always gives the same bytes."""
    return (json.dumps(session, ensure_ascii=False, indent=2) + "\n").encode()


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC with `Z`, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
