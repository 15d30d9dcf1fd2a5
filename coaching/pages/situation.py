"""Where a session stands, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..actions.corrections import describe_correction
from ..actions.naming import POLICY
from ..actions.secrecy import masked_action
from ..models import Decision, Session, SessionEvent, Suggestion
from .timeline import duration

_DONE = {
    "accept": "accepted", "correct": "corrected", "manual": "left to a person", "skip": "skipped", "reject": "rejected",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Situation:
    """`kind` is `asked`, `performing`, `waiting`, `paused` or `ended`; `detail` may be empty."""

    kind: str
    headline: str
    detail: str = ""


def situation_of(session: Session, suggestion: Suggestion | None, ended: SessionEvent | None) -> Situation:
    """`suggestion` is the session's latest, with its decision; `ended` the event that ended it, if it has ended."""
    if not session.is_ongoing:
        return _ended(session, ended)
    decided_by = _decided_by(suggestion)
    if suggestion is not None and suggestion.awaits_outcome and suggestion.performing_since:
        what = _what(suggestion)
        who = "The browser" if session.workflow.is_browser else "The program"
        return Situation("performing", f"{who} is performing {what} …", decided_by)
    if session.status == Session.Status.PAUSED:
        unsettled = {Suggestion.Outcome.FAILED, Suggestion.Outcome.UNCERTAIN}
        trouble = suggestion.error if suggestion is not None and suggestion.outcome in unsettled else ""
        if suggestion is not None and suggestion.status == Suggestion.Status.EXPIRED:
            trouble = "Nobody answered in time; the program asks again once somebody resumes."
        detail = f"{trouble} Nothing is performed or decided until somebody resumes.".strip()
        return Situation("paused", "Paused.", detail)
    if suggestion is not None and suggestion.is_open:
        return Situation("asked", masked_action(suggestion.description, session))
    if suggestion is not None and suggestion.awaits_outcome:
        what = _what(suggestion)
        who = "a worker" if session.workflow.is_browser else "the program"
        why = str(session.browser.get("waiting") or "")
        return Situation("waiting", f"Waiting for {who} to perform {what} …", f"{why} {decided_by}".strip())
    return _waiting_for_a_proposal(session, suggestion, decided_by)


def _waiting_for_a_proposal(session: Session, suggestion: Suggestion | None, decided_by: str) -> Situation:
    number = session.current_step_index + 1
    last = session.total_steps and session.current_step_index >= session.total_steps
    if not session.workflow.is_browser:
        headline = "All steps are decided." if last else f"Waiting for the program to propose step {number} …"
        return Situation("waiting", headline, _before(suggestion) or decided_by)
    if last:
        return Situation("waiting", "All steps are decided; finishing …", decided_by)
    if why := session.browser.get("waiting"):
        return Situation("waiting", "Waiting for a browser …", why)
    opening = "Waiting for a worker to open the browser …" if not session.suggestions_made else ""
    return Situation("waiting", opening or f"Waiting for a worker to propose step {number} …", decided_by)


def _before(suggestion: Suggestion | None) -> str:
    """What became of the last question of a program, where its decision does not say it all."""
    if suggestion is None:
        return "The program has not asked anything yet."
    if suggestion.status == Suggestion.Status.WITHDRAWN:
        return f"It took its last question back: {suggestion.error}"
    if suggestion.status == Suggestion.Status.EXPIRED:
        meant = {"reject": ", which it takes for a no.", "skip": ", so the step was skipped."}
        return f"Nobody answered its last question in time{meant.get(suggestion.on_expiry, '.')}"
    if suggestion.outcome in {Suggestion.Outcome.FAILED, Suggestion.Outcome.UNCERTAIN}:
        return f"Step {suggestion.step_index + 1}: {suggestion.error}"
    return ""


def _what(suggestion: Suggestion) -> str:
    """What was decided on, which is the correction where there is one."""
    words = describe_correction(suggestion, suggestion.decision.correction)
    return f"‘{masked_action(words, suggestion.session)}’"


def _decided_by(suggestion: Suggestion | None) -> str:
    decision = getattr(suggestion, "decision", None) if suggestion is not None else None
    if suggestion is None or not isinstance(decision, Decision):
        return ""
    return (
        f"{decision.decided_by} {_DONE[decision.decision]} it."
        if decision.decision != "manual"
        else (f"{decision.decided_by} did it by hand.")
    )


def _ended(session: Session, event: SessionEvent | None) -> Situation:
    by = str((event.data if event else {}).get("by") or "")
    who = f" by {by}" if by and by != POLICY else ""
    took = duration(session.duration.total_seconds() * 1000)
    return Situation("ended", f"{session.get_status_display()}{who} after {took}.", session.error_message)


def done_in_words(session: Session, outcomes: dict[Any, int], *, unreported: int) -> str:
    """What was done in the whole session, with the unsure named.

    `outcomes` counts suggestions by outcome; of the `unreported` ones a program was to act, and never told.
    """
    performed = outcomes.get(Suggestion.Outcome.PERFORMED, 0)
    parts = [
        f"{performed} {'action was' if performed == 1 else 'actions were'} performed",
        *_counted(session.manual_executions, "done by hand"),
        *_counted(session.skipped, "skipped"),
        *_counted(session.rejected, "rejected"),
        *_counted(outcomes.get(Suggestion.Outcome.FAILED, 0), "failed"),
        *_counted(outcomes.get(Suggestion.Outcome.UNCERTAIN, 0), "may or may not have happened"),
        *_counted(unreported, "not reported on"),
    ]
    decided = min(session.current_step_index, session.total_steps or session.current_step_index)
    total = f"{decided} of {session.total_steps} steps were" if session.total_steps else _made(session)
    return f"{total} decided; {', '.join(parts)}."


def _made(session: Session) -> str:
    made = session.suggestions_made
    return "1 suggestion was" if made == 1 else f"{made} suggestions were"


def _counted(number: int, words: str) -> list[str]:
    return [f"{number} {words}"] if number else []
