"""The calls of the API, each as steps (see `_wire`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from ._wire import ANSWER_SECONDS, JSON, Policy, Request, Steps, encode, new_key, send
from .errors import BadRequest, Conflict, NotFound, PermissionDenied

ENDED = frozenset({"completed", "failed", "abandoned"})
#: How long one long poll waits, in seconds. Below the idle time-outs of usual proxies.
POLL_SECONDS = 25.0
PAGE = 500


def given(**values: Any) -> JSON:
    """What was named: the server refuses fields that mean nothing where they stand, null included."""
    return {name: value for name, value in values.items() if value is not None}


class Calls:
    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    # The three shapes that all calls have.

    def get(
        self, path: str, params: Mapping[str, Any] | None = None, *, wait: float = 0.0, deadline: float | None = None
    ) -> Steps[JSON]:
        """`wait`: seconds that the server may keep the answer back until there is news."""
        asked = {name: _text(value) for name, value in (params or {}).items()}
        if wait:
            asked["wait"] = f"{wait:.3f}"
        request = Request("GET", path, params=asked, timeout=ANSWER_SECONDS + wait)
        return (yield from send(self.policy, request, deadline=deadline))

    def post(
        self, path: str, body: JSON | None = None, *, key: str | None = None, deadline: float | None = None
    ) -> Steps[JSON]:
        """Carries an idempotency key that stays the same when it is sent again: `key`, or one of its own."""
        content = None if body is None else encode(body, "What you send")
        request = Request("POST", path, content=content, key=key or new_key())
        return (yield from send(self.policy, request, deadline=deadline))

    def everything(
        self, path: str, params: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> Steps[list[JSON]]:
        """The rows of all pages of a list, at most `limit`."""
        asked = dict(params or {}) | {"limit": PAGE if limit is None else min(limit, PAGE)}
        rows: list[JSON] = []
        while True:
            page = yield from self.get(path, asked)
            rows += page["results"]
            cursor = _cursor(page.get("next"))
            if cursor is None or (limit is not None and len(rows) >= limit):
                return rows[:limit]
            asked["cursor"] = cursor

    # Workflows

    def ensure_workflow(self, workflow_id: str, name: str | None = None, description: str | None = None) -> Steps[JSON]:
        """The workflow, made as an external one without steps if it is missing."""
        path = f"workflows/{_in_path(workflow_id)}/"
        try:
            return (yield from self.get(path))
        except NotFound:
            pass
        body = given(workflow_id=workflow_id, name=name or workflow_id, executor="external", description=description)
        try:
            return (yield from self.post("workflows/", body))
        except PermissionDenied as denied:
            raise PermissionDenied(
                denied.status,
                denied.code,
                f"There is no workflow “{workflow_id}”, and making one needs the role of an owner: let an owner make "
                "it (executor “external”), or use an owner's token the first time.",
                denied.attr,
                denied.body,
            ) from None
        except (BadRequest, Conflict) as refused:
            # Another program may have made it in between.
            try:
                return (yield from self.get(path))
            except NotFound:
                raise refused from None

    def metrics(self, workflow_id: str) -> Steps[JSON]:
        return (yield from self.get(f"workflows/{_in_path(workflow_id)}/metrics/"))

    # Sessions

    def start_session(self, body: JSON, *, create_workflow: bool) -> Steps[JSON]:
        """A new session. Raises `DuplicateExecution`, which brings the session that exists."""
        try:
            return (yield from self.post("sessions/", body))
        except NotFound:
            if not create_workflow:
                raise
        yield from self.ensure_workflow(body["workflow_id"])
        return (yield from self.post("sessions/", body))

    def session(self, session_id: str, *, deadline: float | None = None) -> Steps[JSON]:
        return (yield from self.get(f"sessions/{_in_path(session_id)}/", deadline=deadline))

    def sessions(self, filters: Mapping[str, Any], limit: int | None) -> Steps[list[JSON]]:
        return (yield from self.everything("sessions/", filters, limit=limit))

    def move(self, session_id: str, move: str, body: JSON | None = None) -> Steps[JSON]:
        """`move`: pause, resume, complete or abandon."""
        return (yield from self.post(f"sessions/{_in_path(session_id)}/{move}/", body))

    def fail(self, session_id: str, error: str) -> Steps[JSON]:
        return (yield from self.move(session_id, "complete", {"success": False, "error_message": error[:10_000]}))

    # Suggestions and decisions

    def inbox(self, limit: int) -> Steps[list[JSON]]:
        page = yield from self.get("inbox/", {"limit": limit})
        return list(page["results"])

    def suggestions(self, session_id: str) -> Steps[list[JSON]]:
        return (yield from self.everything(f"sessions/{_in_path(session_id)}/suggestions/"))

    def suggestion(self, session_id: str, n: int, *, wait: float = 0.0, deadline: float | None = None) -> Steps[JSON]:
        path = f"sessions/{_in_path(session_id)}/suggestions/{n}/"
        return (yield from self.get(path, wait=wait, deadline=deadline))

    def decide(self, session_id: str, body: JSON) -> Steps[JSON]:
        return (yield from self.post(f"sessions/{_in_path(session_id)}/decisions/", body))

    def about(
        self, session_id: str, n: int, verb: str, body: JSON | None = None, *, deadline: float | None = None
    ) -> Steps[JSON]:
        """`verb`: performing, outcome or withdraw."""
        path = f"sessions/{_in_path(session_id)}/suggestions/{n}/{verb}/"
        return (yield from self.post(path, body, deadline=deadline))

    # Events

    def events(
        self, session_id: str, after: int, wait: float = 0.0, deadline: float | None = None
    ) -> Steps[list[JSON]]:
        """The events after number `after`, at most 1000; with `wait`, waits so many seconds for the first."""
        path = f"sessions/{_in_path(session_id)}/events/"
        page = yield from self.get(path, {"after": after}, wait=wait, deadline=deadline)
        return list(page["results"])

    def next_events(self, session_id: str, after: int, *, follow: bool) -> Steps[list[JSON]]:
        """The next events, waited for with `follow`; empty when there are none and, with it, will be none."""
        found = yield from self.events(session_id, after)
        while not found and follow:
            session = yield from self.session(session_id)
            if session["status"] in ENDED:
                # Once more: the events of its end may have come after the first look.
                return (yield from self.events(session_id, after))
            found = yield from self.events(session_id, after, POLL_SECONDS)
        return found


def _in_path(name: str) -> str:
    return quote(name, safe="")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cursor(address: str | None) -> str | None:
    """Only the cursor of `next`: behind a proxy the host in it may not be the one that we reach."""
    return parse_qs(urlsplit(address).query).get("cursor", [None])[0] if address else None
