"""Who is at the other end of a socket: a browser with its login, or a program with its token.

A browser sends its cookies to any site's socket, so its Origin must be ours: scheme, host and port, as for forms. A
program that sends a token sends no cookies, and needs no Origin.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from channels.auth import AuthMiddlewareStack, get_user
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from rest_framework.exceptions import AuthenticationFailed

from .api.authentication import TokenAuthentication
from .asgi import Application, Receive, Send
from .own_pages import OwnPagesOnly
from .unavailable import why_unavailable

Scope = dict[str, Any]

#: Closes a socket that cannot be served now: a client that reads codes comes back by itself.
TRY_AGAIN = 1013


class SocketAuth:
    """Lets programs with an `Authorization` header pass as they are, everybody else by Origin and cookie."""

    def __init__(self, application: Application) -> None:
        self.programs = application
        self.browsers = OwnPagesOnly(AuthMiddlewareStack(application))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: dict[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await (self.programs if authorization(scope) else self.browsers)(scope, receive, watched)
        except Exception as error:
            if begun or not why_unavailable(error):
                raise
            # Accepted first: a browser does not read the code of a refusal.
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": TRY_AGAIN})


def authorization(scope: Scope) -> bytes:
    found: bytes = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    return found.strip()


async def socket_user(scope: Scope) -> User | None:
    """Who is signed in now, read anew: a login may have ended, a token been withdrawn, since the socket opened."""
    header = authorization(scope)
    if header:
        user: User | None = await database_sync_to_async(_user_of_token)(header)
        return user
    session = scope.get("session")
    if session is None or not session.session_key:
        return None
    store = import_module(settings.SESSION_ENGINE).SessionStore(session.session_key)
    current = await get_user({"session": store})
    return current if isinstance(current, User) and current.is_active else None


def _user_of_token(header: bytes) -> User | None:
    prefix, _, token = header.partition(b" ")
    authentication = TokenAuthentication()
    if prefix.lower() != authentication.authenticate_header(None).lower().encode() or not token:
        return None
    try:
        user, _ = authentication.authenticate_credentials(token.strip())
    except (AuthenticationFailed, UnicodeDecodeError):
        return None
    return user if isinstance(user, User) else None
