"""Keeps the tallies: listens to the facts that coaching announces, in the transactions that cause them."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from coaching import rows, signals
from coaching.actions.autonomy import change_level
from coaching.actions.facts import hold_steps
from coaching.events import ReadinessReached, record_event
from coaching.models import Decision, Level, LevelChange, Risk, Session, Step, Suggestion, Workflow

from . import contributions
from .contributions import Contributions, Made
from .models import Source, StepTally
from .readiness import demonstrations, standing_of, unmet
from .tally import Decided, Tally, after_decision, after_level, after_outcome, after_version, alarm

_TALLY = rows.Read(StepTally.objects.defer("base"), "step_id")


def tally_of(step: Step) -> StepTally:
    """The tally of a step; the step's row, which the caller holds, is its lock."""
    return _TALLY.get(step.pk) or StepTally.objects.get_or_create(step=step)[0]


def keep(tally: StepTally, step: Step, numbers: Tally) -> None:
    """Writes what has changed, and whether the step is ready by its workflow's policy."""
    now = {**numbers.as_json(), "ready": not unmet(step, numbers, step.workflow.autonomy)}
    changed = {name: value for name, value in now.items() if getattr(tally, name) != value}
    if changed:
        for name, value in changed.items():
            setattr(tally, name, value)
        rows.update(StepTally, {"step_id": step.pk}, to=changed)


@receiver(signals.decision_recorded)
def _count_decision(decision: Decision, session: Session, step: Step | None, in_trouble: bool, **_: Any) -> None:
    if step is not None:
        tally, numbers = _with_decision(decision, step, in_trouble=in_trouble)
        was_ready = tally.ready
        keep(tally, step, numbers)
        _follow(tally, step, session, was_ready=was_ready)
    added: Contributions = {}
    contributions.from_decisions([_made(decision, session, in_trouble=in_trouble)], added)
    contributions.store(added)


def _with_decision(decision: Decision, step: Step, *, in_trouble: bool) -> tuple[StepTally, Tally]:
    tally = tally_of(step)
    version = decision.step_version or step.version
    decided = Decided(
        kind=decision.decision,
        version=version.number,
        by_person=not decision.unattended,
        in_trouble=in_trouble,
        outdated=decision.outdated,
    )
    return tally, after_decision(tally.numbers, decided, step.workflow.autonomy)


def _made(decision: Decision, session: Session, *, in_trouble: bool) -> Made:
    suggestion: Suggestion | None = decision.suggestion
    return Made(
        workflow_id=session.workflow_id,
        kind=decision.decision,
        timestamp=decision.timestamp,
        unattended=decision.unattended,
        latency_ms=decision.latency_ms,
        confidence=suggestion.confidence if suggestion else None,
        in_trouble=in_trouble,
    )


@receiver(signals.outcome_recorded)
def _count_outcome(decision: Decision, step: Step, **_: Any) -> None:
    if step.level != Level.AUTO:
        return  # outcomes are evidence about what runs alone
    tally = tally_of(step)
    version = decision.step_version or step.version
    numbers = after_outcome(
        tally.numbers,
        kind=decision.decision,
        version=version.number,
        success=bool(decision.execution_success),
        outdated=decision.outdated,
    )
    if numbers != tally.numbers:
        was_ready = tally.ready
        keep(tally, step, numbers)
        _follow(tally, step, decision.session, was_ready=was_ready)


def _follow(tally: StepTally, step: Step, session: Session, *, was_ready: bool) -> None:
    """What follows from new numbers: an alarm ends AUTO; readiness is told, and acted on where the policy says so."""
    if step.level == Level.AUTO:
        if reason := alarm(tally.numbers):
            change_level(step, Level.COACHING, by=None, reason=reason, evidence=_evidence(tally, step), tell=[session])
        return
    if not tally.ready:
        return
    if not was_ready:
        numbers = tally.numbers
        reached = ReadinessReached(
            node_id=step.node_id,
            step_index=step.step_index,
            accepted=numbers.epoch_accepted,
            refused=numbers.epoch_refused,
            confidence=_evidence(tally, step)["confidence"],
        )
        record_event(session, reached)
    promote_if_it_may(tally, step, tell=[session])


def promote_if_it_may(tally: StepTally, step: Step, *, tell: list[Session]) -> None:
    """Without an owner only where the policy allows it, and never for what cannot be undone."""
    if tally.ready and step.workflow.autonomy.auto_promote and step.version.risk == Risk.REVERSIBLE:
        reason = "Ready, and the policy promotes by itself."
        change_level(step, Level.AUTO, by=None, reason=reason, evidence=_evidence(tally, step), tell=tell)


def _evidence(tally: StepTally, step: Step) -> dict[str, Any]:
    shown = demonstrations([step.workflow_id]).get(step.workflow_id, 0)
    return standing_of(step, tally.numbers, policy=step.workflow.autonomy, demonstrated=shown).as_evidence()


@receiver(signals.level_changed)
def _follow_level(change: LevelChange, **_: Any) -> None:
    tally = tally_of(change.step)
    keep(
        tally, change.step, after_level(tally.numbers, to_auto=change.to_level == Level.AUTO, restarts=change.restarts)
    )


@receiver(signals.step_versioned)
def _follow_version(step: Step, anew: bool, **_: Any) -> None:
    """`anew`: it does something else. If not, another risk may ask for more or less of the same evidence."""
    tally = tally_of(step)
    keep(tally, step, after_version(tally.numbers, step.version.number) if anew else tally.numbers)
    if not anew and step.level == Level.COACHING:
        promote_if_it_may(tally, step, tell=[])


@receiver(signals.policy_changed)
def _apply_policy(workflow: Workflow, **_: Any) -> None:
    """Counts go on from where they are; whether they suffice is judged by the new policy."""
    for step in hold_steps(workflow.steps.all()):
        tally = tally_of(step)
        set_base(tally, step)
        keep(tally, step, tally.numbers)
        if step.level == Level.COACHING and step.step_index is not None:
            promote_if_it_may(tally, step, tell=[])


def set_base(tally: StepTally, step: Step) -> None:
    """Facts up to now need not be read again: some are about to go, or would be read differently."""
    tally.base, tally.base_fact = tally.numbers.as_json(), step.last_fact
    tally.save(update_fields=["base", "base_fact"])


@receiver(signals.session_started)
def _count_start(session: Session, **_: Any) -> None:
    added: Contributions = {}
    contributions.from_start(session, added)
    contributions.store(added)


@receiver(signals.session_closed)
def _count_end(session: Session, **_: Any) -> None:
    session.refresh_from_db(fields=["coaching_ms", "completed_at"])
    added: Contributions = {}
    contributions.from_end(session, added)
    contributions.store(added)


@receiver(signals.session_deleting)
def _keep_counts(session: Session, **_: Any) -> None:
    """What the session contributed stays counted."""
    touched = Step.objects.filter(decisions__session=session).values("pk")
    for step in Step.objects.filter(pk__in=touched).select_for_update().order_by("pk"):
        tally = tally_of(step)
        set_base(tally, step)
    moved: Contributions = {}
    contributions.from_sessions([session], moved)
    contributions.from_decisions(contributions.of_decisions(session.decisions.all()), moved)
    contributions.take_away(moved)
    contributions.store(moved, source=Source.DELETED)
