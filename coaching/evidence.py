"""What is known about a step from the decisions on it, as the rest of coaching sees it.

Who keeps the evidence registers here with `provide` (the app `metrics` does); coaching itself never asks for more than
this module names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .models import Level, Step, Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one step stands on its way to AUTO.

    `expected_acceptance` (0 to 1) is how likely the next suggestion is accepted, going by the decisions since the epoch
    began and the demonstrations; `expected_at_first` is the same before any decision. `epoch_version` is the first
    version of the step that this evidence is about. `lifetime` counts all decisions of people by kind and is never
    reset; `accepted` and `refused` (rejected or corrected) count since the epoch began, and everything else follows
    from these two: `acceptance_rate` and its 95 % Wilson interval (None when nothing counts), `confidence` (0 to 1)
    that the true rate is at least the policy's target, `needed_confidence`, `unmet` (the conditions that are not met,
    by name) and `accepts_needed` in a row.
    """

    step: Step
    lifetime: dict[str, int]
    accepted: int
    refused: int
    acceptance_rate: float | None
    wilson_low: float | None
    wilson_high: float | None
    confidence: float
    needed_confidence: float
    expected_acceptance: float
    expected_at_first: float
    demonstrations: int
    epoch_version: int
    ready: bool
    accepts_needed: int
    unmet: tuple[str, ...]
    audit_rate: float
    clean_audits: int
    audit_score: int
    execution_score: int

    @property
    def counted(self) -> int:
        return self.accepted + self.refused

    def as_evidence(self) -> dict[str, Any]:
        """The numbers, as they are kept with a change of level."""
        return {
            "lifetime": self.lifetime,
            "epoch": {"accepted": self.accepted, "refused": self.refused},
            "acceptance_rate": self.acceptance_rate,
            "confidence": self.confidence,
            "unmet": list(self.unmet),
            "audit": {"rate": self.audit_rate, "clean": self.clean_audits, "score": self.audit_score},
            "execution_score": self.execution_score,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStanding:
    """Where a workflow stands: the level of its weakest step, and `ready` when every step is.

    `blocking` are the steps that are neither AUTO nor ready, those that need most first; `waiting` those that are ready
    and not AUTO. `expected_clean_run_rate` is the product of the steps' acceptance rates, None until each has one:
    for information, never a gate.
    """

    workflow: Workflow
    steps: Sequence[Standing]

    @property
    def level(self) -> Level:
        return Level.weakest(standing.step.level for standing in self.steps)

    @property
    def ready(self) -> bool:
        return bool(self.steps) and all(standing.ready for standing in self.steps)

    @property
    def blocking(self) -> list[Standing]:
        missing = [s for s in self.steps if s.step.level != Level.AUTO and not s.ready]
        return sorted(missing, key=lambda s: ("supported" not in s.unmet, -s.accepts_needed, s.step.step_index or 0))

    @property
    def waiting(self) -> list[Standing]:
        return [s for s in self.steps if s.step.level != Level.AUTO and s.ready]

    @property
    def expected_clean_run_rate(self) -> float | None:
        product = 1.0
        for standing in self.steps:
            if standing.acceptance_rate is None:
                return None
            product *= standing.acceptance_rate
        return product if self.steps else None


class Source(Protocol):
    """Who keeps the evidence."""

    def standings(self, steps: Sequence[Step]) -> list[Standing]:
        """Where steps stand, in their order. Each comes with its `workflow` and its `current` version."""

    def ready_counts(self, workflow_ids: Collection[int]) -> dict[int, int]:
        """How many steps of each workflow are ready, by the workflow's key; none may be left out."""

    def confidence(self, accepted: int, refused: int, target: float) -> float:
        """How probable it is that the true rate is at least `target`, 0 to 1."""

    def interval(self, accepted: int, refused: int) -> tuple[float, float] | None:
        """The two-sided 95 % interval of the true rate; None when nothing counts."""


_sources: list[Source] = []


def provide(source: Source) -> None:
    """Makes `source` the one that is asked."""
    _sources[:] = [source]


def source() -> Source:
    """Raises `LookupError` when nobody keeps evidence."""
    if not _sources:
        raise LookupError("Nobody keeps evidence: is the app “metrics” installed?")
    return _sources[0]


def standings(steps: Sequence[Step]) -> list[Standing]:
    return source().standings(steps)


def standing(step: Step) -> Standing:
    return standings([step])[0]


def ready_counts(workflow_ids: Collection[int]) -> dict[int, int]:
    return source().ready_counts(workflow_ids)


def workflow_standing(workflow: Workflow) -> WorkflowStanding:
    steps = list(workflow.current_steps().select_related("workflow"))
    return WorkflowStanding(workflow=workflow, steps=standings(steps))
