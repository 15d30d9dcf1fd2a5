"""Reading many sessions and decisions in small bites.

Each bite is a query of its own, taken up where the one before ended: no transaction stays open while a reader is slow
(SQLite could not shorten its log meanwhile), and the memory that it takes does not grow with the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from django.db.models import F, Model, Q, QuerySet

from ..models import Decision, Session

Row = TypeVar("Row", bound=Model)

#: Rows of one query.
BITE = 500


def in_bites(rows: QuerySet[Row], *, size: int = BITE) -> Iterator[list[Row]]:
    """All rows by their keys, `size` at a time. What is added behind the reader's place meanwhile is left out."""
    last = 0
    while bite := list(rows.filter(pk__gt=last).order_by("pk")[:size]):
        yield bite
        if len(bite) < size:
            return
        last = bite[-1].pk


def with_decisions(
    sessions: QuerySet[Session], *, decided: Q | None = None, size: int = BITE
) -> Iterator[list[tuple[Session, list[Decision]]]]:
    """Sessions by their keys, each with its decisions in order: about `size` decisions or sessions at a time.

    `decided` restricts the decisions. Each decision comes with its `session`, and with `answers`: the number of the
    suggestion that it answers, if any.
    """
    for bite in in_bites(sessions.select_related("workflow").defer("plan", "browser"), size=size):
        for group in _groups(bite, size):
            known = {session.pk: session for session in group}
            found: dict[int, list[Decision]] = {pk: [] for pk in known}
            decisions = Decision.objects.filter(decided or Q(), session__in=list(known)).order_by("pk")
            for decision in decisions.defer("difference").annotate(answers=F("suggestion__n")):
                decision.session = known[decision.session_id]
                found[decision.session_id].append(decision)
            yield [(session, found[session.pk]) for session in group]


def _groups(sessions: list[Session], size: int) -> Iterator[list[Session]]:
    """Neighbours that have about `size` decisions together, by what they count; a larger one stands alone."""
    group: list[Session] = []
    held = 0
    for session in sessions:
        if group and held + session.suggestions_made > size:
            yield group
            group, held = [], 0
        group.append(session)
        held += session.suggestions_made
    if group:
        yield group
