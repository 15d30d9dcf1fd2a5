"""On whose request this thread is working, for what must be written down of it. No door and no verb decides by this."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User

#: Names of account that are nobody's are at most as long as one.
MAX_NAME = 150


@dataclass(frozen=True, slots=True)
class Acting:
    """`who` is asked late: an API token is read long after the request has come in."""

    who: Callable[[], User | AnonymousUser | None]
    address: str


_current: ContextVar[Acting | None] = ContextVar("acting", default=None)


@contextmanager
def acting(who: Callable[[], User | AnonymousUser | None], address: str) -> Iterator[None]:
    before = _current.set(Acting(who, address))
    try:
        yield
    finally:
        _current.reset(before)


def person() -> User | None:
    """Whose request it is; None outside of requests, or where nobody is signed in."""
    current = _current.get()
    user = current.who() if current else None
    return user if isinstance(user, User) else None


def address() -> str:
    """Where the request came from; empty outside of requests."""
    current = _current.get()
    return current.address if current else ""


def is_request() -> bool:
    return _current.get() is not None
