"""What a suggestion came to, in the shapes and words that agents read."""

from __future__ import annotations

import json
from typing import Any

from ..models import Decision, Session, Suggestion

Kind = Decision.Kind
Status = Suggestion.Status

NOBODY_IN_TIME = "Nobody decided in time."
_THEN = {
    Suggestion.OnExpiry.PAUSE: "Do not do this; the session is paused, ask again once somebody has resumed it.",
    Suggestion.OnExpiry.REJECT: "Do not do this.",
    Suggestion.OnExpiry.SKIP: "Do not do this, and go on without it.",
}


def answer(suggestion: Suggestion) -> dict[str, Any]:
    """What `request_decision` answers."""
    decision = decision_of(suggestion)
    return {
        "session_id": suggestion.session.session_id,
        "n": suggestion.n,
        "status": suggestion.status,
        "decision": decision.decision if decision else None,
        "action": action_to_do(suggestion),
        "feedback": (decision.feedback if decision else "") or None,
        "reason_code": (decision.reason_code if decision else "") or None,
        "decided_by": decision.decided_by if decision else None,
        "attempt": suggestion.attempt,
        "instructions": instructions(suggestion),
    }


def decision_of(suggestion: Suggestion) -> Decision | None:
    """A person's, or the policy's: of an earned step, and where nobody answered in time."""
    if suggestion.status not in {Status.DECIDED, Status.EXPIRED}:
        return None
    found: Decision | None = getattr(suggestion, "decision", None)
    return found


def action_to_do(suggestion: Suggestion) -> dict[str, Any] | None:
    """What the agent is to do now: exactly what was approved. None when nothing is."""
    decision = decision_of(suggestion)
    if decision is None or suggestion.status != Status.DECIDED or not decision.kind.performs:
        return None
    done: dict[str, Any] = suggestion.action if decision.correction is None else decision.correction
    return done


def instructions(suggestion: Suggestion) -> str:
    """One sentence that says what to do now."""
    decision = decision_of(suggestion)
    if decision is None or action_to_do(suggestion) is None:
        return why_not(suggestion)
    call = f"then call report_outcome with session_id {suggestion.session.session_id} and n {suggestion.n}."
    if decision.kind == Kind.CORRECT:
        return f"Do the action given here instead of the one that you proposed (it was corrected), {call}"
    if suggestion.unchanged_action is not None:
        return f"Do the action given here, which earlier corrections have changed from the one you proposed, {call}"
    return f"Do the action as you proposed it, {call}"


def why_not(suggestion: Suggestion) -> str:
    """Why nothing is to be done, and what follows from it."""
    decision = decision_of(suggestion)
    if suggestion.status != Status.DECIDED or decision is None:
        return _without_an_answer(suggestion)
    who, said = decision.decided_by, f" {who_said(decision)}" if decision.feedback or decision.reason_code else ""
    if decision.kind == Kind.MANUAL:
        instead = f", namely {_json(decision.correction)}" if decision.correction else ""
        return (
            f"Done by a person: {who} has done this step{instead}. Do not do it again; go on with the next one.{said}"
        )
    if decision.kind == Kind.SKIP:
        return f"Skipped by {who}: do not do this, and go on without it.{said}"
    return f"Rejected by {who}: do not do this.{said}"


def who_said(decision: Decision) -> str:
    """The reason and the words of the person who decided."""
    reason = f"Reason: {decision.get_reason_code_display()}." if decision.reason_code else ""
    words = f"{decision.decided_by} says: {decision.feedback}" if decision.feedback else ""
    return " ".join(part for part in (reason, words) if part)


def _without_an_answer(suggestion: Suggestion) -> str:
    if suggestion.is_open:
        return (
            "Nobody has decided yet: do not act; call request_decision again with the same arguments to go on waiting."
        )
    if suggestion.status == Status.EXPIRED:
        return f"{NOBODY_IN_TIME} {_THEN[Suggestion.OnExpiry(suggestion.on_expiry)]}"
    reason = f" ({suggestion.error.rstrip('.')})" if suggestion.error else ""
    return f"The question was taken back{reason}: do not do this."


def outcome(suggestion: Suggestion, session: Session) -> dict[str, Any]:
    """What `report_outcome` and `take_back` answer."""
    return {
        "session_id": session.session_id,
        "n": suggestion.n,
        "status": suggestion.status,
        "outcome": suggestion.outcome,
        "session_status": session.status,
        "current_step_index": session.current_step_index,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
