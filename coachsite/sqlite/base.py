"""Writers of one process wait for each other here instead of in SQLite.

SQLite's busy handler sleeps and looks again, ever longer, and whoever comes last may win: with eight writers the
slowest of a hundred waits a hundred times as long as the median. A queue hands the turn on at once, to whoever has
waited longest. Other processes are waited for as before.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError


class Queue:
    """A lock that is given to whoever has waited longest. (Python's own often goes to who has just released it.)"""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, *, timeout: float) -> bool:
        """False when it did not come to our turn within `timeout` seconds."""
        with self._mutex:
            if not self._taken:
                self._taken = True
                return True
            called = threading.Lock()
            called.acquire()
            self._waiting.append(called)
        if called.acquire(timeout=timeout):
            return True
        with self._mutex:
            # Whoever is not in the queue any more was called at the very last moment.
            if called not in self._waiting:
                return True
            self._waiting.remove(called)
            return False

    def release(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False

    def locked(self) -> bool:
        return self._taken


_turn = Queue()


@lru_cache(maxsize=1024)
def _with_question_marks(query: str) -> str:
    """Django's `%s` and `%%` as SQLite has them: the same few statements come again and again."""
    converted: str = base.FORMAT_QMARK_REGEX.sub("?", query).replace("%%", "%")
    return converted


def _busy() -> OperationalError:
    """What SQLite itself says after waiting in vain, with its code: by it the reason is told to who asked."""
    cause = sqlite3.OperationalError("database is locked: other writers of this process did not end in time")
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    error = OperationalError(str(cause))
    error.__cause__ = cause
    return error


class Cursor(base.SQLiteCursorWrapper):
    def convert_query(self, query: str, *, param_names: list[str] | None = None) -> str:
        if param_names is not None:
            named: str = super().convert_query(query, param_names=param_names)
            return named
        return _with_question_marks(query)


class DatabaseWrapper(base.DatabaseWrapper):
    """Takes its turn when a transaction begins, which is `IMMEDIATE`, and gives it on when the transaction ends."""

    _has_the_turn = False
    #: Waits at most so long for the next transaction to begin; None: as the settings say. Seconds.
    _patience: float | None = None
    #: How long SQLite itself waits for other processes now. Seconds.
    _busy_seconds = 0.0

    @contextlib.contextmanager
    def waiting_at_most(self, seconds: float) -> Iterator[None]:
        """The transaction that begins first in this block does not wait longer: raises `OperationalError` instead."""
        self._patience = seconds
        try:
            yield
        finally:
            self._patience = None

    def first_row(self, sql: str, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
        """The first row that a statement answers with, as `execute` and `fetchone` of a cursor would give it.

        Where nobody listens to statements it goes to the driver at once: Django's layers cost as much as it does.
        """
        if self.execute_wrappers or self.queries_logged:
            with self.cursor() as cursor:
                cursor.execute(sql, parameters)
                told: tuple[Any, ...] | None = cursor.fetchone()
                return told
        self.validate_thread_sharing()
        self.validate_no_broken_transaction()
        self.ensure_connection()
        with self.wrap_database_errors, contextlib.closing(self.connection.cursor()) as cursor:
            found: tuple[Any, ...] | None = cursor.execute(_with_question_marks(sql), parameters).fetchone()
        return found

    def create_cursor(self, name: str | None = None) -> Any:  # noqa: ARG002 - as Django calls it
        return self.connection.cursor(factory=Cursor)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self._busy_seconds = self._most_seconds
        return super().get_new_connection(conn_params)

    def _start_transaction_under_autocommit(self) -> None:
        seconds, self._patience = self._patience, None
        seconds = self._most_seconds if seconds is None else seconds
        if seconds != self._busy_seconds:
            # Kept until another transaction wants it otherwise: who is in a hurry once usually is again.
            self.connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")
            self._busy_seconds = seconds
        self._begin(seconds)

    @property
    def _most_seconds(self) -> float:
        return float(self.settings_dict["OPTIONS"].get("timeout", 5))

    def _begin(self, seconds: float) -> None:
        if not _turn.acquire(timeout=seconds):
            raise _busy()
        self._has_the_turn = True
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._give_on()
            raise

    def _give_on(self) -> None:
        if self._has_the_turn:
            self._has_the_turn = False
            _turn.release()

    def _commit(self) -> Any:
        # What cannot be committed is rolled back, and gives the turn on then.
        done = super()._commit()  # type: ignore[misc]
        self._give_on()
        return done

    def _rollback(self) -> Any:
        try:
            return super()._rollback()  # type: ignore[misc]
        finally:
            self._give_on()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._give_on()
