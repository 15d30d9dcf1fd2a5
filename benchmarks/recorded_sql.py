"""The SQL of product code, recorded once and executed again by a bare driver.

What is recorded are the statements with their parameters, as the driver gets them, transaction by transaction. Executed
in the same order on an equal file, with the same pragmas, they do the same work: what remains is what Django and
coachsite add.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

Statement = tuple[str, tuple[Any, ...]]
#: The statements of one unit of work, as a driver takes them. A COMMIT stands where Django commits.
Work = list[Statement]


class _Recorder:
    def __init__(self) -> None:
        self.work: Work = []

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if many:
            raise ValueError("executemany is not recorded")
        given = tuple(params or ())
        # psycopg takes the marks that Django writes, the driver of SQLite others.
        marked = given and context["connection"].vendor == "sqlite"
        self.work.append((sql % (("?",) * len(given)) if marked else sql, given))
        return execute(sql, params, many, context)


@contextlib.contextmanager
def recording() -> Iterator[Work]:
    """The statements that this thread's connection executes inside the block."""
    from django.db import connection  # noqa: PLC0415 - the bare application executes without Django

    recorder = _Recorder()
    here: Any = connection
    commit = here._commit  # noqa: SLF001 - Django has no hook for the end of a transaction

    def committing() -> Any:
        recorder.work.append(("COMMIT", ()))
        return commit()

    here._commit = committing  # noqa: SLF001
    try:
        with connection.execute_wrapper(recorder):
            yield recorder.work
    finally:
        del here._commit  # noqa: SLF001


def record(acts: list[Callable[[], object]]) -> list[Work]:
    """The work of each act, in order."""
    found = []
    for act in acts:
        with recording() as work:
            act()
        found.append(list(work))
    return found


def plain(works: list[Work]) -> list[Work]:
    """Without the classes of Django and coachsite, which are not needed to execute it elsewhere."""
    return [
        [(sql, tuple(str(value) if isinstance(value, str) else value for value in given)) for sql, given in work]
        for work in works
    ]


def opened(database: Path, init_command: str) -> sqlite3.Connection:
    """A connection of the bare driver with the pragmas that Django is told to set; it starts no transaction itself."""
    bare = sqlite3.connect(database, isolation_level=None, timeout=30, check_same_thread=False)
    bare.executescript(init_command)
    bare.execute("PRAGMA foreign_keys = ON")
    return bare


def bare_connection(database: Path) -> sqlite3.Connection:
    """The same, by coachsite's settings."""
    from django.conf import settings  # noqa: PLC0415

    return opened(database, settings.DATABASES["default"]["OPTIONS"]["init_command"])


def execute_with_psycopg(bare: psycopg.Connection[Any], work: Work) -> None:
    """On a connection that begins a transaction by itself, as Django's does."""
    for sql, parameters in work:
        if sql == "COMMIT":
            bare.commit()
            continue
        cursor = bare.execute(sql, parameters)
        if cursor.description:
            cursor.fetchall()


def execute(bare: sqlite3.Connection, work: Work) -> None:
    for sql, parameters in work:
        cursor = bare.execute(sql, parameters)
        if cursor.description:
            cursor.fetchall()
