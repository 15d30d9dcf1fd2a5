"""`workflows/{id}/metrics/`, `promote/`, `demote/` and `policy/`, `metrics/` and `statistics/`"""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coaching.actions.autonomy import change_policy, demote, promote
from coaching.api.schema import error_example
from coaching.api.serializers_sessions import StatisticsSerializer
from coaching.api.views import ApiView, workflow_or_404
from coaching.evidence import workflow_standing
from coaching.models import LevelChange
from coaching.roles import EDIT_WORKFLOW, PROMOTE, VIEW

from .overview import GlobalCoachingMetrics, statistics, workflow_activity
from .serializers import (
    DaysQuery,
    Demotion,
    GlobalMetricsSerializer,
    NotReadySerializer,
    PolicyChanges,
    PolicySerializer,
    StepChoice,
    WorkflowMetricsSerializer,
)

TAGS = ["Autonomy"]
SOME_STEPS = OpenApiExample("Two of its steps", value={"node_ids": ["open", "submit"]}, request_only=True)
NOT_READY = error_example(
    "A step is not ready",
    "not_ready",
    "Not ready to run alone: step “submit” lacks confidence.",
    status=409,
    unmet={"submit": ["confidence"]},
)


def workflow_metrics(workflow_id: str) -> Response:
    workflow = workflow_or_404(workflow_id)
    standing = workflow_standing(workflow)
    body = {
        "standing": standing,
        "activity": workflow_activity(workflow),
        "last_changes": LevelChange.objects.latest_of([one.step for one in standing.steps]),
    }
    return Response(WorkflowMetricsSerializer(body).data)


class WorkflowMetrics(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="workflows_metrics",
        summary="Get the learning metrics of a workflow",
        description=(
            "How often people accepted its suggestions, where each step stands on its way to AUTO, what is missing. "
            "`decisions` are people's; what the policy accepted shows in `unattended_share`. A step's "
            "`acceptance_rate` and confidence are of its current epoch; `lifetime` is never reset. Rates are null "
            "when nothing was counted."
        ),
        tags=TAGS,
        responses=WorkflowMetricsSerializer,
    )
    def get(self, _request: Request, workflow_id: str) -> Response:
        return workflow_metrics(workflow_id)


class Promote(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": PROMOTE}

    @extend_schema(
        operation_id="workflows_promote",
        summary="Let steps run alone",
        description=(
            "The whole workflow, or the steps in `node_ids`: all of them or none. Refused with the unmet conditions "
            "of each step unless all are ready. Steps that are AUTO already stay so."
        ),
        tags=TAGS,
        request=StepChoice,
        responses={
            200: WorkflowMetricsSerializer,
            409: OpenApiResponse(NotReadySerializer, "A step is not ready; `unmet` says what each lacks."),
        },
        examples=[SOME_STEPS, NOT_READY],
    )
    def post(self, request: Request, workflow_id: str) -> Response:
        promote(workflow_or_404(workflow_id), **StepChoice.read(request), by=self.user)
        return workflow_metrics(workflow_id)


class Demote(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": PROMOTE}

    @extend_schema(
        operation_id="workflows_demote",
        summary="Take steps back to the coach",
        description="AUTO steps become COACHING and gather their evidence anew; others stay as they are.",
        tags=TAGS,
        request=Demotion,
        responses=WorkflowMetricsSerializer,
        examples=[SOME_STEPS],
    )
    def post(self, request: Request, workflow_id: str) -> Response:
        demote(workflow_or_404(workflow_id), **Demotion.read(request), by=self.user)
        return workflow_metrics(workflow_id)


class AutonomyPolicy(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW, "PATCH": EDIT_WORKFLOW}

    @extend_schema(
        operation_id="workflows_policy_retrieve",
        summary="Get the autonomy policy of a workflow",
        description="What its steps must show before they run alone: the site's default with the workflow's overrides.",
        tags=TAGS,
        responses=PolicySerializer,
    )
    def get(self, _request: Request, workflow_id: str) -> Response:
        return Response(workflow_or_404(workflow_id).autonomy.as_json())

    @extend_schema(
        operation_id="workflows_policy_update",
        summary="Change the autonomy policy of a workflow",
        description=(
            "Changes what is given and leaves the rest; null goes back to the site's default. Steps are judged by it "
            "at once; none loses its level."
        ),
        tags=TAGS,
        request=PolicyChanges,
        responses=PolicySerializer,
        examples=[OpenApiExample("Stricter", value={"target": 0.9, "min_decisions": 30}, request_only=True)],
    )
    def patch(self, request: Request, workflow_id: str) -> Response:
        workflow = workflow_or_404(workflow_id)
        changes = PolicyChanges.read(request)
        return Response(change_policy(workflow, changes).as_json())


class Metrics(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="metrics_retrieve",
        summary="Get the metrics of the whole site",
        description=(
            "Sessions and people's decisions, the share that needed no person, how well stated confidence fits what "
            "people said (Brier score, 0 is perfect), and the last days one by one, in UTC."
        ),
        tags=TAGS,
        parameters=[DaysQuery],
        responses=GlobalMetricsSerializer,
    )
    def get(self, request: Request) -> Response:
        metrics: Any = GlobalCoachingMetrics.read(**DaysQuery.read(request))
        return Response(GlobalMetricsSerializer(metrics).data)


class Statistics(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="statistics_retrieve",
        summary="Get statistics over all sessions",
        description="Counts by status, and how often suggestions were accepted and corrected.",
        tags=["Overview"],
        responses=StatisticsSerializer,
    )
    def get(self, _request: Request) -> Response:
        return Response(StatisticsSerializer(statistics()).data)
