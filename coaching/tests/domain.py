"""What the tests of the domain ask again and again."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from coaching.actions.autonomy import promote, set_policy
from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import abandon_session, start_session
from coaching.actions.suggestions import Proposal, open_suggestion
from coaching.models import Session, Workflow


def event_types(session: Session) -> list[str]:
    return list(session.events.order_by("seq").values_list("type", flat=True))


def assert_consistent(session: Session) -> None:
    """What must hold for every session at any moment."""
    session.refresh_from_db()
    numbers = list(session.events.order_by("seq").values_list("seq", flat=True))
    assert numbers == list(range(1, session.last_seq + 1))
    assert session.suggestions_made == session.decisions.count() == sum(session.stats().values()) / 2
    assert session.suggestions.open().count() <= (1 if session.is_ongoing else 0)
    assert (session.completed_at is None) == session.is_ongoing


def everything_stored() -> str:
    """Every value of every table as text, and on SQLite the very bytes of the database's files."""
    texts: list[str] = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            texts.extend(str(row) for row in cursor.fetchall())
    if connection.vendor == "sqlite":
        database = str(connection.settings_dict["NAME"])
        files = [file for file in (database, f"{database}-wal") if Path(file).exists()]
        # Read by another process: closing a file gives up all locks that this process holds on it, SQLite's too, and
        # the next process to leave the database would take its log away from under this one's connections.
        texts.append(subprocess.run(["cat", *files], capture_output=True, check=True).stdout.decode("latin1"))
    return "\n".join(texts)


def together(*calls: Callable[[], Any]) -> list[Any]:
    """The results of `calls`, all begun at the same moment in threads of their own; an exception is a result too."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        start.wait(timeout=30)
        try:
            return call()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=len(calls)) as threads:
        return list(threads.map(run, calls))


def make_auto(workflow: Workflow, *, by: User, but: Collection[str] = (), accepts: int = 30) -> None:
    """Gives the steps (all `but` those named) the evidence that it takes, then promotes them as an owner does.

    The evidence comes from the decisions of another session, so many accepts for each step; with fewer than it takes,
    an easier policy holds meanwhile.
    """
    policy = workflow.policy
    if accepts < 30:
        set_policy(workflow, {"min_decisions": 1, "confidence": 0, "confidence_irreversible": 0})
    steps = [step for step in workflow.current_steps() if step.node_id not in but]
    session = start_session(workflow, by=by, variables=dict.fromkeys(secret_variables(workflow), "a secret"))
    for step in steps:
        for _ in range(accepts):
            proposal = Proposal(
                step_index=step.step_index or 0, node_id=step.node_id, action_type=step.version.action_type,
                action=step.version.action, description=step.version.description, step_version=step.version,
            )  # fmt: skip
            decide(open_suggestion(session, proposal), Answer(decision="accept"), by=by)
            session.suggestions.filter(outcome=None).update(outcome="performed")
    abandon_session(session, by=by)
    promote(workflow, node_ids=[step.node_id for step in steps], by=by)
    set_policy(workflow, policy)


def secret_variables(workflow: Workflow) -> list[str]:
    return list(workflow.variables.filter(secret=True).values_list("name", flat=True))
