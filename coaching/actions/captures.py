"""Keeping what coaches correct, so that it need not be corrected again."""

from __future__ import annotations

from functools import partial

from django.db.models import F

from ..models import Correction, CorrectionMade, Decision, Suggestion
from ..packs import changes_between, digest, target_print
from ..packs.changes import changes_as_json, patch_between
from ..recordings import names_in


def capture(decision: Decision, suggestion: Suggestion) -> Correction | None:
    """Gathers the correction of a decision with its equals; None where there is nothing that could be used again.

    What counts is the difference to the action as it would have been without packs. Must run in the deciding
    transaction, with the step held. A secret that was typed for one session alone belongs to no other.
    """
    if decision.correction is None:
        return None
    session, original = suggestion.session, suggestion.original_action
    changes = changes_between(original, decision.correction)
    if not changes:
        return None
    if session.workflow.is_browser:
        known = set(session.workflow.variables.values_list("name", flat=True))
        if names_in(changes_as_json(changes)) - known:
            return None
    action_type = _own_action_type(suggestion)
    target = target_print(original, str(suggestion.page.get("url") or ""))
    correction, created = Correction.objects.get_or_create(
        workflow_id=session.workflow_id,
        node_id=suggestion.node_id,
        digest=digest(changes_as_json(changes)),
        defaults={
            "action_type": action_type,
            "action_fingerprint": digest(original),
            "target": target.as_json(),
            "target_key": target.key(action_type),
            "original": original,
            "corrected": decision.correction,
            "difference": partial(patch_between, original, decision.correction),
            "changes": changes_as_json(changes),
            "first_at": decision.timestamp,
            "last_at": decision.timestamp,
        },
    )
    if not created:
        Correction.objects.filter(pk=correction.pk).update(count=F("count") + 1, last_at=decision.timestamp)
    CorrectionMade.objects.create(correction=correction, decision=decision)
    return correction


def _own_action_type(suggestion: Suggestion) -> str:
    """That of the step itself: a pack may have put another kind of action in its place."""
    by_pack = suggestion.unchanged_action is not None and suggestion.session.workflow.is_browser
    return str(suggestion.original_action.get("type") or "") if by_pack else suggestion.action_type
