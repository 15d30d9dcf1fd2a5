"""Levels: who or what moves a step between OBSERVATION, COACHING and AUTO, and what is written down of it.

Sessions are held before steps, here as everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from .. import events, signals
from ..evidence import Standing, standings
from ..exceptions import InvalidInput, NotReady
from ..models import Level, LevelChange, Session, Step, Workflow
from ..policy import InvalidPolicy, Policy
from .audit import What, note, note_level
from .facts import count_fact, hold_steps
from .holding import hold, hold_ongoing
from .naming import name_of


def change_level(
    step: Step,
    to: Level,
    *,
    by: User | None,
    reason: str,
    evidence: Mapping[str, Any],
    tell: Iterable[Session] = (),
    restarts: bool = False,
) -> None:
    """Brings a step to another level, writes down why, and tells the sessions in `tell`, which must be held.

    `by` is None where the policy did it. Must run inside a transaction. A step that is there already stays as it is,
    unless its evidence `restarts`.
    """
    locked = count_fact(step.pk)
    if locked.level == to and not restarts:
        return
    change = _write_down(locked, to, by=by, reason=reason, evidence=evidence, restarts=restarts)
    Step.objects.filter(pk=step.pk).update(level=to)
    step.level = locked.level = to
    signals.level_changed.send(sender=Step, change=change)
    changed = events.LevelChanged(
        node_id=step.node_id,
        step_index=step.step_index,
        from_level=change.from_level,
        to_level=change.to_level,
        by=change.by,
        reason=reason,
    )
    for session in tell:
        events.record_event(session, changed)


def _write_down(
    step: Step, to: Level, *, by: User | None, reason: str, evidence: Mapping[str, Any], restarts: bool
) -> LevelChange:
    """The change as a row, with the policy of this moment, and in the audit log where it begins or ends AUTO."""
    if Level.AUTO in {step.level, to} and step.level != to:
        about = f"{step.workflow.workflow_id} {step.node_id}"
        note_level(about, up=to == Level.AUTO, by=by, level=str(to), reason=reason[:500])
    return LevelChange.objects.create(
        step=step,
        version=step.current,
        fact=step.last_fact,
        from_level=step.level,
        to_level=to,
        by=name_of(by),
        user=by,
        reason=reason,
        restarts=restarts,
        evidence={**evidence, "policy": step.workflow.autonomy.as_json()},
    )


def promote(workflow: Workflow, *, node_ids: Collection[str] | None = None, by: User) -> None:
    """Lets steps run alone: those named, or all of the workflow. Steps that are AUTO already stay so.

    All of them or none: raises `NotReady` with the unmet conditions of every step that is not ready, and `InvalidInput`
    for a step that the workflow does not have.
    """
    with transaction.atomic():
        sessions = hold_ongoing(workflow)
        waiting = [standing for standing in _held_standings(workflow, node_ids) if standing.step.level != Level.AUTO]
        if blocking := [standing for standing in waiting if not standing.ready]:
            raise NotReady({standing.step.node_id: list(standing.unmet) for standing in blocking})
        for standing in waiting:
            reason = f"{by.get_username()} confirmed it: {_in_words(standing)}."
            change_level(
                standing.step, Level.AUTO, by=by, reason=reason, evidence=standing.as_evidence(), tell=sessions
            )


def demote(workflow: Workflow, *, node_ids: Collection[str] | None = None, reason: str = "", by: User) -> None:
    """Takes AUTO steps back to COACHING: those named, or all. Their evidence starts anew. Others stay as they are.

    Raises `InvalidInput` for a step that the workflow does not have.
    """
    with transaction.atomic():
        sessions = hold_ongoing(workflow)
        for standing in _held_standings(workflow, node_ids):
            if standing.step.level == Level.AUTO:
                words = reason or f"{by.get_username()} took it back."
                change_level(
                    standing.step, Level.COACHING, by=by, reason=words, evidence=standing.as_evidence(), tell=sessions
                )


def _held_standings(workflow: Workflow, node_ids: Collection[str] | None) -> list[Standing]:
    steps = hold_steps(workflow.current_steps())
    if node_ids is not None:
        if unknown := sorted(set(node_ids) - {step.node_id for step in steps}):
            raise InvalidInput(f"This workflow has no step “{unknown[0]}”.", field="node_ids")
        steps = [step for step in steps if step.node_id in node_ids]
    if not steps:
        raise InvalidInput("There is no step to change.", field="node_ids")
    return standings(steps)


def _in_words(standing: Standing) -> str:
    return f"{standing.accepted} of {standing.counted} accepted, sure {standing.confidence:.3f}"


def begin_coaching(step: Step, *, session: Session) -> None:
    """The first decision that counts ends the OBSERVATION of a step."""
    if step.level == Level.OBSERVATION:
        change_level(
            step, Level.COACHING, by=None, reason="The first decision that counts.", evidence={}, tell=[session]
        )


def start_anew(
    step: Step, *, by: User | None, reason: str, evidence: Mapping[str, Any], tell: Iterable[Session] = ()
) -> None:
    """What a step does has changed: what was known of it (`evidence`) does not count any more, and it is AUTO no more.

    Must run in a transaction, after the new version was kept, with the sessions in `tell` held.
    """
    demonstrated = step.level == Level.AUTO or _is_demonstrated(step.workflow)
    level = Level.COACHING if demonstrated else Level.OBSERVATION
    change_level(step, level, by=by, reason=reason, evidence=evidence, tell=tell)


def restart_evidence(steps: QuerySet[Step], *, by: User | None, reason: str) -> list[Session]:
    """Packs have changed what is proposed for these steps: their evidence starts anew, and AUTO ones go back to the
    coach.

    Their workflows' sessions under way are told; returns these, which are held until the transaction ends.
    """
    with transaction.atomic():
        workflows = Workflow.objects.filter(steps__in=steps)
        told: dict[int, list[Session]] = {}
        for session in Session.objects.ongoing().filter(workflow__in=workflows).order_by("pk"):
            if hold(session.pk):
                told.setdefault(session.workflow_id, []).append(session)
        held = hold_steps(steps)
        Step.objects.filter(pk__in=[step.pk for step in held]).update(pack_changes=F("pack_changes") + 1)
        for standing in standings(held):
            step = standing.step
            level = Level.COACHING if step.level == Level.AUTO else Level(step.level)
            change_level(
                step, level, by=by, reason=reason, evidence=standing.as_evidence(), restarts=True,
                tell=told.get(step.workflow_id, []),
            )  # fmt: skip
    return [session for sessions in told.values() for session in sessions]


def _is_demonstrated(workflow: Workflow) -> bool:
    return workflow.recordings.count() >= workflow.autonomy.min_demonstrations


def settle_levels(workflow: Workflow) -> None:
    """Steps leave OBSERVATION once the workflow has been demonstrated often enough. Must run in a transaction."""
    if not _is_demonstrated(workflow):
        return
    observed = Step.objects.filter(workflow=workflow, level=Level.OBSERVATION)
    steps = list(observed.select_for_update().order_by("pk"))
    count = workflow.recordings.count()
    reason = f"{count} {'demonstration' if count == 1 else 'demonstrations'} of it."
    # At once, not one by one: an import may bring ten thousand.
    observed.filter(pk__in=[step.pk for step in steps]).update(level=Level.COACHING, last_fact=F("last_fact") + 1)
    LevelChange.objects.bulk_create(
        LevelChange(
            step=step,
            version_id=step.current_id,
            fact=step.last_fact + 1,
            from_level=Level.OBSERVATION,
            to_level=Level.COACHING,
            by=name_of(None),
            reason=reason,
        )
        for step in steps
    )


def set_policy(workflow: Workflow, overrides: Mapping[str, Any]) -> Policy:
    """Replaces the workflow's overrides of the autonomy policy. No step loses its level by it.

    Raises `InvalidInput` naming the field at fault.
    """
    with transaction.atomic():
        return _keep_policy(_hold_workflow(workflow), overrides)


def change_policy(workflow: Workflow, changes: Mapping[str, Any]) -> Policy:
    """Changes the overrides that are given and leaves the rest; None takes one back. Raises `InvalidInput`."""
    with transaction.atomic():
        _hold_workflow(workflow)
        merged = {name: value for name, value in (workflow.policy | dict(changes)).items() if value is not None}
        return _keep_policy(workflow, merged)


def _hold_workflow(workflow: Workflow) -> Workflow:
    """Locks the workflow, its sessions under way before it, and reads its policy as it is now."""
    hold_ongoing(workflow)
    Workflow.objects.filter(pk=workflow.pk).update(updated_at=timezone.now())
    workflow.refresh_from_db(fields=["policy"])
    return workflow


def _keep_policy(workflow: Workflow, overrides: Mapping[str, Any]) -> Policy:
    try:
        policy = Policy.of(settings.AUTONOMY | dict(overrides))
    except InvalidPolicy as error:
        raise InvalidInput(str(error), field=error.field) from None
    default = Policy.of(settings.AUTONOMY).as_json()
    # What equals the default is no override: it follows the default when that changes.
    workflow.policy = {name: value for name, value in policy.as_json().items() if value != default[name]}
    workflow.save(update_fields=["policy", "updated_at"])
    note(What.POLICY_CHANGED, workflow.workflow_id, overrides=workflow.policy)
    signals.policy_changed.send(sender=Workflow, workflow=workflow)
    settle_levels(workflow)
    return policy
