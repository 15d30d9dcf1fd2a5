"""Faults of the database and the disk: told apart from mistakes of ours, put into words, and answered with 503.

Such a fault passes by itself, or when whoever runs the site has dealt with it, and the same request then succeeds.
`docs/faults.md` says what happens at each.
"""

from __future__ import annotations

import errno
import sqlite3

from django.db import DataError, Error, IntegrityError, InterfaceError, OperationalError

CODE = "unavailable"
RETRY_AFTER_SECONDS = 5

DISK_FULL = "The disk of this site is full, so nothing can be kept. What was answered before is safe."
DISK_FAILS = "The disk of this site cannot be written to. What was answered before is safe."
BUSY = "The database has been busy with something else for too long. What was answered before is safe."
UNREACHABLE = "The database cannot be reached at the moment. What was answered before is safe."
AGAIN = "Send it again in a few seconds."

_SQLITE = {
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_PROTOCOL: BUSY,
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_IOERR: DISK_FAILS,
    sqlite3.SQLITE_CANTOPEN: DISK_FAILS,
    sqlite3.SQLITE_READONLY: DISK_FAILS,
    sqlite3.SQLITE_NOMEM: UNREACHABLE,
}
#: PostgreSQL, by the beginning of its code: https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL = {
    "53100": DISK_FULL,
    "58030": DISK_FAILS,
    "08": UNREACHABLE,
    "53": UNREACHABLE,
    "57": UNREACHABLE,
    "58": UNREACHABLE,
    "55P03": BUSY,
    "40": BUSY,
    # Read only: a standby, or a server that is being moved.
    "25006": UNREACHABLE,
}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_WRITING = {errno.EROFS, errno.EIO}


def why_unavailable(error: BaseException | None) -> str:
    """What is the matter with the database or the disk, for whoever asked; empty when `error` is something else."""
    if isinstance(error, Error) and not isinstance(error, DataError | IntegrityError):
        return _of_database(error)
    if isinstance(error, OSError):
        return DISK_FULL if error.errno in _NO_ROOM else DISK_FAILS if error.errno in _NO_WRITING else ""
    return ""


def _of_database(error: Error) -> str:
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        # The low byte is the kind of error, the rest a detail. Without a code it is a mistake of the program.
        return _SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF, "")
    code = getattr(cause, "sqlstate", None)
    if code:
        return next((words for start, words in _POSTGRESQL.items() if code.startswith(start)), "")
    # A connection that is gone, or was never made, has no code; neither has a pool without a free one.
    return UNREACHABLE if isinstance(error, OperationalError | InterfaceError) else ""


def with_advice(words: str) -> str:
    return f"{words} {AGAIN}"
