"""What happens to questions that nobody has answered in time."""

from __future__ import annotations

from django.db import transaction

from .. import events
from ..models import Session, Suggestion
from .decisions import decide_unanswered
from .holding import hold
from .sessions import pause_session

#: How many one round takes up, so that it stays short; the next is soon.
BATCH = 500


def expire_overdue() -> int:
    """Expires the open suggestions whose time is up; returns how many."""
    overdue = Suggestion.objects.overdue().select_related("session__workflow", "step_version").order_by("expires_at")
    return sum(expire(suggestion) for suggestion in overdue[:BATCH])


def expire(suggestion: Suggestion) -> bool:
    """Closes an open suggestion as its `on_expiry` says; False when it was answered or taken back just before.

    `pause` pauses the session, which then asks again once somebody resumes it. `reject` and `skip` are decided by the
    policy, paused or not: the program has said that it will not wait any longer. They are no evidence about the step.
    """
    kind = Suggestion.OnExpiry(suggestion.on_expiry)
    with transaction.atomic():
        hold(suggestion.session_id)
        if not Suggestion.objects.overdue().filter(pk=suggestion.pk).update(status=Suggestion.Status.EXPIRED):
            return False
        expired = events.SuggestionExpired(
            n=suggestion.n, step_index=suggestion.step_index, node_id=suggestion.node_id, on_expiry=kind.value
        )
        events.record_event(suggestion.session, expired)
        suggestion.status = Suggestion.Status.EXPIRED
        if kind != Suggestion.OnExpiry.PAUSE:
            decide_unanswered(suggestion, kind.value)
        else:
            suggestion.session.refresh_from_db()
            if suggestion.session.status == Session.Status.ACTIVE:
                pause_session(suggestion.session, by=None)
    return True
