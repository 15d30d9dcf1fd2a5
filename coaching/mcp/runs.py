"""Which session a call is about: found, or started where there is none. Runs in a thread: it asks the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.utils import timezone

from ..actions.naming import free_name, slug_of
from ..actions.sessions import start_session
from ..actions.workflows import create_workflow
from ..exceptions import DuplicateExecution, InvalidInput
from ..models import Session, Suggestion, Workflow
from ..roles import IMPORT
from .errors import ToolError

ID_LENGTH = 100
EXECUTION_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a caller names a run. Without `execution_id` it is the user's run of the day."""

    workflow_id: str | None = None
    session_id: str | None = None
    execution_id: str | None = None
    mode: str | None = None
    #: What a workflow is called that has to be made.
    title: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str | None], address: Mapping[str, str]) -> Run:
        """What the call says, and for the rest what the address says."""
        session_id = given.get("session_id")
        # A session that is named is meant, whatever run the address is for.
        address = {} if session_id else address

        def named(name: str) -> str | None:
            return given.get(name) or address.get(name) or None

        return cls(
            session_id=session_id,
            workflow_id=named("workflow_id"),
            execution_id=named("execution_id"),
            mode=named("mode"),
        )


def find_or_start(run: Run, *, by: User) -> Session:
    """The session that is meant.

    Raises `ToolError` when it, or its workflow, neither exists nor may be made, and `InvalidInput` for names that
    cannot be, or a workflow whose steps coachsite performs itself.
    """
    if run.session_id:
        return _named(run)
    workflow = _workflow(run, by=by)
    if workflow.is_browser:
        raise InvalidInput("The steps of a browser workflow are performed by coachsite itself.", field="workflow_id")
    _check(run)
    if run.execution_id:
        existing = workflow.sessions.select_related("workflow").filter(execution_id=run.execution_id).first()
        return existing or _start(workflow, run, run.execution_id, by=by)
    return _run_of_the_day(workflow, run, by=by)


def suggestion_of(session_id: str, n: int) -> Suggestion:
    """Raises `ToolError` where there is none."""
    found = Suggestion.objects.filter(session__session_id=session_id, n=n)
    suggestion = found.select_related("session__workflow", "decision__session").first()
    if suggestion is None:
        raise ToolError("not_found", f"There is no suggestion {n} in a session “{session_id}”.", field="n")
    return suggestion


def session_named(session_id: str) -> Session:
    session = Session.objects.select_related("workflow").filter(session_id=session_id).first()
    if session is None:
        raise ToolError("not_found", f"There is no session “{session_id}”.", field="session_id")
    return session


def tool_use_workflow(user: User) -> tuple[str, str]:
    """`(workflow_id, name)` for the tool uses of a user’s agents where the address names no workflow."""
    name = user.get_username()
    own = slug_of(name, otherwise=str(user.pk))
    # Two names may come to the same slug, and evidence of one agent says nothing about another.
    return f"agent-tool-use-{own if own == name else f'{own[:60]}-{user.pk}'}", f"Tool use of {name}"


def _named(run: Run) -> Session:
    session = session_named(run.session_id or "")
    for field, known in (("workflow_id", session.workflow.workflow_id), ("execution_id", session.execution_id)):
        if getattr(run, field) not in {None, known}:
            raise InvalidInput(f"Session {session.session_id} has another {field}: “{known}”.", field=field)
    return session


def _check(run: Run) -> None:
    if run.execution_id and len(run.execution_id) > EXECUTION_LENGTH:
        raise InvalidInput(f"At most {EXECUTION_LENGTH} characters.", field="execution_id")
    if run.mode and run.mode not in Session.Mode.values:
        raise InvalidInput(f"A mode is one of {', '.join(Session.Mode.values)}.", field="mode")


def _workflow(run: Run, *, by: User) -> Workflow:
    workflow_id = run.workflow_id
    if not workflow_id:
        raise InvalidInput("Say which workflow this step belongs to.", field="workflow_id")
    existing = Workflow.objects.filter(workflow_id=workflow_id).first()
    if existing:
        return existing
    if not by.has_perm(IMPORT):
        raise ToolError(
            "not_found",
            f"There is no workflow “{workflow_id}”, and only an owner can make one.",
            field="workflow_id",
        )
    try:
        validate_slug(workflow_id)
    except ValidationError:
        raise InvalidInput("Letters, digits, hyphens and underscores only.", field="workflow_id") from None
    if len(workflow_id) > ID_LENGTH:
        raise InvalidInput(f"At most {ID_LENGTH} characters.", field="workflow_id")
    try:
        return create_workflow(
            workflow_id=workflow_id, name=run.title or workflow_id, executor=Workflow.Executor.EXTERNAL, by=by
        )
    except InvalidInput:
        # Made by another call at this moment.
        return Workflow.objects.get(workflow_id=workflow_id)


def _start(workflow: Workflow, run: Run, execution_id: str, *, by: User) -> Session:
    try:
        return start_session(workflow, by=by, execution_id=execution_id, mode=run.mode or Session.Mode.COACHING)
    except DuplicateExecution as error:
        return session_named(error.session.session_id)


def _run_of_the_day(workflow: Workflow, run: Run, *, by: User) -> Session:
    """The one that goes on; another one begins where the last was ended."""
    day = f"{by.get_username()} {timezone.now():%Y-%m-%d}"
    todays = workflow.sessions.filter(execution_id__startswith=day)
    ongoing = todays.select_related("workflow").filter(status__in=Session.ONGOING).order_by("-pk").first()
    if ongoing:
        return ongoing
    taken = todays.values_list("execution_id", flat=True)
    return _start(workflow, run, free_name(day, taken, joiner=" / "), by=by)
