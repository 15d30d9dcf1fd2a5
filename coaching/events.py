"""The event log: typed events, their rows, the stream that every reader shares, and wake-ups.

An event's row is written in the transaction that causes it and is the truth. A wake-up only says "session 7 has
news", may be lost, and is sent after the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.utils import timezone

from . import hub, rows, signals
from .afterwards import after_commit
from .models import Session, SessionEvent

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    type: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCreated(Event):
    type = "session.created"
    workflow_id: str
    execution_id: str
    mode: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPaused(Event):
    type = "session.paused"
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResumed(Event):
    type = "session.resumed"
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCompleted(Event):
    type = "session.completed"
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFailed(Event):
    type = "session.failed"
    by: str
    error_message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAbandoned(Event):
    type = "session.abandoned"
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionWaiting(Event):
    type = "session.waiting"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionOpened(Event):
    type = "suggestion.opened"
    n: int
    step_index: int
    node_id: str
    attempt: int
    description: str
    asked_because: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionWithdrawn(Event):
    type = "suggestion.withdrawn"
    n: int
    step_index: int
    node_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionExpired(Event):
    type = "suggestion.expired"
    n: int
    step_index: int
    node_id: str
    on_expiry: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecorded(Event):
    type = "decision.recorded"
    n: int | None
    step_index: int
    node_id: str
    decision: str
    decided_by: str
    description: str
    latency_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent(Event):
    n: int
    step_index: int
    node_id: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPerforming(StepEvent):
    type = "step.performing"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPerformed(StepEvent):
    type = "step.performed"
    took_ms: int | None
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed(StepEvent):
    type = "step.failed"
    outcome: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUncertain(StepEvent):
    type = "step.uncertain"
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelChanged(Event):
    type = "level.changed"
    node_id: str
    step_index: int | None
    from_level: str
    to_level: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionSwitchedOff(Event):
    type = "correction.switched_off"
    pack: str
    correction: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessReached(Event):
    type = "readiness.reached"
    node_id: str
    step_index: int | None
    accepted: int
    refused: int
    confidence: float


def record_event(
    session: Session,
    event: Event,
    *,
    add: Mapping[str, int] | None = None,
    at_least: Mapping[str, int] | None = None,
    **to: Any,
) -> int:
    """Writes `event` as the next row of the session's log and returns its number.

    Further columns of the session's row change in the same UPDATE: they go `to` a value, have a number `add`ed, or are
    raised to `at_least` one. Must run inside the transaction that causes the event: the UPDATE also holds the row, so
    numbers have neither gaps nor doubles. Raises `Session.DoesNotExist`.
    """
    now = timezone.now()
    seq = next_number(session.pk, at=now, add=add, at_least=at_least, to=to)
    if seq is None:
        raise Session.DoesNotExist(f"session {session.session_id} was deleted")
    write_event(session, event, seq=seq)
    session.updated_at = now
    return seq


def next_number(
    session_pk: int,
    *,
    at: datetime,
    where: Mapping[str, Any] | None = None,
    add: Mapping[str, int] | None = None,
    at_least: Mapping[str, int] | None = None,
    to: Mapping[str, Any] | None = None,
) -> int | None:
    """Holds the session's row as `holding.hold` does, and takes the number of an event that `write_event` must write.

    Further columns change as `record_event` says. None, and nothing has changed, when the row is not as `where` says.
    """
    seq: int | None = rows.update(
        Session,
        {"pk": session_pk, **(where or {})},
        to={"updated_at": at, **(to or {})},
        add={"last_seq": 1, **(add or {})},
        at_least=at_least,
        returning="last_seq",
    )
    return seq


def write_event(session: Session, event: Event, *, seq: int) -> None:
    """Writes the event that `next_number` was taken for, in the same transaction."""
    # Not from before the wait for the session's row: readers tell by it which rows may still be missing.
    at = timezone.now()
    data = {field.name: getattr(event, field.name) for field in fields(event)}
    rows.insert_values(SessionEvent, {"session_id": session.pk, "seq": seq, "type": event.type, "at": at, "data": data})
    session.last_seq = seq
    signals.event_recorded.send(sender=Session, session=session, seq=seq, type=event.type, at=at, data=data)
    after_commit(wake_up, session.pk, seq)


def stream(session: Session, *, after: int = 0, limit: int = 1000) -> list[SessionEvent]:
    """The events of one session numbered above `after`, in order, at most `limit` of them."""
    return list(session.events.filter(seq__gt=after).order_by("seq")[:limit])


def wake_up(session_pk: int, seq: int) -> None:
    """Tells whoever watches that this session has news up to event `seq`, which is committed.

    At once in this process, by Redis to others where it is there. Without Redis the other web processes find the row
    themselves (see `coaching.hub`).
    """
    hub.tell(session_pk, seq)
    if settings.REDIS_URL:
        layer = get_channel_layer()
        async_to_sync(layer.group_send)(hub.GROUP, {"type": "session.news", "session": session_pk})
