"""The answer to a suggestion: exactly one, whoever presses first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from .. import events, rows, signals
from ..afterwards import after_commit
from ..exceptions import AlreadyDecided, DomainError, InvalidInput, NotAuto, SessionNotActive, StaleStep
from ..models import Decision, Level, Session, Step, Suggestion
from ..models.session import MAX_STEPS
from ..packs.changes import patch_between
from .autonomy import begin_coaching
from .captures import capture
from .corrections import describe_correction, keep_correction
from .facts import count_fact, count_fact_of
from .naming import name_of
from .pack_record import judge_use
from .secrecy import without_secrets
from .workflows import step_in_words, step_named

Kind = Decision.Kind
_KINDS, _REASONS = frozenset(Kind.values), frozenset(Decision.Reason.values)
Status = Session.Status
#: A question that waited longer than this did not keep anybody busy all the while.
LONGEST_THOUGHT_MS = 5 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person (or the policy) says to a suggestion. `correction` is the full corrected action."""

    decision: str
    correction: Mapping[str, Any] | None = None
    feedback: str = ""
    reason_code: str = ""

    def check(self) -> None:
        """Raises `InvalidInput` for an answer that no suggestion could be given."""
        if self.decision not in _KINDS:
            raise InvalidInput(f"A decision is one of {', '.join(Kind.values)}.", field="decision")
        if self.decision == Kind.CORRECT and not self.correction:
            raise InvalidInput("To correct, say what should be done instead.", field="correction")
        if self.correction is not None and self.decision not in {Kind.CORRECT, Kind.MANUAL}:
            raise InvalidInput(f"A correction does not go with “{self.decision}”.", field="correction")
        if self.reason_code and self.reason_code not in _REASONS:
            raise InvalidInput(f"A reason is one of {', '.join(Decision.Reason.values)}.", field="reason_code")
        if self.reason_code and self.decision not in {Kind.REJECT, Kind.CORRECT}:
            raise InvalidInput(f"A reason does not go with “{self.decision}”.", field="reason_code")


def decide(suggestion: Suggestion, answer: Answer, *, by: User | None) -> Decision:
    """Answers an open suggestion and moves the session to its next step.

    Of several answers at once the first wins: the others raise `AlreadyDecided` with the first. Raises
    `SessionNotActive` on a paused or ended session, `StaleStep` when the suggestion was withdrawn or has expired,
    `InvalidInput` for an answer that does not fit, `NotAuto` where the policy (`by` is None) may not answer.
    """
    answer.check()
    if answer.decision == Kind.ACCEPT and not suggestion.is_supported:
        raise InvalidInput(
            "coachsite cannot perform this step: do it yourself and choose manual, correct it, or skip it.",
            field="decision",
        )
    with transaction.atomic():
        now = timezone.now()
        latency_ms = None if by is None else max(0, round((now - suggestion.opened_at).total_seconds() * 1000))
        seq = _count_in_session(suggestion.session_id, answer, suggestion.step_index, thought_ms=latency_ms, at=now)
        if seq is None or not _close(suggestion, Kind(answer.decision)):
            raise _why_not(suggestion)
        correction = keep_correction(suggestion, answer.correction)
        if answer.decision == Kind.CORRECT:
            _check_that_it_corrects(suggestion, correction)
        step = _step_of(suggestion)
        if by is None and (step is None or step.level != Level.AUTO):
            raise NotAuto(f"Step “{suggestion.node_id}” does not run alone any more.")
        decision = _write_decision(suggestion, answer, correction, step=step, by=by, now=now, latency_ms=latency_ms)
        suggestion.session.updated_at = now
        _after_decision(suggestion, decision, seq=seq)
    return decision


def _count_in_session(
    session_pk: int, answer: Answer, step_index: int, *, thought_ms: int | None = None, at: datetime
) -> int | None:
    """Holds an active session and counts one decision in it, in one statement; the number of the decision's event.

    None when the session is not active. Going back to an earlier step loses none.
    """
    add = {Kind(answer.decision).counter: 1}
    if thought_ms:
        add["coaching_ms"] = min(thought_ms, LONGEST_THOUGHT_MS)
    at_least = {"current_step_index": step_index + 1}
    return events.next_number(session_pk, at=at, where={"status": Status.ACTIVE.value}, add=add, at_least=at_least)


