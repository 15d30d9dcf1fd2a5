"""Sessions and decisions in the contract's shapes, as the API answers them, secrets masked in the same way."""

from __future__ import annotations

from typing import Any

from ..actions.secrecy import masked_action
from ..models import Decision, Session
from ..session_files import stamp

#: The columns of a table. What is nested in the contract's shape stands in columns of its own, or as JSON.
SESSION_COLUMNS = (
    "session_id", "workflow_id", "execution_id", "status", "mode", "current_step_index", "total_steps",
    "suggestions_made", "accepted", "rejected", "corrected", "manual_executions", "skipped", "acceptance_rate",
    "correction_rate", "variables", "metadata", "started_at", "updated_at", "completed_at", "error_message",
)  # fmt: skip
DECISION_COLUMNS = (
    "session_id", "workflow_id", "execution_id", "n", "step_index", "node_id", "action_type", "decision",
    "correction", "feedback", "reason_code", "timestamp", "execution_success", "decided_by", "latency_ms",
)  # fmt: skip


def session_row(session: Session, decisions: list[Decision] | None = None) -> dict[str, Any]:
    """*Session* of the contract; without `decisions` (each with its `session`) it is a summary."""
    made = {} if decisions is None else {"decisions": [decision_row(decision) for decision in decisions]}
    return {
        "session_id": session.session_id,
        "workflow_id": session.workflow.workflow_id,
        "execution_id": session.execution_id,
        "status": session.status,
        "mode": session.mode,
        "current_step_index": session.current_step_index,
        "total_steps": session.total_steps,
        **made,
        "stats": session.stats(),
        "acceptance_rate": session.acceptance_rate,
        "correction_rate": session.correction_rate,
        "variables": in_order(session.variables),
        "metadata": in_order(session.metadata),
        "started_at": stamp(session.started_at),
        "updated_at": stamp(session.updated_at),
        "completed_at": stamp(session.completed_at) if session.completed_at else None,
        "error_message": session.error_message or None,
    }


def decision_row(decision: Decision) -> dict[str, Any]:
    """*Decision* of the contract."""
    correction = decision.correction
    return {
        "step_index": decision.step_index,
        "node_id": decision.node_id,
        "action_type": decision.action_type,
        "decision": decision.decision,
        "correction": None if correction is None else in_order(masked_action(correction, decision.session)),
        "feedback": decision.feedback or None,
        "reason_code": decision.reason_code or None,
        "timestamp": stamp(decision.timestamp),
        "execution_success": decision.execution_success,
        "decided_by": decision.decided_by,
        "latency_ms": decision.latency_ms,
    }


def placed_decision_row(decision: Any) -> dict[str, Any]:
    """*Decision* with the session it belongs to, and `n` of the suggestion that it `answers`, beside it."""
    session: Session = decision.session
    return {
        "session_id": session.session_id,
        "workflow_id": session.workflow.workflow_id,
        "execution_id": session.execution_id,
        "n": decision.answers,
        **decision_row(decision),
    }


def flat_session_row(session: Session) -> dict[str, Any]:
    """A summary with its `stats` as columns of their own."""
    row = session_row(session)
    return {**row, **row.pop("stats")}


def in_order(value: Any) -> Any:
    """JSON with the names of every object sorted: databases keep them in orders of their own."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [in_order(item) for item in value]
    return value
