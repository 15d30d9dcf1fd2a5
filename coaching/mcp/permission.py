"""`approve_tool_use`: the permission prompt of a command-line agent, answered by a coach.

One run asks one question at a time, so that the coach sees the run in order, in one panel: tool uses that an agent
asks about at once wait for each other. It fails closed: whatever is not a person's yes, or that of an earned step,
is a no with its reason.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from .. import hub
from ..actions.caller import Question, ask
from ..exceptions import QuestionOpen, SessionNotActive
from ..models import Risk, Session, Suggestion
from ..models.workflow import NODE_ID_LENGTH
from ..recordings import RecordingError, check_json
from ..roles import DECIDE
from .answers import NOBODY_IN_TIME, action_to_do, why_not
from .caller import in_thread
from .errors import ToolError, in_words
from .runs import Run, find_or_start, tool_use_workflow
from .waiting import LONGEST_WAIT_SECONDS, PATIENT_SECONDS, Call, Patience, read_again, until_answered

logger = logging.getLogger(__name__)

#: An `action_type` is shorter than a `node_id`.
_TYPE_LENGTH = 100
_TOOL_USE = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
#: The sweep expires a question a moment after its time.
_GRACE_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """What the agent wants to do. `id` is its own name for this use: the same id asked again gets the same answer."""

    name: str
    input: Mapping[str, Any]
    id: str = ""


async def approve_tool_use(call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    """`{behavior: "allow", updatedInput}` or `{behavior: "deny", message}`, whatever happens."""
    try:
        return await _approve(call, _tool_use(given))
    except Exception as error:
        told = in_words(error)
        if told is None:
            logger.exception("A tool use is denied: it could not be asked about.")
            return deny("coachsite could not ask about this because of an error of its own. Do not do this.")
        return deny(f"Not approved: {told['message']} Do not do this.")


def deny(message: str) -> dict[str, Any]:
    return {"behavior": "deny", "message": message}


async def _approve(call: Call, use: ToolUse) -> dict[str, Any]:
    caller = call.caller
    await in_thread(caller.needs, DECIDE)
    workflow_id, title = tool_use_workflow(caller.user)
    run = Run.of({}, {"workflow_id": workflow_id, **caller.run})
    session = await in_thread(find_or_start, replace(run, title=title if run.workflow_id == workflow_id else ""),
                              by=caller.user)  # fmt: skip
    patience = Patience(call, _seconds(caller.run.get("wait_seconds")) + _GRACE_SECONDS)
    with hub.current().subscribe(session.pk) as news:
        suggestion = await in_thread(_asked, session, use, call, patience.left)
        while suggestion is None:
            if not await patience.until_news(news, f"{use.name} waits for its turn in {session.session_id}."):
                return deny(f"{NOBODY_IN_TIME} It waited for its turn. Do not do this.")
            suggestion = await in_thread(_asked, session, use, call, patience.left)
        suggestion = await until_answered(suggestion, news, patience)
    return await in_thread(_permission, suggestion)


def _permission(suggestion: Suggestion) -> dict[str, Any]:
    action = action_to_do(suggestion)
    if action is not None:
        return {"behavior": "allow", "updatedInput": action}
    if suggestion.is_open:
        return deny(f"{NOBODY_IN_TIME} Do not do this.")
    return deny(why_not(suggestion))


def _asked(session: Session, use: ToolUse, call: Call, left: float) -> Suggestion | None:
    """The suggestion for this use; None while the run waits: for another answer, or to be resumed."""
    question = Question(
        node_id=use.name,
        action_type=use.name[:_TYPE_LENGTH],
        action=use.input,
        # A name says little about what a tool is told to do: it must earn more trust, and an owner must say so.
        risk=Risk.IRREVERSIBLE,
        expires_in=timedelta(seconds=max(1.0, left - _GRACE_SECONDS)),
        on_expiry=Suggestion.OnExpiry.REJECT,
        reference=use.id,
    )
    try:
        return read_again(ask(session, question, by=call.caller.user)[0])
    except QuestionOpen:
        return None
    except SessionNotActive:
        session.refresh_from_db()
        if session.status != Session.Status.PAUSED:
            raise
        return None


def _tool_use(given: Mapping[str, Any]) -> ToolUse:
    """Checked here, not by the tool's schema: whatever is wrong must be a no in the shape that the agent knows."""
    name, tool_input, use_id = given.get("tool_name"), given.get("input"), given.get("tool_use_id") or ""
    if not isinstance(name, str) or not name.strip() or len(name) > NODE_ID_LENGTH:
        raise ToolError("invalid", f"tool_name must be a text of 1 to {NODE_ID_LENGTH} characters.")
    if not isinstance(tool_input, dict):
        raise ToolError("invalid", "input must be an object.")
    if not isinstance(use_id, str) or (use_id and not _TOOL_USE.fullmatch(use_id)):
        raise ToolError("invalid", "tool_use_id must be at most 200 letters, digits and the signs _ . : -")
    try:
        check_json({"name": name, "input": tool_input}, "The tool use")
    except RecordingError as error:
        raise ToolError("invalid", str(error)) from None
    return ToolUse(name=name, input=tool_input, id=use_id)


def _seconds(text: str | None) -> float:
    if not text:
        return PATIENT_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= LONGEST_WAIT_SECONDS:
        raise ToolError("invalid", f"wait_seconds in the address must be between 1 and {LONGEST_WAIT_SECONDS}.")
    return seconds
