"""Database files with many sessions, made once per size by SQL and copied for each use.

Every session has a decided suggestion, its decision and four events; the newest ones are under way, the others have
ended. Sessions are spread over `WORKFLOWS` workflows and the last `DAYS` days alike at every size, and so many are
under way at every size: files differ only in how much history they hold. The tallies are those that
`manage.py rebuild_metrics --check` finds right.

A row is a model's own defaults with SQL in place of what differs from session to session, so a new column needs nothing
here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connection, models
from django.utils import timezone

from coaching.actions.workflows import create_workflow
from coaching.models import Decision, Session, SessionEvent, Step, Suggestion, Workflow
from metrics.collector import keep, tally_of
from metrics.contributions import Contributions, Made, Place, from_decisions, from_sessions, store
from metrics.tally import Decided, Tally, after_decision

from .django_here import copied, use

WORKFLOWS, STEPS, DAYS = 5, 11, 90
ACTIVE, PAUSED = 100, 50
#: The kinds of decisions of one step, over and over: 85 to 90 % of those that count are accepted.
KINDS = ("accept",) * 6 + ("correct",) + ("accept",) * 5 + ("reject", "manual") + ("accept",) * 5 + ("skip",)
KEPT_IN = Path(__file__).resolve().parents[1] / "var" / "benchmarks"
ACTION = {"type": "click", "selectors": [["aria/Approve"], ["#approve"]], "offsetX": 5, "offsetY": 5}
CORRECTED = ACTION | {"selectors": [["aria/Approve all"], ["#approve-all"]]}
NUMBERS = "WITH RECURSIVE number(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM number WHERE i + 1 < %s)"

Sql = Mapping[str, str]


def template(sessions: int) -> Path:
    """The file with so many sessions; made when it is not there yet, or was made by other code or another day."""
    file = KEPT_IN / f"{sessions}-{_stamp()}.sqlite3"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        for old in file.parent.glob(f"{sessions}-*.sqlite3*"):
            old.unlink()
        unfinished = file.with_suffix(f".{os.getpid()}")
        copied(_empty(), unfinished)
        use(unfinished)
        _make(sessions)
        connection.close()
        unfinished.rename(file)
    return file


def _empty() -> Path:
    """The file before any session: migrated, which takes longer than to fill it."""
    file = KEPT_IN / f"empty-{_stamp()}.sqlite3"
    if not file.exists():
        for old in KEPT_IN.glob("empty-*"):
            old.unlink()
        unfinished = file.with_suffix(f".{os.getpid()}")
        use(unfinished)
        call_command("migrate", verbosity=0)
        connection.close()
        unfinished.rename(file)
    return file


def _stamp() -> str:
    """Changes with the tables, with this module, and with the day: history ends today."""
    apps = [settings.BASE_DIR / app / "migrations" for app in ("coaching", "metrics")]
    sources = [Path(__file__), *(file for app in apps for file in sorted(app.glob("*.py")))]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sources))
    return f"{timezone.now():%m%d}-{digest.hexdigest()[:10]}"


def _make(sessions: int) -> None:
    owner = User.objects.create_user("owner", password="a long benchmark password")
    owner.groups.add(Group.objects.get(name="owner"))
    workflows = [empty_workflow(number, owner) for number in range(WORKFLOWS)]
    with connection.cursor() as cursor:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000", "temp_store = MEMORY"):
            cursor.execute(f"PRAGMA {pragma}")
    _facts(sessions, workflows, owner)
    _tallies(sessions, workflows)
    with connection.cursor() as cursor:
        # No ANALYZE: nothing in coachsite runs it, so its users' databases have no statistics either.
        cursor.execute("PRAGMA journal_mode = WAL")


def empty_workflow(number: int, owner: User) -> Workflow:
    steps = [{"node_id": f"step-{n}", "action_type": "click", "action": ACTION} for n in range(STEPS)]
    workflow = create_workflow(
        workflow_id=f"invoices-{number}", name=f"Invoices {number}", executor="external", steps=steps, by=owner
    )
    # Never ready, at any size: what a page says must not depend on how much history there is.
    Workflow.objects.filter(pk=workflow.pk).update(policy={"min_decisions": 1_000_000})
    Step.objects.filter(workflow=workflow).update(level="COACHING")
    workflow.refresh_from_db()
    return workflow


def _facts(sessions: int, workflows: list[Workflow], owner: User) -> None:
    steps = list(Step.objects.order_by("workflow_id", "step_index"))
    assert [step.pk for step in steps] == list(range(steps[0].pk, steps[0].pk + WORKFLOWS * STEPS))
    begun = timezone.now() - timedelta(days=DAYS - 1)
    since = begun.replace(hour=0, minute=0, second=0, microsecond=0)
    sql = _expressions(sessions, workflows, steps, since=since)
    for model, row, differing, where in _rows(sql, workflows[0], steps[0], owner):
        _insert(model, sessions, row, differing, where)
    for position, step in enumerate(steps):
        made = len(range(_first_session(position), sessions, WORKFLOWS * STEPS))
        Step.objects.filter(pk=step.pk).update(last_fact=step.last_fact + made)


def _first_session(position: int) -> int:
    """The first session that decides the step at this position of all steps."""
    return position // STEPS + (position % STEPS) * WORKFLOWS


def _expressions(sessions: int, workflows: list[Workflow], steps: list[Step], *, since: datetime) -> Sql:
    """SQL of the number i of a session: what it is about, when, and what was decided."""
    per_session = (timezone.now() - since).total_seconds() / sessions
    began = f"({since.timestamp()} + (i + 0.5) * {per_session})"
    kinds = " ".join(f"WHEN {n} THEN '{kind}'" for n, kind in enumerate(KINDS))
    active, paused = min(ACTIVE, sessions // 10), min(PAUSED, sessions // 20)
    step = f"(i / {WORKFLOWS} % {STEPS})"
    return {
        "workflow": f"({workflows[0].pk} + i % {WORKFLOWS})",
        "step_index": step,
        "step": f"({steps[0].pk} + i % {WORKFLOWS} * {STEPS} + {step})",
        "fact": f"({steps[0].last_fact} + 1 + i / {WORKFLOWS * STEPS})",
        "kind": f"(CASE i / {WORKFLOWS * STEPS} % {len(KINDS)} {kinds} END)",
        "began": _moment(began),
        "decided": _moment(f"({began} + 60)"),
        "ended": _moment(f"({began} + 70)"),
        "active": f"(i >= {sessions - active})",
        "ongoing": f"(i >= {sessions - active - paused})",
        "status": f"(CASE WHEN i >= {sessions - active} THEN 'active' WHEN i >= {sessions - active - paused} "
        "THEN 'paused' WHEN i % 50 = 0 THEN 'failed' WHEN i % 50 = 1 THEN 'abandoned' ELSE 'completed' END)",
    }


def _moment(seconds: str) -> str:
    return f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', {seconds}, 'unixepoch')"


Insertion = tuple[type[models.Model], models.Model, Sql, str]


def _rows(sql: Sql, workflow: Workflow, step: Step, owner: User) -> list[Insertion]:
    """What is inserted per session: a row, the SQL that differs, and for which sessions."""
    index, kind = sql["step_index"], sql["kind"]
    session = Session(workflow=workflow, total_steps=STEPS, started_by=owner, last_seq=4, coaching_ms=60_000)
    asked = Suggestion(
        session_id=1, n=1, step_index=0, step_version=step.current, node_id="", action_type="click", action=ACTION,
        description="Click “Approve”", confidence=0.875, provenance={"source": "caller", "changed": []},
        opened_at=timezone.now(), status=Suggestion.Status.DECIDED,
    )  # fmt: skip
    decision = Decision(
        session_id=1, suggestion_id=1, step=step, step_version=step.current, fact=1, step_index=0, node_id="",
        action_type="click", decision="accept", decided_by="owner", user=owner, latency_ms=60_000,
    )  # fmt: skip
    node = {"step_index": index, "node_id": f"'step-' || {index}"}
    version = {"step_version_id": f"(SELECT current_id FROM coaching_step WHERE id = {sql['step']})"}
    corrected = f"CASE WHEN {kind} = 'correct' THEN '{_json(CORRECTED)}' END"
    insertions: list[Insertion] = [
        (Session, session, _session_columns(sql), "1"),
        (Suggestion, asked, {"session_id": "i + 1", "opened_at": sql["began"], **node, **version,
         "outcome": f"CASE WHEN {kind} IN ('accept', 'correct') THEN 'performed' ELSE 'not_performed' END"}, "1"),
        (Decision, decision, {"session_id": "i + 1", "suggestion_id": "i + 1", "step_id": sql["step"],
         "fact": sql["fact"], "decision": kind, "correction": corrected, "timestamp": sql["decided"],
         **node, **version}, "1"),
    ]  # fmt: skip
    waiting = Suggestion(**{**_values(asked), "n": 2, "status": Suggestion.Status.OPEN, "outcome": None})
    insertions.append(
        (Suggestion, waiting, {"session_id": "i + 1", "opened_at": sql["decided"], **node, **version}, sql["active"])
    )
    return [*insertions, *_events(sql)]


def _session_columns(sql: Sql) -> Sql:
    counters = {"accept": "accepted", "reject": "rejected", "correct": "corrected", "manual": "manual_executions",
                "skip": "skipped"}  # fmt: skip
    return {
        **{column: f"{sql['kind']} = '{kind}'" for kind, column in counters.items()},
        "session_id": f"'coaching_' || strftime('%%Y%%m%%d_%%H%%M%%S', {sql['began']}) || printf('_%%08x', i)",
        "execution_id": "'invoice-' || i",
        "workflow_id": sql["workflow"],
        "status": sql["status"],
        "current_step_index": f"{sql['step_index']} + 1",
        "started_at": sql["began"],
        "updated_at": sql["ended"],
        "completed_at": f"CASE WHEN {sql['ongoing']} THEN NULL ELSE {sql['ended']} END",
    }


def _events(sql: Sql) -> list[Insertion]:
    data = {"n": 1, "step_index": 3, "node_id": "step-3", "description": "Click “Approve”", "decided_by": "owner"}
    moments = {"session.created": "began", "suggestion.opened": "began", "decision.recorded": "decided"}
    events: list[Insertion] = [
        (SessionEvent, SessionEvent(session_id=1, seq=seq, type=kind, data=data), {"session_id": "i + 1",
         "at": sql[at]}, "1")
        for seq, (kind, at) in enumerate(moments.items(), 1)
    ]  # fmt: skip
    last = SessionEvent(session_id=1, seq=4, type="session.completed", data={"by": "owner"})
    kind = f"'session.' || CASE {sql['status']} WHEN 'active' THEN 'resumed' ELSE {sql['status']} END"
    return [*events, (SessionEvent, last, {"session_id": "i + 1", "at": sql["ended"], "type": kind}, "1")]


def _values(row: models.Model) -> dict[str, Any]:
    fields = row._meta.concrete_fields
    return {field.attname: getattr(row, field.attname) for field in fields if not field.primary_key}


def _json(value: Any) -> str:
    return json.dumps(value).replace("'", "''").replace("%", "%%")


def _insert(model: type[models.Model], count: int, row: models.Model, differing: Sql, where: str) -> None:
    """`count` rows like `row`, with SQL of the number `i` in place of some columns."""
    quote = connection.ops.quote_name
    columns, values, parameters = [], [], []
    for field in model._meta.concrete_fields:
        if field.primary_key and isinstance(field, models.AutoField):
            continue
        column = str(field.column)
        columns.append(quote(column))
        if column in differing:
            values.append(differing[column])
        else:
            values.append("%s")
            parameters.append(field.get_db_prep_save(field.pre_save(row, True), connection))
    sql = f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(columns)}) {NUMBERS} SELECT {', '.join(values)}"
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} FROM number WHERE {where}", [count, *parameters])


def _tallies(sessions: int, workflows: list[Workflow]) -> None:
    """Counted by the database, except that the steps' are counted from how often each kind comes round."""
    for workflow in workflows:
        _tallies_of(workflow)
    for position, step in enumerate(Step.objects.select_related("workflow", "current").order_by("pk")):
        made = len(range(_first_session(position), sessions, WORKFLOWS * STEPS))
        keep(tally_of(step), step, _tally(made, step))


