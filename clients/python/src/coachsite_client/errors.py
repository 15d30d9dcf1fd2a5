"""What can go wrong, as one hierarchy: catch `CoachError` for all of it. Messages are for people."""

from __future__ import annotations

from typing import Any


class CoachError(Exception):
    """Anything that this library raises on purpose."""


class Unreachable(CoachError):
    """No answer came for longer than `patience` allows."""


class NothingToPerform(CoachError):
    """An outcome was reported, or an action begun, where the coach decided that nothing is to be performed."""


class ReplayMismatch(CoachError):
    """The program that goes on with a run does not ask what it asked in this place before."""


class StillWaiting(CoachError):
    """`timeout` passed without a decision. The question stays open: asking the same again goes on waiting.

    `suggestion` is the open one as the server last described it, or None when it could not be asked yet.
    """

    def __init__(self, message: str, suggestion: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.suggestion = suggestion


class Withdrawn(CoachError):
    """Somebody took the question back while it waited; nothing was performed. `suggestion` says why in `error`."""

    def __init__(self, message: str, suggestion: dict[str, Any]) -> None:
        super().__init__(message)
        self.suggestion = suggestion


class SessionEnded(CoachError):
    """The session is completed, failed or abandoned: nothing more can be asked in it. `session` is its description."""

    def __init__(self, session: dict[str, Any]) -> None:
        super().__init__(
            f"Session {session['session_id']} has ended ({session['status']}): nothing more can be asked in it. "
            "Start another run, under another execution_id."
        )
        self.session = session


class ApiError(CoachError):
    """The server refused. `code` is for programs, `detail` for people, `attr` names the field at fault (or None).

    `status` is the HTTP status, `body` the whole answer: a JSON object, or `{}` when it was none.
    """

    def __init__(self, status: int, code: str, detail: str, attr: str | None, body: dict[str, Any]) -> None:
        super().__init__(f"{attr}: {detail}" if attr and attr != "non_field_errors" else detail)
        self.status, self.code, self.detail, self.attr, self.body = status, code, detail, attr, body


class BadRequest(ApiError):
    """400: the request cannot be right, whatever the state."""


class NotSignedIn(ApiError):
    """401: no token, an unknown one, or one that has expired."""


class PermissionDenied(ApiError):
    """403: not with the role of the token's user."""


class NotFound(ApiError):
    """404: no such workflow, session or suggestion."""


class TooLarge(ApiError):
    """413: the body is larger than the server accepts."""


class IdempotencyMismatch(ApiError):
    """422: the idempotency key was used before, for another body."""


class Conflict(ApiError):
    """409: makes sense, but not in the present state."""


class IllegalTransition(Conflict):
    """The status does not allow this move."""


class SessionNotActive(Conflict):
    """The session is paused or has ended."""


class StaleStep(Conflict):
    """Not the step that waits for a decision now. `suggestion` is the open one, where the server names it."""

    @property
    def suggestion(self) -> dict[str, Any] | None:
        return self.body.get("suggestion")


class AlreadyDecided(Conflict):
    """Somebody was first. `decision` is theirs."""

    @property
    def decision(self) -> dict[str, Any]:
        return dict(self.body.get("decision") or {})


class DuplicateExecution(Conflict):
    """The workflow has a run of this `execution_id` already. `session` is it."""

    @property
    def session(self) -> dict[str, Any]:
        return dict(self.body.get("session") or {})


BY_CODE: dict[str, type[ApiError]] = {
    "already_decided": AlreadyDecided,
    "duplicate_execution": DuplicateExecution,
    "illegal_transition": IllegalTransition,
    "session_not_active": SessionNotActive,
    "stale_step": StaleStep,
}
BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: NotSignedIn,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: IdempotencyMismatch,
}


def api_error(status: int, body: dict[str, Any], text: str) -> ApiError:
    """The error for an answer of `status`; `text` is the answer as it came, for when it is not in the API's shape."""
    errors = body.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    code = str(first.get("code") or f"http_{status}")
    detail = str(first.get("detail") or f"The server answered {status}: {text[:300] or 'nothing'}")
    kind = (BY_CODE.get(code) if status == 409 else None) or BY_STATUS.get(status, ApiError)
    return kind(status, code, detail, first.get("attr"), body)
