"""Who calls, and what the address that they call says of their run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from rest_framework.exceptions import AuthenticationFailed

from ..api.authentication import TokenAuthentication
from ..roles import DECIDE
from .errors import ToolError

P = ParamSpec("P")
R = TypeVar("R")

#: Where the door leaves the caller for the tools.
SCOPE_KEY = "coachsite.caller"
#: What does not look like a token is none: the library would stumble over bytes that are no text.
_CREDENTIALS = re.compile(rb"(?:token|bearer) +([A-Za-z0-9_]+)", re.IGNORECASE)
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="mcp")


async def in_thread(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """`function` on one of this door's few threads: many that wait never take all of the process's."""
    run = database_sync_to_async(function, thread_sensitive=False, executor=_threads)
    result: R = await run(*arguments, **named)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`authorization` is kept to look again during a long wait; `run` are the parameters of the address.

    `must_wait`: for so many seconds it has asked often enough.
    """

    user: User
    must_wait: float
    authorization: bytes
    run: Mapping[str, str]

    def needs(self, permission: str) -> None:
        """Raises `ToolError` without the permission."""
        if not self.user.has_perm(permission):
            raise ToolError("permission_denied", "Not with the role of this token’s user.")

    def still_may(self) -> None:
        """Raises `ToolError` when the token was withdrawn, or the role, since the call began."""
        found = who_is(self.authorization)
        if found is None:
            raise ToolError("not_authenticated", "The token is not valid any more.")
        if not found[0].has_perm(DECIDE):
            raise ToolError("permission_denied", "The user of this token may not decide any more.")


def who_is(authorization: bytes) -> tuple[User, str] | None:
    """The user and the key of `Token …` or `Bearer …`: programs say the one, MCP clients the other."""
    found = _CREDENTIALS.fullmatch(authorization.strip())
    if not found:
        return None
    try:
        user, token = TokenAuthentication().authenticate_credentials(found[1])
    except AuthenticationFailed:
        return None
    return (user, token.pk) if isinstance(user, User) else None
