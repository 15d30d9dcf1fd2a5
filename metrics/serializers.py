"""Shapes of the metrics in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from coaching.api.serializers import (
    LONG_TEXT,
    ErrorSerializer,
    Moment,
    QuerySerializer,
    StrictSerializer,
)
from coaching.api.serializers_sessions import ByStatusSerializer
from coaching.evidence import Standing
from coaching.models import Level, LevelChange, Risk
from coaching.models.workflow import NODE_ID_LENGTH
from coaching.policy import HIGHEST, LOWEST, MOST
from coaching.recordings import MAX_STEPS

from .overview import DEFAULT_DAYS, MAX_DAYS, Day


def rate(**options: Any) -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, **options)


class DecisionCountsSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    accepted = serializers.IntegerField()
    rejected = serializers.IntegerField()
    corrected = serializers.IntegerField()
    manual = serializers.IntegerField()
    skipped = serializers.IntegerField()


class LifetimeSerializer(serializers.Serializer[Any]):
    accepted = serializers.IntegerField()
    rejected = serializers.IntegerField()
    corrected = serializers.IntegerField()
    manual = serializers.IntegerField()
    skipped = serializers.IntegerField()


class EpochSerializer(serializers.Serializer[Standing]):
    accepted = serializers.IntegerField()
    refused = serializers.IntegerField(help_text="Rejected or corrected.")


class AuditSerializer(serializers.Serializer[Standing]):
    rate = serializers.FloatField(source="audit_rate", help_text="The share of its runs that is audited.")
    clean = serializers.IntegerField(source="clean_audits", help_text="Clean audits in a row.")
    score = serializers.IntegerField(source="audit_score", help_text="At 50 the step goes back to the coach.")


class LevelChangeSerializer(serializers.Serializer[LevelChange]):
    to = serializers.ChoiceField(source="to_level", choices=Level.choices)
    at = Moment()
    by = serializers.CharField(help_text="A user name, or `policy`.")
    reason = serializers.CharField()

    def get_fields(self) -> dict[str, Any]:
        # `from` is a word of Python's.
        return {"from": serializers.ChoiceField(source="from_level", choices=Level.choices), **super().get_fields()}


class StepMetricsSerializer(serializers.Serializer[Standing]):
    node_id = serializers.CharField(source="step.node_id")
    version = serializers.IntegerField(source="step.version.number")
    level = serializers.ChoiceField(source="step.level", choices=Level.choices)
    risk = serializers.ChoiceField(source="step.version.risk", choices=Risk.choices)
    lifetime = LifetimeSerializer(help_text="All decisions of people, never reset.")
    epoch = EpochSerializer(source="*", help_text="What counts since the evidence began.")
    acceptance_rate = rate(help_text="Of the epoch.")
    wilson_low = rate(help_text="95 % Wilson interval of the rate.")
    wilson_high = rate(help_text="95 % Wilson interval of the rate.")
    confidence = serializers.FloatField(help_text="That the true rate reaches the policy's target, 0 to 1.")
    ready = serializers.BooleanField(help_text="Whether the evidence suffices.")
    accepts_needed = serializers.IntegerField(help_text="Accepts in a row until it is ready.")
    unmet = serializers.ListField(
        child=serializers.CharField(),
        help_text="`supported`, `min_decisions`, `acceptance_rate`, `confidence`, `owner_confirmation`",
    )
    audit = AuditSerializer(source="*")
    execution_score = serializers.IntegerField(help_text="At 25 the step goes back to the coach.")
    last_change = serializers.SerializerMethodField()

    @extend_schema_field(LevelChangeSerializer(allow_null=True))
    def get_last_change(self, standing: Standing) -> Any:
        change = self.context["last_changes"].get(standing.step.pk)
        return LevelChangeSerializer(change).data if change else None


class WorkflowMetricsSerializer(serializers.Serializer[Any]):
    workflow_id = serializers.CharField(source="standing.workflow.workflow_id")
    level = serializers.ChoiceField(source="standing.level", choices=Level.choices, help_text="Of its weakest step.")
    ready = serializers.BooleanField(source="standing.ready", help_text="Whether all steps are ready.")
    acceptance_rate = rate(source="activity.acceptance_rate", help_text="Of all its steps, for information.")
    correction_rate = rate(source="activity.correction_rate")
    expected_clean_run_rate = rate(
        source="standing.expected_clean_run_rate", help_text="Product of the steps' rates; never a condition."
    )
    unattended_share = rate(source="activity.unattended_share", help_text="Decisions that needed no person.")
    coaching_minutes_per_run = rate(source="activity.coaching_minutes_per_run", help_text="Of people, in ended runs.")
    decisions = DecisionCountsSerializer(source="activity.decisions", help_text="Of people.")
    blocking = serializers.SerializerMethodField(help_text="Steps that are neither AUTO nor ready, the worst first.")
    steps = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_blocking(self, body: Any) -> list[str]:
        return [standing.step.node_id for standing in body["standing"].blocking]

    @extend_schema_field(StepMetricsSerializer(many=True))
    def get_steps(self, body: Any) -> Any:
        context = {"last_changes": body["last_changes"]}
        return StepMetricsSerializer(body["standing"].steps, many=True, context=context).data


class StepChoice(StrictSerializer):
    node_ids = serializers.ListField(
        child=serializers.CharField(max_length=NODE_ID_LENGTH, trim_whitespace=False),
        required=False,
        allow_empty=False,
        max_length=MAX_STEPS,
        help_text="Left out: all steps.",
    )


class Demotion(StepChoice):
    reason = serializers.CharField(max_length=LONG_TEXT, required=False, allow_blank=True, help_text="For the history.")


class NotReadySerializer(ErrorSerializer):
    """The error, with what each step lacks beside it."""

    unmet = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))


class PolicySerializer(serializers.Serializer[Any]):
    target = serializers.FloatField(help_text="The acceptance rate that is asked for, 0 to 1.")
    min_decisions = serializers.IntegerField(help_text="Decisions that must count.")
    confidence = serializers.FloatField(help_text="Of the rate being at least the target, for a reversible step.")
    confidence_irreversible = serializers.FloatField(help_text="The same for an irreversible step.")
    min_demonstrations = serializers.IntegerField(help_text="Demonstrations that end OBSERVATION.")
    audit_rates = serializers.ListField(child=serializers.FloatField(), help_text="Shares of AUTO runs, falling.")
    audit_clean_runs = serializers.ListField(
        child=serializers.IntegerField(), help_text="Clean audits in a row before the next rate."
    )
    auto_promote = serializers.BooleanField(help_text="Reversible steps need no owner's confirmation.")


@extend_schema_field({"type": "number", "format": "double", "minimum": 0, "maximum": 1, "exclusiveMaximum": True})
class ConfidenceField(serializers.FloatField):
    """At least 0 and below 1; the policy checks it."""


def _or_default(field: type[serializers.Field[Any, Any, Any, Any]], **options: Any) -> Any:
    return field(required=False, allow_null=True, **options)


class PolicyChanges(StrictSerializer):
    """What is given is changed; null: the site's default. The policy itself checks what goes together."""

    target = _or_default(serializers.FloatField, min_value=LOWEST, max_value=HIGHEST)
    min_decisions = _or_default(serializers.IntegerField, min_value=1, max_value=MOST)
    confidence = _or_default(ConfidenceField)
    confidence_irreversible = _or_default(ConfidenceField)
    min_demonstrations = _or_default(serializers.IntegerField, min_value=0, max_value=MOST)
    audit_rates = _or_default(
        serializers.ListField,
        child=serializers.FloatField(min_value=0, max_value=1),
        min_length=3,
        max_length=3,
        help_text="None above the one before it.",
    )
    audit_clean_runs = _or_default(
        serializers.ListField,
        child=serializers.IntegerField(min_value=1, max_value=MOST),
        min_length=2,
        max_length=2,
        help_text="The second above the first.",
    )
    auto_promote = _or_default(serializers.BooleanField)


