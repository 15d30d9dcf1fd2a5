"""Deleting several rows at once in the admin: all or none, and each written down.

Django keeps its own log of several rows in one statement, of which no signal tells; the audit log listens to those.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.actions import delete_selected as by_django
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from .actions.audit import What, note
from .admin import ModelAdmin

NAME = "delete_selected"


@admin.action(permissions=["delete"], description=str(by_django.short_description))  # type: ignore[attr-defined]
def delete_selected(site: ModelAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
    doomed = [f"{site.opts.model_name} {row}" for row in queryset]
    with transaction.atomic():
        answer: HttpResponse | None = by_django(site, request, queryset)
        # An answer is the question whether to. Of a single row a signal has told.
        if answer is None and len(doomed) > 1:
            for row in doomed:
                note(What.ADMIN_CHANGED, row, how="Deletion")
    return answer


admin.site.add_action(delete_selected, NAME)
