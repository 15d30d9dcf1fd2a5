"""Putting an action to the coach, taking it back, and keeping what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from .. import events
from ..exceptions import ProposalOutdated, SessionNotActive
from ..models import Decision, Risk, Session, Step, StepVersion, Suggestion
from .corrections import describe_correction
from .facts import add_outcome
from .holding import hold
from .pack_use import Proposed, note_use
from .pictures import kind_of

Outcome = Suggestion.Outcome
Status = Suggestion.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is to be proposed for a step, before it has a row. `action` keeps secrets as `{{ name }}`."""

    step_index: int
    node_id: str
    action_type: str
    action: dict[str, Any]
    description: str
    risk: str = Risk.REVERSIBLE
    confidence: float | None = None
    rationale: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    asked_because: str = Suggestion.AskedBecause.COACHING
    error: str = ""
    #: What had gone wrong before: the part of `error` that stays when it is proposed anew.
    trouble: str = ""
    target: dict[str, Any] | None = None
    page: dict[str, Any] = field(default_factory=dict)
    screenshot: bytes | None = None
    step_version: StepVersion | None = None
    target_key: str = ""
    expires_at: datetime | None = None
    on_expiry: str = Suggestion.OnExpiry.PAUSE
    reference: str = ""
    #: What packs have made of it; None where none was asked.
    packs: Proposed | None = None
    #: `Step.pack_changes` as it was before packs were asked; None where none was.
    pack_changes: int | None = None

    @property
    def unchanged_action(self) -> dict[str, Any] | None:
        """The action before packs changed it; None if none did."""
        return self.packs.original if self.packs and self.packs.entries else None


def open_suggestion(session: Session, proposal: Proposal, *, lease_owner: str | None = None) -> Suggestion:
    """Opens the next suggestion of an active session.

    A worker names its `lease_owner`: one whose lease was taken over meanwhile proposes nothing. Raises
    `SessionNotActive` when the session is not active any more, or not that worker's, and `ProposalOutdated` when packs
    have changed what is proposed since they were asked.
    """
    suggestion = Suggestion(
        session=session,
        step_version=proposal.step_version,
        **{
            name: getattr(proposal, name)
            for name in (
                "step_index", "node_id", "action_type", "action", "description", "risk", "confidence",
                "rationale", "provenance", "asked_because", "error", "trouble", "target", "page", "target_key",
                "unchanged_action", "expires_at", "on_expiry",
                "reference",
            )
        },
    )  # fmt: skip
    if proposal.screenshot:
        # Written before the transaction, so that the database is not held while the disk is busy.
        kind = kind_of(proposal.screenshot) or "png"
        name = f"{session.session_id}/{proposal.step_index}.{kind}"
        suggestion.screenshot.save(name, ContentFile(proposal.screenshot), save=False)
    try:
        with transaction.atomic():
            if not hold(session.pk, **_acting(lease_owner)):
                raise SessionNotActive("The session is not active any more, or another worker's.")
            suggestion.pack_changes = _pack_changes(proposal)
            _save_numbered(suggestion)
            if proposal.packs:
                note_use(suggestion, proposal.packs)
            events.record_event(session, _opened(suggestion))
    except BaseException:
        if suggestion.screenshot:
            suggestion.screenshot.delete(save=False)
        raise
    return suggestion


def _pack_changes(proposal: Proposal) -> int:
    """The step's number, read once the session is held: whoever changes it now will find the suggestion."""
    if proposal.step_version is None:
        return 0
    now: int = Step.objects.values_list("pack_changes", flat=True).get(pk=proposal.step_version.step_id)
    if proposal.pack_changes not in {None, now}:
        raise ProposalOutdated("Packs propose something else by now.")
    return now


def _acting(lease_owner: str | None) -> dict[str, str]:
    """What must hold of a session for which something is done; a worker's lease fences it off from later ones."""
    acting: dict[str, str] = {"status": Session.Status.ACTIVE}
    return acting if lease_owner is None else acting | {"lease_owner": lease_owner}


def _save_numbered(suggestion: Suggestion) -> None:
    earlier = Suggestion.objects.filter(session=suggestion.session_id)
    last_attempt = earlier.filter(step_index=suggestion.step_index).aggregate(last=Max("attempt"))["last"]
    suggestion.n = (earlier.aggregate(last=Max("n"))["last"] or 0) + 1
    suggestion.attempt = (last_attempt or 0) + 1
    suggestion.save(force_insert=True)


