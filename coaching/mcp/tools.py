"""The tools: what each is called, what it needs, and what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from ..actions import caller as acting
from ..actions.sessions import complete_session, fail_session
from ..api.serializers_sessions import SuggestionSerializer
from ..exceptions import InvalidInput
from ..models import Session, Suggestion
from ..recordings import RecordingError, check_json
from ..roles import DECIDE, VIEW
from . import schemas
from .answers import outcome
from .caller import in_thread
from .permission import approve_tool_use
from .questions import request_decision
from .runs import session_named, suggestion_of
from .waiting import Call

Arguments = Mapping[str, Any]
Run = Callable[[Call, Arguments], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """`needs` is the permission of the caller. One that `answers_always` checks both itself, in its own shape."""

    name: str
    title: str
    description: str
    takes: schemas.Schema
    gives: schemas.Schema | None
    needs: str
    run: Run
    reads_only: bool = False
    repeatable: bool = False
    answers_always: bool = False

    async def call(self, call: Call, arguments: Arguments) -> dict[str, Any]:
        """Raises `ToolError`, `DomainError`."""
        if not self.answers_always:
            await in_thread(call.caller.needs, self.needs)
            self.check(arguments)
        return await self.run(call, arguments)

    def check(self, arguments: Arguments) -> None:
        """Raises `InvalidInput` for what does not fit the schema, or no database holds."""
        try:
            check_json(dict(arguments), "The call")
        except RecordingError as error:
            raise InvalidInput(str(error)) from None
        wrong = best_match(Draft202012Validator(self.takes).iter_errors(arguments))
        if wrong is not None:
            field = ".".join(map(str, wrong.absolute_path))
            message = wrong.message if len(wrong.message) <= 200 else f"{wrong.message[:199]}…"
            raise InvalidInput(f"{field}: {message}" if field else message, field=field or None)


async def list_open_sessions(_call: Call, given: Arguments) -> dict[str, Any]:
    return await in_thread(_open_sessions, given.get("workflow_id"), int(given.get("limit") or 20))


def _open_sessions(workflow_id: str | None, limit: int) -> dict[str, Any]:
    sessions = Session.objects.ongoing().select_related("workflow").order_by("-started_at", "-pk")
    if workflow_id:
        sessions = sessions.filter(workflow__workflow_id=workflow_id)
    waiting = Suggestion.objects.open().select_related("session")
    found = list(sessions.prefetch_related(Prefetch("suggestions", waiting, to_attr="waiting"))[: limit + 1])
    return {"sessions": [_in_short(session) for session in found[:limit]], "more": len(found) > limit}


def _in_short(session: Session) -> dict[str, Any]:
    waiting: list[Suggestion] = getattr(session, "waiting", [])
    return {
        "session_id": session.session_id,
        "workflow_id": session.workflow.workflow_id,
        "execution_id": session.execution_id,
        "status": session.status,
        "mode": session.mode,
        "current_step_index": session.current_step_index,
        "open_suggestion": dict(SuggestionSerializer(waiting[0]).data) if waiting else None,
    }


async def report_outcome(_call: Call, given: Arguments) -> dict[str, Any]:
    def report() -> dict[str, Any]:
        suggestion = suggestion_of(given["session_id"], int(given["n"]))
        acting.report_outcome(suggestion, given["status"], error=given.get("error") or "")
        return _as_it_is_now(given)

    return await in_thread(report)


async def take_back(_call: Call, given: Arguments) -> dict[str, Any]:
    def take() -> dict[str, Any]:
        suggestion = suggestion_of(given["session_id"], int(given["n"]))
        acting.take_back(suggestion, reason=given.get("reason") or "")
        return _as_it_is_now(given)

    return await in_thread(take)


def _as_it_is_now(given: Arguments) -> dict[str, Any]:
    suggestion = suggestion_of(given["session_id"], int(given["n"]))
    return outcome(suggestion, suggestion.session)


async def end_session(call: Call, given: Arguments) -> dict[str, Any]:
    by, message = call.caller.user, given.get("error_message") or ""

    def end() -> dict[str, Any]:
        session = session_named(given["session_id"])
        if given.get("success") is False:
            fail_session(session, by=by, error_message=message)
        elif message:
            raise InvalidInput("An error message goes with success: false.", field="error_message")
        else:
            complete_session(session, by=by)
        session.refresh_from_db()
        return {
            "session_id": session.session_id,
            "status": session.status,
            "error_message": session.error_message or None,
        }

    return await in_thread(end)


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            name="request_decision",
            title="Ask the coach before acting",
            description=(
                "Ask a person before you act, and wait for the answer. Call it before every step that changes "
                "something, then do exactly what `action` says, and nothing when it is null. `instructions` says in "
                "one sentence what to do now. Is the status still `open`, call it again with the same arguments: that "
                "goes on waiting for the same question. A session asks one question at a time."
            ),
            takes=schemas.REQUEST_DECISION,
            gives=schemas.DECISION_ANSWER,
            needs=DECIDE,
            run=request_decision,
            repeatable=True,
        ),
        Tool(
            name="report_outcome",
            title="Say what became of an approved action",
            description=(
                "After you have done (or tried) what `request_decision` answered, say whether it succeeded. After "
                "failed and uncertain the session stands at the same step again: ask again before another attempt."
            ),
            takes=schemas.REPORT_OUTCOME,
            gives=schemas.OUTCOME_ANSWER,
            needs=DECIDE,
            run=report_outcome,
            repeatable=True,
        ),
        Tool(
            name="take_back",
            title="Take a question back",
            description="Withdraws an open question that you need no answer to any more, so that you can ask another.",
            takes=schemas.TAKE_BACK,
            gives=schemas.OUTCOME_ANSWER,
            needs=DECIDE,
            run=take_back,
            repeatable=True,
        ),
        Tool(
            name="complete_session",
            title="End a run",
            description="The run is over: completed, or with success: false failed. Nothing is asked in it afterwards.",
            takes=schemas.COMPLETE_SESSION,
            gives=schemas.SESSION_ANSWER,
            needs=DECIDE,
            run=end_session,
        ),
        Tool(
            name="list_open_sessions",
            title="List the runs that have not ended",
            description="Sessions that are active or paused, the newest first, each with what waits for a decision.",
            takes=schemas.LIST_OPEN_SESSIONS,
            gives=schemas.SESSIONS_ANSWER,
            needs=VIEW,
            run=list_open_sessions,
            reads_only=True,
            repeatable=True,
        ),
        Tool(
            name="approve_tool_use",
            title="Permission prompt",
            description=(
                "For the permission prompt of a command-line agent, not for you to call: answers, as JSON text, "
                '`{"behavior": "allow", "updatedInput": …}` or `{"behavior": "deny", "message": …}`.'
            ),
            takes=schemas.APPROVE_TOOL_USE,
            gives=None,
            needs=DECIDE,
            run=approve_tool_use,
            repeatable=True,
            answers_always=True,
        ),
    )
}
