"""The coaching panel: what it shows, and its fragments, rendered once per state and process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count
from django.template.loader import render_to_string

from .. import roles, rows
from ..actions.secrecy import masked_action, secret_names
from ..models import Decision, Session, SessionEvent, StepVersion, Suggestion
from ..recordings import mask
from . import correction_editor
from .captured import from_pack
from .changes import changes_in
from .picture import picture_of
from .situation import done_in_words, situation_of
from .timeline import line_of

_last_suggestion = rows.Read(Suggestion.objects.select_related("step_version", "decision"), "session_id", last="n")

FRAGMENTS = ("top", "status", "picture", "proposal", "steps", "stats", "timeline", "record")
TIMELINE_LENGTH = 50
DOTS_BEFORE, DOTS_AFTER = 30, 30
RECORD_LENGTH = 500
ENDING = ("session.completed", "session.failed", "session.abandoned")


@dataclass(frozen=True, slots=True)
class Reader:
    """What of a panel depends on who looks at it."""

    decides: bool
    deletes: bool = False

    @classmethod
    def of(cls, user: User) -> Reader:
        return cls(decides=user.has_perm(roles.DECIDE), deletes=user.has_perm(roles.DELETE_SESSION))


@dataclass(frozen=True, slots=True)
class Dot:
    """One step of the progress line. `sign` is its decision, `words` the same for who cannot see it."""

    number: int
    state: str
    sign: str
    words: str


_SIGNS = {"accept": "✓", "correct": "✎", "manual": "✋", "skip": "↷", "reject": "✗"}
_DECIDED = {
    "accept": "accepted", "correct": "corrected", "manual": "done by hand", "skip": "skipped", "reject": "rejected",
}  # fmt: skip


def panel_context(
    session: Session,
    reader: Reader,
    *,
    watchers: Sequence[str] = (),
    typed: Mapping[str, str] | None = None,
    message: str = "",
) -> dict[str, Any]:
    """All that the panel's template shows. `typed` keeps what a person sent that could not be taken."""
    suggestion = _last_suggestion.get(session.pk)
    if suggestion is not None:
        suggestion.session = session
    ended = None if session.is_ongoing else session.events.filter(type__in=ENDING).last()
    situation = situation_of(session, suggestion, ended)
    asked = suggestion if suggestion is not None and suggestion.is_open and session.is_ongoing else None
    description = masked_action(suggestion.description, session) if suggestion else ""
    return {
        "session": session,
        "workflow": session.workflow,
        "reader": reader,
        "situation": situation,
        "suggestion": suggestion,
        "asked": asked,
        "description": description,
        "picture": picture_of(suggestion, description=description) if suggestion else None,
        "proposal": _proposal(asked, typed) if asked else None,
        "version": _version(session, suggestion, situation.kind, reader),
        "reasons": Decision.Reason.choices,
        "dots": _dots(session),
        "watchers": watchers,
        "timeline": [line_of(event) for event in _latest_events(session)],
        "message": message,
        **(_record(session) if not session.is_ongoing else {}),
    }


def _version(session: Session, suggestion: Suggestion | None, kind: str, reader: Reader) -> str:
    """Changes when the decision form must be replaced; while the same question is open it must not be."""
    if suggestion is not None and suggestion.is_open and session.is_ongoing:
        return f"{suggestion.n}-open-{reader.decides:d}"
    return f"{suggestion.n if suggestion else 0}-{kind}-{session.last_seq}"


def _proposal(asked: Suggestion, typed: Mapping[str, str] | None) -> dict[str, Any]:
    session = asked.session
    action = masked_action(asked.action, session)
    candidates = _candidates(asked)
    typed = typed if typed and typed.get("n") == str(asked.n) else None
    fields = [
        # A secret that was typed is not sent back.
        replace(field, value=field.old) if field.is_secret else field
        for field in correction_editor.fields_of(action, typed, in_browser=session.workflow.is_browser)
    ]
    return {
        "fields": fields,
        "raw": (typed or {}).get("raw") or correction_editor.raw_of(action),
        "raw_original": correction_editor.raw_of(action),
        "candidates": candidates,
        "which_one": bool(candidates) and not (asked.target or {}).get("found"),
        "typed": typed or {},
        "editing": bool(typed) and (typed or {}).get("decision") in {"correct", "did_this"},
        "source": _source(asked.provenance),
        "from_pack": from_pack(asked),
    }


def _source(provenance: Mapping[str, Any]) -> str:
    """Where the proposal comes from."""
    pack = f"pack “{provenance.get('pack')}”" if provenance.get("pack") else ""
    if pack and provenance.get("changed"):
        return f"changed by {pack}"
    return pack or {"caller": "proposed by the program", "workflow": "from the recording"}.get(
        str(provenance.get("source")), ""
    )


def _candidates(asked: Suggestion) -> Sequence[Mapping[str, Any]]:
    return (asked.target or {}).get("candidates") or ()


def candidates_of(suggestion: Suggestion) -> Sequence[Mapping[str, Any]]:
    """The elements among which the coach may choose; none once the target was found."""
    return () if (suggestion.target or {}).get("found") else _candidates(suggestion)


def _latest_events(session: Session) -> list[SessionEvent]:
    secrets = secret_names(session)
    events = list(session.events.order_by("-seq")[:TIMELINE_LENGTH])
    for event in events:
        event.data = mask(event.data, secrets)
    return events


