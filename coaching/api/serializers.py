"""What the shapes of all resources are made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from rest_framework import serializers
from rest_framework.request import Request

from ..longpoll import wait_seconds

Row = TypeVar("Row")

#: Texts that people write: feedback, descriptions, error messages. Characters.
LONG_TEXT = 10_000
#: The largest number that both databases keep in a counter.
MAX_COUNT = 2**31 - 1


class StrictSerializer(serializers.Serializer[Any]):
    """Input: a field that it does not know is an error of its own (`unknown_field`), never ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := sorted(set(map(str, data)) - set(self.fields))):
            raise serializers.ValidationError(
                {name: ["There is no such field here."] for name in unknown}, code="unknown_field"
            )
        return super().to_internal_value(data)

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """The checked body. Raises `ValidationError`."""
        serializer = cls(data=request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


class NoFields(StrictSerializer):
    """An empty body."""


class QuerySerializer(serializers.Serializer[Any]):
    """Query parameters."""

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """The checked query parameters that were given or have a default. Raises `ValidationError`."""
        serializer = cls(data=request.query_params.dict())
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


class WaitField(serializers.FloatField):
    """How long to wait for news, in seconds, 0 to 60."""

    def __init__(self, **options: Any) -> None:
        super().__init__(default=0.0, help_text="Wait up to so many seconds (at most 60) for news.", **options)

    def to_internal_value(self, data: Any) -> float:
        try:
            return wait_seconds(str(data))
        except ValueError:
            raise serializers.ValidationError("wait is a number of seconds from 0 to 60.") from None


class Moment(serializers.DateTimeField):
    """A moment as ISO 8601 in UTC with `Z`; without a zone it is read as UTC."""

    def to_internal_value(self, value: Any) -> datetime:
        moment = super().to_internal_value(value)
        # Databases and clients disagree about the calendar of ancient times.
        if moment.year < 1970:
            raise serializers.ValidationError("A time before 1970 cannot be right.")
        return moment

    def to_representation(self, value: Any) -> str:
        moment: datetime = value
        return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class TextOrNull(serializers.CharField):
    """A text of which none is null, while the row keeps the empty text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, read_only=True, **options)

    def to_representation(self, value: Any) -> Any:
        return value or None


class JSONObject(serializers.DictField):
    """A JSON object of any content."""


class ErrorItemSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="For programs, e.g. `already_decided`.")
    detail = serializers.CharField(help_text="For people.")
    attr = serializers.CharField(allow_null=True, help_text="The field at fault, if it is one.")


class ErrorSerializer(serializers.Serializer[Any]):
    """The one shape of every error."""

    type = serializers.ChoiceField(choices=["validation_error", "client_error", "server_error"])
    errors = ErrorItemSerializer(many=True)  # type: ignore[assignment]