def _opened(suggestion: Suggestion) -> events.SuggestionOpened:
    return events.SuggestionOpened(
        n=suggestion.n,
        step_index=suggestion.step_index,
        node_id=suggestion.node_id,
        attempt=suggestion.attempt,
        description=suggestion.description,
        asked_because=suggestion.asked_because,
        error=suggestion.error,
    )


def withdraw_suggestion(suggestion: Suggestion, *, reason: str, trouble: str | None = None) -> bool:
    """Takes an open suggestion back; False when it was no longer open.

    `trouble` is what the coach is told when the step is proposed again: the reason, unless something else is given.
    """
    with transaction.atomic():
        hold(suggestion.session_id)
        # It stays on the row.
        changes = {"status": Status.WITHDRAWN, "error": reason if trouble is None else trouble}
        if not Suggestion.objects.filter(pk=suggestion.pk, status=Status.OPEN).update(**changes):
            return False
        withdrawn = events.SuggestionWithdrawn(
            n=suggestion.n, step_index=suggestion.step_index, node_id=suggestion.node_id, reason=reason
        )
        events.record_event(suggestion.session, withdrawn)
    suggestion.status, suggestion.error = Status.WITHDRAWN, changes["error"]
    return True


def begin_performing(suggestion: Suggestion, *, lease_owner: str | None = None) -> bool:
    """Commits that the decided action is about to happen; False when it has begun before or may not begin now.

    Only an active session acts, and of workers only the one that holds its lease. Whatever happens afterwards, this row
    says that it may have happened.
    """
    with transaction.atomic():
        now = timezone.now()
        if not hold(suggestion.session_id, **_acting(lease_owner)):
            return False
        begun = Suggestion.objects.filter(
            pk=suggestion.pk, status=Status.DECIDED, outcome=None, performing_since=None
        ).update(performing_since=now)
        if not begun:
            return False
        events.record_event(suggestion.session, events.StepPerforming(**_step_facts(suggestion)))
    suggestion.performing_since = now
    return True


def record_outcome(
    suggestion: Suggestion, outcome: Suggestion.Outcome, *, error: str = "", took: timedelta | None = None
) -> bool:
    """Keeps what became of a decided action, once; False when an outcome was kept before.

    A step that was not performed for certain is the session's current step again.
    """
    with transaction.atomic():
        hold(suggestion.session_id)
        changes = {"outcome": outcome} | ({"error": error} if error else {})
        kept = Suggestion.objects.filter(pk=suggestion.pk, status=Status.DECIDED, outcome=None).update(**changes)
        if not kept:
            return False
        success = {Outcome.PERFORMED: True, Outcome.FAILED: False}.get(outcome)
        decision = Decision.objects.select_related("session").get(suggestion=suggestion)
        ongoing = Session.objects.ongoing().filter(pk=suggestion.session_id).exists()
        # A program that has asked about something else since has gone on.
        gone_on = Suggestion.objects.filter(session=suggestion.session_id, n__gt=suggestion.n).exists()
        back = ongoing and outcome != Outcome.PERFORMED and not gone_on
        again: dict[str, Any] = {"current_step_index": suggestion.step_index} if back else {}
        events.record_event(suggestion.session, _outcome_event(suggestion, outcome, error, took), **again)
        if success is not None:
            decision.execution_success = success
            decision.save(update_fields=["execution_success"])
            add_outcome(decision)
    suggestion.outcome, suggestion.error = outcome, error or suggestion.error
    return True


def _outcome_event(
    suggestion: Suggestion, outcome: Suggestion.Outcome, error: str, took: timedelta | None
) -> events.Event:
    facts = _step_facts(suggestion)
    if outcome == Outcome.PERFORMED:
        return events.StepPerformed(**facts, took_ms=round(took.total_seconds() * 1000) if took else None, remark=error)
    if outcome == Outcome.UNCERTAIN:
        return events.StepUncertain(**facts, error=error)
    return events.StepFailed(**facts, outcome=outcome.value, error=error)


def _step_facts(suggestion: Suggestion) -> dict[str, Any]:
    return {
        "n": suggestion.n,
        "step_index": suggestion.step_index,
        "node_id": suggestion.node_id,
        "description": describe_correction(suggestion, suggestion.decision.correction),
    }
