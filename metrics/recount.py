"""After an upgrade from a version that did not count, or counted less, everything is counted once."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from django.db import connections
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor

from coaching.models import Session

from .rebuild import rebuild

#: The last migration that made more of what was kept before.
_MADE_MORE = ("metrics", "0004_evidence_from_before")


def recount(*, using: str, verbosity: int = 1, plan: Iterable[tuple[Migration, bool]] = (), **known: Any) -> None:
    """Receiver of `post_migrate`: only then are all the tables as this version knows them."""
    forwards = {(migration.app_label, migration.name) for migration, backwards in plan if not backwards}
    if _MADE_MORE not in forwards or _something_is_left(using) or not Session.objects.exists():
        return
    found = sum(1 for _difference in rebuild())
    if verbosity:
        (known.get("stdout") or sys.stdout).write(f"  Counted all metrics anew: {found} numbers differed.\n")


def _something_is_left(using: str) -> bool:
    executor = MigrationExecutor(connections[using])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
