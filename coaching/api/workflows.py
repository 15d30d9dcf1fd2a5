"""`workflows/…`"""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from ..actions.workflow_changes import change_workflow
from ..actions.workflows import create_workflow, delete_workflow, export_recording, import_recording
from ..models import Workflow
from ..roles import DELETE_WORKFLOW, EDIT_WORKFLOW, IMPORT, VIEW
from .errors import TooLarge
from .pagination import PageQuery, page
from .parsers import RecordingParser
from .schema import error_example
from .serializers import ErrorSerializer
from .serializers_workflows import (
    ImportedSerializer,
    ImportQuery,
    NewWorkflow,
    RecordingInput,
    WorkflowChanges,
    WorkflowPageSerializer,
    WorkflowSerializer,
    with_content,
)
from .views import ApiView, workflow_or_404

TAGS = ["Workflows"]
#: Boundaries and the two other fields of a form.
FORM_OVERHEAD = 64 * 1024

NEW_WORKFLOW = OpenApiExample(
    "An external program’s workflow",
    value={"workflow_id": "invoice-import", "name": "Invoice import", "executor": "external"},
    request_only=True,
)
NEW_STEPS = OpenApiExample(
    "New steps and a new default",
    value={
        "steps": [{"node_id": "open", "action": {"type": "navigate", "url": "https://example.org/claims"}}],
        "variables": [{"name": "amount", "default": "42.50"}],
    },
    request_only=True,
)
STILL_GOING_ON = error_example(
    "A session is going on",
    "illegal_transition",
    "1 sessions of this workflow are still going on: end or delete them first.",
    status=409,
)


def answer(workflow: Workflow, status: int = 200) -> Response:
    fresh = with_content(Workflow.objects.filter(pk=workflow.pk)).get()
    return Response(WorkflowSerializer(fresh).data, status=status)


class Workflows(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW, "POST": IMPORT}

    @extend_schema(
        operation_id="workflows_list",
        summary="List workflows",
        description="All workflows with their steps, by name, in pages.",
        tags=TAGS,
        parameters=[PageQuery],
        responses=WorkflowPageSerializer,
    )
    def get(self, request: Request) -> Response:
        def serialize(rows: Any) -> Any:
            return WorkflowSerializer(rows, many=True).data

        return Response(page(with_content(Workflow.objects.all()), request, serialize, by="name"))

    @extend_schema(
        operation_id="workflows_create",
        summary="Create a workflow",
        description="By hand or by a program. To make one from a recording, import it instead.",
        tags=TAGS,
        request=NewWorkflow,
        responses={201: WorkflowSerializer},
        examples=[NEW_WORKFLOW],
    )
    def post(self, request: Request) -> Response:
        return answer(create_workflow(**NewWorkflow.read(request), by=self.user), 201)


class WorkflowDetail(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW, "PATCH": EDIT_WORKFLOW, "DELETE": DELETE_WORKFLOW}

    @extend_schema(
        operation_id="workflows_retrieve",
        summary="Get a workflow",
        description="The workflow with its variables and the current version of each step.",
        tags=TAGS,
        responses=WorkflowSerializer,
    )
    def get(self, _request: Request, workflow_id: str) -> Response:
        return answer(workflow_or_404(workflow_id))

    @extend_schema(
        operation_id="workflows_update",
        summary="Change a workflow",
        description=(
            "Changes what is given and leaves the rest; all of it or nothing. A step that differs from its current "
            "version gets a new one; sessions that have started keep the versions they started with."
        ),
        tags=TAGS,
        request=WorkflowChanges,
        responses=WorkflowSerializer,
        examples=[NEW_STEPS],
    )
    def patch(self, request: Request, workflow_id: str) -> Response:
        workflow = workflow_or_404(workflow_id)
        changes = WorkflowChanges.read(request)
        variables = changes.pop("variables", [])
        defaults = {variable["name"]: variable["default"] for variable in variables if "default" in variable}
        secret = [variable["name"] for variable in variables if variable.get("secret")]
        change_workflow(workflow, **changes, defaults=defaults, secret=secret, by=self.user)
        return answer(workflow)

    @extend_schema(
        operation_id="workflows_destroy",
        summary="Delete a workflow",
        description="With its recordings and ended sessions. Refused while a session of it is going on.",
        tags=TAGS,
        responses={204: None, 409: OpenApiResponse(ErrorSerializer, "A session of it is still going on.")},
        examples=[STILL_GOING_ON],
    )
    def delete(self, _request: Request, workflow_id: str) -> Response:
        delete_workflow(workflow_or_404(workflow_id))
        return Response(status=204)


