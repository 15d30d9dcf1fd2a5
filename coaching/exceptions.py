"""What can go wrong in the domain. Each door maps `DomainError` once; messages are for the person at the door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models import BackTest, Decision, Session, Suggestion


class DomainError(Exception):
    """A request that makes sense but cannot be done now. `code` is the contract's, `status` the HTTP answer."""

    code = "conflict"
    status = 409


class InvalidInput(DomainError):
    """What was given cannot be right, whatever the state. `field` names the part at fault."""

    code = "invalid"
    status = 400

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class IllegalTransition(DomainError):
    code = "illegal_transition"


class ProposalOutdated(IllegalTransition):
    """Packs have changed what is proposed for the step since the proposal was made: it must be made anew."""


class SessionNotActive(DomainError):
    code = "session_not_active"


class StaleStep(DomainError):
    code = "stale_step"


class QuestionOpen(StaleStep):
    """Something else waits for a decision in this session: a session asks one question at a time."""

    def __init__(self, suggestion: Suggestion) -> None:
        super().__init__(
            f"Suggestion {suggestion.n} (step {suggestion.step_index}, {suggestion.node_id}) is still open: wait for "
            "its decision, or take it back."
        )
        self.suggestion = suggestion


class IdempotencyMismatch(DomainError):
    """The key was used for another request before."""

    code = "idempotency_mismatch"
    status = 422


class DuplicateExecution(DomainError):
    code = "duplicate_execution"

    def __init__(self, session: Session) -> None:
        super().__init__(
            f"This workflow already has an execution “{session.execution_id}”: session {session.session_id}."
        )
        self.session = session


class NotAuto(DomainError):
    """The policy was to accept for a step that does not run alone any more."""

    code = "not_auto"


class NotReady(DomainError):
    """A step may not run alone yet. `unmet` names the conditions by `node_id`."""

    code = "not_ready"

    def __init__(self, unmet: Mapping[str, Sequence[str]]) -> None:
        first, conditions = next(iter(unmet.items()))
        others = f", and {len(unmet) - 1} more" if len(unmet) > 1 else ""
        super().__init__(
            f"Not ready to run alone: step “{first}” lacks {', '.join(conditions).replace('_', ' ')}{others}."
        )
        self.unmet = unmet


class BackTestNeeded(DomainError):
    """A pack is not published blind: this version was not replayed over past decisions yet, or has changed since."""

    code = "backtest_needed"


class BreaksAccepted(DomainError):
    """A pack would change suggestions that people accepted; publishing it must be confirmed."""

    code = "breaks_accepted"

    def __init__(self, backtest: BackTest) -> None:
        super().__init__(
            f"This version would have changed {backtest.broken} accepted suggestions: look at them, and confirm."
        )
        self.backtest = backtest


class UndecidedConflicts(DomainError):
    """Two packs contradict each other, and nobody has said yet which side holds. `conflicts`: pairs of corrections."""

    code = "undecided_conflicts"

    def __init__(self, conflicts: Sequence[tuple[Any, Any]]) -> None:
        super().__init__(f"{len(conflicts)} corrections contradict each other: say for each which one holds.")
        self.conflicts = conflicts


class AlreadyDecided(DomainError):
    code = "already_decided"

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"{decision.decided_by} has already decided this: {decision.decision}.")
        self.decision = decision
