"""Facts about a step: decisions, outcomes, versions and changes of level, numbered in the order in which they came.

The step's row is the lock of all that is known about the step. Whoever adds a fact counts it there first, so facts have
one order on every database, and the evidence can be built anew from them.
"""

from __future__ import annotations

from django.db.models import F

from .. import signals
from ..models import Decision, Step


def count_fact(step_pk: int) -> Step:
    """Counts one more fact about a step and returns the step, locked until the transaction ends.

    Its `last_fact` is the number of the new fact. A session that the fact belongs to is held before.
    """
    Step.objects.filter(pk=step_pk).update(last_fact=F("last_fact") + 1)
    return Step.objects.select_related("workflow", "current").get(pk=step_pk)


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
