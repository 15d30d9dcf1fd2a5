"""What follows where the corrections that are applied change: for the steps that they touch, and the open questions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from .. import signals
from ..afterwards import after_commit
from ..models import CorrectionPack, PackConflict, PackEntry, Session, Step, StepVersion, Suggestion
from ..packs import Situation
from .autonomy import restart_evidence
from .pack_use import with_packs_in
from .suggestions import withdraw_suggestion


@dataclass(frozen=True, slots=True)
class Touched:
    """Steps whose evidence started anew for a `reason`, and the sessions under way that are held for it."""

    steps: QuerySet[Step] = field(default_factory=Step.objects.none)
    sessions: Collection[Session] = ()
    reason: str = ""


def touch_steps(entries: Collection[PackEntry], *, by: User | None, why: str) -> Touched:
    """Starts the evidence of every step anew that these corrections change: from now on it proposes something else.

    Once the change is made, in the same transaction, call `propose_anew`.
    """
    if not entries:
        return Touched()
    places = Q(pk__in=[])
    for entry in entries:
        places |= Q(workflow__workflow_id=entry.workflow_id, node_id=entry.node_id)
    keys = {e.target_key for e in entries if e.target_key and e.item.pack.scope == CorrectionPack.Scope.TARGET}
    if keys:
        seen = Suggestion.objects.filter(target_key__in=keys).values("step_version__step").distinct()
        places |= Q(pk__in=seen)
    named = sorted({entry.item.pack.name for entry in entries})
    reason = f"A correction of pack “{named[0]}” {why}: the step proposes something else now."
    steps = Step.objects.filter(places, step_index__isnull=False)
    sessions = restart_evidence(steps, by=by, reason=reason)
    # Whether they still contradict others will show. After the sessions are held, as by whoever notes a conflict.
    items = [entry.item_id for entry in entries]
    PackConflict.objects.filter(Q(item__in=items) | Q(other__in=items)).delete()
    return Touched(steps, sessions, reason)


def propose_anew(touched: Touched) -> None:
    """Open questions about touched steps: where the proposal is another by now, coachsite takes its own back and asks
    again.

    The question of a program stays, for the program waits for its answer, which then counts for no evidence (see
    `Decision.outdated`). Must run in the transaction of the change, after it.
    """
    waiting = Suggestion.objects.open().filter(session__in=touched.sessions, step_version__step__in=touched.steps)
    for suggestion in waiting.select_related("session__workflow", "step_version__step").order_by("session"):
        version = suggestion.step_version
        if version and _is_still_proposed(suggestion, version):
            Suggestion.objects.filter(pk=suggestion.pk).update(pack_changes=version.step.pack_changes)
        elif suggestion.session.workflow.is_browser:
            withdraw_suggestion(suggestion, reason=touched.reason, trouble=suggestion.trouble)
            after_commit(signals.session_needs_worker.send, sender=Session, session_pk=suggestion.session_id)


def _is_still_proposed(suggestion: Suggestion, version: StepVersion) -> bool:
    situation = Situation(
        workflow_id=suggestion.session.workflow.workflow_id,
        node_id=suggestion.node_id,
        action_type=version.action_type if suggestion.session.workflow.is_browser else suggestion.action_type,
        target_key=suggestion.target_key,
    )
    now = with_packs_in(suggestion.session, suggestion.original_action, situation)
    return now.applied.action == suggestion.action and now.trouble in suggestion.error
