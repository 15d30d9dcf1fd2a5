"""How the OpenAPI document describes what all operations have in common."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, OpenApiExample, OpenApiResponse

from .serializers import ErrorSerializer

_MEANING = {
    "400": "The request cannot be right: `errors` says which field and why.",
    "401": "No token or login, or one that is not valid.",
    "403": "Your role does not allow this.",
    "404": "There is no such thing here.",
    "413": "The body is too large.",
    "415": "The body is of a kind that is not read here.",
}


class Schema(AutoSchema):
    """Adds the errors that an operation can answer, all in the one shape."""

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

    def _possible_errors(self) -> list[str]:
        places = {parameter["in"] for parameter in self._get_parameters()}
        has_body = self.method in {"POST", "PUT", "PATCH"}
        return [
            *(["400"] if has_body or "query" in places else []),
            "401",
            "403",
            *(["404"] if "path" in places else []),
            *(["413", "415"] if has_body else []),
        ]


def error_example(name: str, code: str, detail: str, *, status: int, **beside: Any) -> OpenApiExample:
    """An example of an error answer, in the one shape."""
    error = {"code": code, "detail": detail, "attr": None}
    return OpenApiExample(
        name,
        value={"type": "client_error", "errors": [error]} | beside,
        response_only=True,
        status_codes=[str(status)],
    )
