"""Pages by keyset: the same cost at a thousand rows and at a hundred million, and no row twice or left out by ties."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from django.utils.dateparse import parse_datetime
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from .serializers import QuerySerializer

Row = TypeVar("Row", bound=Model)

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
#: Characters: the longest name that a list is ordered by, escaped.
MAX_CURSOR = 4000
NO_CURSOR = "This cursor did not come from a page of this list."
_LARGEST_KEY = 2**63 - 1


class PageQuery(QuerySerializer):
    """`?limit=` and `?cursor=` of a list that comes in pages."""

    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT, help_text="How many to return."
    )
    cursor = serializers.RegexField(
        r"^[A-Za-z0-9_-]+={0,2}\Z",
        max_length=MAX_CURSOR,
        required=False,
        trim_whitespace=False,
        help_text="Where the page begins; taken from `next` of the page before.",
        error_messages={"invalid": NO_CURSOR},
    )


def page(
    queryset: QuerySet[Row],
    request: Request,
    serialize: Callable[[Sequence[Row]], Any],
    *,
    by: str | tuple[str, ...] = (),
    descending: bool = False,
) -> dict[str, Any]:
    """`{next, results}`: rows ordered by the columns `by` and then by key, from the cursor on.

    `next` is the address of the following page, null on the last. Raises `ValidationError` for a bad limit or cursor.
    """
    asked = PageQuery.read(request)
    sign, compare = ("-", "lt") if descending else ("", "gt")
    columns = (by,) if isinstance(by, str) else by
    rows = queryset.order_by(*[sign + column for column in columns], f"{sign}pk")
    if "cursor" in asked:
        values, key = _decode(asked["cursor"], columns)
        further = Q(**{f"pk__{compare}": key})
        for column, value in reversed([*zip(columns, values, strict=True)]):
            # As "not before" and "further": so the database walks the index from there instead of merging two scans.
            further = Q(**{f"{column}__{compare}e": value}) & (Q(**{f"{column}__{compare}": value}) | further)
        rows = rows.filter(further)
    found = list(rows[: asked["limit"] + 1])
    shown = found[: asked["limit"]]
    more = len(found) > len(shown)
    return {"next": _next(request, shown[-1], columns) if more else None, "results": serialize(shown)}


def _next(request: Request, last: Model, columns: Sequence[str]) -> str:
    values = [getattr(last, column) for column in columns]
    place = json.dumps([*values, last.pk], default=datetime.isoformat)
    cursor = urlsafe_b64encode(place.encode()).decode()
    return replace_query_param(request.build_absolute_uri(), "cursor", cursor)


def _decode(cursor: str, columns: Sequence[str]) -> tuple[list[Any], int]:
    try:
        *given, key = json.loads(urlsafe_b64decode(cursor.encode("ascii")))
        values = [_value(text, column) for text, column in zip(given, columns, strict=True)]
        valid = type(key) is int and 0 <= key <= _LARGEST_KEY
    except (ValueError, TypeError, OverflowError, RecursionError):
        valid = False
    if not valid:
        raise serializers.ValidationError({"cursor": NO_CURSOR})
    return values, key


def _value(given: Any, column: str) -> Any:
    """A column's value out of a cursor: a moment where its name ends so, a rank, else a text. Raises `ValueError`."""
    if column.endswith("_at"):
        moment = parse_datetime(given)
        if moment is None or moment.tzinfo is None:
            raise ValueError("no moment")
        return moment.astimezone(UTC)
    expected = int if column.endswith("_rank") else str
    if type(given) is not expected or b"\0" in str(given).encode():
        raise ValueError("no such value")
    return given
