"""What `httpx` needs to know, for both clients."""

from __future__ import annotations

from typing import Any

import httpx

from ._wire import Reply, Request, Trouble
from .errors import CoachError

CONNECT_SECONDS = 10.0
#: These do not get better by waiting.
HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


def base_of(url: str) -> str:
    """The address of the API, with a slash at its end."""
    url = url.rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise CoachError(f"“{url}” is no address of a coachsite: it begins with http:// or https://.")
    return f"{url.removesuffix('/api/v1')}/api/v1/"


def arguments(base: str, token: str, request: Request) -> dict[str, Any]:
    """Of `httpx.Client.request`."""
    return {
        "method": request.method,
        "url": base + request.path,
        "params": dict(request.params),
        "content": request.content,
        "headers": request.headers | {"Authorization": f"Token {token}"},
        "timeout": httpx.Timeout(request.timeout, connect=CONNECT_SECONDS),
        "follow_redirects": False,
    }


def reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.content)


def trouble(error: Exception, base: str) -> Trouble:
    """Raises `CoachError` for what waiting does not mend."""
    if isinstance(error, (*HOPELESS, httpx.InvalidURL)):
        raise CoachError(f"{base} cannot be reached: {error}") from error
    return Trouble(f"{base} gives no answer ({str(error) or type(error).__name__})")
