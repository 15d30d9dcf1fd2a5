"""Sessions, suggestions, decisions and events: what is sent and what is answered."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from ..actions.caller import LONGEST_WAIT, OUTCOMES, Question
from ..actions.secrecy import masked_action
from ..models import Decision, Risk, Session, Suggestion
from ..models.session import MAX_STEPS
from ..models.workflow import NODE_ID_LENGTH
from .serializers import (
    LONG_TEXT,
    MAX_COUNT,
    NOTHING_SAID,
    ErrorSerializer,
    JSONObject,
    Moment,
    StrictSerializer,
    TextOrNull,
)

#: In `together`: a field that must be null where it is given at all.
NO_OBJECT = {"type": "object", "nullable": True, "not": {"type": "object"}}
NO_TEXT = {"type": "string", "nullable": True, "not": {"type": "string"}}


class DecisionSerializer(serializers.Serializer[Decision]):
    step_index = serializers.IntegerField(help_text="0-based.")
    node_id = serializers.CharField()
    action_type = serializers.CharField()
    decision = serializers.ChoiceField(choices=Decision.Kind.choices)
    correction = serializers.SerializerMethodField(help_text="The full corrected action, secrets as `***`.")
    feedback = TextOrNull()
    reason_code = serializers.SerializerMethodField()
    timestamp = Moment()
    execution_success = serializers.BooleanField(
        allow_null=True, help_text="null: not performed, or outcome not known."
    )
    decided_by = serializers.CharField(help_text="A user name, or `policy` where no person was asked.")
    latency_ms = serializers.IntegerField(allow_null=True, help_text="From being asked to the answer.")

    @extend_schema_field(JSONObject(allow_null=True))
    def get_correction(self, decision: Decision) -> Any:
        return masked_action(decision.correction, decision.session)

    @extend_schema_field(serializers.ChoiceField(choices=Decision.Reason.choices, allow_null=True))
    def get_reason_code(self, decision: Decision) -> str | None:
        return decision.reason_code or None


class DecisionPageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="Address of the following page, null on the last.")
    results = DecisionSerializer(many=True)


class SuggestionSerializer(serializers.Serializer[Suggestion]):
    n = serializers.IntegerField(help_text="1, 2, 3 … within the session.")
    step_index = serializers.IntegerField(help_text="0-based.")
    attempt = serializers.IntegerField(help_text="Above 1 when the step is proposed again.")
    node_id = serializers.CharField()
    action_type = serializers.CharField()
    action = serializers.SerializerMethodField(help_text="What accepting performs; secrets as `***`.")
    description = serializers.CharField(help_text="The action in words.")
    confidence = serializers.FloatField(allow_null=True)
    risk = serializers.ChoiceField(choices=Risk.choices)
    rationale = TextOrNull()
    provenance = JSONObject(help_text="`{source, pack, version, correction, changed}`")
    asked_because = serializers.SerializerMethodField(help_text="null: nobody was asked, the policy accepted.")
    target = JSONObject(
        allow_null=True,
        help_text="`{found, selector, box, candidates: [{selector, description, box}]}`, boxes in CSS pixels.",
    )
    status = serializers.ChoiceField(choices=Suggestion.Status.choices)
    decision = serializers.SerializerMethodField(help_text="null until it is decided.")
    outcome = serializers.ChoiceField(choices=Suggestion.Outcome.choices, allow_null=True)
    error = TextOrNull()
    screenshot_url = serializers.SerializerMethodField(help_text="A path on this host; null without a picture.")
    opened_at = Moment()
    expires_at = Moment(allow_null=True)

    @extend_schema_field(JSONObject())
    def get_action(self, suggestion: Suggestion) -> Any:
        return masked_action(suggestion.action, suggestion.session)

    @extend_schema_field(serializers.ChoiceField(choices=Suggestion.AskedBecause.choices, allow_null=True))
    def get_asked_because(self, suggestion: Suggestion) -> str | None:
        return suggestion.asked_because or None

    @extend_schema_field(DecisionSerializer(allow_null=True))
    def get_decision(self, suggestion: Suggestion) -> Any:
        if suggestion.status not in {Suggestion.Status.DECIDED, Suggestion.Status.EXPIRED}:
            return None
        decision = getattr(suggestion, "decision", None)
        return DecisionSerializer(decision).data if decision else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_screenshot_url(self, suggestion: Suggestion) -> str | None:
        if not suggestion.screenshot:
            return None
        return reverse("api-screenshot", args=[suggestion.session.session_id, suggestion.n])


class SuggestionPageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="Address of the following page, null on the last.")
    results = SuggestionSerializer(many=True)


class InboxItemSerializer(SuggestionSerializer):
    session_id = serializers.CharField(source="session.session_id")
    workflow_id = serializers.CharField(source="session.workflow.workflow_id")


class InboxSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField(help_text="How many wait in all.")
    next = serializers.CharField(allow_null=True, help_text="Address of the following page, null on the last.")
    results = InboxItemSerializer(many=True)


class StatsSerializer(serializers.Serializer[Session]):
    """`suggestions_made` is the number of decisions: the other five always add up to it."""

    suggestions_made = serializers.IntegerField()
    accepted = serializers.IntegerField()
    rejected = serializers.IntegerField()
    corrected = serializers.IntegerField()
    manual_executions = serializers.IntegerField()
    skipped = serializers.IntegerField()


class SessionSummarySerializer(serializers.Serializer[Session]):
    session_id = serializers.CharField()
    workflow_id = serializers.CharField(source="workflow.workflow_id")
    execution_id = serializers.CharField(help_text="The caller's own name for this run.")
    status = serializers.ChoiceField(choices=Session.Status.choices)
    mode = serializers.ChoiceField(choices=Session.Mode.choices)
    current_step_index = serializers.IntegerField(help_text="How many steps are decided.")
    total_steps = serializers.IntegerField(help_text="0: not known.")
    stats = StatsSerializer(source="*")
    acceptance_rate = serializers.FloatField(help_text="Over accepted + rejected + corrected; 0.0 when none.")
    correction_rate = serializers.FloatField(help_text="Over accepted + rejected + corrected; 0.0 when none.")
    variables = JSONObject(help_text="Secrets as `***`.")
    metadata = JSONObject()
    started_at = Moment()
    updated_at = Moment()
    completed_at = Moment(allow_null=True, help_text="Set by complete, fail and abandon.")
    error_message = TextOrNull()


class SessionPageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="Address of the following page, null on the last.")
    results = SessionSummarySerializer(many=True)


class SessionSerializer(SessionSummarySerializer):
    decisions = DecisionSerializer(many=True, help_text="In order.")
    open_suggestion = serializers.SerializerMethodField(help_text="What waits for a decision now, or null.")

    @extend_schema_field(SuggestionSerializer(allow_null=True))
    def get_open_suggestion(self, session: Session) -> Any:
        suggestion = session.open_suggestion()
        return SuggestionSerializer(suggestion).data if suggestion else None


class NewSession(StrictSerializer):
    workflow_id = serializers.CharField(max_length=100)
    execution_id = serializers.CharField(
        max_length=200,
        required=False,
        allow_null=True,
        trim_whitespace=False,
        help_text="Unique per workflow; made up when absent.",
    )
    mode = serializers.ChoiceField(choices=Session.Mode.choices, default=Session.Mode.COACHING)
    total_steps = serializers.IntegerField(
        min_value=0,
        max_value=MAX_STEPS,
        required=False,
        allow_null=True,
        help_text="Of an external one; 0: unknown.",
    )
    variables = JSONObject(required=False)
    metadata = JSONObject(required=False)


class Completion(StrictSerializer):
    together = {
        "anyOf": [
            {"properties": {"success": {"type": "boolean", "enum": [False]}}, "required": ["success"]},
            {"properties": {"error_message": NOTHING_SAID}},
        ]
    }

    success = serializers.BooleanField(default=True, help_text="False ends the session as failed.")
    error_message = serializers.CharField(
        max_length=LONG_TEXT, required=False, allow_null=True, allow_blank=True, help_text="Why it failed."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["success"] and attrs.get("error_message"):
            raise serializers.ValidationError({"error_message": "An error message goes with success: false."})
        return attrs


class PictureField(serializers.CharField):
    """A PNG or JPEG as base64, with or without `data:image/…;base64,` before it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=True, max_length=settings.MAX_UPLOAD_BYTES * 4 // 3, **options)

    def to_internal_value(self, data: Any) -> Any:
        text: str = super().to_internal_value(data)
        if text.startswith("data:"):
            text = text.partition(",")[2]
        try:
            return b64decode(text, validate=True)
        except ValueError:
            raise serializers.ValidationError("This is not base64.") from None