def _tally(made: int, step: Step) -> Tally:
    """After so many decisions: one round of kinds is counted, and multiplied."""
    policy, one_round = step.workflow.autonomy, Tally()
    for kind in KINDS:
        one_round = after_decision(one_round, Decided(kind=kind, version=1, by_person=True), policy)
    whole, rest = divmod(made, len(KINDS))
    counts = {name: number * whole for name, number in one_round.as_json().items() if name != "auto"}
    tally = Tally(**{**counts, "epoch_version": 1, "auto": False})
    for kind in KINDS[:rest]:
        tally = after_decision(tally, Decided(kind=kind, version=1, by_person=True), policy)
    return tally


def _tallies_of(workflow: Workflow) -> None:
    """Groups that are alike contribute alike: one of each is counted, and multiplied."""
    added: Contributions = {}

    def add(part: Contributions, times: int) -> None:
        for place, counts in part.items():
            mine = added.setdefault(Place(*place), Counter())
            for name, number in counts.items():
                mine[name] += number * times

    for status, began, ended, times in _groups(
        "SELECT status, date(started_at), date(completed_at), COUNT(*) FROM coaching_session WHERE workflow_id = %s "
        "GROUP BY 1, 2, 3",
        workflow,
    ):
        session = Session(workflow=workflow, status=status, coaching_ms=60_000, started_at=_day(began))
        session.completed_at = _day(ended) if ended else None
        part: Contributions = {}
        from_sessions([session], part)
        add(part, times)
    for kind, made_on, times in _groups(
        "SELECT decision, date(timestamp), COUNT(*) FROM coaching_decision d JOIN coaching_session s "
        "ON s.id = d.session_id WHERE workflow_id = %s GROUP BY 1, 2",
        workflow,
    ):
        part = {}
        from_decisions([Made(workflow.pk, kind, _day(made_on), False, 60_000, 0.875, False)], part)
        add(part, times)
    store(added)


def _groups(sql: str, workflow: Workflow) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [workflow.pk])
        return list(cursor.fetchall())


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
