"""An answer that arrives by session: which of its suggestions it is for, or a decision that was made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User

from .. import rows
from ..exceptions import InvalidInput, SessionNotActive, StaleStep
from ..models import Decision, Session, Suggestion
from .decisions import Answer, decide, record_decision

_to_answer = Suggestion.objects.select_related("step_version", "session__workflow")
_numbered = rows.Read(_to_answer, "session_id", "n")
_in_state = rows.Read(_to_answer, "session_id", "status")
_last = rows.Read(_to_answer, "session_id", last="n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """What the sender says it is answering; whatever is named must match. None: not named."""

    n: int | None = None
    step_index: int | None = None
    node_id: str | None = None
    action_type: str | None = None

    def fits(self, suggestion: Suggestion) -> bool:
        return all(
            named in {None, getattr(suggestion, name)}
            for name, named in (
                ("n", self.n),
                ("step_index", self.step_index),
                ("node_id", self.node_id),
                ("action_type", self.action_type),
            )
        )

    @property
    def names_anything(self) -> bool:
        return self != Addressed()


def answer_session(
    session: Session,
    answer: Answer,
    to: Addressed,
    *,
    execution_success: bool | None = None,
    timestamp: datetime | None = None,
    by: User,
) -> Decision:
    """Answers the session's open suggestion; without one, keeps a decision that an outside program took itself.

    Raises `AlreadyDecided` when the suggestion that is meant has its decision, `StaleStep` when another step is open
    or none, `SessionNotActive`, and `InvalidInput` for an answer that does not fit.
    """
    answer.check()
    suggestion = _meant(session, to)
    if suggestion:
        _check_that_it_only_answers(execution_success, timestamp)
        return decide(suggestion, answer, by=by)
    if session.status != Session.Status.ACTIVE:
        raise SessionNotActive(f"The session is {session.status}.")
    if session.workflow.is_browser:
        raise StaleStep("No step of this session is waiting for a decision.")
    if to.n is not None or to.step_index is None or not to.node_id or not to.action_type:
        raise StaleStep(
            "No suggestion is open in this session. To keep a decision that was made elsewhere, send step_index, "
            "node_id and action_type with it."
        )
    return record_decision(
        session,
        answer,
        step_index=to.step_index,
        node_id=to.node_id,
        action_type=to.action_type,
        execution_success=execution_success,
        timestamp=timestamp,
        by=by,
    )


def _check_that_it_only_answers(execution_success: bool | None, timestamp: datetime | None) -> None:
    if execution_success is not None or timestamp is not None:
        raise InvalidInput(
            "Outcome and time belong to decisions that were made elsewhere; this one answers a suggestion.",
            field="execution_success" if execution_success is not None else "timestamp",
        )


def _meant(session: Session, to: Addressed) -> Suggestion | None:
    """The suggestion to answer: the named or the open one, or the last when it is decided and fits."""
    if to.n is not None:
        named = _numbered.get(session.pk, to.n)
        if named is None or not to.fits(named):
            raise StaleStep(f"Suggestion {to.n} of this session is not what you describe.")
        return named
    last = _last.get(session.pk)
    if last is None:
        return None
    if current := last if last.is_open else _in_state.get(session.pk, Suggestion.Status.OPEN):
        if not to.fits(current):
            raise StaleStep(f"Step {current.step_index} ({current.node_id}) is the one that waits for a decision.")
        return current
    if last.status != Suggestion.Status.DECIDED or not to.fits(last):
        return None
    # Once the session has ended, an answer that names nothing cannot be a second answer to the last step.
    return last if session.is_ongoing or to.names_anything else None
