"""The life of a session: start, pause, resume, complete, fail, abandon, delete, clean up."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.utils import timezone

from .. import events, hub, signals
from ..afterwards import after_commit
from ..exceptions import DuplicateExecution, IllegalTransition, InvalidInput
from ..models import Session, Workflow
from ..models.session import MAX_STEPS
from ..secrets import decrypt, encrypt
from .audit import What, note
from .holding import hold
from .naming import name_of
from .secrecy import with_placeholders, without_secrets
from .suggestions import withdraw_suggestion

Status = Session.Status


def start_session(
    workflow: Workflow,
    *,
    by: User | None,
    mode: str = Session.Mode.COACHING,
    execution_id: str | None = None,
    variables: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    total_steps: int | None = None,
) -> Session:
    """Starts a run of `workflow` and asks for a worker if coachsite performs it itself.

    Raises `DuplicateExecution` when the workflow already has this `execution_id`, and `InvalidInput` for variables
    that the workflow does not have, a secret without a value, or a browser workflow without steps.
    """
    session = Session(workflow=workflow, mode=mode, started_by=by, metadata=dict(metadata or {}))
    session.execution_id = execution_id or session.session_id
    if workflow.is_browser:
        _plan(session, variables or {}, total_steps=total_steps)
    else:
        session.variables = dict(variables or {})
        session.total_steps = total_steps or 0
    if session.total_steps > MAX_STEPS:
        raise InvalidInput(f"A session has at most {MAX_STEPS} steps.", field="total_steps")
    try:
        with transaction.atomic():
            session.save(force_insert=True)
            created = events.SessionCreated(
                workflow_id=workflow.workflow_id, execution_id=session.execution_id, mode=mode, by=name_of(by)
            )
            events.record_event(session, created)
            signals.session_started.send(sender=Session, session=session)
            _ask_for_a_worker(session)
    except IntegrityError:
        existing = Session.objects.filter(workflow=workflow, execution_id=session.execution_id).first()
        if existing:
            raise DuplicateExecution(existing) from None
        Workflow.objects.get(pk=workflow.pk)  # deleted meanwhile: that is what to tell
        raise
    return session


def _plan(session: Session, variables: Mapping[str, Any], *, total_steps: int | None) -> None:
    """What coachsite performs itself: the steps as they are now, with values for all their variables."""
    session.plan = [step.version.pk for step in session.workflow.current_steps()]
    if not session.plan:
        raise InvalidInput("This workflow has no steps yet: import a recording first.", field="workflow_id")
    if total_steps not in {None, len(session.plan)}:
        raise InvalidInput(f"This workflow has {len(session.plan)} steps.", field="total_steps")
    session.total_steps = len(session.plan)
    session.variables, secrets = _resolve_variables(session.workflow, variables)
    session.encrypted_secrets = encrypt(secrets)


def _resolve_variables(workflow: Workflow, given: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """`(what may be shown, the secrets)`: what was given over the workflow's defaults."""
    known = {variable.name: variable for variable in workflow.variables.all()}
    if unknown := sorted(set(given) - set(known)):
        raise InvalidInput(f"This workflow has no variable “{unknown[0]}”.", field="variables")
    shown: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for name, variable in known.items():
        value = given.get(name)
        if isinstance(value, (dict, list)):
            raise InvalidInput(f"The variable “{name}” must be a text or a number.", field="variables")
        if not variable.secret:
            shown[name] = variable.default if value is None else str(value)
            continue
        secret = decrypt(variable.encrypted_default).get(name, "") if value in {None, "", "***"} else str(value)
        if not secret:
            raise InvalidInput(f"The secret “{variable.label}” has no value yet: enter it to start.", field="variables")
        secrets[name], shown[name] = secret, "***"
    return shown, secrets


def pause_session(session: Session, *, by: User | None) -> None:
    """Stops before the next step; an action under way is finished. Raises `IllegalTransition` unless active."""
    with transaction.atomic():
        _move(session, Status.PAUSED, events.SessionPaused(by=name_of(by)))


def resume_session(session: Session, *, by: User | None) -> None:
    """Goes on where the session was paused. Resuming an active session succeeds and changes nothing."""
    with transaction.atomic():
        if Session.objects.filter(pk=session.pk, status=Status.ACTIVE).exists():
            session.status = Status.ACTIVE
        else:
            _move(session, Status.ACTIVE, events.SessionResumed(by=name_of(by)))
        _ask_for_a_worker(session)


def complete_session(session: Session, *, by: User | None) -> None:
    with transaction.atomic():
        _end(session, Status.COMPLETED, events.SessionCompleted(by=name_of(by)), because="The session was completed.")


