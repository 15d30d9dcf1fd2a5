"""A client of the older protocols cancels a call by another request, which says by which name it called it.

Nothing is kept between requests, so `initialize` answers with a name for the client (`Mcp-Session-Id`) that it sends
along from then on. It is never checked: it only tells the calls of one client from those of another. A cancellation
that reaches another web process than the call is lost, and the call waits until its time is up.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anyio

Result = TypeVar("Result")

SESSION_HEADER = b"mcp-session-id"
#: Nobody who cancels, or introduces themselves, has more to say.
_LONGEST_MESSAGE = 16 * 1024

#: `(authorization, name of the client, its name of the call)`; the last as JSON, in which 1 is not "1".
Key = tuple[bytes, bytes, str]
_running: dict[Key, anyio.CancelScope] = {}


def key_of(headers: Mapping[bytes, bytes], request_id: Any) -> Key | None:
    client = headers.get(SESSION_HEADER, b"")
    return (headers.get(b"authorization", b""), client, json.dumps(request_id)) if client else None


async def unless_cancelled(key: Key | None, run: Callable[[], Awaitable[Result]]) -> Result | None:
    """What `run` answers; None when its client has cancelled it."""
    scope, answer = anyio.CancelScope(), None
    if key is not None:
        _running[key] = scope
    try:
        with scope:
            answer = await run()
    finally:
        if key is not None and _running.get(key) is scope:
            del _running[key]
    return answer


def message_of(body: bytes) -> Mapping[str, Any]:
    """The message, where it is one of the two that matter here; else empty."""
    if len(body) > _LONGEST_MESSAGE or not (b"initialize" in body or b"notifications/cancelled" in body):
        return {}
    with contextlib.suppress(ValueError, RecursionError):
        message = json.loads(body)
        if isinstance(message, dict):
            return message
    return {}


def heed(message: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> None:
    """Cancels the call that is meant, if the message is a cancellation and the call runs here."""
    params = message.get("params")
    if message.get("method") != "notifications/cancelled" or not isinstance(params, dict):
        return
    key = key_of(headers, params.get("requestId"))
    if key is not None and (scope := _running.get(key)):
        scope.cancel()


def introduction(message: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer to `initialize`; none to anything else."""
    if message.get("method") != "initialize":
        return []
    return [(SESSION_HEADER, secrets.token_hex(16).encode())]
