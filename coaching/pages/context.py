"""What every page's frame shows."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from .. import roles
from ..models import Suggestion


def navigation(request: HttpRequest) -> dict[str, Any]:
    """`inbox_count`: how many open suggestions wait for this person (lazily, only where a template asks); `may`: what
    this person may do, for leaving out buttons that would be refused."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"inbox_count": 0, "may": {}}
    return {
        "inbox_count": SimpleLazyObject(lambda: Suggestion.objects.for_inbox(user).count()),
        "may": {
            "view": user.has_perm(roles.VIEW),
            "decide": user.has_perm(roles.DECIDE),
            "import": user.has_perm(roles.IMPORT),
            "edit": user.has_perm(roles.EDIT_WORKFLOW),
            "review": user.has_perm(roles.REVIEW_PACKS),
            "promote": user.has_perm(roles.PROMOTE),
            "delete_workflow": user.has_perm(roles.DELETE_WORKFLOW),
            "delete_session": user.has_perm(roles.DELETE_SESSION),
        },
    }
