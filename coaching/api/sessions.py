"""`sessions/…`: the life of a session."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ..actions.sessions import (
    abandon_session,
    complete_session,
    delete_session,
    fail_session,
    pause_session,
    resume_session,
    start_session,
)
from ..models import Session
from ..roles import DECIDE, DELETE_SESSION, VIEW
from .pagination import PageQuery, page
from .schema import error_example
from .serializers import ErrorSerializer, NoFields
from .serializers_sessions import (
    Completion,
    DuplicateExecutionSerializer,
    NewSession,
    SessionPageSerializer,
    SessionSerializer,
    SessionSummarySerializer,
)
from .views import ApiView, session_or_404, workflow_or_404

TAGS = ["Sessions"]

ILLEGAL = {409: OpenApiResponse(ErrorSerializer, "The session’s status does not allow it.")}
ILLEGAL_EXAMPLE = error_example(
    "An ended session", "illegal_transition", "A session that is completed cannot become paused.", status=409
)


RUNNING = {
    "session_id": "coaching_20310504_093000_1a2b3c4d",
    "workflow_id": "expense-claim",
    "execution_id": "claim-2031",
    "status": "active",
    "mode": "coaching",
    "current_step_index": 0,
    "total_steps": 3,
    "stats": {
        "suggestions_made": 0, "accepted": 0, "rejected": 0, "corrected": 0, "manual_executions": 0, "skipped": 0,
    },
    "acceptance_rate": 0.0,
    "correction_rate": 0.0,
    "variables": {"amount": "42.50"},
    "metadata": {"batch": 7},
    "started_at": "2031-05-04T09:30:00.000000Z",
    "updated_at": "2031-05-04T09:30:00.000000Z",
    "completed_at": None,
    "error_message": None,
    "decisions": [],
    "open_suggestion": None,
}  # fmt: skip
DUPLICATE = error_example(
    "It was started before",
    "duplicate_execution",
    "This workflow already has an execution “claim-2031”: session coaching_20310504_093000_1a2b3c4d.",
    status=409,
    session=RUNNING,
)


class SessionQuery(PageQuery):
    workflow_id = serializers.CharField(required=False, help_text="Only sessions of this workflow.")
    status = serializers.ChoiceField(choices=Session.Status.choices, required=False)
    execution_id = serializers.CharField(
        required=False, trim_whitespace=False, help_text="The caller’s own name for the run."
    )
    resumable = serializers.BooleanField(
        required=False, help_text="true: only active and paused sessions; false: only ended ones."
    )


def answer(session: Session, status: int = 200) -> Response:
    """The session as it is now: what was read before an action may have changed since."""
    fresh = Session.objects.select_related("workflow").prefetch_related("decisions").get(pk=session.pk)
    return Response(SessionSerializer(fresh).data, status=status)


class Sessions(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW, "POST": DECIDE}

    @extend_schema(
        operation_id="sessions_list",
        summary="List sessions",
        description="Summaries without their decisions, the last changed first, in pages.",
        tags=TAGS,
        parameters=[SessionQuery],
        responses=SessionPageSerializer,
    )
    def get(self, request: Request) -> Response:
        asked = SessionQuery.read(request)
        columns = {"workflow_id": "workflow__workflow_id", "status": "status", "execution_id": "execution_id"}
        sessions = Session.objects.select_related("workflow").filter(
            **{column: asked[name] for name, column in columns.items() if name in asked}
        )
        if "resumable" in asked:
            sessions = sessions.resumable() if asked["resumable"] else sessions.exclude(status__in=Session.ONGOING)

        def serialize(rows: Any) -> Any:
            return SessionSummarySerializer(rows, many=True).data

        return Response(page(sessions, request, serialize, by="updated_at", descending=True))

    @extend_schema(
        operation_id="sessions_create",
        summary="Start a session",
        description=(
            "Starts a run of a workflow. With an `execution_id` of your own, a second start answers 409 with the "
            "session that exists: a program that crashed finds its run again."
        ),
        tags=TAGS,
        request=NewSession,
        responses={
            201: SessionSerializer,
            404: OpenApiResponse(ErrorSerializer, "There is no such workflow."),
            409: OpenApiResponse(DuplicateExecutionSerializer, "The execution exists; its session is in the body."),
        },
        examples=[
            OpenApiExample(
                "One claim",
                value={
                    "workflow_id": "expense-claim",
                    "execution_id": "claim-2031",
                    "variables": {"amount": "42.50"},
                    "metadata": {"batch": 7},
                },
                request_only=True,
            ),
            DUPLICATE,
        ],
    )
    def post(self, request: Request) -> Response:
        given = NewSession.read(request)
        workflow = workflow_or_404(given.pop("workflow_id"))
        return answer(start_session(workflow, **given, by=self.user), 201)


class SessionDetail(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW, "DELETE": DELETE_SESSION}

    @extend_schema(
        operation_id="sessions_retrieve",
        summary="Get a session",
        description="The session with its decisions and the suggestion that waits for one.",
        tags=TAGS,
        responses=SessionSerializer,
    )
    def get(self, _request: Request, session_id: str) -> Response:
        return answer(session_or_404(session_id))

    @extend_schema(
        operation_id="sessions_destroy",
        summary="Delete a session",
        description="With its suggestions, decisions, events and screenshots.",
        tags=TAGS,
        responses={204: None},
    )
    def delete(self, _request: Request, session_id: str) -> Response:
        delete_session(session_or_404(session_id))
        return Response(status=204)


class PauseSession(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": DECIDE}

    @extend_schema(
        operation_id="sessions_pause",
        summary="Pause a session",
        description="Stops before the next step; an action under way is finished. Only an active session can pause.",
        tags=TAGS,
        request=NoFields,
        responses={200: SessionSerializer} | ILLEGAL,
        examples=[ILLEGAL_EXAMPLE],
    )
    def post(self, request: Request, session_id: str) -> Response:
        NoFields.read(request)
        session = session_or_404(session_id)
        pause_session(session, by=self.user)
        return answer(session)


class ResumeSession(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": DECIDE}

    @extend_schema(
        operation_id="sessions_resume",
        summary="Resume a session",
        description="Goes on where it was paused. Resuming an active session succeeds and changes nothing.",
        tags=TAGS,
        request=NoFields,
        responses={200: SessionSerializer} | ILLEGAL,
        examples=[ILLEGAL_EXAMPLE],
    )
    def post(self, request: Request, session_id: str) -> Response:
        NoFields.read(request)
        session = session_or_404(session_id)
        resume_session(session, by=self.user)
        return answer(session)


class CompleteSession(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": DECIDE}

    @extend_schema(
        operation_id="sessions_complete",
        summary="Complete a session",
        description="Ends it: as completed, or as failed with `success: false`. A suggestion still open is withdrawn.",
        tags=TAGS,
        request=Completion,
        responses={200: SessionSerializer} | ILLEGAL,
        examples=[
            ILLEGAL_EXAMPLE,
            OpenApiExample("Done", value={"success": True, "error_message": None}, request_only=True),
            OpenApiExample(
                "Failed", value={"success": False, "error_message": "The portal was down."}, request_only=True
            ),
        ],
    )
    def post(self, request: Request, session_id: str) -> Response:
        outcome = Completion.read(request)
        session = session_or_404(session_id)
        if outcome["success"]:
            complete_session(session, by=self.user)
        else:
            fail_session(session, by=self.user, error_message=outcome.get("error_message") or "")
        return answer(session)


class AbandonSession(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": DECIDE}

    @extend_schema(
        operation_id="sessions_abandon",
        summary="Abandon a session",
        description="Ends it without a result. A suggestion still open is withdrawn.",
        tags=TAGS,
        request=NoFields,
        responses={200: SessionSerializer} | ILLEGAL,
        examples=[ILLEGAL_EXAMPLE],
    )
    def post(self, request: Request, session_id: str) -> Response:
        NoFields.read(request)
        session = session_or_404(session_id)
        abandon_session(session, by=self.user)
        return answer(session)
