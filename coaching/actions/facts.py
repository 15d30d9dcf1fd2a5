"""Facts about a step: decisions, outcomes, versions and changes of level, numbered in the order in which they came.

The step's row is the lock of all that is known about the step. Whoever adds a fact counts it there first, so facts have
one order on every database, and the evidence can be built anew from them.
"""

from __future__ import annotations

from django.db.models import QuerySet

from .. import rows, signals
from ..models import Decision, Step

_STEP = rows.Read(Step.objects.select_related("workflow", "current"), "pk")


def count_fact(step_pk: int) -> Step:
    """Counts one more fact about a step and returns the step, locked until the transaction ends.

    Its `last_fact` is the number of the new fact. A session that the fact belongs to is held before.
    """
    counted = rows.update(Step, {"pk": step_pk}, add={"last_fact": 1})
    step = _STEP.get(step_pk) if counted else None
    if step is None:
        raise Step.DoesNotExist(f"step {step_pk} was deleted")
    return step


def hold_steps(steps: QuerySet[Step]) -> list[Step]:
    """Locks these steps until the transaction ends; each with its workflow and current version, ordered by their keys.

    They are read only when they are locked: PostgreSQL waits for a locked row, but takes what is joined to it from
    before the wait, and so would find no current version where another one became it meanwhile.
    """
    keys = steps.select_related(None).only("pk").order_by("pk").select_for_update(of=("self",), no_key=True)
    locked = Step.objects.filter(pk__in=[step.pk for step in keys])
    return list(locked.select_related("workflow", "current").order_by("pk"))


def add_outcome(decision: Decision) -> None:
    """It is known for certain what became of a decided action: a fact about its step.

    Must run in the transaction that keeps the outcome.
    """
    if decision.step_id is None:
        return
    step = count_fact(decision.step_id)
    decision.outcome_fact = step.last_fact
    decision.save(update_fields=["outcome_fact"])
    signals.outcome_recorded.send(sender=Decision, decision=decision, step=step)
