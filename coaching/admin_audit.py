"""The audit log in the admin site: for owners, to look at and to search. Nobody changes it, a superuser neither."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from .admin import LookOnly, ModelAdmin, pretty
from .models import AuditEntry
from .roles import SEE_AUDIT


@admin.register(AuditEntry)
class AuditEntryAdmin(LookOnly, ModelAdmin):
    list_display = ["at", "actor", "what", "about", "address"]
    list_filter = ["what", "at"]
    search_fields = ["=actor", "about", "=address"]
    date_hierarchy = "at"
    ordering = ["-pk"]
    show_full_result_count = False
    fields = ["at", "actor", "what", "about", "address", "shown_details"]
    actions = None

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(SEE_AUDIT)

    def has_view_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return request.user.has_perm(SEE_AUDIT)

    @admin.display(description="details")
    def shown_details(self, entry: AuditEntry) -> SafeString:
        return pretty(entry.details)