def _close(suggestion: Suggestion, kind: Decision.Kind) -> bool:
    """Of several answers at once, to one: the WHERE clause is the lock."""
    outcome = None if kind.performs else Suggestion.Outcome.NOT_PERFORMED.value
    closed = rows.update(
        Suggestion,
        {"pk": suggestion.pk, "status": Suggestion.Status.OPEN.value},
        to={"status": Suggestion.Status.DECIDED.value, "outcome": outcome},
    )
    return closed is not None


def decide_unanswered(suggestion: Suggestion, kind: str) -> Decision:
    """What the policy decides where nobody has answered in time: `reject` or `skip`, which is no evidence of anything.

    Must run in the transaction that closes the suggestion, its session held.
    """
    answer = Answer(decision=kind, feedback="Nobody answered in time.")
    Suggestion.objects.filter(pk=suggestion.pk).update(outcome=Suggestion.Outcome.NOT_PERFORMED)
    decision = _write_decision(suggestion, answer, None, step=_step_of(suggestion), by=None, now=timezone.now())
    events.record_event(
        suggestion.session,
        _event_of(decision, n=suggestion.n, description=suggestion.description),
        add={decision.kind.counter: 1},
        at_least={"current_step_index": decision.step_index + 1},
    )
    _add_evidence(suggestion.session, decision, in_trouble=False)
    return decision


def _check_that_it_corrects(suggestion: Suggestion, correction: dict[str, Any] | None) -> None:
    if correction == suggestion.action:
        raise InvalidInput("This is what was suggested: accept it, or change something.", field="correction")
    if suggestion.session.workflow.is_browser and (correction or {}).get("type") == "customStep":
        raise InvalidInput("coachsite cannot perform a step of the type “customStep”.", field="correction")


def _why_not(suggestion: Suggestion) -> DomainError:
    suggestion = Suggestion.objects.select_related("session", "decision").get(pk=suggestion.pk)
    if suggestion.status == Suggestion.Status.DECIDED:
        return AlreadyDecided(suggestion.decision)
    if suggestion.status != Suggestion.Status.OPEN:
        return StaleStep(f"Suggestion {suggestion.n} was {suggestion.status} before your answer arrived.")
    return SessionNotActive(f"The session is {suggestion.session.status}.")


def _write_decision(
    suggestion: Suggestion,
    answer: Answer,
    correction: dict[str, Any] | None,
    *,
    step: Step | None,
    by: User | None,
    now: datetime,
    latency_ms: int | None = None,
) -> Decision:
    difference = [] if correction is None else patch_between(suggestion.action, correction)
    is_current = step is not None and suggestion.step_version_id in {None, step.current_id}
    decision = Decision(
        step=step,
        outdated=step is not None and _is_outdated(suggestion, step),
        # Usually the current one, which is at hand.
        step_version=step.current if step and is_current else suggestion.step_version,
        fact=step.last_fact if step else None,
        session_id=suggestion.session_id,
        suggestion=suggestion,
        step_index=suggestion.step_index,
        node_id=suggestion.node_id,
        action_type=suggestion.action_type,
        decision=answer.decision,
        correction=correction,
        difference=difference,
        feedback=without_secrets(answer.feedback, suggestion.session),
        reason_code=answer.reason_code,
        timestamp=now,
        decided_by=name_of(by),
        unattended=by is None,
        user=by,
        latency_ms=latency_ms,
    )
    rows.insert(decision)
    return decision


def _is_outdated(suggestion: Suggestion, step: Step) -> bool:
    """Whether packs propose something else for the step by now than what is decided on."""
    if suggestion.step_version_id is None or suggestion.pack_changes == step.pack_changes:
        return False
    # It may have been found to stay the same since it was read.
    return not Suggestion.objects.filter(pk=suggestion.pk, pack_changes=step.pack_changes).exists()


def _step_of(suggestion: Suggestion) -> Step | None:
    """The step that the suggestion is for, with this decision counted among its facts; None if it is gone."""
    if suggestion.step_version:
        return count_fact(suggestion.step_version.step_id)
    return count_fact_of(suggestion.session.workflow_id, suggestion.node_id)


def _after_decision(suggestion: Suggestion, decision: Decision, *, seq: int) -> None:
    session = suggestion.session
    words = describe_correction(suggestion, decision.correction)
    events.write_event(session, _event_of(decision, n=suggestion.n, description=words), seq=seq)
    in_trouble = suggestion.asked_because == Suggestion.AskedBecause.TROUBLE
    capture(decision, suggestion)
    if not in_trouble:
        judge_use(decision, suggestion)
    _add_evidence(session, decision, in_trouble=in_trouble)
    # The policy decides inside a worker's turn, which goes on by itself.
    if session.workflow.is_browser and not decision.unattended:
        after_commit(signals.session_needs_worker.send, sender=Session, session_pk=session.pk)


