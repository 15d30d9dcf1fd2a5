"""What every proposal says of itself, whoever performs it: how sure it is, and what went wrong before."""

from __future__ import annotations

from ..evidence import Standing
from ..models import StepVersion, Suggestion


def how_sure(version: StepVersion, standing: Standing, certainty: float = 1.0) -> tuple[float, str]:
    """The confidence of a suggestion, and in words where it comes from.

    Confidence (0 to 1) is how likely the coach accepts: the rule of succession over the step's decisions since its
    evidence began, each demonstration counting as one accept, (accepted + demonstrations + 1) / (decisions +
    demonstrations + 2), times `certainty` (0 to 1): the trust of the recorded selectors that agree on the target, 1 for
    a step without one.
    """
    shown = standing.demonstrations
    demonstrated = f"{shown} {'demonstration' if shown == 1 else 'demonstrations'}"
    likely, decided = standing.expected_acceptance, f"{standing.accepted} of {standing.counted} decisions"
    if version.number < standing.epoch_version:
        # The step has changed since this session began: what is known is about another action.
        likely, decided = standing.expected_at_first, "no decision on this version"
    located = f", its target located with certainty {certainty:.2f}" if certainty < 1 else ""
    return round(likely * certainty, 3), f"Sure by {decided} and {demonstrated}{located}."


def earlier_trouble(step_index: int, latest: Suggestion | None) -> str:
    """Why a step is proposed again, or nothing when it is proposed for the first time."""
    if latest is None or latest.step_index != step_index:
        return ""
    return latest.error if latest.status in {latest.Status.DECIDED, latest.Status.WITHDRAWN} else ""
