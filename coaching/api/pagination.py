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
_LARGEST_KEY = 2**63 - 1


class PageQuery(QuerySerializer):
    """`?limit=` and `?cursor=` of a list that comes in pages."""

    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT, help_text="How many to return."
    )
    cursor = serializers.CharField(
        required=False, help_text="Where the page begins; taken from `next` of the page before."
    )


def page(
    queryset: QuerySet[Row],
    request: Request,
    serialize: Callable[[Sequence[Row]], Any],
    *,
    by: str = "",
    descending: bool = False,
) -> dict[str, Any]:
    """`{next, results}`: rows ordered by the column `by` and then by key, from the cursor on.

    `next` is the address of the following page, null on the last. Raises `ValidationError` for a bad limit or cursor.
    """
    asked = PageQuery.read(request)
    sign, compare = ("-", "lt") if descending else ("", "gt")
    rows = queryset.order_by(*([sign + by] if by else []), f"{sign}pk")
    if "cursor" in asked:
        value, key = _decode(asked["cursor"], by)
        further = Q(**{f"pk__{compare}": key})
        if by:
            # As "not before" and "further": so the database walks the index from there instead of merging two scans.
            rows = rows.filter(Q(**{f"{by}__{compare}e": value}))
            further |= Q(**{f"{by}__{compare}": value})
        rows = rows.filter(further)
    found = list(rows[: asked["limit"] + 1])
    shown = found[: asked["limit"]]
    more = len(found) > len(shown)
    return {"next": _next(request, shown[-1], by) if more else None, "results": serialize(shown)}


def _next(request: Request, last: Model, by: str) -> str:
    value = getattr(last, by) if by else None
    place = json.dumps([value.isoformat() if isinstance(value, datetime) else value, last.pk])
    cursor = urlsafe_b64encode(place.encode()).decode()
    return replace_query_param(request.build_absolute_uri(), "cursor", cursor)


def _decode(cursor: str, by: str) -> tuple[Any, int]:
    try:
        value, key = json.loads(urlsafe_b64decode(cursor.encode("ascii")))
        if by.endswith("_at"):
            moment = parse_datetime(value)
            value = moment.astimezone(UTC) if moment and moment.tzinfo else None
            valid = value is not None
        else:
            valid = value is None if not by else isinstance(value, str) and b"\0" not in value.encode()
        valid = valid and type(key) is int and 0 <= key <= _LARGEST_KEY
    except (ValueError, TypeError, OverflowError, RecursionError):
        valid = False
    if not valid:
        raise serializers.ValidationError({"cursor": "This cursor did not come from a page of this list."})
    return value, key
