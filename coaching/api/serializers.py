"""What the shapes of all resources are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, TypeVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.utils.html import is_html_input

from ..longpoll import MAX_WAIT_SECONDS, wait_seconds

Row = TypeVar("Row")
Serializer = TypeVar("Serializer", bound="serializers.Serializer[Any]")

#: Texts that people write: feedback, descriptions, error messages. Characters.
LONG_TEXT = 10_000
#: The largest number that both databases keep in a counter.
MAX_COUNT = 2**31 - 1
#: What Python takes for space, in a class of a regular expression: JavaScript and others leave out the last five.
SPACE = r"\s\u001c-\u001f\u0085"
#: In `StrictSerializer.together`: a text that says nothing where it is given at all.
NOTHING_SAID = {"type": "string", "nullable": True, "pattern": rf"^[{SPACE}]*$"}


class StrictSerializer(serializers.Serializer[Any]):
    """Input: a field that it does not know is an error of its own (`unknown_field`), never ignored.

    Of JSON each value must have the type that the OpenAPI document says: `"1"` is no number and `"yes"` is not true,
    which the library would read as such.
    """

    #: What goes together, in the words of JSON Schema; stands beside the fields in the OpenAPI document.
    together: ClassVar[dict[str, Any]] = {}
    #: Whether all values are texts, as those of an address are.
    only_texts: ClassVar[bool] = False

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            if unknown := sorted(set(map(str, data)) - set(self.fields)):
                raise serializers.ValidationError(
                    {name: ["There is no such field here."] for name in unknown}, code="unknown_field"
                )
            if not self.only_texts and not is_html_input(data):
                self._check_types(data)
        return super().to_internal_value(data)

    def _check_types(self, data: Mapping[str, Any]) -> None:
        faults = ((name, fault_in_type(self.fields[name], value)) for name, value in data.items())
        wrong: dict[str, Any] = {name: fault for name, fault in faults if fault}
        if wrong:
            raise serializers.ValidationError(wrong)

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """The checked body. Raises `ValidationError`."""
        with suppress(serializers.ValidationError):
            return dict(made_once(cls).run_validation(request.data))
        # Asked in the library's usual way, which gives errors their shape.
        serializer = cls(data=request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


@cache
def made_once(kind: type[Serializer]) -> Serializer:
    """The one serializer of its kind that is for no request: making one copies all of its fields.

    It may check any value (`run_validation`) and show any object (`to_representation`), in any thread.
    """
    serializer = kind()
    _ = serializer.fields  # made by whoever asks for it first, which must not be two threads at once
    return serializer


def fault_in_type(field: Any, value: Any) -> str | dict[int, Any]:
    """What is wrong with the JSON type of a field's value, of a list's items by index; empty where nothing is.

    Whatever the field itself says about a wrong type is left to it.
    """
    fault: str | dict[int, Any] = ""
    match field:
        case _ if value is None:
            pass
        case serializers.BooleanField():
            fault = "" if isinstance(value, bool) else "This must be true or false."
        case serializers.IntegerField():
            fault = "" if _is_number(value) and value == int(value) else "This must be a whole number."
        case serializers.FloatField():
            fault = "" if _is_number(value) else "This must be a number."
        case serializers.ListField() if isinstance(value, list):
            faults = ((index, fault_in_type(field.child, item)) for index, item in enumerate(value))
            fault = {index: fault for index, fault in faults if fault}
        case serializers.CharField():
            fault = _fault_in_text(field, value)
        case serializers.ChoiceField() | serializers.DateTimeField():
            fault = "" if isinstance(value, str) else "This must be a text."
        case _:
            pass
    return fault


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False  # more digits than a number of the databases has


def _fault_in_text(field: serializers.CharField, value: Any) -> str:
    if not isinstance(value, str):
        return "This must be a text."
    if field.trim_whitespace and field.max_length is not None and len(value) > field.max_length:
        # With the space around it: the library counts only after it was taken away.
        return f"At most {field.max_length} characters."
    return ""


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
        super().__init__(
            min_value=0,
            max_value=MAX_WAIT_SECONDS,
            default=0.0,
            help_text="Wait up to so many seconds (at most 60) for news.",
            **options,
        )

    def to_internal_value(self, data: Any) -> float:
        try:
            return wait_seconds(str(data))
        except ValueError:
            raise serializers.ValidationError("wait is a number of seconds from 0 to 60.") from None


class Moment(serializers.DateTimeField):
    """A moment as ISO 8601 in UTC with `Z`; without a zone it is read as UTC."""

    FIRST_YEAR, LAST_YEAR = 1970, 2999
    #: These years as a regular expression.
    PATTERN = r"^(19[7-9]|2[0-9][0-9])[0-9]-"

    def to_internal_value(self, value: Any) -> datetime:
        moment = super().to_internal_value(value)
        # Databases and clients disagree about the calendar of ancient times.
        if moment.year < self.FIRST_YEAR:
            raise serializers.ValidationError("A time before 1970 cannot be right.")
        if moment.year > self.LAST_YEAR:
            raise serializers.ValidationError("A time after 2999 cannot be right.")
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


class Slug(serializers.SlugField):
    """A name that may stand in an address; nothing is taken away around it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=100, trim_whitespace=False, **options)


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