class DaysQuery(QuerySerializer):
    days = serializers.IntegerField(
        min_value=1, max_value=MAX_DAYS, default=DEFAULT_DAYS, help_text="How many days up to today."
    )


class SessionCountsSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    by_status = ByStatusSerializer()


class ByLevelSerializer(serializers.Serializer[Any]):
    OBSERVATION = serializers.IntegerField()
    COACHING = serializers.IntegerField()
    AUTO = serializers.IntegerField()


class CalibrationBinSerializer(serializers.Serializer[Any]):
    low = serializers.FloatField()
    high = serializers.FloatField()
    count = serializers.IntegerField()
    accepted = serializers.IntegerField()


class CalibrationSerializer(serializers.Serializer[Any]):
    brier = rate(help_text="Mean of (stated confidence − accepted)²: 0 is perfect.")
    bins = CalibrationBinSerializer(many=True)


class DaySerializer(serializers.Serializer[Day]):
    date = serializers.DateField()
    sessions = serializers.IntegerField(source="activity.counts.sessions", help_text="Started on this day.")
    accepted = serializers.IntegerField(source="activity.counts.accepted")
    rejected = serializers.IntegerField(source="activity.counts.rejected")
    corrected = serializers.IntegerField(source="activity.counts.corrected")
    manual = serializers.IntegerField(source="activity.counts.manual")
    skipped = serializers.IntegerField(source="activity.counts.skipped")


class GlobalMetricsSerializer(serializers.Serializer[Any]):
    sessions = SessionCountsSerializer()
    decisions = DecisionCountsSerializer(source="activity.decisions", help_text="Of people.")
    acceptance_rate = rate(source="activity.acceptance_rate")
    correction_rate = rate(source="activity.correction_rate")
    workflows_by_level = ByLevelSerializer()
    unattended_share = rate(source="activity.unattended_share", help_text="Decisions that needed no person.")
    median_decision_ms = serializers.IntegerField(allow_null=True, help_text="Right to about 5 %.")
    coaching_minutes_per_run = rate(source="activity.coaching_minutes_per_run")
    calibration = CalibrationSerializer()
    per_day = DaySerializer(many=True, help_text="In UTC, from the first day on which anything happened.")