def _dots(session: Session) -> Sequence[Dot]:
    """The steps around the current one: of very long workflows not all."""
    current = session.current_step_index
    first = max(0, min(current - DOTS_BEFORE, (session.total_steps or current) - DOTS_BEFORE - DOTS_AFTER))
    last = min(session.total_steps or current + 1, first + DOTS_BEFORE + DOTS_AFTER)
    decided = {
        index: (kind, success)
        for index, kind, success in session.decisions.filter(step_index__gte=first, step_index__lt=last)
        .order_by("pk")
        .values_list("step_index", "decision", "execution_success")
    }
    titles = _titles(session, first, last)
    return [_dot(index, current, session.is_ongoing, decided.get(index), titles) for index in range(first, last)]


def _titles(session: Session, first: int, last: int) -> dict[int, str]:
    planned = session.plan[first:last]
    known = dict(StepVersion.objects.filter(pk__in=planned).values_list("pk", "description"))
    secrets = secret_names(session)
    return {first + i: mask(known.get(pk, ""), secrets) for i, pk in enumerate(planned)}


def _dot(
    index: int, current: int, ongoing: bool, decided: tuple[str, bool | None] | None, titles: Mapping[int, str]
) -> Dot:
    number, title = index + 1, titles.get(index, "")
    name = f"{number}: {title}" if title else f"step {number}"
    if ongoing and index == current:
        again = ", proposed again" if decided else ""
        return Dot(number, "current", str(number), f"{name} (current{again})")
    if decided is None:
        return Dot(number, "ahead", str(number), f"{name} (not yet decided)")
    kind, success = decided
    if success is False:
        return Dot(number, "failed", "!", f"{name} ({_DECIDED[kind]}, failed)")
    return Dot(number, kind, _SIGNS[kind], f"{name} ({_DECIDED[kind]})")


def _record(session: Session) -> dict[str, Any]:
    """What a session's record shows once it has ended."""
    secrets = secret_names(session)
    rows = list(session.decisions.select_related("suggestion").order_by("pk")[: RECORD_LENGTH + 1])
    outcomes = dict(session.suggestions.order_by().values_list("outcome").annotate(Count("pk")))
    unreported = session.suggestions.filter(status=Suggestion.Status.DECIDED, outcome=None).count()
    return {
        "done": done_in_words(session, outcomes, unreported=unreported),
        "record": [
            {
                "decision": row,
                "sign": _SIGNS[row.decision],
                "words": _DECIDED[row.decision],
                "unreported": row.suggestion is not None and row.suggestion.awaits_outcome,
                "description": mask(row.suggestion.description, secrets) if row.suggestion else row.node_id,
                "changes": changes_in(
                    mask(row.suggestion.action, secrets) if row.suggestion else {}, mask(row.difference, secrets)
                ),
            }
            for row in rows[:RECORD_LENGTH]
        ],
        "record_is_longer": len(rows) > RECORD_LENGTH,
    }


def render_fragments(context: Mapping[str, Any]) -> dict[str, str]:
    """The panel's fragments by name, each an element that finds its own place in the page."""
    return {name: _fragment(name, context) for name in FRAGMENTS}


def _fragment(name: str, context: Mapping[str, Any]) -> str:
    return render_to_string(f"coaching/session_detail.html#{name}", dict(context))


def read_session(**lookup: Any) -> Session:
    """Raises `Session.DoesNotExist`."""
    return Session.objects.select_related("workflow").get(**lookup)


_session = rows.Read(Session.objects.select_related("workflow"), "pk")
_version_of = rows.Read(Session.objects.only("session_id", "last_seq"), "pk")


def _found(session: Session | None) -> Session:
    if session is None:
        raise Session.DoesNotExist
    return session


class FragmentCache:
    """The rendered panels of this process. Every change of a session writes an event, so its number is the version."""

    def __init__(self, size: int = 128) -> None:
        self.size = size
        self._kept: OrderedDict[tuple[Any, ...], tuple[dict[str, Any], dict[str, str]]] = OrderedDict()
        self._lock = threading.Lock()
        self._rendering: dict[tuple[Any, ...], threading.Lock] = {}

    def fragments(self, session_pk: int, reader: Reader, watchers: Sequence[str]) -> dict[str, str]:
        """Raises `Session.DoesNotExist`."""
        current = _found(_version_of.get(session_pk))
        key = (current.session_id, current.last_seq, reader)
        kept = self._look_up(key)
        if kept is None:
            with self._lock:
                rendering = self._rendering.setdefault(key, threading.Lock())
            # Of many sockets woken at once, one renders and the others wait for it.
            with rendering:
                kept = self._look_up(key) or self._render(session_pk, key)
        context, fragments = kept
        # Who watches is no event, and stands in this fragment alone.
        return fragments | {"top": _fragment("top", context | {"watchers": watchers})}

    def _look_up(self, key: tuple[Any, ...]) -> tuple[dict[str, Any], dict[str, str]] | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _render(self, session_pk: int, key: tuple[Any, ...]) -> tuple[dict[str, Any], dict[str, str]]:
        _, last_seq, reader = key
        session = _found(_session.get(session_pk))
        context = panel_context(session, reader)
        rendered = context, render_fragments(context)
        with self._lock:
            self._rendering.pop(key, None)
            # Newer than asked for is fine, but it must not stand under the older number.
            if session.last_seq == last_seq:
                self._kept[key] = rendered
                while len(self._kept) > self.size:
                    self._kept.popitem(last=False)
        return rendered


cache = FragmentCache()
