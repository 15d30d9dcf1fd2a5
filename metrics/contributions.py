"""What decisions and sessions add to the tallies of their workflow: the same for one as it comes and for all anew."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest

from coaching.models import Decision, Session, Suggestion

from .models import CalibrationBin, DailyTally, LatencyBin, Source, Tallied, WorkflowLearningMetrics
from .tally import COUNTERS

#: Each bin of the times to decide reaches a tenth further than the one before: a median read from them is right to 5 %.
LATENCY_STEP = 1.1
LAST_LATENCY_BIN = 255
MILLIONTHS = 1_000_000


class Place(NamedTuple):
    """A row of tallies: `keys` are the values of the model's `KEYS`."""

    model: type[Tallied]
    workflow_id: int
    keys: tuple[Any, ...] = ()


#: What is added where: `{place: {count: number}}`.
Contributions = dict[Place, Counter[str]]


class Made(NamedTuple):
    """A decision as far as the tallies of its workflow care."""

    workflow_id: int
    kind: str
    timestamp: datetime
    unattended: bool
    latency_ms: int | None
    confidence: float | None
    in_trouble: bool


def of_decisions(decisions: QuerySet[Decision]) -> Iterator[Made]:
    rows: Any = decisions.order_by().values_list(
        "session__workflow_id", "decision", "timestamp", "unattended", "latency_ms", "suggestion__confidence",
        "suggestion__asked_because",
    )  # fmt: skip
    for workflow, kind, at, unattended, latency_ms, confidence, asked_because in rows.iterator(chunk_size=2000):
        in_trouble = asked_because == Suggestion.AskedBecause.TROUBLE
        yield Made(workflow, kind, at, unattended, latency_ms, confidence, in_trouble)


def from_decisions(decisions: Iterable[Made], into: Contributions) -> None:
    for made in decisions:
        _add_activity(into, made.workflow_id, made.timestamp, {_counter(made): 1})
        if made.unattended:
            continue
        if made.latency_ms is not None:
            _add(into, Place(LatencyBin, made.workflow_id, (latency_bin(made.latency_ms),)), {"count": 1})
        if made.confidence is not None and not made.in_trouble and Decision.Kind(made.kind).counts:
            accepted = int(made.kind == Decision.Kind.ACCEPT)
            place = Place(CalibrationBin, made.workflow_id, (min(9, int(made.confidence * 10)),))
            error = round((made.confidence - accepted) ** 2 * MILLIONTHS)
            _add(into, place, {"count": 1, "accepted": accepted, "squared_error": error})


def _counter(made: Made) -> str:
    if not made.unattended:
        return COUNTERS[made.kind]
    # Where nobody answered in time it was neither a person's decision nor one that needed none.
    return "unattended" if made.kind == Decision.Kind.ACCEPT else "unanswered"


def from_sessions(sessions: Iterable[Session], into: Contributions) -> None:
    for session in sessions:
        from_start(session, into)
        if not session.is_ongoing:
            from_end(session, into)


def from_start(session: Session, into: Contributions) -> None:
    _add_activity(into, session.workflow_id, session.started_at, {"sessions": 1})


def from_end(session: Session, into: Contributions) -> None:
    if session.completed_at is None:
        raise ValueError(f"session {session.session_id} has not ended")
    counts = {session.status: 1, "coaching_ms": session.coaching_ms}
    _add_activity(into, session.workflow_id, session.completed_at, counts)


def _add_activity(into: Contributions, workflow_id: int, at: datetime, counts: dict[str, int]) -> None:
    _add(into, Place(WorkflowLearningMetrics, workflow_id), counts)
    _add(into, Place(DailyTally, workflow_id, (day(at),)), counts)


def _add(into: Contributions, place: Place, counts: dict[str, int]) -> None:
    into.setdefault(place, Counter()).update(counts)


def day(at: datetime) -> date:
    """The day in UTC, in which all times are kept, whatever zone the moment was given in."""
    return at.astimezone(UTC).date()


def latency_bin(ms: int) -> int:
    """The bin of a time to decide: bin b holds times from 1.1^b up to 1.1^(b+1) ms, the last all that are longer."""
    return min(LAST_LATENCY_BIN, int(math.log(ms) / math.log(LATENCY_STEP))) if ms > 1 else 0


def store(contributions: Contributions, *, source: Source = Source.LIVE) -> None:
    """Adds to the rows, making those that are missing, in one order, so that writers never wait in a circle.

    One statement a row, in SQL that SQLite and PostgreSQL share: every decision passes here.
    """
    with connection.cursor() as cursor:
        for place in sorted(contributions, key=_order):
            counts = {name: number for name, number in contributions[place].items() if number}
            if counts:
                row = (place.workflow_id, source.value, *place.keys)
                cursor.execute(_addition(place.model, tuple(counts)), [*row, *counts.values(), *_zeros(place, counts)])


def _zeros(place: Place, counts: Mapping[str, int]) -> list[int]:
    return [0] * (len(place.model.COUNTS) - len(counts))


@lru_cache(maxsize=256)
def _addition(model: type[Tallied], counts: tuple[str, ...]) -> str:
    """Inserts a row with `counts` and zeros, or adds them to the row that is there."""
    quote = connection.ops.quote_name
    keys = ("workflow_id", "source", *model.KEYS)
    table, others = quote(model._meta.db_table), [name for name in model.COUNTS if name not in counts]
    columns = ", ".join(map(quote, (*keys, *counts, *others)))
    values = ", ".join(["%s"] * (len(keys) + len(model.COUNTS)))
    sums = ", ".join(f"{quote(name)} = {table}.{quote(name)} + excluded.{quote(name)}" for name in counts)
    conflict = ", ".join(map(quote, keys))
    return f"INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT ({conflict}) DO UPDATE SET {sums}"  # noqa: S608


def take_away(contributions: Contributions) -> None:
    """The reverse of `store`, in the same order."""
    for place in sorted(contributions, key=_order):
        keys = dict(zip(place.model.KEYS, place.keys, strict=True))
        # A count that was wrong before must not keep anybody from deleting a session.
        changes: dict[str, Any] = {name: Greatest(F(name) - number, 0) for name, number in contributions[place].items()}
        place.model.objects.filter(workflow_id=place.workflow_id, source=Source.LIVE, **keys).update(**changes)


_RANKS = {WorkflowLearningMetrics: 0, CalibrationBin: 1, DailyTally: 2, LatencyBin: 3}


def _order(place: Place) -> tuple[int, int, tuple[Any, ...]]:
    # The workflow's own row first: whoever holds it is alone with the others.
    return place.workflow_id, _RANKS[place.model], place.keys
