"""The audit log: one entry for each thing that somebody may have to answer for, in the transaction that does it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User

from .. import acting
from ..models import AuditEntry
from .naming import POLICY

What = AuditEntry.What

COACHSITE = "coachsite"
MAX_ABOUT = 200
MAX_NAME = 150


def note(what: AuditEntry.What, about: object = "", *, by: User | str | None = None, **details: Any) -> None:
    """Writes down what was done. Without `by` it is whoever's request this is, else coachsite itself or a command.

    `details` is plain JSON and never holds a secret: names of fields, not their values.
    """
    AuditEntry(
        actor=_name(by)[:MAX_NAME],
        what=what,
        about=str(about)[:MAX_ABOUT],
        details=details,
        address=acting.address(),
    ).save(force_insert=True)


def _name(by: User | str | None) -> str:
    if isinstance(by, str):
        return by
    user = by or acting.person()
    return user.get_username() if user else "" if acting.is_request() else COACHSITE


def note_level(about: str, *, up: bool, by: User | None, **details: Any) -> None:
    """A step was let run alone, or taken back: by a person, or by the policy."""
    note(What.PROMOTED if up else What.DEMOTED, about, by=by or POLICY, **details)


def entries_as_json(*, since: datetime | None = None) -> Iterator[dict[str, Any]]:
    """The log from its beginning, or since a moment, the oldest first."""
    entries = AuditEntry.objects.all() if since is None else AuditEntry.objects.since(since)
    yield from (entry.as_json() for entry in entries.order_by("pk").iterator(chunk_size=1000))
