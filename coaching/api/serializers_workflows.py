"""Workflows: what is sent and what is answered."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ..actions.destinations import MAX_HOSTS
from ..models import Level, Risk, Step, Workflow
from ..models.workflow import NODE_ID_LENGTH
from ..recordings import MAX_STEPS
from .serializers import LONG_TEXT, JSONObject, Moment, Slug, StrictSerializer


def with_content(workflows: QuerySet[Workflow]) -> QuerySet[Workflow]:
    """Brings the steps and variables that `WorkflowSerializer` needs, in three queries however many workflows."""
    steps = Step.objects.filter(step_index__isnull=False).select_related("current").order_by("step_index")
    return workflows.prefetch_related(Prefetch("steps", steps, to_attr="ordered_steps"), "variables")


class VariableSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    secret = serializers.BooleanField()
    default = serializers.CharField(allow_blank=True, help_text="`***` for a secret that has one.")


class StepSerializer(serializers.Serializer[Step]):
    node_id = serializers.CharField()
    step_index = serializers.IntegerField(help_text="0-based.")
    version = serializers.IntegerField(source="version.number", help_text="1 for the first; a change makes the next.")
    action_type = serializers.CharField(source="version.action_type", allow_blank=True)
    action = JSONObject(source="version.action", help_text="For browser workflows a step of a Chrome Recorder file.")
    description = serializers.CharField(source="version.description")
    risk = serializers.ChoiceField(source="version.risk", choices=Risk.choices)
    level = serializers.ChoiceField(choices=Level.choices)
    supported = serializers.BooleanField(
        source="version.supported", help_text="False: a person has to do it, coachsite cannot."
    )


class WorkflowSerializer(serializers.Serializer[Workflow]):
    workflow_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    executor = serializers.ChoiceField(choices=Workflow.Executor.choices)
    level = serializers.SerializerMethodField(help_text="The level of its weakest step.")
    start_url = serializers.CharField(allow_blank=True)
    allowed_hosts = serializers.ListField(
        child=serializers.CharField(), help_text="Where its browser may go beyond the hosts of its own steps."
    )
    variables = serializers.SerializerMethodField()
    steps = StepSerializer(source="ordered_steps", many=True)
    created_at = Moment()
    updated_at = Moment()

    @extend_schema_field(serializers.ChoiceField(choices=Level.choices))
    def get_level(self, workflow: Workflow) -> str:
        return Level.weakest(step.level for step in workflow.ordered_steps)  # type: ignore[attr-defined]

    @extend_schema_field(VariableSerializer(many=True))
    def get_variables(self, workflow: Workflow) -> list[dict[str, Any]]:
        return [variable.as_json() for variable in workflow.variables.all()]


class WorkflowPageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="Address of the following page, null on the last.")
    results = WorkflowSerializer(many=True)


class StepInput(StrictSerializer):
    node_id = serializers.CharField(max_length=NODE_ID_LENGTH, trim_whitespace=False)
    action = JSONObject(required=False, help_text="Required for browser workflows: a step of a Chrome Recorder file.")
    action_type = serializers.CharField(
        max_length=100, required=False, help_text="For external workflows; a browser step says it in `action.type`."
    )
    description = serializers.CharField(max_length=LONG_TEXT, required=False)
    risk = serializers.ChoiceField(choices=Risk.choices, required=False)


class StepsField(serializers.ListField):
    child = StepInput()

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, max_length=MAX_STEPS, **options)


class NewWorkflow(StrictSerializer):
    workflow_id = Slug()
    name = serializers.CharField(max_length=200)
    executor = serializers.ChoiceField(choices=Workflow.Executor.choices)
    description = serializers.CharField(max_length=LONG_TEXT, required=False, allow_blank=True)
    steps = StepsField(help_text="An external workflow may start without: steps come into being as they are named.")


class VariableDefault(StrictSerializer):
    name = serializers.CharField()
    default = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False, help_text="`***` leaves a secret as it is."
    )
    secret = serializers.BooleanField(required=False, help_text="true: kept encrypted and never shown from now on.")


class WorkflowChanges(StrictSerializer):
    name = serializers.CharField(max_length=200, required=False)
    description = serializers.CharField(max_length=LONG_TEXT, required=False, allow_blank=True)
    start_url = serializers.CharField(max_length=LONG_TEXT, required=False, allow_blank=True)
    allowed_hosts = serializers.ListField(
        child=serializers.CharField(max_length=300),
        required=False,
        max_length=MAX_HOSTS,
        help_text="Where its browser may go beyond the hosts of its own steps: `host`, `host:port`, `*.host`.",
    )
    steps = StepsField(help_text="All steps, in order; what differs from the current version makes a new one.")
    variables = serializers.ListField(child=VariableDefault(), required=False, help_text="New defaults, by name.")


class RecordingInput(StrictSerializer):
    file = serializers.FileField(help_text="Chrome Recorder JSON or a Selenium IDE project, at most 10 MiB.")
    workflow_id = Slug(required=False)
    name = serializers.CharField(max_length=200, required=False)


class ImportQuery(StrictSerializer):
    only_texts = True

    workflow_id = Slug(required=False, help_text="An existing one gets another demonstration.")
    name = serializers.CharField(max_length=200, required=False, help_text="Of a new workflow.")


class WarningSerializer(serializers.Serializer[Any]):
    step_index = serializers.IntegerField(allow_null=True, help_text="0-based; null: about the whole recording.")
    message = serializers.CharField()


class ImportedSerializer(serializers.Serializer[Any]):
    workflow = WorkflowSerializer()
    recording_id = serializers.CharField()
    warnings = WarningSerializer(source="notes", many=True)
