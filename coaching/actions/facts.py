"""Facts about a step: decisions, outcomes, versions and changes of level, numbered in the order in which they came.

The step's row is the lock of all that is known about the step. Whoever adds a fact counts it there first, so facts have
one order on every database, and the evidence can be built anew from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet

from .. import rows, signals
from ..models import Decision, Step

#: With what every decision needs to know; what else its workflow and its version hold is read when it is asked for.
_STEP = rows.Read(
    Step.objects.select_related("workflow", "current").only(
        *(field.attname for field in Step._meta.concrete_fields),
        "workflow__policy",
        *(f"current__{name}" for name in ("step_id", "number", "risk", "supported")),
    ),
    "pk",
)


def count_fact(step_pk: int, *, facts: int = 1) -> Step:
    """Counts one more fact about a step (or several) and returns the step, locked until the transaction ends.

    Its `last_fact` is the number of the (last) new fact. A session that the fact belongs to is held before.
    """
    step = _counted({"pk": step_pk}, facts=facts)
    if step is None:
        raise Step.DoesNotExist(f"step {step_pk} was deleted")
    return step


def count_fact_of(workflow_pk: int, node_id: str, *, facts: int = 1, removed: bool = True) -> Step | None:
    """As `count_fact`, of the step with this name; None without one. One that was removed counts only if `removed`."""
    where = {"workflow": workflow_pk, "node_id": node_id}
    return _counted(where, facts=facts, not_null=() if removed else ("step_index",))


def _counted(where: Mapping[str, Any], *, facts: int = 1, not_null: tuple[str, ...] = ()) -> Step | None:
    pk = rows.update(Step, where, add={"last_fact": facts}, not_null=not_null)
    return _STEP.get(pk) if pk else None


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
