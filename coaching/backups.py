"""Backups: the database as it is at one moment, the pictures, and the key that opens the secrets in it.

A backup is a folder. Its `manifest.json` is written last: a folder without one is not a whole backup. The profiles of
browsers are not in it; a session that is restored gets a new browser at its last address, as after a crash.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from .models import Session

SQLITE_FILE, POSTGRES_FILE = "coachsite.sqlite3", "coachsite.dump"
MANIFEST, MEDIA, KEY = "manifest.json", "media", "secret_key"


class BackupFailed(Exception):
    """Why nothing was, or not all is, backed up or restored, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """`with_key`: the secret key is in it. Else it comes from the environment, and is to be kept elsewhere."""

    pictures: int
    with_key: bool


def make_backup(folder: Path) -> Made:
    """Writes a backup into `folder`, which is made, or empty. coachsite may go on meanwhile. Raises `BackupFailed`."""
    if Session._meta.db_table not in connection.introspection.table_names():
        raise BackupFailed(f"There is no coachsite in {here()}: COACHSITE_DATA or DATABASE_URL names another place.")
    with _in_words(f"{folder} cannot be written to"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(folder.iterdir()):
            raise BackupFailed(f"{folder} is not empty: give each backup a folder of its own.")
        (_dump_sqlite if connection.vendor == "sqlite" else _dump_postgres)(folder)
        # After the database: so every picture that it names was there.
        pictures = _copy_pictures(Path(settings.MEDIA_ROOT), folder / MEDIA)
        with_key = _kept_key().is_file() and "SECRET_KEY" not in os.environ
        if with_key:
            _write_key(folder / KEY, settings.SECRET_KEY)
        manifest = {
            "made_at": timezone.now().isoformat(),
            "database": connection.vendor,
            "migrations": sorted(map(list, MigrationLoader(connection).applied_migrations)),
            "pictures": pictures,
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    return Made(pictures=pictures, with_key=with_key)


def restore_backup(folder: Path) -> int:
    """Restores into an empty database and an empty folder of pictures; returns how many sessions there are now.

    Raises `BackupFailed`, before anything is written where it can be known by then.
    """
    manifest = _manifest(folder)
    if manifest["database"] != connection.vendor:
        raise BackupFailed(f"This backup is of {manifest['database']}; here is {connection.vendor}.")
    if unknown := {tuple(each) for each in manifest["migrations"]} - set(MigrationLoader(None).disk_migrations):
        name = " ".join(min(unknown))
        raise BackupFailed(f"This backup was made by another coachsite than this one: “{name}” is not known here.")
    if connection.introspection.table_names():
        raise BackupFailed(f"There is a database already in {here()}: restore into an empty one.")
    media = Path(settings.MEDIA_ROOT)
    if media.is_dir() and any(media.iterdir()):
        raise BackupFailed(f"There are pictures already: empty {media} first.")
    connection.close()
    with _in_words("The backup cannot be restored"):
        (_load_sqlite if connection.vendor == "sqlite" else _load_postgres)(folder)
        _copy_pictures(folder / MEDIA, media)
        if (folder / KEY).is_file() and "SECRET_KEY" not in os.environ:
            _write_key(_kept_key(), (folder / KEY).read_text().strip())
    call_command("migrate", interactive=False, verbosity=0)
    # Whoever acted for a session then does not now.
    Session.objects.update(lease_owner="", lease_until=None, host="")
    return Session.objects.count()


def here() -> str:
    """Where the data of this site is, for people."""
    return (
        str(settings.DATA_DIR) if connection.vendor == "sqlite" else f"the database {connection.settings_dict['NAME']}"
    )


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise BackupFailed(f"{folder} is not a whole backup: its {MANIFEST} cannot be read.") from error
    return manifest


@contextlib.contextmanager
def _in_words(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"{what}: {getattr(error, 'strerror', None) or error}.") from error


def _dump_sqlite(folder: Path) -> None:
    """By SQLite's online backup, in one step: as of one moment, while others go on reading and writing."""
    connection.ensure_connection()
    with contextlib.closing(sqlite3.connect(folder / SQLITE_FILE)) as copy:
        connection.connection.backup(copy)
        # One file, without the log beside it that the original has.
        copy.execute("PRAGMA journal_mode=DELETE")
        if (said := copy.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise BackupFailed(f"The copy of the database is not sound: {said}.")
    (folder / SQLITE_FILE).chmod(0o600)


def _load_sqlite(folder: Path) -> None:
    target = Path(str(connection.settings_dict["NAME"]))
    with (
        contextlib.closing(sqlite3.connect(f"file:{folder / SQLITE_FILE}?mode=ro", uri=True)) as kept,
        contextlib.closing(sqlite3.connect(target)) as database,
    ):
        kept.backup(database)
    target.chmod(0o600)


def _dump_postgres(folder: Path) -> None:
    arguments, environment = _postgres_client()
    _run(["pg_dump", "--format=custom", "--no-owner", f"--file={folder / POSTGRES_FILE}", *arguments], environment)
    (folder / POSTGRES_FILE).chmod(0o600)


def _load_postgres(folder: Path) -> None:
    (*arguments, database), environment = _postgres_client()
    options = ["--no-owner", "--exit-on-error", "--single-transaction"]
    _run(["pg_restore", *options, *arguments, f"--dbname={database}", str(folder / POSTGRES_FILE)], environment)


def _postgres_client() -> tuple[list[str], dict[str, str]]:
    """How PostgreSQL's own programs reach the database: their arguments, its name last, and their environment."""
    command, environment = connection.client.settings_to_cmd_args_env(connection.settings_dict, [])
    return list(command[1:]), {**os.environ, **(environment or {})}


def _run(command: list[str], environment: dict[str, str]) -> None:
    if not shutil.which(command[0]):
        raise BackupFailed(f"{command[0]} is missing: install PostgreSQL’s client programs, of the server’s version.")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BackupFailed(f"{command[0]} failed: {done.stderr.strip()[-500:]}")


def _copy_pictures(source: Path, target: Path) -> int:
    """Copies what is there; returns how many files. What is deleted meanwhile is left out."""
    count = 0
    for file in sorted(source.rglob("*")) if source.is_dir() else []:
        if file.is_file():
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(file, copy)
                count += 1
    return count


def _kept_key() -> Path:
    return Path(settings.DATA_DIR) / "secret_key"


def _write_key(path: Path, key: str) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
        file.write(key)
