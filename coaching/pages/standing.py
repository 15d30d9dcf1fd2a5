"""Where a step stands, in words."""

from __future__ import annotations

from dataclasses import dataclass

from ..evidence import Standing
from ..models import Level, LevelChange
from ..policy import Policy


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of readiness, and whether it is met."""

    met: bool
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """A step with its standing and all that a page says of it."""

    standing: Standing
    rate: str
    missing: str
    conditions: tuple[Condition, ...]
    last_change: LevelChange | None
    #: What coaches corrected here that no pack does yet, in words.
    fix: str = ""

    @property
    def may_be_promoted(self) -> bool:
        return self.standing.ready and self.standing.step.level != Level.AUTO

    @property
    def is_auto(self) -> bool:
        return self.standing.step.level == Level.AUTO


def row_of(standing: Standing, policy: Policy, last_change: LevelChange | None = None, fix: str = "") -> Row:
    return Row(
        standing=standing,
        rate=rate_in_words(standing),
        missing=missing_in_words(standing),
        conditions=conditions(standing, policy),
        last_change=last_change,
        fix=fix,
    )


def rate_in_words(standing: Standing) -> str:
    """`17 of 20 = 85 %`"""
    if standing.acceptance_rate is None:
        return "no decision yet"
    return f"{standing.accepted} of {standing.counted} = {standing.acceptance_rate * 100:.3g} %"


def missing_in_words(standing: Standing) -> str:
    """What it takes until the step may run alone; empty when it does."""
    if standing.step.level == Level.AUTO:
        return ""
    if "supported" in standing.unmet:
        return "coachsite cannot perform it: always a person’s"
    if standing.accepts_needed:
        return f"about {standing.accepts_needed} more accepted"
    return "waits for an owner" if "owner_confirmation" in standing.unmet else ""


def _who_performs(standing: Standing) -> str:
    return "coachsite can perform it" if standing.step.workflow.is_browser else "an outside program performs it"


def conditions(standing: Standing, policy: Policy) -> tuple[Condition, ...]:
    """Each condition of the policy with the figure that it is about."""
    unmet = standing.unmet
    wilson = ""
    if standing.wilson_low is not None and standing.wilson_high is not None:
        wilson = f", true rate probably {standing.wilson_low * 100:.0f} to {standing.wilson_high * 100:.0f} %"
    found = [
        Condition("supported" not in unmet, _who_performs(standing)),
        Condition(
            "min_decisions" not in unmet, f"{standing.counted} decisions that count, of at least {policy.min_decisions}"
        ),
        Condition(
            "acceptance_rate" not in unmet,
            f"{rate_in_words(standing)} accepted, of at least {policy.target * 100:g} %{wilson}",
        ),
        Condition(
            "confidence" not in unmet,
            f"sure {standing.confidence:.3f} that the rate is at least {policy.target * 100:g} %, "
            f"of at least {standing.needed_confidence:g}",
        ),
    ]
    if standing.step.level == Level.AUTO or "owner_confirmation" in unmet:
        found.append(Condition(standing.step.level == Level.AUTO, "an owner, or the policy, lets it run alone"))
    return tuple(found)
