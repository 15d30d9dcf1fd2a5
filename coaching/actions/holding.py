"""One order of locks for all verbs."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from .. import rows
from ..models import Session, Workflow


def hold(session_pk: int, **state: Any) -> bool:
    """Locks the session's row until the transaction ends, if it is in `state`; False otherwise.

    Every verb holds the session first and then touches its suggestions: so answers, pauses and ends come one after
    the other, and never wait for each other in a circle.
    """
    return rows.update(Session, {"pk": session_pk, **state}, to={"updated_at": timezone.now()}) is not None


def hold_ongoing(workflow: Workflow) -> list[Session]:
    """The sessions of a workflow that have not ended, held in the order of their keys; before the workflow's steps."""
    ongoing = list(Session.objects.ongoing().filter(workflow=workflow).order_by("pk"))
    return [session for session in ongoing if hold(session.pk)]
