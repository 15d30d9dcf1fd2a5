"""Sockets are opened by this site's own pages: the same scheme, host and port, as Django asks it of forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from .asgi import Application, Receive, Send


class OwnPagesOnly:
    """Refuses a socket that a page of another origin opens."""

    def __init__(self, application: Application) -> None:
        self.application, self.refusal = application, WebsocketDenier.as_asgi()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await (self.application if is_our_page(scope) else self.refusal)(scope, receive, send)


def is_our_page(scope: Mapping[str, Any]) -> bool:
    """Whether the Origin is this site at the address that was asked, or one that `CSRF_TRUSTED_ORIGINS` names."""
    headers: dict[bytes, str] = {name.lower(): value.decode("latin1").lower() for name, value in scope["headers"]}
    origin, host = headers.get(b"origin", ""), headers.get(b"host", "")
    if not origin or not validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS):
        return False
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    # Browsers leave the usual port out of both; a client that writes it means the same.
    secure = _is_secure(scope, headers)
    usual = ":443" if secure else ":80"
    ours = f"{'https' if secure else 'http'}://{host}"
    return origin.removesuffix(usual) == ours.removesuffix(usual)


def _is_secure(scope: Mapping[str, Any], headers: Mapping[bytes, str]) -> bool:
    """As Django's `is_secure`: our proxy says so, where there is one."""
    if said := settings.SECURE_PROXY_SSL_HEADER:
        name, value = said
        found = headers.get(name.removeprefix("HTTP_").replace("_", "-").lower().encode())
        if found is not None:
            return found.split(",")[0].strip() == str(value)
    return str(scope.get("scheme", "ws")) in {"wss", "https"}
