"""Events in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ..actions.naming import POLICY
from ..models import SessionEvent

_DECIDED = {
    "accept": "accepted", "correct": "corrected", "manual": "did by hand", "skip": "skipped", "reject": "rejected",
}  # fmt: skip
_OUTCOME = {"not_performed": "was not performed", "uncertain": "may or may not have happened"}


class Line(NamedTuple):
    at: datetime
    words: str
    tone: str


def line_of(event: SessionEvent) -> Line:
    """One line of the timeline; `tone` is `amber`, `red` or empty."""
    words, tone = _WORDS.get(event.type, _other(event.type))
    return Line(event.at, words(event.data), tone)


def duration(milliseconds: float | None) -> str:
    """`0.4 s`, `3 s`, `2 min 5 s`, `1 h 20 min`; empty for None."""
    if milliseconds is None:
        return ""
    seconds = milliseconds / 1000
    if seconds < 1:
        return f"{max(seconds, 0.1):.1f} s"
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _what(data: Mapping[str, Any]) -> str:
    return f"‘{data.get('description') or data.get('node_id')}’"


def _who(data: Mapping[str, Any]) -> str:
    return "coachsite" if data.get("by") == POLICY else str(data.get("by"))


def _number(data: Mapping[str, Any]) -> str:
    return f"step {data['step_index'] + 1}"


def _took(data: Mapping[str, Any], field: str, word: str) -> str:
    text = duration(data.get(field))
    return f" {word} {text}" if text else ""


def _opened(data: Mapping[str, Any]) -> str:
    again = f" again, attempt {data['attempt']}" if data.get("attempt", 1) > 1 else ""
    because = f": {data['error']}" if data.get("error") else ""
    return f"{_number(data)}: {_what(data)} proposed{again}{because}"


def _expired(data: Mapping[str, Any]) -> str:
    meant = {"reject": ", which means rejected", "skip": ", which means skipped"}.get(data.get("on_expiry", ""), "")
    return f"{_number(data)}: nobody answered in time{meant}"


def _failed(data: Mapping[str, Any]) -> str:
    outcome = _OUTCOME.get(data.get("outcome", ""), "failed")
    return f"{_what(data)} {outcome}: {data.get('error') or 'no reason given'}"


def _performed(data: Mapping[str, Any]) -> str:
    remark = f": {data['remark']}" if data.get("remark") else ""
    return f"{_what(data)} performed{_took(data, 'took_ms', 'in')}{remark}"


def _level(data: Mapping[str, Any]) -> str:
    return f"{_step(data)} is {data['to_level']} now, by {_who(data)}: {data['reason']}"


def _ready(data: Mapping[str, Any]) -> str:
    counted = data["accepted"] + data["refused"]
    return (
        f"{_step(data)} is ready to run alone: {data['accepted']} of {counted} accepted, sure {data['confidence']:.3f}"
    )


def _step(data: Mapping[str, Any]) -> str:
    """A step by its number where it has one: one that was removed keeps only its name."""
    return f"step “{data['node_id']}”" if data.get("step_index") is None else _number(data)


Words = Callable[[Mapping[str, Any]], str]
_WORDS: dict[str, tuple[Words, str]] = {
    "session.created": (lambda data: f"{_who(data)} started the session", ""),
    "session.paused": (lambda data: f"{_who(data)} paused", "amber"),
    "session.resumed": (lambda data: f"{_who(data)} resumed", ""),
    "session.waiting": (lambda data: f"waiting: {data.get('reason', '')}", "amber"),
    "session.completed": (lambda data: f"{_who(data)} completed the session", ""),
    "session.failed": (lambda data: f"failed: {data.get('error_message') or 'no reason given'}", "red"),
    "session.abandoned": (lambda data: f"{_who(data)} abandoned the session", ""),
    "suggestion.opened": (_opened, ""),
    "suggestion.withdrawn": (lambda data: f"{_number(data)}: proposal withdrawn: {data.get('reason', '')}", "amber"),
    "suggestion.expired": (_expired, "amber"),
    "decision.recorded": (
        lambda data: (
            f"{data['decided_by']} {_DECIDED.get(data['decision'], data['decision'])} {_what(data)}"
            + _took(data, "latency_ms", "after")
        ),
        "",
    ),
    "level.changed": (_level, "amber"),
    "readiness.reached": (_ready, ""),
    "correction.switched_off": (
        lambda data: f"correction {data['correction']} of pack “{data['pack']}” is switched off. {data['reason']}",
        "amber",
    ),
    "step.performing": (lambda data: f"performing {_what(data)}", ""),
    "step.performed": (_performed, ""),
    "step.failed": (_failed, "red"),
    "step.uncertain": (lambda data: f"{_what(data)} may or may not have happened: {data.get('error', '')}", "red"),
}


def _other(event_type: str) -> tuple[Words, str]:
    """An event of a kind that this page does not know yet is named, never left out."""
    return lambda _data: event_type.replace(".", " ").replace("_", " "), ""
