"""Ask a person before your program acts.

    from coachsite_client import Coach

    with Coach("http://127.0.0.1:8000", token=TOKEN) as coach, coach.session("invoice-import", "november") as session:
        decision = session.ask("post-invoice", {"number": 7, "amount": "42.50"}, risk="irreversible")
        if decision.perform:
            with decision.performing() as action:
                post(action)

`AsyncCoach` is the same with `await`.
"""

from ._async import AsyncCoach, AsyncDecision, AsyncSession
from ._sync import Coach, Decision, Session
from .errors import (
    AlreadyDecided,
    ApiError,
    BadRequest,
    CoachError,
    Conflict,
    DuplicateExecution,
    IdempotencyMismatch,
    IllegalTransition,
    NotFound,
    NothingToPerform,
    NotSignedIn,
    PermissionDenied,
    ReplayMismatch,
    SessionEnded,
    SessionNotActive,
    StaleStep,
    StillWaiting,
    TooLarge,
    Unreachable,
    Withdrawn,
)

__version__ = "0.1.0"

__all__ = [
    "AlreadyDecided",
    "ApiError",
    "AsyncCoach",
    "AsyncDecision",
    "AsyncSession",
    "BadRequest",
    "Coach",
    "CoachError",
    "Conflict",
    "Decision",
    "DuplicateExecution",
    "IdempotencyMismatch",
    "IllegalTransition",
    "NotFound",
    "NotSignedIn",
    "NothingToPerform",
    "PermissionDenied",
    "ReplayMismatch",
    "Session",
    "SessionEnded",
    "SessionNotActive",
    "StaleStep",
    "StillWaiting",
    "TooLarge",
    "Unreachable",
    "Withdrawn",
]
