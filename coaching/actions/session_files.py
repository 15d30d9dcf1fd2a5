"""Sessions that were kept as files, here or by another program, become sessions again.

What was decided in them counts exactly as if it had been recorded here. They are never acted on by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.db import DataError, IntegrityError, connection, transaction
from django.utils import timezone

from .. import events, signals
from ..afterwards import after_commit
from ..exceptions import DomainError, InvalidInput
from ..models import Decision, Session, SessionEvent, Step, Workflow
from ..recordings import Redactor, mask
from ..secrets import decrypt, encrypt
from ..session_files import INDEX, MAX_BYTES, BrokenFile, DecisionRecord, SessionRecord, counts_of, read_session
from .autonomy import begin_coaching
from .decisions import LONGEST_THOUGHT_MS
from .facts import hold_steps
from .naming import POLICY
from .workflows import create_workflow, step_named

Status = Session.Status
#: Who does it, in the event log.
IMPORT = "import"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of one file: `new` is False for a session that was here already. `remarks` are for a person."""

    session_id: str
    new: bool
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One file of a folder by its name: `imported`, or why it is `broken`."""

    name: str
    imported: Imported | None = None
    broken: str = ""


def import_sessions(folder: Path) -> Iterator[Report]:
    """Imports all session files (`*.json`) of a folder in the order of their names, one transaction for each.

    What is broken is reported, and the rest imported. Raises `OSError` when the folder cannot be read.
    """
    names = sorted(entry.name for entry in folder.iterdir())
    for name in names:
        if name.startswith(".") or not name.lower().endswith(".json") or name == INDEX:
            continue
        try:
            yield Report(name=name, imported=import_session(_content(folder / name)))
        except (BrokenFile, DomainError) as error:
            yield Report(name=name, broken=str(error))
        except OSError as error:
            yield Report(name=name, broken=f"The file cannot be read: {error.strerror}.")
        except (DataError, IntegrityError) as error:
            yield Report(name=name, broken=f"The database refuses it: {error}.")


def _content(file: Path) -> bytes:
    if file.is_symlink():
        raise BrokenFile("This is a link, not a file.")
    if not file.is_file():
        raise BrokenFile("This is not a file.")
    with file.open("rb") as opened:
        return opened.read(MAX_BYTES + 1)


def import_session(data: bytes) -> Imported:
    """Keeps the session of one file, unless a session with its id is here already.

    Raises `BrokenFile` for what is no session file, and for one that contradicts what is here.
    """
    record = read_session(data, now=timezone.now())
    try:
        return _import(record)
    except (IntegrityError, InvalidInput):
        # Another import was faster with the same session or workflow: now they are here. If not, it fails again.
        return _import(record)


@transaction.atomic
def _import(record: SessionRecord) -> Imported:
    if Session.objects.filter(session_id=record.session_id).exists():
        return Imported(session_id=record.session_id, new=False)
    return Imported(session_id=record.session_id, new=True, remarks=(*record.warnings, *_keep(record)))


def _keep(record: SessionRecord) -> tuple[str, ...]:
    """Must run in a transaction. Locks the session, then the workflow, then its steps, as all verbs do."""
    workflow = Workflow.objects.filter(workflow_id=record.workflow_id).first() or create_workflow(
        workflow_id=record.workflow_id, name=record.workflow_id, executor=Workflow.Executor.EXTERNAL, by=None
    )
    _check_execution(workflow, record)
    session = _new_session(workflow, record)
    remarks = _prepare_to_go_on(session, record) if workflow.is_browser and not record.has_ended else ()
    session.save(force_insert=True)
    steps = _steps(workflow, record.decisions)
    decisions = Decision.objects.bulk_create(_new_decision(session, one, steps) for one in record.decisions)
    _write_log(session, decisions)
    signals.session_started.send(sender=Session, session=session)
    for decision in decisions:
        _count(session, decision)
    _keep_facts(decisions)
    if not session.is_ongoing:
        signals.session_closed.send(sender=Session, session=session)
    # What follows from its decisions may have been written down as news of today.
    Session.objects.filter(pk=session.pk).update(updated_at=record.updated_at)
    after_commit(events.wake_up, session.pk, session.last_seq)
    return remarks


def _check_execution(workflow: Workflow, record: SessionRecord) -> None:
    taken = Session.objects.filter(workflow=workflow, execution_id=record.execution_id).first()
    if taken:
        raise BrokenFile(
            f"execution_id: the execution “{record.execution_id}” of this workflow is another session’s: "
            f"{taken.session_id}."
        )


def _new_session(workflow: Workflow, record: SessionRecord) -> Session:
    thought = [min(one.latency_ms or 0, LONGEST_THOUGHT_MS) for one in record.decisions if one.decided_by != POLICY]
    session = Session(
        session_id=record.session_id,
        workflow=workflow,
        execution_id=record.execution_id,
        status=record.status,
        mode=record.mode,
        current_step_index=record.current_step_index,
        total_steps=record.total_steps,
        variables=record.variables,
        metadata=record.metadata,
        error_message=record.error_message,
        started_at=record.started_at,
        updated_at=record.updated_at,
        completed_at=record.completed_at,
        coaching_ms=sum(thought),
        **counts_of(record.decisions),
    )
    _hide_secrets(session)
    return session


def _hide_secrets(session: Session) -> None:
    """A variable that is secret here may stand in the clear in a file of another program."""
    names = session.workflow.variables.filter(secret=True).values_list("name", flat=True)
    found = {name: str(session.variables[name]) for name in names if session.variables.get(name) not in {None, "***"}}
    if found:
        session.variables = session.variables | dict.fromkeys(found, "***")
        session.encrypted_secrets = encrypt(found)
        session.error_message = mask(Redactor.of(found).value(session.error_message), found)
        session.metadata = mask(Redactor.of(found).value(session.metadata), found)


def _prepare_to_go_on(session: Session, record: SessionRecord) -> tuple[str, ...]:
    """A session of a browser workflow that has not ended waits, paused, until a person resumes it.

    Raises `BrokenFile` when it could not go on here: other steps, or a secret that nobody knows.
    """
    steps = list(session.workflow.current_steps())
    names = [step.node_id for step in steps]
    if record.total_steps not in {0, len(names)} or record.current_step_index > len(names):
        raise BrokenFile(f"It has not ended and could not go on: its workflow has {len(names)} steps here.")
    for one in record.decisions:
        if names[one.step_index : one.step_index + 1] != [one.node_id]:
            raise BrokenFile(
                f"It has not ended and could not go on: step {one.step_index + 1} of its workflow is not "
                f"“{one.node_id}” here."
            )
    session.plan = [step.version.pk for step in steps]
    session.total_steps = len(steps)
    _find_secrets(session)
    if record.status == Status.PAUSED:
        return ()
    session.status = Status.PAUSED
    return ("it was active and is paused now: a person resumes what acts in a browser",)


def _find_secrets(session: Session) -> None:
    """Secrets are in no file: the workflow's defaults stand in, as at a start."""
    known = {variable.name: variable for variable in session.workflow.variables.all()}
    secrets = decrypt(session.encrypted_secrets)
    for name, value in session.variables.items():
        if isinstance(value, dict | list) or name not in known:
            raise BrokenFile(f"It has not ended and could not go on: its workflow has no variable “{name}” like this.")
        if value == "***" and name not in secrets:
            default = decrypt(known[name].encrypted_default).get(name, "")
            if not default:
                raise BrokenFile(
                    f"It has not ended and could not go on: the secret “{known[name].label}” has no default here."
                )
            secrets[name] = default
    session.variables = {name: str(value) for name, value in session.variables.items()}
    session.encrypted_secrets = encrypt(secrets)


