"""Who has a session's panel open in this process."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Protocol


class Waker(Protocol):
    """What tells one or many windows that others watch now."""

    def wake(self) -> None: ...


_watching: defaultdict[int, dict[Waker, list[str]]] = defaultdict(dict)


@contextlib.contextmanager
def watching(session_pk: int, waker: Waker, name: str) -> Iterator[None]:
    """Counts `name` among the watchers, and wakes the others when that changes."""
    names = _watching[session_pk].setdefault(waker, [])
    # One that stands for many windows wakes the others among them.
    _wake(session_pk, without=None if names else waker)
    names.append(name)
    try:
        yield
    finally:
        names.remove(name)
        if not names:
            del _watching[session_pk][waker]
        _wake(session_pk)
        if not _watching[session_pk]:
            del _watching[session_pk]


def names(session_pk: int) -> tuple[str, ...]:
    """The names of those who watch now, one for each window."""
    return tuple(sorted(name for listed in _watching.get(session_pk, {}).copy().values() for name in listed))


def _wake(session_pk: int, *, without: Waker | None = None) -> None:
    for waker in _watching[session_pk]:
        if waker is not without:
            waker.wake()
