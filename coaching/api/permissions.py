"""What a caller may do, by role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from ..roles import VIEW


class RolePermission(BasePermission):
    """Asks for the permission that the view names for the method in `needs`, e.g. `{"GET": VIEW, "POST": DECIDE}`.

    A method that the view answers without naming a permission is refused.
    """

    message = "Your role does not allow this."

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        needed = self._needed(request.method or "", view)
        return needed is not None and request.user.has_perm(needed)

    @staticmethod
    def _needed(method: str, view: Any) -> str | None:
        needs: Mapping[str, str] = getattr(view, "needs", {})
        if method == "OPTIONS":
            return VIEW
        if method == "HEAD":
            method = "GET"
        if method in needs:
            return needs[method]
        # What the view does not answer at all is for it to refuse as such.
        return None if hasattr(view, method.lower()) else VIEW