def fail_session(session: Session, *, by: User | None, error_message: str) -> None:
    with transaction.atomic():
        error_message = without_secrets(error_message, session)
        failed = events.SessionFailed(by=name_of(by), error_message=error_message)
        _end(session, Status.FAILED, failed, because="The session failed.", error_message=error_message)


def abandon_session(session: Session, *, by: User | None) -> None:
    with transaction.atomic():
        _end(session, Status.ABANDONED, events.SessionAbandoned(by=name_of(by)), because="The session was abandoned.")


def remember_browser(session: Session, *, url: str, viewport: tuple[int, int]) -> None:
    """Keeps where the session's browser is, for a new one should it be lost. No event: nobody needs to know.

    Secrets in the address are kept as placeholders.
    """
    where = {"url": with_placeholders(url, session), "viewport": list(viewport)}
    if where != session.browser:
        session.browser = where
        Session.objects.filter(pk=session.pk).update(browser=where)


def wait_for_a_browser(session_pk: int, *, why: str) -> None:
    """Says, once, why an active session cannot go on yet: until it has its browser, which asks for no worker."""
    with transaction.atomic():
        if not hold(session_pk, status=Status.ACTIVE):
            return
        session = Session.objects.select_related("workflow").get(pk=session_pk)
        if session.browser.get("waiting") != why:
            waiting = session.browser | {"waiting": why}
            events.record_event(session, events.SessionWaiting(reason=why), browser=waiting)


def keep_last_picture(session: Session, screenshot: bytes) -> None:
    """Keeps the page as it was at the end, as PNG."""
    session.last_picture.save(f"{session.session_id}/last.png", ContentFile(screenshot), save=False)
    if not Session.objects.filter(pk=session.pk).update(last_picture=session.last_picture.name):
        session.last_picture.delete(save=False)  # the session was deleted meanwhile


def delete_session(session: Session) -> None:
    """Deletes the session with its suggestions, decisions, events and screenshots."""
    with transaction.atomic():
        hold(session.pk)
        session.refresh_from_db()
        signals.session_deleting.send(sender=Session, session=session)
        pictures = [*session.suggestions.exclude(screenshot="").values_list("screenshot", flat=True)]
        if session.last_picture:
            pictures.append(session.last_picture.name)
        session_id, pk = session.session_id, session.pk
        note(What.SESSION_DELETED, session_id, workflow=session.workflow.workflow_id, status=session.status)
        session.delete()
        after_commit(_delete_pictures, session_id, pictures)
        after_commit(hub.wake, pk)
        after_commit(signals.session_ended.send, sender=Session, session_id=session_id)


def _delete_pictures(session_id: str, names: list[str]) -> None:
    for name in names:
        default_storage.delete(name)
    # The folder, empty now unless a worker is just about to find out that the session is gone.
    with contextlib.suppress(OSError):
        default_storage.delete(f"screenshots/{session_id}")


def delete_old_sessions(*, max_age: timedelta, dry_run: bool = False) -> int:
    """Deletes the sessions that were not updated since; returns how many (would have) gone."""
    old = Session.objects.not_updated_since(timezone.now() - max_age)
    if dry_run:
        return old.count()
    count = 0
    for session in old.iterator(chunk_size=200):
        delete_session(session)
        count += 1
    return count


def _move(session: Session, new: Session.Status, event: events.Event, **changes: Any) -> None:
    old = Status(session.status)
    if not session.can_move_to(new):
        raise IllegalTransition(f"A session that is {old} cannot become {new}.")
    # The WHERE clause is the lock: of two concurrent moves, one updates no row.
    if not Session.objects.filter(pk=session.pk, status=old).update(status=new, **changes):
        raise IllegalTransition(f"Session {session.session_id} is no longer {old}.")
    session.status = new
    for name, value in changes.items():
        setattr(session, name, value)
    events.record_event(session, event)


def _end(session: Session, new: Session.Status, event: events.Event, *, because: str, error_message: str = "") -> None:
    """Ends the session; a suggestion that is still open is withdrawn with it."""
    hold(session.pk)
    suggestion = session.open_suggestion() if session.can_move_to(new) else None
    if suggestion:
        withdraw_suggestion(suggestion, reason=because)
    _move(session, new, event, completed_at=timezone.now(), error_message=error_message)
    signals.session_closed.send(sender=Session, session=session)
    after_commit(signals.session_ended.send, sender=Session, session_id=session.session_id)


def _ask_for_a_worker(session: Session) -> None:
    if session.workflow.is_browser:
        after_commit(signals.session_needs_worker.send, sender=Session, session_pk=session.pk)
