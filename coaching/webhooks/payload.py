"""The body of a message: `{"type", "timestamp", "data"}`, small enough for every receiver."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

#: What the Standard Webhooks convention asks for: bodies stay below 20 kB.
MAX_BODY_BYTES = 20_000
#: How long texts may be, in characters, the longest that fits.
_TEXTS = (4000, 1000, 200, 50)


def body_of(kind: str, at: datetime, about: Mapping[str, Any], data: Mapping[str, Any]) -> bytes:
    """The JSON text, in at most `MAX_BODY_BYTES`. `about` says what the event belongs to, `data` what it says itself.

    Where it would be larger, long texts in `data` are shortened and `truncated` is true beside them; should that not
    do, only `about` is left. The whole event is at `GET sessions/{id}/events/`.
    """
    body = _encode(kind, at, {**data, **about})
    for longest in _TEXTS:
        if len(body) <= MAX_BODY_BYTES:
            return body
        body = _encode(kind, at, {**_shortened(data, longest), **about, "truncated": True})
    return body if len(body) <= MAX_BODY_BYTES else _encode(kind, at, {**about, "truncated": True})


def _encode(kind: str, at: datetime, data: Mapping[str, Any]) -> bytes:
    timestamp = at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return orjson.dumps({"type": kind, "timestamp": timestamp, "data": data})


def _shortened(value: Any, longest: int) -> Any:
    if isinstance(value, str) and len(value) > longest:
        return value[: longest - 1] + "…"
    if isinstance(value, Mapping):
        return {key: _shortened(each, longest) for key, each in value.items()}
    if isinstance(value, list):
        return [_shortened(each, longest) for each in value]
    return value
