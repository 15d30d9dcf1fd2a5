"""Who is calling: a token for programs, the session cookie for pages."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from typing import Any

from django.utils import timezone
from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from knox.auth import TokenAuthentication as KnoxAuthentication
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from .. import rows
from ..client_address import of_request
from ..guessing import failed
from ..permitted import with_permissions

_token = rows.Read(AuthToken.objects.select_related("user"), "digest")
_LOOKS_LIKE_A_TOKEN = re.compile(rb"[A-Za-z0-9_]+")


class TokenAuthentication(KnoxAuthentication):  # type: ignore[misc]
    """`Authorization: Token …`. Whoever sends too many wrong ones is told to wait."""

    def authenticate(self, request: Request) -> Any:
        try:
            return super().authenticate(request)
        except AuthenticationFailed:
            if wait := failed(of_request(request)):
                raise Throttled(wait) from None
            raise

    def authenticate_credentials(self, token: bytes) -> Any:
        # knox decodes the header as UTF-8 and would answer other bytes with a 500.
        if not _LOOKS_LIKE_A_TOKEN.fullmatch(token):
            raise AuthenticationFailed("Invalid token.")
        # One statement for what is right; knox looks for all outdated tokens of the user each time. What is not right
        # is refused, and what has expired removed, in its way.
        found = _known(hash_token(token.decode()))
        if found and found.user.is_active and (found.expiry is None or found.expiry > timezone.now()):
            return found.user, found
        return super().authenticate_credentials(token)


class _Here(threading.local):
    """What this thread has read, where several requests share its transaction."""

    tokens: dict[str, Any] | None = None


_here = _Here()


@contextlib.contextmanager
def reading_each_token_once() -> Iterator[None]:
    """For a transaction that keeps all other writers out: what was read in it stays true until its end.

    None of the requests inside may withdraw a token, or change what a user may do.
    """
    _here.tokens = {}
    try:
        yield
    finally:
        _here.tokens = None


def _known(digest: str) -> Any:
    """The token with its user, who knows what it may do; None where there is no such token."""
    if _here.tokens is not None and digest in _here.tokens:
        return _here.tokens[digest]
    found = _token.get(digest)
    if found:
        with_permissions(found.user)
        if _here.tokens is not None:
            _here.tokens[digest] = found
    return found


class TokenScheme(KnoxTokenScheme):  # type: ignore[no-untyped-call]
    """How the OpenAPI document describes it."""

    target_class = "coaching.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, _auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "The word `Token`, a space, and what `manage.py issue_token` printed.",
        }
