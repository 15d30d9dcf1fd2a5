"""A step of the plan, the session's variables and what the page shows become a proposal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..actions.secrecy import masked_action, without_secrets
from ..actions.suggestions import Proposal
from ..models import Session, StepVersion, Suggestion
from ..recordings import describe, fill_known
from ..secrets import decrypt

DEFAULT_TIMEOUT_MS = 5_000
TIMEOUT_BOUNDS_MS = (1, 30_000)


class Found(Protocol):
    """What a proposal needs to know of a located target (see `coaching.execution.locate.Located`)."""

    @property
    def problem(self) -> str | None: ...
    @property
    def certainty(self) -> float: ...
    def as_target(self) -> dict[str, Any]: ...


def planned_step(session: Session) -> StepVersion:
    """The step version at the session's current index."""
    return StepVersion.objects.select_related("step").get(pk=session.plan[session.current_step_index])


def timeout_of(action: Mapping[str, Any], session: Session) -> int:
    """How long to wait for the target and the outcome, in ms: the step's, else the recording's, else 5 000."""
    asked = action.get("timeout") or session.workflow.header.get("timeout") or DEFAULT_TIMEOUT_MS
    low, high = TIMEOUT_BOUNDS_MS
    return int(min(max(asked, low), high))


def visible_values(session: Session) -> dict[str, str]:
    """The variables that may be shown."""
    return {name: value for name, value in session.variables.items() if value != "***"}


def all_values(session: Session) -> dict[str, str]:
    """All variables with the secrets in the clear: only for performing, never to be stored or logged."""
    return {**session.variables, **decrypt(session.encrypted_secrets)}


def earlier_trouble(session: Session, latest: Suggestion | None) -> str:
    """Why the current step is proposed again, or nothing when it is proposed for the first time."""
    if latest is None or latest.step_index != session.current_step_index:
        return ""
    return latest.error if latest.status in {latest.Status.DECIDED, latest.Status.WITHDRAWN} else ""


def build_proposal(
    session: Session,
    version: StepVersion,
    *,
    found: Found | None,
    trouble: str,
    page: dict[str, Any],
    screenshot: bytes | None,
) -> Proposal:
    """The proposal for one step. `found` is None for a step without a target or when the page could not be reached.

    Confidence is how surely the target was located: the trust of the recorded selectors that agree (0 to 1), 1 for a
    step without a target, and 0 when there is trouble.
    """
    action = fill_known(version.action, visible_values(session))
    problem = found.problem if found else None
    if not version.supported:
        problem = "coachsite cannot perform this step. Do it yourself and choose manual, correct it, or skip it."
    error = without_secrets(" ".join(part for part in (trouble, problem) if part), session)
    target = without_secrets(found.as_target(), session) if found and version.action.get("selectors") else None
    return Proposal(
        step_index=session.current_step_index,
        node_id=version.step.node_id,
        action_type=version.action_type,
        action=action,
        description=describe(masked_action(action, session)),
        risk=version.risk,
        confidence=0.0 if error else round(found.certainty, 3) if found else 1.0,
        rationale="From the recording.",
        provenance={"source": "workflow", "pack": None, "version": version.number, "correction": None, "changed": []},
        asked_because=Suggestion.AskedBecause.TROUBLE if error else Suggestion.AskedBecause.COACHING,
        error=error,
        target=target,
        page=page,
        screenshot=screenshot,
        step_version=version,
    )