class NewSuggestion(StrictSerializer):
    node_id = serializers.CharField(
        max_length=NODE_ID_LENGTH, trim_whitespace=False, help_text="The step; it comes into being when first named."
    )
    action_type = serializers.CharField(max_length=100, trim_whitespace=False, help_text="What kind of action it is.")
    action = JSONObject(help_text="What you are about to do, with all that it takes.")
    step_index = serializers.IntegerField(
        min_value=0,
        max_value=MAX_STEPS - 1,
        required=False,
        allow_null=True,
        help_text="0-based; the session’s current step unless given.",
    )
    confidence = serializers.FloatField(
        min_value=0, max_value=1, required=False, allow_null=True, help_text="How sure you are, 0 to 1."
    )
    rationale = serializers.CharField(
        max_length=LONG_TEXT, required=False, allow_null=True, allow_blank=True, help_text="Why, for the coach."
    )
    risk = serializers.ChoiceField(choices=Risk.choices, required=False, allow_null=True)
    screenshot = PictureField(required=False, allow_null=True, help_text="A PNG or JPEG as base64.")
    expires_in = serializers.FloatField(
        min_value=0.001,
        max_value=LONGEST_WAIT.total_seconds(),
        required=False,
        allow_null=True,
        help_text="Seconds after which `on_expiry` happens if nobody has answered; never unless given.",
    )
    on_expiry = serializers.ChoiceField(
        choices=Suggestion.OnExpiry.choices,
        default=Suggestion.OnExpiry.PAUSE,
        help_text="`reject` and `skip` are decided for you, `pause` pauses the session.",
    )

    def as_question(self) -> Question:
        given = dict(self.validated_data)
        seconds = given.pop("expires_in", None)
        given["rationale"] = given.get("rationale") or ""
        return Question(**given, expires_in=None if seconds is None else timedelta(seconds=seconds))


