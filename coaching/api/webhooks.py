"""`webhooks/…`: endpoints, their secrets, what was delivered to them, and hosts that they may reach. For owners."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from ..actions.webhooks import (
    allow_host,
    change_webhook,
    create_webhook,
    delete_webhook,
    forbid_host,
    rotate_secret,
    send_again,
    send_test,
)
from ..exceptions import InvalidInput
from ..models import AllowedHost, Webhook, WebhookDelivery, Workflow
from ..roles import MANAGE_WEBHOOKS
from .pagination import PageQuery, page
from .schema import error_example
from .serializers import ErrorSerializer, NoFields
from .serializers_webhooks import (
    AllowedHostPageSerializer,
    AllowedHostSerializer,
    DeliveryDetailSerializer,
    DeliveryPageSerializer,
    DeliveryQuery,
    DeliverySerializer,
    NewAllowedHost,
    NewWebhook,
    WebhookChanges,
    WebhookPageSerializer,
    WebhookSerializer,
    WebhookWithSecretSerializer,
)
from .views import ApiView

TAGS = ["Webhooks"]
OFF = {409: OpenApiResponse(ErrorSerializer, "The webhook is switched off.")}
IS_OFF = error_example(
    "It is switched off",
    "illegal_transition",
    "This webhook is switched off: switch it on first.",
    status=409,
)
SOME_WEBHOOK = {
    "webhook_id": "3", "url": "https://example.org/hooks/coachsite", "description": "Tells the accounting robot.",
    "event_types": ["decision.recorded"], "workflow_id": "expense-claim", "enabled": True, "disabled_because": None,
    "failing_since": None, "created_by": "olga", "created_at": "2031-01-07T09:30:00.000000Z",
    "updated_at": "2031-01-07T09:30:00.000000Z",
}  # fmt: skip


def webhook_or_404(webhook_id: int) -> Webhook:
    webhook = Webhook.objects.select_related("workflow", "created_by").filter(pk=webhook_id).first()
    if webhook is None:
        raise NotFound(f"There is no webhook {webhook_id}.")
    return webhook


def delivery_or_404(webhook_id: int, message_id: str) -> WebhookDelivery:
    deliveries = webhook_or_404(webhook_id).deliveries.select_related("webhook", "session")
    delivery = deliveries.filter(message_id=message_id).first()
    if delivery is None:
        raise NotFound(f"This webhook has no delivery “{message_id}”.")
    return delivery


def given_changes(given: dict[str, Any]) -> dict[str, Any]:
    """As the verbs take them: the workflow itself in place of its id."""
    if "workflow_id" in given:
        workflow_id = given.pop("workflow_id")
        given["workflow"] = None if workflow_id is None else _workflow(workflow_id)
    return given


def _workflow(workflow_id: str) -> Workflow:
    workflow = Workflow.objects.filter(workflow_id=workflow_id).first()
    if workflow is None:
        raise InvalidInput(f"There is no workflow “{workflow_id}”.", field="workflow_id")
    return workflow


def with_secret(webhook: Webhook, secret: str, status: int) -> Response:
    shown = WebhookWithSecretSerializer(webhook, context={"secret": secret}).data
    return Response(shown, status=status, headers={"Cache-Control": "no-store"})


class Webhooks(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": MANAGE_WEBHOOKS, "POST": MANAGE_WEBHOOKS}

    @extend_schema(
        operation_id="webhooks_list",
        summary="List webhooks",
        description="All endpoints that are told of events, the newest first, in pages. Secrets are not shown.",
        tags=TAGS,
        parameters=[PageQuery],
        responses=WebhookPageSerializer,
    )
    def get(self, request: Request) -> Response:
        def serialize(rows: Any) -> Any:
            return WebhookSerializer(rows, many=True).data

        webhooks = Webhook.objects.select_related("workflow", "created_by")
        return Response(page(webhooks, request, serialize, descending=True))

    @extend_schema(
        operation_id="webhooks_create",
        summary="Create a webhook",
        description=(
            "From now on each event that it asks for is posted to `url`, signed by the Standard Webhooks convention. "
            "The answer holds the `secret` that checks the signatures, this once."
        ),
        tags=TAGS,
        request=NewWebhook,
        responses={201: WebhookWithSecretSerializer},
        examples=[
            OpenApiExample(
                "Decisions of one workflow",
                value={
                    "url": "https://example.org/hooks/coachsite",
                    "event_types": ["decision.recorded"],
                    "workflow_id": "expense-claim",
                },
                request_only=True,
            ),
            OpenApiExample(
                "With its secret",
                value=SOME_WEBHOOK | {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="},
                response_only=True,
                status_codes=["201"],
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        given = given_changes(NewWebhook.read(request))
        webhook, secret = create_webhook(**given, by=self.user)
        return with_secret(webhook, secret, 201)


class WebhookDetail(ApiView):
    needs: ClassVar[dict[str, str]] = dict.fromkeys(("GET", "PATCH", "DELETE"), MANAGE_WEBHOOKS)

    @extend_schema(
        operation_id="webhooks_retrieve",
        summary="Get a webhook",
        description="The endpoint as it is set up, and whether its deliveries fail at present.",
        tags=TAGS,
        responses=WebhookSerializer,
    )
    def get(self, _request: Request, webhook_id: int) -> Response:
        return Response(WebhookSerializer(webhook_or_404(webhook_id)).data)

    @extend_schema(
        operation_id="webhooks_update",
        summary="Change a webhook",
        description=(
            "Changes what is given. Switched off, it gives up what is still to be sent; switched on again, it is told "
            "of what happens from then on."
        ),
        tags=TAGS,
        request=WebhookChanges,
        responses=WebhookSerializer,
        examples=[OpenApiExample("Switch it on again", value={"enabled": True}, request_only=True)],
    )
    def patch(self, request: Request, webhook_id: int) -> Response:
        changes = given_changes(WebhookChanges.read(request))
        webhook = webhook_or_404(webhook_id)
        change_webhook(webhook, **changes, by=self.user)
        return Response(WebhookSerializer(webhook_or_404(webhook_id)).data)

    @extend_schema(
        operation_id="webhooks_destroy",
        summary="Delete a webhook",
        description="With the log of its deliveries; what is still to be sent is not sent any more.",
        tags=TAGS,
        responses={204: None},
    )
    def delete(self, _request: Request, webhook_id: int) -> Response:
        delete_webhook(webhook_or_404(webhook_id), by=self.user)
        return Response(status=204)


class RotateSecret(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": MANAGE_WEBHOOKS}

    @extend_schema(
        operation_id="webhooks_rotate",
        summary="Replace the secret of a webhook",
        description=(
            "The answer holds the new `secret`, this once. For 24 hours messages are signed with the old one too, "
            "so that the receiver can change over without losing any."
        ),
        tags=TAGS,
        request=NoFields,
        responses=WebhookWithSecretSerializer,
    )
    def post(self, request: Request, webhook_id: int) -> Response:
        NoFields.read(request)
        webhook = webhook_or_404(webhook_id)
        return with_secret(webhook, rotate_secret(webhook, by=self.user), 200)


class SendTest(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": MANAGE_WEBHOOKS}

    @extend_schema(
        operation_id="webhooks_test",
        summary="Send a test message",
        description=(
            "Posts a `webhook.test` message at once, whatever events the webhook asks for. Answers with the delivery; "
            "get it again to see what became of it."
        ),
        tags=TAGS,
        request=NoFields,
        responses={201: DeliveryDetailSerializer} | OFF,
        examples=[IS_OFF],
    )
    def post(self, request: Request, webhook_id: int) -> Response:
        NoFields.read(request)
        delivery = send_test(webhook_or_404(webhook_id), by=self.user)
        return Response(DeliveryDetailSerializer(delivery).data, status=201)


class Deliveries(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": MANAGE_WEBHOOKS}

    @extend_schema(
        operation_id="webhooks_deliveries",
        summary="List deliveries of a webhook",
        description=(
            "What was, is and will be sent to it, the newest first, in pages, without the bodies. Deliveries are kept "
            "for 30 days."
        ),
        tags=TAGS,
        parameters=[DeliveryQuery],
        responses=DeliveryPageSerializer,
    )
    def get(self, request: Request, webhook_id: int) -> Response:
        asked = DeliveryQuery.read(request)
        deliveries = webhook_or_404(webhook_id).deliveries.select_related("session").defer("body")
        columns = {"status": "status", "session_id": "session__session_id", "event_type": "event_type"}
        filters = {columns[name]: asked[name] for name in columns if name in asked}

        def serialize(rows: Any) -> Any:
            return DeliverySerializer(rows, many=True).data

        return Response(page(deliveries.filter(**filters), request, serialize, descending=True))


class DeliveryDetail(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": MANAGE_WEBHOOKS}

    @extend_schema(
        operation_id="webhooks_delivery",
        summary="Get a delivery",
        description="One message with its body, how often it was tried, and what the receiver answered last.",
        tags=TAGS,
        responses=DeliveryDetailSerializer,
    )
    def get(self, _request: Request, webhook_id: int, message_id: str) -> Response:
        return Response(DeliveryDetailSerializer(delivery_or_404(webhook_id, message_id)).data)


class ResendDelivery(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": MANAGE_WEBHOOKS}

    @extend_schema(
        operation_id="webhooks_delivery_resend",
        summary="Send a message again",
        description=(
            "At once and under the same `webhook-id`, whether or not it was delivered before; if it fails, it is "
            "retried as a new one would be."
        ),
        tags=TAGS,
        request=NoFields,
        responses={200: DeliveryDetailSerializer} | OFF,
        examples=[IS_OFF],
    )
    def post(self, request: Request, webhook_id: int, message_id: str) -> Response:
        NoFields.read(request)
        send_again(delivery_or_404(webhook_id, message_id), by=self.user)
        return Response(DeliveryDetailSerializer(delivery_or_404(webhook_id, message_id)).data)


class AllowedHosts(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": MANAGE_WEBHOOKS, "POST": MANAGE_WEBHOOKS}

    @extend_schema(
        operation_id="webhooks_allowed_hosts_list",
        summary="List allowed hosts",
        description="Hosts that are not public and that webhooks may reach all the same, because an owner says so.",
        tags=TAGS,
        parameters=[PageQuery],
        responses=AllowedHostPageSerializer,
    )
    def get(self, request: Request) -> Response:
        def serialize(rows: Any) -> Any:
            return AllowedHostSerializer(rows, many=True).data

        return Response(page(AllowedHost.objects.all(), request, serialize))

    @extend_schema(
        operation_id="webhooks_allowed_hosts_create",
        summary="Allow a host",
        description=(
            "Lets webhooks reach a host that resolves to private addresses. The addresses by which clouds hand out "
            "credentials, and those of the network link, have to be allowed as IP addresses."
        ),
        tags=TAGS,
        request=NewAllowedHost,
        responses={201: AllowedHostSerializer},
        examples=[
            OpenApiExample(
                "A robot in the same network",
                value={"host": "robot.internal", "port": 8443, "reason": "The accounting robot."},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        allowed = allow_host(**NewAllowedHost.read(request), by=self.user)
        return Response(AllowedHostSerializer(allowed).data, status=201)


class AllowedHostDetail(ApiView):
    needs: ClassVar[dict[str, str]] = {"DELETE": MANAGE_WEBHOOKS}

    @extend_schema(
        operation_id="webhooks_allowed_hosts_destroy",
        summary="Allow a host no longer",
        description="What is still to be sent there is refused from now on.",
        tags=TAGS,
        responses={204: None},
    )
    def delete(self, _request: Request, allowed_host_id: int) -> Response:
        allowed = AllowedHost.objects.filter(pk=allowed_host_id).first()
        if allowed is None:
            raise NotFound(f"There is no allowed host {allowed_host_id}.")
        forbid_host(allowed, by=self.user)
        return Response(status=204)