def _steps(workflow: Workflow, decisions: Iterable[DecisionRecord]) -> dict[str, Step]:
    """The steps that the decisions name, locked in the order of their keys.

    Those of an external workflow come into being where they are missing, in the order of the decisions; what a browser
    workflow does not have stays without a step.
    """
    named: dict[str, DecisionRecord] = {}
    for one in decisions:
        named.setdefault(one.node_id, one)
    if not workflow.is_browser:
        missing = named.keys() - set(workflow.steps.filter(node_id__in=named).values_list("node_id", flat=True))
        for node_id in [node_id for node_id in named if node_id in missing]:
            first = named[node_id]
            step_named(workflow, node_id, action_type=first.action_type, action=first.correction or {})
    return {step.node_id: step for step in hold_steps(workflow.steps.filter(node_id__in=named))}


def _new_decision(session: Session, record: DecisionRecord, steps: dict[str, Step]) -> Decision:
    step = steps.get(record.node_id)
    correction: Any = record.correction
    feedback = record.feedback
    if session.encrypted_secrets:
        secrets = decrypt(session.encrypted_secrets)
        redactor = Redactor.of(secrets)
        correction, feedback = redactor.value(correction), mask(redactor.value(feedback), secrets)
    return Decision(
        session=session,
        step=step,
        step_version=step.current if step else None,
        step_index=record.step_index,
        node_id=record.node_id,
        action_type=record.action_type,
        decision=record.decision,
        correction=correction,
        feedback=feedback,
        reason_code=record.reason_code,
        timestamp=record.timestamp,
        execution_success=record.execution_success,
        decided_by=record.decided_by,
        unattended=record.decided_by == POLICY,
        latency_ms=record.latency_ms,
    )