class Reason(StrictSerializer):
    reason = serializers.CharField(max_length=LONG_TEXT, required=False, allow_null=True, allow_blank=True)


class Outcome(StrictSerializer):
    status = serializers.ChoiceField(choices=[*OUTCOMES])
    error = serializers.CharField(
        max_length=LONG_TEXT, required=False, allow_null=True, allow_blank=True, help_text="What went wrong."
    )


def _of_decision(*kinds: Decision.Kind, required: Sequence[str] = (), **fields: Any) -> dict[str, Any]:
    decision = {"decision": {"type": "string", "enum": [kind.value for kind in kinds]}}
    return {"properties": decision | fields, "required": ["decision", *required]}


class NewDecision(StrictSerializer):
    together = {
        "anyOf": [
            _of_decision(
                Decision.Kind.CORRECT, required=["correction"], correction={"type": "object", "minProperties": 1}
            ),
            _of_decision(Decision.Kind.REJECT, correction=NO_OBJECT),
            _of_decision(Decision.Kind.MANUAL, reason_code=NO_TEXT),
            _of_decision(Decision.Kind.ACCEPT, Decision.Kind.SKIP, correction=NO_OBJECT, reason_code=NO_TEXT),
        ]
    }

    decision = serializers.ChoiceField(choices=Decision.Kind.choices)
    correction = JSONObject(
        required=False,
        allow_null=True,
        help_text="The full corrected action, with correct and manual.",
    )
    feedback = serializers.CharField(max_length=LONG_TEXT, required=False, allow_null=True, allow_blank=True)
    reason_code = serializers.ChoiceField(
        choices=Decision.Reason.choices, required=False, allow_null=True, help_text="For reject and correct."
    )
    n = serializers.IntegerField(
        min_value=1, max_value=MAX_COUNT, required=False, allow_null=True, help_text="The suggestion that is answered."
    )
    step_index = serializers.IntegerField(min_value=0, max_value=MAX_COUNT, required=False, allow_null=True)
    node_id = serializers.CharField(max_length=NODE_ID_LENGTH, required=False, allow_null=True, trim_whitespace=False)
    action_type = serializers.CharField(max_length=100, required=False, allow_null=True, trim_whitespace=False)
    execution_success = serializers.BooleanField(
        required=False, allow_null=True, help_text="Of a decision that was made elsewhere."
    )
    timestamp = Moment(required=False, allow_null=True, help_text="Of a decision that was made elsewhere.")


class EventSerializer(serializers.Serializer[Any]):
    seq = serializers.IntegerField(help_text="1, 2, 3 … within the session, without gaps.")
    type = serializers.CharField()
    session_id = serializers.CharField()
    at = serializers.DateTimeField()
    data = JSONObject()  # type: ignore[assignment]


class EventsSerializer(serializers.Serializer[Any]):
    results = EventSerializer(many=True)


class ByStatusSerializer(serializers.Serializer[Any]):
    active = serializers.IntegerField()
    paused = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    abandoned = serializers.IntegerField()


class StatisticsSerializer(serializers.Serializer[Any]):
    total_sessions = serializers.IntegerField()
    by_status = ByStatusSerializer()
    total_decisions = serializers.IntegerField()
    total_accepted = serializers.IntegerField()
    total_corrected = serializers.IntegerField()
    overall_acceptance_rate = serializers.FloatField(help_text="Over all decisions; 0.0 when none.")
    overall_correction_rate = serializers.FloatField(help_text="Over all decisions; 0.0 when none.")


class DuplicateExecutionSerializer(ErrorSerializer):
    """The error, with the session that already exists beside it."""

    session = SessionSerializer()


class QuestionConflictSerializer(ErrorSerializer):
    """The error; with `stale_step` the suggestion that is open stands beside it."""

    suggestion = SuggestionSerializer(required=False)


class DecisionConflictSerializer(ErrorSerializer):
    """The error; with `already_decided` the first decision stands beside it."""

    decision = DecisionSerializer(required=False)