def _add_evidence(session: Session, decision: Decision, *, in_trouble: bool) -> None:
    if decision.step and decision.kind.counts and not decision.unattended:
        begin_coaching(decision.step, session=session)
    signals.decision_recorded.send(
        sender=Decision, decision=decision, session=session, step=decision.step, in_trouble=in_trouble
    )


def _event_of(decision: Decision, *, n: int | None, description: str) -> events.DecisionRecorded:
    return events.DecisionRecorded(
        n=n,
        step_index=decision.step_index,
        node_id=decision.node_id,
        decision=decision.decision,
        decided_by=decision.decided_by,
        description=description,
        latency_ms=decision.latency_ms,
    )


def record_decision(
    session: Session,
    answer: Answer,
    *,
    step_index: int,
    node_id: str,
    action_type: str,
    execution_success: bool | None = None,
    timestamp: datetime | None = None,
    by: User,
) -> Decision:
    """Keeps a decision that was made elsewhere, by a tool that only records; nothing is performed.

    Raises `SessionNotActive`, and `InvalidInput` for a browser workflow (whose decisions answer suggestions) or for a
    step beyond the session's last.
    """
    answer.check()
    _check_that_it_may_record(session, step_index)
    with transaction.atomic():
        now = timezone.now()
        seq = _count_in_session(session.pk, answer, step_index, at=now)
        if seq is None:
            session.refresh_from_db()
            raise SessionNotActive(f"The session is {session.status}.")
        session.updated_at = now
        has_outcome = execution_success is not None
        step = _step_for(session, node_id, action_type=action_type, answer=answer, facts=1 + has_outcome)
        decision = _made_elsewhere(
            session, answer, step, by=by, fact=step.last_fact - has_outcome, step_index=step_index, node_id=node_id,
            action_type=action_type, execution_success=execution_success, timestamp=timestamp or now,
        )  # fmt: skip
        event = _event_of(decision, n=None, description=step_in_words(action_type, node_id))
        events.write_event(session, event, seq=seq)
        _keep_with_outcome(decision, step, session)
    return decision


def _check_that_it_may_record(session: Session, step_index: int) -> None:
    if session.workflow.is_browser:
        raise InvalidInput("The decisions of a browser workflow answer its suggestions.", field="decision")
    if step_index >= (session.total_steps or MAX_STEPS):
        raise InvalidInput(f"This session has {session.total_steps or MAX_STEPS} steps.", field="step_index")


def _made_elsewhere(session: Session, answer: Answer, step: Step, *, by: User, **recorded: Any) -> Decision:
    """The decision of a tool that only records, not yet kept; what it has `recorded` are fields of the decision."""
    # In a run that asks only where it must, nobody was asked about what runs alone.
    alone = session.mode == Session.Mode.AUTO and step.level == Level.AUTO and answer.decision == Kind.ACCEPT
    decider = None if alone else by
    return Decision(
        session=session,
        step=step,
        step_version=step.current,
        decision=answer.decision,
        correction=answer.correction,
        feedback=answer.feedback,
        reason_code=answer.reason_code,
        decided_by=name_of(decider),
        unattended=alone,
        user=decider,
        **recorded,
    )


def _step_for(session: Session, node_id: str, *, action_type: str, answer: Answer, facts: int) -> Step:
    """The step that a program names, with so many more facts; it comes into being when it is first named."""
    step = count_fact_of(session.workflow_id, node_id, facts=facts, removed=False)
    if step is None:
        named = step_named(session.workflow, node_id, action_type=action_type, action=answer.correction or {})
        step = count_fact(named.pk, facts=facts)
    return step


def _keep_with_outcome(decision: Decision, step: Step, session: Session) -> None:
    """Adds a recorded decision to the evidence and keeps it, in one row with its outcome if that is known."""
    level = step.level
    _add_evidence(session, decision, in_trouble=False)
    if decision.execution_success is not None:
        # The number after the decision's is kept for it, unless the decision has led to another level: that came first.
        step = step if step.level == level else count_fact(step.pk)
        decision.outcome_fact = step.last_fact
    rows.insert(decision)
    if decision.execution_success is not None:
        signals.outcome_recorded.send(sender=Decision, decision=decision, step=step)
