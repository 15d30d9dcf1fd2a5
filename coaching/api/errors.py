"""Every error in one shape: `{"type", "errors": [{"code", "detail", "attr"}]}`, domain errors included."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, RequestDataTooBig, SuspiciousOperation
from django.http import UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from drf_standardized_errors.handler import ExceptionHandler as StandardHandler
from rest_framework.exceptions import APIException, ErrorDetail, NotFound, ParseError, ValidationError
from rest_framework.settings import api_settings

from ..exceptions import (
    AlreadyDecided,
    BreaksAccepted,
    DomainError,
    DuplicateExecution,
    InvalidInput,
    NotReady,
    QuestionOpen,
    UndecidedConflicts,
)
from ..unavailable import CODE, RETRY_AFTER_SECONDS, why_unavailable, with_advice


class TooLarge(APIException):
    status_code = 413
    default_code = "too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"At most {limit // (1024 * 1024)} MiB are accepted here.")


class Refused(APIException):
    """A domain error that is not about the shape of the input, with the domain's own status and code."""

    def __init__(self, error: DomainError) -> None:
        super().__init__(str(error), error.code)
        self.status_code = error.status


class Unavailable(APIException):
    """The database or the disk cannot serve now; the same request may succeed later."""

    status_code = 503
    default_code = CODE
    #: Seconds; told as `Retry-After`.
    wait = RETRY_AFTER_SECONDS


class ExceptionHandler(StandardHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, InvalidInput):
            field = exc.field or api_settings.NON_FIELD_ERRORS_KEY
            return ValidationError({field: [ErrorDetail(str(exc), exc.code)]})
        if isinstance(exc, DomainError):
            return Refused(exc)
        if isinstance(exc, ObjectDoesNotExist):
            # There when the view began, and deleted by somebody since.
            return NotFound()
        if isinstance(exc, RequestDataTooBig):
            return TooLarge(getattr(self.context["view"], "max_body", settings.MAX_BODY_BYTES))
        if isinstance(exc, SuspiciousOperation | UnreadablePostError | MultiPartParserError):
            return ParseError("The body cannot be read.")
        why = why_unavailable(exc)
        converted: Exception = Unavailable(with_advice(why)) if why else super().convert_known_exceptions(exc)
        return converted

    def format_exception(self, exc: APIException) -> dict[str, Any]:
        """The standard shape; a conflict brings what it is in conflict with beside it."""
        body: dict[str, Any] = super().format_exception(exc)
        return body | _conflicting(self.exc)


def _conflicting(error: Exception) -> dict[str, Any]:
    from .serializers_packs import BackTestSerializer, pairs_json  # noqa: PLC0415 - they need settings
    from .serializers_sessions import (  # noqa: PLC0415 - they need settings
        DecisionSerializer,
        SessionSerializer,
        SuggestionSerializer,
    )

    beside: dict[str, Any]
    match error:
        case DuplicateExecution():
            beside = {"session": SessionSerializer(error.session).data}
        case QuestionOpen():
            beside = {"suggestion": SuggestionSerializer(error.suggestion).data}
        case AlreadyDecided():
            beside = {"decision": DecisionSerializer(error.decision).data}
        case NotReady():
            beside = {"unmet": error.unmet}
        case BreaksAccepted():
            beside = {"backtest": BackTestSerializer(error.backtest).data}
        case UndecidedConflicts():
            beside = {"conflicts": pairs_json(error.conflicts)}
        case _:
            beside = {}
    return beside
