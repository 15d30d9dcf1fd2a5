from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from .models import Claim

if TYPE_CHECKING:
    ClaimAdminBase = admin.ModelAdmin[Claim]
else:
    ClaimAdminBase = admin.ModelAdmin


@admin.register(Claim)
class ClaimAdmin(ClaimAdminBase):
    """To look at, not to edit: claims come from the demo's form, and go with `reset_demo`."""

    list_display = [
        "number",
        "title",
        "claimant",
        "amount",
        "category",
        "project",
        "date",
        "release",
        "created_at",
    ]
    list_filter = ["release", "category", "project"]
    search_fields = ["title", "claimant"]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Claim | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Claim | None = None) -> bool:  # noqa: ARG002
        return False
