"""Where steps and workflows stand: the evidence as numbers, and what is missing before they may run alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db.models import Count

from coaching.evidence import Standing
from coaching.models import Level, Recording, Risk, Step
from coaching.policy import Policy

from . import scoring
from .models import StepTally
from .scoring import confidence
from .scoring import wilson_interval as interval
from .tally import LIFETIME, Tally

__all__ = ["confidence", "interval", "ready_counts", "standing_of", "standings", "unmet"]


def standings(steps: Sequence[Step]) -> list[Standing]:
    """Where these steps stand, in their order: two queries. Each comes with its `workflow` and `current` version."""
    tallies = StepTally.objects.in_bulk([step.pk for step in steps])
    shown = demonstrations({step.workflow_id for step in steps})
    policies = {step.workflow_id: step.workflow.autonomy for step in steps}
    return [
        standing_of(
            step,
            tallies[step.pk].numbers if step.pk in tallies else Tally(),
            policy=policies[step.workflow_id],
            demonstrated=shown.get(step.workflow_id, 0),
        )
        for step in steps
    ]


def demonstrations(workflow_ids: Collection[int]) -> dict[int, int]:
    """How often each of these workflows was demonstrated."""
    shown = Recording.objects.filter(workflow__in=workflow_ids).order_by()
    return dict(shown.values_list("workflow").annotate(Count("pk")))


def standing_of(step: Step, tally: Tally, *, policy: Policy, demonstrated: int) -> Standing:
    accepted, refused = tally.epoch_accepted, tally.epoch_refused
    irreversible = step.version.risk == Risk.IRREVERSIBLE
    interval = scoring.wilson_interval(accepted, refused)
    missing = unmet(step, tally, policy)
    return Standing(
        step=step,
        lifetime={name: getattr(tally, name) for name in LIFETIME},
        accepted=accepted,
        refused=refused,
        acceptance_rate=scoring.acceptance_rate(accepted, refused),
        wilson_low=interval[0] if interval else None,
        wilson_high=interval[1] if interval else None,
        confidence=scoring.confidence(accepted, refused, policy.target),
        needed_confidence=policy.needed_confidence(irreversible),
        expected_acceptance=scoring.stated_confidence(accepted, refused, demonstrated, 1.0),
        expected_at_first=scoring.stated_confidence(0, 0, demonstrated, 1.0),
        demonstrations=demonstrated,
        epoch_version=tally.epoch_version,
        ready=not missing,
        accepts_needed=scoring.accepts_needed(accepted, refused, policy, irreversible),
        unmet=(*missing, *(("owner_confirmation",) if not missing and needs_owner(step, policy) else ())),
        audit_rate=scoring.audit_rate(tally.clean_audits, policy),
        clean_audits=tally.clean_audits,
        audit_score=tally.audit_score,
        execution_score=tally.execution_score,
    )


def unmet(step: Step, tally: Tally, policy: Policy) -> tuple[str, ...]:
    """The conditions of readiness that the evidence does not meet; `supported` for what coachsite cannot perform."""
    version = step.version
    missing = scoring.unmet(tally.epoch_accepted, tally.epoch_refused, policy, version.risk == Risk.IRREVERSIBLE)
    return missing if version.supported else ("supported", *missing)


def needs_owner(step: Step, policy: Policy) -> bool:
    """Whether a step that is ready waits for an owner: an irreversible one always does."""
    return step.level != Level.AUTO and not (policy.auto_promote and step.version.risk == Risk.REVERSIBLE)


def ready_counts(workflow_ids: Collection[int]) -> dict[int, int]:
    """How many steps of each workflow may run alone by the evidence."""
    ready = StepTally.objects.filter(ready=True, step__step_index__isnull=False, step__workflow__in=workflow_ids)
    return dict(ready.order_by().values_list("step__workflow").annotate(Count("pk")))
