"""Who is calling: a token for programs, the session cookie for pages."""

from __future__ import annotations

import re
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
        found = _token.get(hash_token(token.decode()))
        if found and found.user.is_active and (found.expiry is None or found.expiry > timezone.now()):
            return with_permissions(found.user), found
        return super().authenticate_credentials(token)


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
