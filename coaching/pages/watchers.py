"""Who has a session's panel open in this process."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator

from ..hub import Subscription

_watching: defaultdict[int, dict[Subscription, str]] = defaultdict(dict)


@contextlib.contextmanager
def watching(session_pk: int, subscription: Subscription, name: str) -> Iterator[None]:
    """Counts `name` among the watchers, and wakes the others when that changes."""
    _watching[session_pk][subscription] = name
    _wake_others(session_pk, subscription)
    try:
        yield
    finally:
        del _watching[session_pk][subscription]
        _wake_others(session_pk, subscription)
        if not _watching[session_pk]:
            del _watching[session_pk]


def names(session_pk: int) -> tuple[str, ...]:
    """The names of those who watch now, one for each window."""
    return tuple(sorted(_watching.get(session_pk, {}).copy().values()))


def _wake_others(session_pk: int, subscription: Subscription) -> None:
    for other in _watching[session_pk]:
        if other is not subscription:
            other.wake()
