"""What a line of the log is about: which request, which person, which session, which task.

With `COACHSITE_LOG=json` each line is one JSON object that says so.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject
from django_tasks.signals import task_finished, task_started

#: Shared by the threads of one request, so that what one of them learns the others know.
_about: ContextVar[dict[str, Any] | None] = ContextVar("about", default=None)
_REQUEST = "http"
#: Of a message or an exception, in characters: journald and our own supervisor cut lines of 48 KiB and more in pieces.
LONGEST = 6_000


@contextlib.contextmanager
def about(**facts: Any) -> Iterator[dict[str, Any]]:
    """What is logged in this block is about these facts, and those that `note` adds."""
    known: dict[str, Any] = dict(facts)
    token = _about.set(known)
    try:
        yield known
    finally:
        _about.reset(token)


def note(**facts: Any) -> None:
    """The request or task at work is about these facts too."""
    if (known := _about.get()) is not None:
        known.update(facts)


def facts() -> dict[str, str]:
    """What is known now, as texts."""
    known = dict(_about.get() or {})
    user = _user_of(known.pop(_REQUEST, None))
    if user:
        known["user"] = user
    return {name: str(value) for name, value in known.items()}


def _user_of(request: HttpRequest | None) -> str:
    """The user's name, where somebody has asked for it already: writing a log line must not ask the database."""
    found: Any = vars(request).get("user") if request else None
    if isinstance(found, SimpleLazyObject):
        found = vars(request).get("_cached_user")
    return found.get_username() if found else ""


class Noting:
    """Middleware: notes who asks, and for which session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        note(**{_REQUEST: request})
        response = self.get_response(request)
        # The request itself is let go: a long poll may last much longer than this.
        note(**{_REQUEST: None})
        if user := _user_of(request):
            note(user=user)
        return response

    def process_view(self, request: HttpRequest, view: Any, arguments: Any, named: dict[str, Any]) -> None:  # noqa: ARG002
        if "session_id" in named:
            note(session=named["session_id"])


@receiver(task_started)
def _begin(task_result: Any, **_: Any) -> None:
    _about.set({"task": task_result.task.name, "task_id": task_result.id})


@receiver(task_finished)
def _end(**_: Any) -> None:
    _about.set(None)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at, level, logger, message, host, exception, what is known, and a record's `facts`."""

    def __init__(self, host: str = "") -> None:
        super().__init__()
        self.host = host

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _shortened(record.getMessage()),
            **({"host": self.host} if self.host else {}),
            **facts(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["exception"] = _shortened(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


def _shortened(text: str) -> str:
    """How it begins and how it ends: of a traceback, what was asked for and what went wrong."""
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}"
