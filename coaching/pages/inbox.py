"""What waits for this person, and the frame's own pages."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from .. import roles
from ..actions.secrecy import masked_action
from ..models import Session, Suggestion
from .doors import page, person

SHOWN = 100
SHOWN_UNANSWERED = 20
FRAGMENTS = ("badge", "waiting")


def waiting_for(user: User, *, limit: int) -> list[Suggestion]:
    """The first open suggestions that this person may decide, riskiest and oldest first, as they may be shown."""
    waiting = list(Suggestion.objects.for_inbox(user)[:limit])
    for suggestion in waiting:
        suggestion.description = masked_action(suggestion.description, suggestion.session)
    return waiting


def inbox_context(user: User) -> dict[str, Any]:
    """What waits for this person, at most `SHOWN` of them."""
    waiting = waiting_for(user, limit=SHOWN + 1)
    more = len(waiting) > SHOWN
    return {
        "waiting": waiting[:SHOWN],
        "more": more,
        # Only a full list needs counting beyond what was read.
        "inbox_count": Suggestion.objects.for_inbox(user).count() if more else len(waiting),
        "decides": (decides := user.has_perm(roles.DECIDE)),
        "unanswered": Session.objects.paused_unanswered()[:SHOWN_UNANSWERED] if decides else [],
    }


def inbox_fragments(user: User) -> dict[str, str]:
    context = inbox_context(user)
    return {name: render_to_string(f"coaching/inbox.html#{name}", context) for name in FRAGMENTS}


@page(roles.VIEW)
def inbox(request: HttpRequest) -> HttpResponse:
    return render(request, "coaching/inbox.html", inbox_context(person(request)))