class ImportRecording(ApiView):
    parser_classes = [MultiPartParser, RecordingParser]
    max_body = settings.MAX_UPLOAD_BYTES + FORM_OVERHEAD
    needs: ClassVar[dict[str, str]] = {"POST": IMPORT}

    @extend_schema(
        operation_id="workflows_import",
        summary="Import a recording",
        description=(
            "A Chrome Recorder or Selenium IDE recording becomes a workflow; the format is detected. Send it as the "
            "part `file` of a form, or as the JSON body itself with `workflow_id` and `name` in the address. With the "
            "id of an existing workflow it becomes another demonstration of that. `warnings` say what was noticed. "
            "At most 10 MiB."
        ),
        tags=TAGS,
        parameters=[ImportQuery],
        request={"multipart/form-data": RecordingInput, "application/json": {"type": "object"}},
        responses={201: ImportedSerializer},
        examples=[
            OpenApiExample(
                "A recording as the body",
                value={"title": "Claim", "steps": [{"type": "navigate", "url": "https://example.org/"}]},
                request_only=True,
                media_type="application/json",
            )
        ],
    )
    def post(self, request: Request) -> Response:
        asked = ImportQuery(data={name: request.query_params[name] for name in request.query_params})
        asked.is_valid(raise_exception=True)
        data, form = _recording(request)
        imported = import_recording(data, **asked.validated_data | form, by=self.user)
        body = {
            "workflow": with_content(Workflow.objects.filter(pk=imported.workflow.pk)).get(),
            "recording_id": imported.recording.pk,
            "notes": imported.notes,
        }
        return Response(ImportedSerializer(body).data, status=201)


def _recording(request: Request) -> tuple[bytes, dict[str, Any]]:
    """The recording's bytes, and what the form says beside it. Raises `ValidationError`, `TooLarge`."""
    body: object = request.data
    form: dict[str, Any] = {}
    if isinstance(body, bytes):
        data = body
    elif body:
        form = RecordingInput.read(request)
        file = form.pop("file")
        if file.size > settings.MAX_UPLOAD_BYTES:
            raise TooLarge(settings.MAX_UPLOAD_BYTES)
        data = file.read()
    else:
        raise ValidationError({"file": ["Send a recording: as the part “file” of a form, or as the JSON body."]})
    if len(data) > settings.MAX_UPLOAD_BYTES:
        raise TooLarge(settings.MAX_UPLOAD_BYTES)
    return data, form


class ExportRecording(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="workflows_export",
        summary="Export a workflow",
        description=(
            "As Chrome Recorder JSON: defaults filled in, secrets left as `{{ name }}`. Importing it again gives the "
            "same workflow."
        ),
        tags=TAGS,
        responses={
            200: OpenApiResponse({"type": "object", "additionalProperties": {}}, "A Chrome Recorder user flow."),
            400: OpenApiResponse(ErrorSerializer, "An external workflow has no browser steps."),
        },
    )
    def get(self, _request: Request, workflow_id: str) -> Response:
        workflow = workflow_or_404(workflow_id)
        attachment = f'attachment; filename="{workflow.workflow_id}.json"'
        return Response(export_recording(workflow), headers={"Content-Disposition": attachment})
