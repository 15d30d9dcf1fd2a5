"""Who may come in at `/mcp/`, before anything of their request is read."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.http.request import validate_host

from ..api.throttling import seconds_to_wait
from ..asgi import Application, Message, Receive, Send
from ..client_address import of_scope
from ..guessing import failed
from ..unavailable import CODE, RETRY_AFTER_SECONDS, why_unavailable, with_advice
from .caller import SCOPE_KEY, Caller, in_thread, who_is

logger = logging.getLogger(__name__)

PATHS = ("/mcp", "/mcp/")
_DIGITS = 12
#: What a client may say of its run, as a parameter of the address or as a header.
RUN_HEADERS = {
    b"x-coachsite-workflow-id": "workflow_id",
    b"x-coachsite-execution-id": "execution_id",
    b"x-coachsite-mode": "mode",
    b"x-coachsite-wait-seconds": "wait_seconds",
}


class McpDoor:
    """Serves `/mcp/` itself and hands everything else on.

    In this order: an address or Origin that is not ours (DNS rebinding), no valid token, another method than POST, a
    body over `limit` bytes. Only then the library is imported, and reads what was sent.
    """

    def __init__(self, application: Application, *, limit: int) -> None:
        self.application, self.limit = application, limit

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path not in PATHS and not path.startswith("/mcp/"):
            await self.application(scope, receive, send)
            return
        try:
            await self._ask_in(scope, receive, send)
        except Exception as error:
            # Raised while asking who comes: what is let in has its errors answered below.
            why = why_unavailable(error)
            if not why:
                raise
            logger.warning("A request to /mcp/ could not be served: %s", why)
            again = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            await _refuse(send, 503, CODE, with_advice(why), again)

    async def _ask_in(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        path = scope["path"]
        headers = {name.lower(): value for name, value in scope["headers"]}
        if path not in PATHS:
            await _refuse(send, 404, "not_found", "There is nothing here; the address is /mcp/.")
        elif not _is_ours(headers):
            await _refuse(send, 403, "permission_denied", "This host or Origin is not one of this site’s.")
        elif (caller := await _caller(scope, headers)) is None:
            await _refuse_nobody(send, await in_thread(failed, of_scope(scope)) if b"authorization" in headers else 0)
        elif caller.must_wait:
            words = "Too many requests with this token."
            await _refuse(send, 429, "throttled", words, {"Retry-After": str(math.ceil(caller.must_wait))})
        elif scope["method"] != "POST":
            await _refuse(send, 405, "method_not_allowed", "Only POST: nothing is kept between two.", {"Allow": "POST"})
        else:
            await self._let_in({**scope, SCOPE_KEY: caller}, headers, receive, send)

    async def _let_in(
        self, scope: dict[str, Any], headers: Mapping[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        said = headers.get(b"content-length", b"")
        if said.isdigit() and (len(said) > _DIGITS or int(said) > self.limit):
            await self._too_large(send)
            return
        body = await self._read(receive)
        if body is None:
            return
        if len(body) > self.limit:
            await self._too_large(send)
            return
        await _serve(scope, body, receive, send)

    async def _too_large(self, send: Send) -> None:
        await _refuse(send, 413, "too_large", f"At most {self.limit // (1024 * 1024)} MiB are accepted here.")

    async def _read(self, receive: Receive) -> bytes | None:
        """The body, or a little more than the limit of it; None when the client went away before its end."""
        body = bytearray()
        while len(body) <= self.limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        return bytes(body)


async def _refuse_nobody(send: Send, must_wait: float) -> None:
    """`must_wait`: too many wrong tokens came from there."""
    if must_wait:
        words = "Too many wrong tokens from this address."
        await _refuse(send, 429, "throttled", words, {"Retry-After": str(math.ceil(must_wait))})
    else:
        said = {"WWW-Authenticate": 'Bearer realm="coachsite"'}
        await _refuse(send, 401, "not_authenticated", "A valid token is needed.", said)


async def _serve(scope: dict[str, Any], body: bytes, receive: Receive, send: Send) -> None:
    begun = False

    async def watched(message: Message) -> None:
        nonlocal begun
        begun = True
        await send(message)

    try:
        # In a thread: it takes about a second the first time, during which the site must go on answering.
        server = await in_thread(import_module, "coaching.mcp.server")
        await server.serve(scope, body, receive, watched)
    except Exception as error:
        if why_unavailable(error) and not begun:
            raise
        logger.exception("A request to /mcp/ failed.")
        if not begun:
            await _refuse(send, 500, "error", "Something went wrong in coachsite; its log says what.")


async def _caller(scope: dict[str, Any], headers: Mapping[bytes, bytes]) -> Caller | None:
    authorization = headers.get(b"authorization", b"")
    found = await in_thread(_counted, authorization) if authorization else None
    if found is None:
        return None
    user, must_wait = found
    run = {name: headers[header].decode("latin1") for header, name in RUN_HEADERS.items() if header in headers}
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin1")))
    said = {name: value for name, value in (run | query).items() if "\0" not in value}
    return Caller(user=user, must_wait=must_wait, authorization=authorization, run=said)


def _counted(authorization: bytes) -> tuple[User, float] | None:
    """Who it is, and for how long they must wait, this request being counted as one of the API's."""
    found = who_is(authorization)
    return (found[0], seconds_to_wait(f"token:{found[1]}")) if found else None


def _is_ours(headers: Mapping[bytes, bytes]) -> bool:
    """A page of another site may send what it likes here, but its browser says whose page it is."""
    host = headers.get(b"host", b"").decode("latin1")
    if not _allowed(f"//{host}"):
        return False
    origin = headers.get(b"origin")
    if origin is None:
        return True
    text = origin.decode("latin1")
    return text in settings.CSRF_TRUSTED_ORIGINS or (text.startswith(("http://", "https://")) and _allowed(text))


def _allowed(address: str) -> bool:
    try:
        name = urlsplit(address).hostname
    except ValueError:
        return False
    if not name:
        return False
    return validate_host(f"[{name}]" if ":" in name else name, settings.ALLOWED_HOSTS)


async def _refuse(send: Send, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
    """The one shape of errors, as everywhere in the API."""
    kind = "server_error" if status >= 500 else "client_error"
    body = json.dumps({"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}, ensure_ascii=False)
    said = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"} | dict(headers or {})
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in said.items()]
            + [(b"content-length", str(len(body.encode())).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body.encode(), "more_body": False})
