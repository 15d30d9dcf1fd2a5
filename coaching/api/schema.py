"""How the OpenAPI document describes what all operations have in common."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import Direction, OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation

from .. import idempotency, unavailable
from ..models.idempotency import KEY_LENGTH
from ..models.session import MAX_STEPS
from .serializers import MAX_COUNT, SPACE, ErrorSerializer, Moment, NoFields, QuerySerializer, StrictSerializer

_MEANING = {
    "400": "The request cannot be right: `errors` says which field and why.",
    "401": "No token or login, or one that is not valid.",
    "403": "Your role does not allow this.",
    "404": "There is no such thing here.",
    "406": "Answers are JSON, and your `Accept` header does not accept that.",
    "413": "The body is too large.",
    "415": "The body is of a kind that is not read here.",
    "422": "The `Idempotency-Key` was used for another request before.",
    "429": "Too many requests: `Retry-After` says how many seconds to wait.",
    "503": "The database or the disk cannot serve now: nothing is lost, send it again after `Retry-After` seconds.",
}
#: One example of each error that an operation does not give an example of itself.
_EXAMPLE = {
    "400": ("validation_error", "unknown_field", "There is no such field here.", "nmae"),
    "401": ("client_error", "not_authenticated", "Authentication credentials were not provided.", None),
    "403": ("client_error", "permission_denied", "Your role does not allow this.", None),
    "404": ("client_error", "not_found", "There is no session “coaching_20310504_093000_1a2b3c4d”.", None),
    "406": ("client_error", "not_acceptable", "Could not satisfy the request Accept header.", None),
    "409": ("client_error", "illegal_transition", "A session that is completed cannot become paused.", None),
    "413": ("client_error", "too_large", "At most 1 MiB are accepted here.", None),
    "415": ("client_error", "unsupported_media_type", "Unsupported media type “text/plain” in request.", None),
    "422": (
        "client_error",
        "idempotency_mismatch",
        "The Idempotency-Key “claim-2031” was used for another request before.",
        None,
    ),
    "429": ("client_error", "throttled", "Request was throttled. Expected available in 17 seconds.", None),
    "503": ("server_error", unavailable.CODE, unavailable.with_advice(unavailable.UNREACHABLE), None),
}
_ONCE = OpenApiParameter(
    idempotency.HEADER,
    {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description=(
        "Any text of your own, 1 to 255 visible ASCII characters. The same key and body again within 24 hours answer "
        "what the first did, with `Idempotency-Replayed: true`, and do nothing."
    ),
)
_KNOWN = "If-None-Match"
_PARAMETERS = {
    "POST": [_ONCE],
    "GET": [
        OpenApiParameter(
            _KNOWN,
            OpenApiTypes.STR,
            OpenApiParameter.HEADER,
            description="The `ETag` of the answer that you have: 304 without a body if it is still the same.",
        )
    ],
}
_SLUG = {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$", "minLength": 1}
_KEY = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
#: What the names in addresses are, wherever they stand.
_IN_ADDRESSES: dict[str, tuple[dict[str, Any], str]] = {
    "workflow_id": (_SLUG | {"maxLength": 100}, "Name of the workflow."),
    "session_id": (_SLUG | {"maxLength": 64}, "`coaching_<date>_<time>_<8 hex digits>`"),
    "pack_id": (_SLUG | {"maxLength": 100}, "Name of the pack."),
    "n": ({"type": "integer", "minimum": 1, "maximum": MAX_STEPS * 1000}, "The suggestion’s number in its session."),
    "number": ({"type": "integer", "minimum": 1, "maximum": MAX_COUNT}, "The correction’s number in its pack."),
    "webhook_id": (_KEY, "The webhook."),
    "allowed_host_id": (_KEY, "The allowed host."),
    "message_id": (_SLUG | {"maxLength": 64}, "The `webhook-id` header of the message."),
}
_HEADERS = {
    "ETag": "Of this answer; send it as `If-None-Match` the next time.",
    "Retry-After": "Seconds to wait.",
    "WWW-Authenticate": "How to sign in.",
    idempotency.REPLAYED: "The answer that the first request with this `Idempotency-Key` got; nothing was done.",
}
_INTEGER = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string", "minLength": 1}
#: At least one character that is not space: others would be taken away around a text and leave nothing.
_NOT_BLANK = rf"[^{SPACE}]"
_TOGETHER = "x-together"


class Schema(AutoSchema):
    """Adds what holds for all operations: the errors in the one shape, headers, examples, and no unknown fields."""

    def get_operation(self, *args: Any) -> Any:
        operation: Any = super().get_operation(*args)
        if operation:
            self._describe_body(operation)
            self._describe_headers(operation)
            self._give_examples(operation)
        return operation

    def _get_response_bodies(self, direction: Direction = "response") -> Any:
        responses: dict[str, Any] = super()._get_response_bodies(direction=direction)
        if direction != "response":
            return responses
        errors = {
            code: self._get_response_for_code(
                OpenApiResponse(ErrorSerializer, _MEANING[code]),
                code,  # type: ignore[no-untyped-call]
            )
            for code in self._possible_errors()
            if code not in responses
        }
        return dict(sorted((responses | errors).items()))

    def get_override_parameters(self) -> list[Any]:
        """What every operation takes, whatever its view says."""
        given: list[Any] = super().get_override_parameters()
        in_address = [
            OpenApiParameter(name, schema, OpenApiParameter.PATH, description=words)
            for name, (schema, words) in _IN_ADDRESSES.items()
            if f"{{{name}}}" in self.path
        ]
        return [*in_address, *given, *_PARAMETERS.get(self.method, [])]

    def _possible_errors(self) -> list[str]:
        places = {parameter["in"] for parameter in self._get_parameters()}
        has_body = self.method in {"POST", "PUT", "PATCH"}
        return [
            *(["400"] if has_body or "query" in places else []),
            "401",
            "403",
            *(["404"] if "path" in places else []),
            *(["406"] if issubclass(self.view.content_negotiation_class, DefaultContentNegotiation) else []),
            *(["413", "415"] if has_body else []),
            *(["422"] if self.method == "POST" else []),
            "429",
            "503",
        ]

    def _map_serializer(self, serializer: Any, direction: Direction, bypass_extensions: bool = False) -> Any:
        schema: Any = super()._map_serializer(serializer, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        if direction == "request" and isinstance(serializer, StrictSerializer):
            schema |= {"additionalProperties": False}
            if serializer.together:
                schema[_TOGETHER] = serializer.together
            if not type(serializer).__dict__.get("__doc__"):
                schema.pop("description", None)  # what its base class says is for those who read the code
        return schema

    def _insert_field_validators(self, field: Any, schema: Any) -> None:
        super()._insert_field_validators(field, schema)  # type: ignore[no-untyped-call]
        if not isinstance(field.root, StrictSerializer | QuerySerializer):
            return
        if isinstance(field, serializers.CharField) and field.trim_whitespace and not field.allow_blank:
            schema.setdefault("pattern", _NOT_BLANK)
        if isinstance(field, Moment):
            schema.setdefault("pattern", Moment.PATTERN)
        if isinstance(field, serializers.ListField) and not field.allow_empty:
            schema.setdefault("minItems", 1)

    @staticmethod
    def _describe_body(operation: Any) -> None:
        content = operation.get("requestBody", {}).get("content", {})
        for media in content.values():
            if media["schema"].get("$ref", "").endswith(f"/{NoFields.__name__}Request"):
                media.setdefault("examples", {"Nothing": {"value": {}, "summary": "Nothing to say"}})

    def _describe_headers(self, operation: Any) -> None:
        """The headers that answers come with; `If-None-Match` only where there is an `ETag`."""
        responses = operation["responses"]
        if self.method == "GET":
            if "application/json" in responses["200"].get("content", {}):
                _header(responses["200"], "ETag", _TEXT, required=True)
                responses["304"] = {"description": "It is still what you have."}
                _header(responses["304"], "ETag", _TEXT, required=True)
            else:
                operation["parameters"] = [one for one in operation["parameters"] if one["name"] != _KNOWN]
        if self.method == "POST":
            for status, answer in responses.items():
                if status < "300":
                    _header(answer, idempotency.REPLAYED, {"type": "string", "enum": ["true"]})
        _header(responses["401"], "WWW-Authenticate", _TEXT, required=True)
        for status in ("429", "503"):
            _header(responses[status], "Retry-After", _INTEGER, required=True)
        operation["responses"] = dict(sorted(responses.items()))

    def _give_examples(self, operation: Any) -> None:
        """An example of each error that has none yet; they stand once in the document."""
        for status, answer in operation["responses"].items():
            if status < "400":
                continue
            for media in answer["content"].values():
                if "examples" not in media:
                    media["examples"] = {f"Error{status}": self._example_of(status)}

    def _example_of(self, status: str) -> Any:
        kind, code, detail, attr = _EXAMPLE[status]
        value = {"type": kind, "errors": [{"code": code, "detail": detail, "attr": attr}]}
        component = ResolvedComponent(  # type: ignore[no-untyped-call]
            f"Error{status}", ResolvedComponent.EXAMPLE, {"value": value, "summary": code}, f"Error{status}"
        )
        self.registry.register_on_missing(component)
        return component.ref


def put_together(result: Any, **_: Any) -> Any:
    """A hook for the end: before, the library would take what goes together for choices that want a name."""
    for schema in result["components"]["schemas"].values():
        schema.update(schema.pop(_TOGETHER, {}))
    return result


def _header(answer: Any, name: str, schema: Any, *, required: bool = False) -> None:
    words = {"description": _HEADERS[name], "schema": schema}
    answer.setdefault("headers", {})[name] = words | ({"required": True} if required else {})


def error_example(name: str, code: str, detail: str, *, status: int, **beside: Any) -> OpenApiExample:
    """An example of an error answer, in the one shape."""
    error = {"code": code, "detail": detail, "attr": None}
    return OpenApiExample(
        name,
        value={"type": "client_error", "errors": [error]} | beside,
        response_only=True,
        status_codes=[str(status)],
    )
