"""`sessions/{id}/suggestions/…` and `sessions/{id}/decisions/`"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.conf import settings
from django.db.models import QuerySet
from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from ..actions.answers import Addressed, answer_session
from ..actions.caller import ask, begin, report_outcome, take_back
from ..actions.decisions import Answer
from ..actions.pictures import content_type_of
from ..longpoll import HEADER
from ..models import Session, Suggestion
from ..roles import DECIDE, VIEW
from .pagination import PageQuery, page
from .schema import error_example
from .serializers import ErrorSerializer, NoFields, QuerySerializer, WaitField, made_once
from .serializers_sessions import (
    DecisionConflictSerializer,
    DecisionPageSerializer,
    DecisionSerializer,
    NewDecision,
    NewSuggestion,
    Outcome,
    QuestionConflictSerializer,
    Reason,
    SuggestionPageSerializer,
    SuggestionSerializer,
)
from .views import ApiView, session_or_404, suggestion_or_404

TAGS = ["Suggestions and decisions"]
_NOT_NOW = "`illegal_transition` where the suggestion does not stand so, `session_not_active`."
FIRST_DECISION = {
    "step_index": 2,
    "node_id": "click-save",
    "action_type": "click",
    "decision": "accept",
    "correction": None,
    "feedback": None,
    "reason_code": None,
    "timestamp": "2031-05-04T09:30:00.000000Z",
    "execution_success": None,
    "decided_by": "carl",
    "latency_ms": 1800,
}


def suggestions_of(session: Session) -> QuerySet[Suggestion]:
    return Suggestion.objects.filter(session=session).select_related("session", "decision__session")


class SuggestionQuery(QuerySerializer):
    wait = WaitField()


class Suggestions(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW, "POST": DECIDE}
    max_body: ClassVar[int] = settings.MAX_QUESTION_BYTES

    @extend_schema(
        operation_id="suggestions_list",
        summary="List suggestions",
        description="All suggestions of a session in order, in pages.",
        tags=TAGS,
        parameters=[PageQuery],
        responses=SuggestionPageSerializer,
    )
    def get(self, request: Request, session_id: str) -> Response:
        def serialize(rows: Any) -> Any:
            return SuggestionSerializer(rows, many=True).data

        return Response(page(suggestions_of(session_or_404(session_id)), request, serialize))

    @extend_schema(
        operation_id="suggestions_create",
        summary="Ask before you act",
        description=(
            "For the session of an external workflow: put what you are about to do to the coach. Then wait for the "
            "decision with `GET …/suggestions/{n}/?wait=25`, do what it says, and report the outcome. It is `decided` "
            "at once where the step runs alone. Published packs may have changed `action`: do what it says in the "
            "answer, or the `correction` of the decision where there is one. A session asks one question at a time: "
            "the same again answers 200 with the open one, another 409 `stale_step` with the open `suggestion`."
        ),
        tags=TAGS,
        request=NewSuggestion,
        responses={
            201: SuggestionSerializer,
            200: OpenApiResponse(SuggestionSerializer, "The same question is open already."),
            409: OpenApiResponse(QuestionConflictSerializer, "`stale_step` or `session_not_active`."),
        },
        examples=[
            OpenApiExample(
                "One invoice",
                value={
                    "node_id": "post-invoice",
                    "action_type": "post_invoice",
                    "action": {"number": 2031, "amount": "42.50"},
                    "confidence": 0.8,
                    "rationale": "The amount stands twice on the scan.",
                    "risk": "irreversible",
                    "expires_in": 3600,
                    "on_expiry": "skip",
                },
                request_only=True,
            ),
        ],
    )
    def post(self, request: Request, session_id: str) -> Response:
        serializer = NewSuggestion(data=request.data)
        serializer.is_valid(raise_exception=True)
        suggestion, new = ask(session_or_404(session_id), serializer.as_question(), by=self.user)
        return Response(SuggestionSerializer(suggestion).data, status=201 if new else 200)


class SuggestionDetail(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="suggestions_retrieve",
        summary="Get a suggestion, or wait for its decision",
        description=(
            "With `wait`, a suggestion that is open is answered once it is decided, withdrawn or expired, or as it is "
            "when the time is up: then ask again."
        ),
        tags=TAGS,
        parameters=[SuggestionQuery],
        responses=SuggestionSerializer,
    )
    def get(self, request: Request, session_id: str, n: int) -> Response:
        asked = SuggestionQuery.read(request)
        session = session_or_404(session_id)
        suggestion = suggestion_or_404(suggestions_of(session), n)
        waits = asked["wait"] and suggestion.is_open
        headers = {HEADER: str(session.pk)} if waits else None
        return Response(SuggestionSerializer(suggestion).data, headers=headers)


class _SuggestionMove(ApiView):
    """A program tells something about one suggestion; the answer is the suggestion as it is then."""

    needs: ClassVar[dict[str, str]] = {"POST": DECIDE}

    def moved(self, session_id: str, n: int, move: Callable[[Suggestion], None]) -> Response:
        suggestions = suggestions_of(session_or_404(session_id)).select_related("session__workflow")
        suggestion = suggestion_or_404(suggestions, n)
        move(suggestion)
        return Response(SuggestionSerializer(suggestions.get(pk=suggestion.pk)).data)


class BeginPerforming(_SuggestionMove):
    @extend_schema(
        operation_id="suggestions_performing",
        summary="Tell that you begin to act",
        description=(
            "Optional, and wise: should your program stop in the middle of a decided action, everybody knows that it "
            "may have happened, and it knows itself by the 409 `illegal_transition` that a second beginning gets."
        ),
        tags=TAGS,
        request=NoFields,
        responses={200: SuggestionSerializer, 409: OpenApiResponse(ErrorSerializer, _NOT_NOW)},
    )
    def post(self, request: Request, session_id: str, n: int) -> Response:
        NoFields.read(request)
        return self.moved(session_id, n, begin)


class ReportOutcome(_SuggestionMove):
    @extend_schema(
        operation_id="suggestions_outcome",
        summary="Report what became of it",
        description=(
            "After an accepted or corrected action. `failed` and `uncertain` bring the session back to this step: ask "
            "again, and the coach is told what went wrong. The same outcome again changes nothing."
        ),
        tags=TAGS,
        request=Outcome,
        responses={200: SuggestionSerializer, 409: OpenApiResponse(ErrorSerializer, _NOT_NOW)},
        examples=[
            OpenApiExample("Done", value={"status": "succeeded"}, request_only=True),
            OpenApiExample("Failed", value={"status": "failed", "error": "The portal was down."}, request_only=True),
        ],
    )
    def post(self, request: Request, session_id: str, n: int) -> Response:
        given = Outcome.read(request)
        return self.moved(
            session_id,
            n,
            lambda suggestion: report_outcome(suggestion, given["status"], error=given.get("error") or ""),
        )


class TakeBack(_SuggestionMove):
    @extend_schema(
        operation_id="suggestions_withdraw",
        summary="Take a question back",
        description="Nobody needs to decide an open suggestion of your program any more. Again changes nothing.",
        tags=TAGS,
        request=Reason,
        responses={200: SuggestionSerializer, 409: OpenApiResponse(DecisionConflictSerializer, "It is not open.")},
        examples=[OpenApiExample("Out of date", value={"reason": "The invoice was cancelled."}, request_only=True)],
    )
    def post(self, request: Request, session_id: str, n: int) -> Response:
        reason = Reason.read(request).get("reason") or ""
        return self.moved(session_id, n, lambda suggestion: take_back(suggestion, reason=reason))


class _WhateverTheyAccept(BaseContentNegotiation):
    """There is only a picture here: no `Accept` header makes it another."""

    def select_parser(self, _request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, _request: Request, renderers: Any, _format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class Screenshot(ApiView):
    content_negotiation_class = _WhateverTheyAccept
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="suggestions_screenshot",
        summary="Get the screenshot of a suggestion",
        description="The page as it was when the step was proposed.",
        tags=TAGS,
        responses={(200, "image/png"): OpenApiTypes.BINARY, (200, "image/jpeg"): OpenApiTypes.BINARY},
    )
    def get(self, _request: Request, session_id: str, n: int) -> FileResponse:
        suggestion = suggestion_or_404(suggestions_of(session_or_404(session_id)), n)
        if not suggestion.screenshot:
            raise NotFound("This suggestion has no screenshot.")
        try:
            picture = suggestion.screenshot.open("rb")
        except FileNotFoundError:
            raise NotFound("The screenshot of this suggestion is gone.") from None
        content_type = content_type_of(str(suggestion.screenshot))
        return FileResponse(picture, content_type=content_type, headers={"Cache-Control": "private, max-age=3600"})


class Decisions(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW, "POST": DECIDE}

    @extend_schema(
        operation_id="decisions_list",
        summary="List decisions",
        description="All decisions of a session in order, in pages.",
        tags=TAGS,
        parameters=[PageQuery],
        responses=DecisionPageSerializer,
    )
    def get(self, request: Request, session_id: str) -> Response:
        def serialize(rows: Any) -> Any:
            return DecisionSerializer(rows, many=True).data

        return Response(page(session_or_404(session_id).decisions.all(), request, serialize))

    @extend_schema(
        operation_id="decisions_create",
        summary="Decide the open suggestion",
        description=(
            "One suggestion, one decision: of several at once the first wins, the others get 409 `already_decided` "
            "with the decision that was made. Say `n` or `step_index` to be sure that you answer what you saw: if that "
            "is not what waits now, the answer is 409 `stale_step`. A tool that only records sends the whole decision "
            "to a session of an external workflow, with `step_index`, `node_id` and `action_type`."
        ),
        tags=TAGS,
        request=NewDecision,
        responses={
            201: DecisionSerializer,
            409: OpenApiResponse(
                DecisionConflictSerializer, "`already_decided`, `stale_step` or `session_not_active`."
            ),
        },
        examples=[
            OpenApiExample("Accept", value={"decision": "accept", "n": 3}, request_only=True),
            OpenApiExample(
                "Correct",
                value={
                    "decision": "correct",
                    "n": 3,
                    "correction": {"type": "change", "selectors": [["#amount"]], "value": "24.50"},
                    "reason_code": "wrong_value",
                    "feedback": "Two digits were swapped.",
                },
                request_only=True,
            ),
            OpenApiExample(
                "Record a decision made elsewhere",
                value={
                    "decision": "manual",
                    "step_index": 0,
                    "node_id": "check-total",
                    "action_type": "compare",
                    "execution_success": True,
                },
                request_only=True,
            ),
            error_example(
                "Decided before",
                "already_decided",
                "carl has already decided this: accept.",
                status=409,
                decision=FIRST_DECISION,
            ),
        ],
    )
    def post(self, request: Request, session_id: str) -> Response:
        given = NewDecision.read(request)
        decision = answer_session(
            session_or_404(session_id),
            Answer(
                decision=given["decision"],
                correction=given.get("correction"),
                feedback=given.get("feedback") or "",
                reason_code=given.get("reason_code") or "",
            ),
            Addressed(**{name: given.get(name) for name in ("n", "step_index", "node_id", "action_type")}),
            execution_success=given.get("execution_success"),
            timestamp=given.get("timestamp"),
            by=self.user,
        )
        return Response(made_once(DecisionSerializer).to_representation(decision), status=201)
