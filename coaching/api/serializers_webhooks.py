"""Webhooks: what is sent and what is answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ..actions.webhooks import TEST_TYPE, event_types
from ..models import AllowedHost, Webhook, WebhookDelivery
from ..webhooks.urls import MAX_URL
from .pagination import PageQuery
from .serializers import JSONObject, Moment, StrictSerializer, TextOrNull

NEXT_PAGE = "Address of the following page, null on the last."
EVENT_TYPES = [(name, name) for name in event_types()]
FILTER = "Only these events; empty: all."


# ---- what is answered


class WebhookSerializer(serializers.Serializer[Webhook]):
    webhook_id = serializers.CharField(source="pk")
    url = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    event_types = serializers.ListField(child=serializers.CharField(), help_text=FILTER)
    workflow_id = serializers.CharField(
        source="workflow.workflow_id", default=None, allow_null=True, help_text="Only its events; null: of all."
    )
    enabled = serializers.BooleanField()
    disabled_because = TextOrNull(help_text="Why coachsite itself has switched it off; null: it has not.")
    failing_since = Moment(allow_null=True, help_text="The first failure since something was last delivered.")
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    created_at = Moment()
    updated_at = Moment()


class WebhookWithSecretSerializer(WebhookSerializer):
    secret = serializers.SerializerMethodField(help_text="`whsec_…`: shown this once, keep it.")

    @extend_schema_field(serializers.CharField())
    def get_secret(self, _webhook: Webhook) -> str:
        return str(self.context["secret"])


class WebhookPageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text=NEXT_PAGE)
    results = WebhookSerializer(many=True)


class DeliverySerializer(serializers.Serializer[WebhookDelivery]):
    message_id = serializers.CharField(help_text="The `webhook-id` header: the same however often it is sent.")
    webhook_id = serializers.CharField()
    event_type = serializers.CharField(help_text=f"The name of an event, or `{TEST_TYPE}`.")
    session_id = serializers.CharField(source="session.session_id", default=None, allow_null=True)
    seq = serializers.IntegerField(allow_null=True, help_text="Number of the event within its session.")
    status = serializers.ChoiceField(choices=WebhookDelivery.Status.choices)
    attempts = serializers.IntegerField(help_text="How often it was tried, in all.")
    next_attempt_at = serializers.SerializerMethodField(help_text="Null when it is not tried any more.")
    last_attempt_at = Moment(allow_null=True)
    delivered_at = Moment(allow_null=True)
    took_ms = serializers.IntegerField(allow_null=True, help_text="How long the last attempt took.")
    answer_status = serializers.IntegerField(allow_null=True, help_text="HTTP status of the last answer, if any.")
    answer_text = TextOrNull(help_text="How the last answer begins.")
    error = TextOrNull(help_text="What was wrong with the last attempt.")
    created_at = Moment()

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_attempt_at(self, delivery: WebhookDelivery) -> str | None:
        return Moment().to_representation(delivery.next_attempt_at) if delivery.is_pending else None


class DeliveryDetailSerializer(DeliverySerializer):
    body = serializers.SerializerMethodField(help_text="What is sent: `{type, timestamp, data}`.")

    @extend_schema_field(JSONObject())
    def get_body(self, delivery: WebhookDelivery) -> Any:
        return delivery.content


class DeliveryPageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text=NEXT_PAGE)
    results = DeliverySerializer(many=True)


class AllowedHostSerializer(serializers.Serializer[AllowedHost]):
    allowed_host_id = serializers.CharField(source="pk")
    host = serializers.CharField()
    port = serializers.IntegerField(allow_null=True, help_text="Only this port; null: any.")
    reason = serializers.CharField()
    by = serializers.CharField()
    at = Moment()


class AllowedHostPageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text=NEXT_PAGE)
    results = AllowedHostSerializer(many=True)


# ---- what is sent


class EventTypesField(serializers.ListField):
    """Names of events, each one of the contract's."""

    child = serializers.ChoiceField(choices=EVENT_TYPES)

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, max_length=100, help_text=FILTER, **options)


class WebhookChanges(StrictSerializer):
    url = serializers.CharField(max_length=MAX_URL, required=False, help_text="https:// or http://.")
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    event_types = EventTypesField()
    workflow_id = serializers.CharField(
        max_length=100, required=False, allow_null=True, help_text="Only events of this workflow; null: of all."
    )
    enabled = serializers.BooleanField(required=False)


class NewWebhook(WebhookChanges):
    url = serializers.CharField(max_length=MAX_URL, help_text="https:// or http://.")


class DeliveryQuery(PageQuery):
    status = serializers.ChoiceField(choices=WebhookDelivery.Status.choices, required=False)
    session_id = serializers.CharField(max_length=64, required=False)
    event_type = serializers.CharField(max_length=40, required=False)


class NewAllowedHost(StrictSerializer):
    host = serializers.CharField(max_length=253, help_text="A name or an IP address, as it stands in the address.")
    port = serializers.IntegerField(
        min_value=1, max_value=65535, required=False, allow_null=True, help_text="Only this port; null: any."
    )
    reason = serializers.CharField(max_length=500, help_text="Why it is safe to send there.")
