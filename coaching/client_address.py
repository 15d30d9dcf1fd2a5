"""Where a request comes from, as far as it can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest

MAX_LENGTH = 64


def of_request(request: HttpRequest) -> str:
    """The client's IP address, of which `COACHSITE_PROXIES` may tell; empty where it has none."""
    return _believed(request.META.get("REMOTE_ADDR") or "", request.META.get("HTTP_X_FORWARDED_FOR", ""))


def of_scope(scope: Mapping[str, Any]) -> str:
    """The same of an ASGI connection."""
    forwarded = [value.decode("latin1") for name, value in scope["headers"] if name.lower() == b"x-forwarded-for"]
    client = scope.get("client")
    return _believed(str(client[0]) if client else "", ",".join(forwarded))


def _believed(peer: str, forwarded: str) -> str:
    """Each of our own proxies adds who it was asked by at the end: what stands before those is anybody's word."""
    proxies = settings.COACHSITE_PROXIES
    named = [part.strip() for part in forwarded.split(",") if part.strip()]
    if proxies and named:
        peer = named[-min(proxies, len(named))]
    return peer[:MAX_LENGTH]
