"""A step of the plan, the session's variables and what the page shows become a proposal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from django.conf import settings

from .. import evidence
from ..actions.asking import whom_to_ask
from ..actions.pack_use import Proposed, with_packs_in
from ..actions.proposing import how_sure
from ..actions.secrecy import masked_action, without_secrets
from ..actions.suggestions import Proposal
from ..models import Session, StepVersion
from ..packs import Situation, target_print
from ..recordings import describe, fill, fill_known
from ..recordings.variables import PLACEHOLDER
from ..secrets import decrypt

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
    versions = StepVersion.objects.select_related("step__workflow", "step__current")
    return versions.get(pk=session.plan[session.current_step_index])


def timeout_of(action: Mapping[str, Any], session: Session) -> int:
    """How long to wait for the target and the outcome, in ms: the step's, else the recording's, else the site's."""
    asked = action.get("timeout") or session.workflow.header.get("timeout") or settings.STEP_SECONDS * 1000
    low, high = TIMEOUT_BOUNDS_MS
    return int(min(max(asked, low), high))


def visible_values(session: Session) -> dict[str, str]:
    """The variables that may be shown."""
    return {name: value for name, value in session.variables.items() if value != "***"}


def all_values(session: Session) -> dict[str, str]:
    """All variables with the secrets in the clear: only for performing, never to be stored or logged."""
    return {**session.variables, **decrypt(session.encrypted_secrets)}


def filled(template: Mapping[str, Any], session: Session) -> dict[str, Any]:
    """`template` with all variables in the clear, as it is performed. Raises `MissingVariable`.

    Recording has put placeholders where secrets stood URL-encoded in an address, so there they are encoded again: a
    secret with an “&” would otherwise end early, and the rest of it be another parameter. One that an address begins
    with is an address itself.
    """
    values = all_values(session)
    action: dict[str, Any] = fill(dict(template), values)
    if isinstance(url := template.get("url"), str):
        first = PLACEHOLDER.match(url)
        start = first[0] if first else ""
        encoded = {name: quote(value, safe="") for name, value in decrypt(session.encrypted_secrets).items()}
        action["url"] = fill(start, values) + fill(url.removeprefix(start), values | encoded)
    return action


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to be proposed at the current step: its version, and what published packs make of its action."""

    version: StepVersion
    packs: Proposed
    target_key: str

    @property
    def action(self) -> dict[str, Any]:
        """Visible variables filled in, secrets still as `{{ name }}`."""
        return self.packs.applied.action

    @property
    def supported(self) -> bool:
        """Whether coachsite can perform it; a pack may put something it can in place of something it cannot."""
        return self.version.supported or bool(self.packs.entries)


def plan(session: Session, *, page_url: str) -> Planned:
    """The session's current step, on the page at `page_url`, as published packs would have it."""
    version = planned_step(session)
    action = fill_known(version.action, visible_values(session))
    key = target_print(action, page_url).key(version.action_type)
    situation = Situation(
        workflow_id=session.workflow.workflow_id,
        node_id=version.step.node_id,
        action_type=version.action_type,
        target_key=key,
    )
    return Planned(version, with_packs_in(session, action, situation), key)


def build_proposal(
    session: Session,
    planned: Planned,
    *,
    found: Found | None,
    trouble: str,
    page: dict[str, Any],
    screenshot: bytes | None,
) -> Proposal:
    """The proposal for one step. `found` is None for a step without a target or when the page could not be reached.

    Its confidence is as `how_sure` says, and 0 when there is trouble.
    """
    version, action = planned.version, planned.action
    problem = found.problem if found else None
    if not planned.supported:
        problem = "coachsite cannot perform this step. Do it yourself and choose manual, correct it, or skip it."
    error = without_secrets(" ".join(part for part in (trouble, planned.packs.trouble, problem) if part), session)
    target = without_secrets(found.as_target(), session) if found and action.get("selectors") else None
    standing = evidence.standing(version.step)
    confidence, reasons = how_sure(version, standing, found.certainty if found else 1.0)
    asking = whom_to_ask(session, version, standing, step_index=session.current_step_index, in_trouble=bool(error))
    return Proposal(
        step_index=session.current_step_index,
        node_id=version.step.node_id,
        action_type=str(action.get("type") or version.action_type),
        action=action,
        description=describe(masked_action(action, session)),
        risk=version.risk,
        confidence=0.0 if error else confidence,
        rationale="" if error else f"{reasons} {asking.words}".strip(),
        provenance=planned.packs.provenance if planned.packs.entries else from_workflow(version),
        asked_because=asking.because,
        error=error,
        trouble=without_secrets(trouble, session),
        target=target,
        page=page,
        screenshot=screenshot,
        step_version=version,
        target_key=planned.target_key,
        packs=planned.packs,
        pack_changes=version.step.pack_changes,
    )


def from_workflow(version: StepVersion) -> dict[str, Any]:
    """The provenance of a step that no pack has changed."""
    return {"source": "workflow", "pack": None, "version": version.number, "correction": None, "changed": []}