def _write_log(session: Session, decisions: Iterable[Decision]) -> None:
    """What happened, as far as the file tells, each at its own time."""
    created = events.SessionCreated(
        workflow_id=session.workflow.workflow_id, execution_id=session.execution_id, mode=session.mode, by=IMPORT
    )
    log: list[tuple[Any, events.Event]] = [(session.started_at, created)]
    for decision in decisions:
        recorded = events.DecisionRecorded(
            n=None,
            step_index=decision.step_index,
            node_id=decision.node_id,
            decision=decision.decision,
            decided_by=decision.decided_by,
            description=f"{decision.action_type} {decision.node_id}".strip(),
            latency_ms=decision.latency_ms,
        )
        log.append((decision.timestamp, recorded))
    if last := _last_event(session):
        log.append((session.completed_at or session.updated_at, last))
    SessionEvent.objects.bulk_create(
        SessionEvent(session=session, seq=seq, type=event.type, at=at, data=asdict(event))
        for seq, (at, event) in enumerate(log, start=1)
    )
    session.last_seq = len(log)
    Session.objects.filter(pk=session.pk).update(last_seq=session.last_seq)


def _last_event(session: Session) -> events.Event | None:
    match session.status:
        case Status.PAUSED:
            return events.SessionPaused(by=IMPORT)
        case Status.COMPLETED:
            return events.SessionCompleted(by=IMPORT)
        case Status.FAILED:
            return events.SessionFailed(by=IMPORT, error_message=session.error_message)
        case Status.ABANDONED:
            return events.SessionAbandoned(by=IMPORT)
        case _:
            return None


def _count(session: Session, decision: Decision) -> None:
    """Adds the decision to what is known about its step and its workflow, as when it is recorded."""
    step = decision.step
    decision.fact = _count_fact(step) if step else None
    if step and decision.kind.counts and not decision.unattended:
        begin_coaching(step, session=session)
    signals.decision_recorded.send(sender=Decision, decision=decision, session=session, step=step, in_trouble=False)
    if step and decision.execution_success is not None:
        decision.outcome_fact = _count_fact(step)
        signals.outcome_recorded.send(sender=Decision, decision=decision, step=step)


def _count_fact(step: Step) -> int:
    """As `facts.count_fact`, for a step that is held: of what is known of it, only this can have changed since.

    In plain SQL, because every decision of every file passes here twice.
    """
    table = connection.ops.quote_name(Step._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET last_fact = last_fact + 1 WHERE id = %s", [step.pk])  # noqa: S608
        cursor.execute(f"SELECT last_fact, level FROM {table} WHERE id = %s", [step.pk])  # noqa: S608
        step.last_fact, step.level = cursor.fetchone()
    return step.last_fact


def _keep_facts(decisions: Iterable[Decision]) -> None:
    table = connection.ops.quote_name(Decision._meta.db_table)
    facts = [(one.fact, one.outcome_fact, one.pk) for one in decisions if one.fact]
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {table} SET fact = %s, outcome_fact = %s WHERE id = %s", facts)  # noqa: S608
