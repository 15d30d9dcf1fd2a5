"""The tallies counted anew from the facts, and compared with what is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.db import transaction

from coaching.actions.facts import hold_steps
from coaching.models import Decision, Level, Session, Step, Suggestion, Workflow
from coaching.policy import Policy

from . import contributions
from .collector import keep, tally_of
from .contributions import Contributions, Place
from .models import TALLIES, Source, StepTally, Tallied, WorkflowLearningMetrics
from .readiness import unmet
from .tally import Decided, Tally, after_decision, after_level, after_outcome, after_version


class Difference(NamedTuple):
    """`what` is counted as `kept` and should be `counted`."""

    what: str
    kept: Any
    counted: Any


def rebuild(*, repair: bool = True) -> Iterator[Difference]:
    """Every number that differs from a new count, put right unless told otherwise. One workflow at a time is held.

    What is deleted meanwhile has no numbers any more, and is passed over.
    """
    for workflow in Workflow.objects.order_by("pk"):
        for step_pk in workflow.steps.order_by("pk").values_list("pk", flat=True):
            with transaction.atomic():
                yield from _step(step_pk, repair=repair)
        with transaction.atomic():
            yield from _workflow(workflow, repair=repair)


def _step(step_pk: int, *, repair: bool) -> Iterator[Difference]:
    step = next(iter(hold_steps(Step.objects.filter(pk=step_pk))), None)
    if step is None:
        return
    tally = tally_of(step)
    kept = tally.numbers
    counted = count_step(step, tally)
    for name, value in counted.as_json().items():
        if getattr(kept, name) != value:
            yield Difference(f"{step.workflow.workflow_id} {step.node_id} {name}", getattr(kept, name), value)
    ready = not unmet(step, counted, step.workflow.autonomy)
    if tally.ready != ready:
        yield Difference(f"{step.workflow.workflow_id} {step.node_id} ready", tally.ready, ready)
    if repair:
        keep(tally, step, counted)


def count_step(step: Step, tally: StepTally) -> Tally:
    """The tally of a step from its facts, in their order, on top of the base that was kept."""
    facts = [*_decisions(step), *_outcomes(step), *_levels(step), *_versions(step)]
    numbers, policy = Tally(**tally.base), step.workflow.autonomy
    for fact, change in sorted(facts, key=lambda pair: pair[0]):
        if fact > tally.base_fact:
            numbers = change(numbers, policy)
    return numbers


Change = Callable[[Tally, Policy], Tally]
#: A fact by its number, and how it changes the tally.
Fact = tuple[int, Change]


def _decisions(step: Step) -> Iterator[Fact]:
    rows: Any = step.decisions.filter(fact__isnull=False).order_by()
    facts = rows.values_list(
        "fact", "decision", "step_version__number", "unattended", "suggestion__asked_because", "outdated"
    )  # fmt: skip
    for fact, kind, version, unattended, asked_because, outdated in facts.iterator(chunk_size=2000):
        decided = Decided(
            kind=kind,
            version=version,
            by_person=not unattended,
            in_trouble=asked_because == Suggestion.AskedBecause.TROUBLE,
            outdated=outdated,
        )
        yield fact, _deciding(decided)


def _outcomes(step: Step) -> Iterator[Fact]:
    rows: Any = step.decisions.filter(outcome_fact__isnull=False).order_by()
    facts = rows.values_list("outcome_fact", "decision", "step_version__number", "execution_success", "outdated")
    for fact, kind, version, success, outdated in facts.iterator(chunk_size=2000):
        yield fact, _performing(kind, version, success=success, outdated=outdated)


def _levels(step: Step) -> Iterator[Fact]:
    for fact, level, restarts in step.level_changes.order_by().values_list("fact", "to_level", "restarts"):
        yield fact, _moving(Level(level), restarts=restarts)


def _versions(step: Step) -> Iterator[Fact]:
    before = None
    for version in step.versions.order_by("number"):
        if before and not version.keeps_evidence_of(before):
            yield version.fact, _starting(version.number)
        before = version


def _deciding(decided: Decided) -> Change:
    return lambda tally, policy: after_decision(tally, decided, policy)


def _performing(kind: str, version: int, *, success: bool, outdated: bool) -> Change:
    return lambda tally, _policy: after_outcome(tally, kind=kind, version=version, success=success, outdated=outdated)


def _moving(level: Level, *, restarts: bool) -> Change:
    return lambda tally, _policy: after_level(tally, to_auto=level == Level.AUTO, restarts=restarts)


def _starting(number: int) -> Change:
    return lambda tally, _policy: after_version(tally, number)


def _workflow(workflow: Workflow, *, repair: bool) -> Iterator[Difference]:
    # Whoever deletes the workflow holds it before its tallies, too.
    if Workflow.objects.filter(pk=workflow.pk).select_for_update(no_key=True).first() is None:
        return
    # Whoever adds to the workflow's tallies takes this row first, and waits here.
    list(WorkflowLearningMetrics.objects.filter(workflow=workflow, source=Source.LIVE).select_for_update())
    counted: Contributions = {}
    contributions.from_sessions(Session.objects.filter(workflow=workflow).order_by().iterator(), counted)
    decisions = Decision.objects.filter(session__workflow=workflow)
    contributions.from_decisions(contributions.of_decisions(decisions), counted)
    kept = {place: row for model in TALLIES for place, row in _kept(model, workflow)}
    for place in sorted({*kept, *counted}, key=lambda place: (place.model.__name__, str(place.keys))):
        row, counts = kept.get(place), counted.get(place, Counter())
        for name in place.model.COUNTS:
            number = getattr(row, name) if row else 0
            if number != counts[name]:
                where = " ".join(map(str, (workflow.workflow_id, place.model._meta.model_name, *place.keys, name)))
                yield Difference(where, number, counts[name])
        if repair:
            _put_right(place, counts)


def _kept(model: type[Tallied], workflow: Workflow) -> Iterator[tuple[Place, Tallied]]:
    for row in model.objects.filter(workflow=workflow, source=Source.LIVE):
        yield Place(model, workflow.pk, tuple(getattr(row, key) for key in model.KEYS)), row


def _put_right(place: Place, counts: Counter[str]) -> None:
    keys = dict(zip(place.model.KEYS, place.keys, strict=True))
    place.model.objects.update_or_create(
        workflow_id=place.workflow_id, source=Source.LIVE, **keys,
        defaults={name: counts[name] for name in place.model.COUNTS},
    )  # fmt: skip
