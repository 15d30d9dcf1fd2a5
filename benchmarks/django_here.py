"""Django in the benchmark's own process, on database files of its choice."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

#: Where databases may be made and dropped, for what is measured on PostgreSQL.
POSTGRES = os.environ.get("BENCHMARK_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")


def set_up(folder: Path, *, database_url: str = "") -> None:
    """coachsite with `folder` as its data folder; call it before anything of coachsite is imported.

    On SQLite, or on the PostgreSQL database of `database_url`.
    """
    os.environ["COACHSITE_DATA"] = str(folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "coachsite.settings"
    os.environ["COACHSITE_API_RATE"] = "0"
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    if database_url:
        os.environ["DATABASE_URL"] = database_url
    import django  # noqa: PLC0415

    django.setup()


def use(database: Path) -> None:
    """From now on this thread's connection, and each that is opened later, is to this SQLite file."""
    from django.db import connection, connections  # noqa: PLC0415

    connection.close()
    connections.settings["default"]["NAME"] = connection.settings_dict["NAME"] = str(database)


@contextlib.contextmanager
def using(database: Path) -> Iterator[None]:
    use(database)
    yield
    from django.db import connection  # noqa: PLC0415

    connection.close()


def copied(database: Path, to: Path) -> Path:
    """A copy of a SQLite file that nobody has open."""
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(database, to)
    return to
