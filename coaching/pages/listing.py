"""The list of sessions: filters, and pages by keyset."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime

from ..models import Session, Workflow

PAGE_LENGTH = 50


class Filters(forms.Form):
    workflow = forms.ModelChoiceField(
        Workflow.objects.order_by("name", "pk"), to_field_name="workflow_id", required=False, empty_label="any workflow"
    )
    status = forms.ChoiceField(
        choices=[("", "any status"), ("ongoing", "not ended"), *Session.Status.choices], required=False
    )
    mode = forms.ChoiceField(choices=[("", "any mode"), *Session.Mode.choices], required=False)
    mine = forms.BooleanField(required=False, label="started by me")


def session_page(query: Mapping[str, str], user: User) -> dict[str, Any]:
    """One page of sessions, newest `updated_at` first. A filter that makes no sense finds nothing and says so."""
    filters = Filters(query)
    sessions: QuerySet[Session] = Session.objects.none()
    if filters.is_valid():
        sessions = _filtered(filters.cleaned_data, user)
    older = _position(query.get("older", ""))
    if older:
        moment, pk = older
        sessions = sessions.filter(Q(updated_at__lt=moment) | Q(updated_at=moment, pk__lt=pk))
    rows = list(sessions.select_related("workflow", "started_by").order_by("-updated_at", "-pk")[: PAGE_LENGTH + 1])
    kept = {name: value for name, value in query.items() if name in filters.fields and value}
    next_query = ""
    if len(rows) > PAGE_LENGTH:
        last = rows[PAGE_LENGTH - 1]
        next_query = urlencode({**kept, "older": f"{last.updated_at.isoformat()}_{last.pk}"})
    return {
        "filters": filters,
        "sessions": rows[:PAGE_LENGTH],
        "next_query": next_query,
        "newest_query": urlencode(kept),
        "is_first": not older,
        "is_filtered": bool(kept),
    }


def _filtered(wanted: Mapping[str, Any], user: User) -> QuerySet[Session]:
    sessions: QuerySet[Session] = Session.objects.all()
    if wanted["workflow"]:
        sessions = sessions.filter(workflow=wanted["workflow"])
    if wanted["status"] == "ongoing":
        sessions = sessions.filter(status__in=Session.ONGOING)
    elif wanted["status"]:
        sessions = sessions.filter(status=wanted["status"])
    if wanted["mode"]:
        sessions = sessions.filter(mode=wanted["mode"])
    return sessions.filter(started_by=user) if wanted["mine"] else sessions


def _position(text: str) -> tuple[datetime, int] | None:
    """Where the page before ended; None for the first page, and for what no page of ours has made."""
    moment_text, _, pk = text.rpartition("_")
    try:
        moment = parse_datetime(moment_text)
        moment = moment.astimezone(UTC) if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
    if moment is None or not pk.isdecimal() or len(pk) > 18:
        return None
    return moment, int(pk)
