"""What goes wrong in a tool, as the agent reads it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ObjectDoesNotExist

from ..exceptions import AlreadyDecided, DomainError, InvalidInput, QuestionOpen
from ..unavailable import CODE, why_unavailable, with_advice


class ToolError(Exception):
    """A call that cannot be answered; `code` is for programs, the message for the agent, `field` the input at fault."""

    def __init__(self, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.code, self.field = code, field


def in_words(error: Exception) -> dict[str, Any] | None:
    """`{code, message, field}`, and what it is in conflict with; None for what should not have happened."""
    if isinstance(error, ToolError):
        return {"code": error.code, "message": str(error), "field": error.field}
    if isinstance(error, DomainError):
        field = error.field if isinstance(error, InvalidInput) else None
        return {"code": error.code, "message": str(error), "field": field} | _in_conflict(error)
    if isinstance(error, ObjectDoesNotExist):
        # There when the call began, and deleted by somebody since.
        return {"code": "not_found", "message": "It was deleted meanwhile.", "field": None}
    if why := why_unavailable(error):
        return {"code": CODE, "message": with_advice(why), "field": None}
    return None


def _in_conflict(error: DomainError) -> dict[str, Any]:
    if isinstance(error, QuestionOpen):
        return {"open_suggestion": error.suggestion.n}
    if isinstance(error, AlreadyDecided):
        return {"decision": error.decision.decision, "decided_by": error.decision.decided_by}
    return {}
