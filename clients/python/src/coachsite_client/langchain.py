"""The five decisions in the shapes that LangChain agents wait for. Needs no LangChain.

| coach says | LangChain hears | if the tool does not allow that |
|---|---|---|
| accept | approve | reject, saying that it was accepted but may not be approved |
| correct | edit | reject, saying what the coach wants |
| reject | reject with the coach's words | an error: nothing else means no |
| manual | respond "done by a person: …" | reject with the same words |
| skip | reject "skipped" | an error. Never respond: an agent reads that as success |

`answer` asks about a whole interrupt of `HumanInTheLoopMiddleware` and returns what to resume with; `answer_call` does
so for one of `interrupt_mode="per_call"`; `answer_inbox` for the older shape of Agent Inbox.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import CoachError

JSON = dict[str, Any]

ALL = frozenset({"approve", "edit", "reject", "respond"})
#: Longest node_id that coachsite takes, in characters.
_NODE_ID_LENGTH = 200


class CannotSay(CoachError):
    """The tool's settings leave no way to tell the agent what the coach decided: allow `reject` for it."""


class Decided(Protocol):
    """What the mapping needs of a decision of this library, blocking or not."""

    @property
    def decision(self) -> str | None: ...
    @property
    def perform(self) -> bool: ...
    @property
    def done_action(self) -> JSON | None: ...
    @property
    def feedback(self) -> str | None: ...


class Asks(Protocol):
    """A `Session` of this library. With an `AsyncSession`, use `calls_of` and `decision_for` around your own awaits."""

    @property
    def ask(self) -> Callable[..., Any]: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call to be asked about. `pinned`: an edit may change its arguments, not the tool."""

    name: str
    args: JSON
    description: str = ""
    allowed: frozenset[str] = ALL
    pinned: bool = False

    @property
    def node_id(self) -> str:
        return self.name[:_NODE_ID_LENGTH]

    @property
    def action(self) -> JSON:
        """As the coach sees and corrects it."""
        return {"name": self.name, "args": self.args}


# Batched: one interrupt for all calls of a turn


def calls_of(request: Mapping[str, Any]) -> list[Call]:
    """The calls of `{"action_requests": […], "review_configs": […]}`, in their order."""
    allowed = {
        config["action_name"]: frozenset(config["allowed_decisions"]) for config in request.get("review_configs", [])
    }
    return [
        Call(asked["name"], dict(asked["args"]), asked.get("description") or "", allowed.get(asked["name"], ALL))
        for asked in request["action_requests"]
    ]


def decision_for(call: Call, decided: Decided) -> JSON:
    """What LangChain hears of one decision. Raises `CannotSay`."""
    if decided.decision in {"accept", "correct"} and not decided.perform:
        return _instead_of_running(call, "Already done before this program was started again")
    match decided.decision:
        case "accept":
            # Packs may have changed the action before it was accepted: what was approved is what is to be run.
            return _perform(call, decided.done_action or call.action, decided)
        case "correct":
            return _perform(call, decided.done_action or {}, decided)
        case "manual":
            return _instead_of_running(call, _by_a_person(call, decided))
        case "skip":
            return _reject(call, _with("Skipped: it was not done, and need not be.", decided.feedback))
        case _:
            return _reject(call, decided.feedback or "A person said no.")


def _perform(call: Call, action: JSON, decided: Decided) -> JSON:
    if action == call.action:
        if "approve" in call.allowed:
            return {"type": "approve"}
        return _reject(call, _with("A person agrees, but this tool cannot be approved.", decided.feedback))
    edited = _edited(call, action)
    if edited is not None and "edit" in call.allowed:
        return {"type": "edit", "edited_action": edited}
    wanted = json.dumps(action, ensure_ascii=False)
    return _reject(call, _with(f"Not like this. A person wants instead: {wanted}", decided.feedback))


def _edited(call: Call, action: JSON) -> JSON | None:
    """`{name, args}`, or None where the coach wants what an edit cannot say."""
    name, args = action.get("name", call.name), action.get("args")
    if not isinstance(name, str) or not isinstance(args, dict) or set(action) - {"name", "args"}:
        return None
    return None if call.pinned and name != call.name else {"name": name, "args": args}


def _by_a_person(call: Call, decided: Decided) -> str:
    did = json.dumps(decided.done_action, ensure_ascii=False) if decided.done_action else ""
    return f"done by a person: {' '.join(part for part in (decided.feedback, did) if part) or call.name}"


def _instead_of_running(call: Call, message: str) -> JSON:
    """It is done: the agent must neither run it nor try again."""
    if "respond" in call.allowed:
        return {"type": "respond", "message": message}
    return _reject(call, f"{message}. Do not do it again.")


def _reject(call: Call, message: str) -> JSON:
    if "reject" not in call.allowed:
        raise CannotSay(
            f"The coach's decision on “{call.name}” cannot be told: of {sorted(call.allowed)} none means it. Allow "
            f"“reject” for this tool. ({message})"
        )
    return {"type": "reject", "message": message}


def _with(words: str, feedback: str | None) -> str:
    return f"{words} {feedback}" if feedback else words


def answer(session: Asks, request: Mapping[str, Any], **more: Any) -> tuple[JSON, list[Any]]:
    """Asks about each call of a batched interrupt; `more` goes to `Session.ask`.

    Returns `({"decisions": […]}, decisions)`, both in the order of the calls. Resume with the first; once the agent has
    run, report `succeeded` on each of the second that is to `perform`. All are asked, also after one was rejected.
    """
    calls = calls_of(request)
    decisions = [_ask(session, call, more) for call in calls]
    said = [decision_for(call, decided) for call, decided in zip(calls, decisions, strict=True)]
    return {"decisions": said}, decisions


def _ask(session: Asks, call: Call, more: Mapping[str, Any]) -> Any:
    options: JSON = {"action_type": "tool_call", "rationale": call.description or None} | dict(more)
    return session.ask(call.node_id, call.action, **options)


# Per call: an interrupt for each call


def call_of(value: Mapping[str, Any], response_schema: Mapping[str, Any] | None = None) -> Call:
    """The call of a `{"type": "tool_approval", …}` interrupt; its `response_schema` says what may be answered."""
    if value.get("type") != "tool_approval":
        raise CoachError(f"This interrupt is no tool approval: {value.get('type')!r}.")
    allowed = ALL if response_schema is None else allowed_by(response_schema)
    return Call(value["name"], dict(value["args"]), value.get("description") or "", allowed, pinned=True)


def allowed_by(schema: Mapping[str, Any]) -> frozenset[str]:
    """The decision types that a response schema (JSON Schema) lets through."""
    found: set[str] = set()
    for branch in schema.get("oneOf") or schema.get("anyOf") or [schema]:
        kind = _resolved(branch, schema).get("properties", {}).get("type", {})
        found |= {value for value in [kind.get("const"), *kind.get("enum", [])] if isinstance(value, str)}
    return frozenset(found) & ALL


def _resolved(branch: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = branch.get("$ref")
    if not isinstance(reference, str):
        return branch
    found: Any = schema
    for name in reference.removeprefix("#/").split("/"):
        found = found.get(name, {})
    return dict(found)


def answer_call(
    session: Asks, value: Mapping[str, Any], response_schema: Mapping[str, Any] | None = None, **more: Any
) -> tuple[JSON, Any]:
    """Asks about one per-call interrupt: `(what to resume this interrupt's id with, the decision)`."""
    call = call_of(value, response_schema)
    decided = _ask(session, call, more)
    return decision_for(call, decided), decided


# Agent Inbox, the older shape


def inbox_call_of(interrupt: Mapping[str, Any]) -> Call:
    """The call of `{action_request: {action, args}, config: {allow_…}, description}`; `allowed` in its own words."""
    asked, config = interrupt["action_request"], interrupt.get("config") or {}
    allowed = frozenset(name for name in ("accept", "edit", "ignore", "respond") if config.get(f"allow_{name}"))
    return Call(asked["action"], dict(asked["args"]), interrupt.get("description") or "", allowed)


def inbox_response_for(call: Call, decided: Decided) -> JSON:
    """One response, `{type, args}` with a type of accept, edit, response and ignore. Raises `CannotSay`.

    Only `response` carries words, so a rejection with words is one, if the words may be sent.
    """
    if decided.decision in {"accept", "correct"} and not decided.perform:
        return _inbox_no(call, "Already done before this program was started again.")
    if decided.decision in {"accept", "correct"}:
        return _inbox_perform(call, decided)
    if decided.decision == "manual":
        return _inbox_no(call, _by_a_person(call, decided))
    if decided.decision == "skip" or not decided.feedback:
        return _inbox_ignore(call)
    return _inbox_no(call, f"Not done. A person said no: {decided.feedback}")


def _inbox_perform(call: Call, decided: Decided) -> JSON:
    action = decided.done_action or call.action
    edited = _edited(call, action)
    if action == call.action and "accept" in call.allowed:
        return {"type": "accept", "args": None}
    if edited is not None and "edit" in call.allowed:
        return {"type": "edit", "args": {"action": edited["name"], "args": edited["args"]}}
    return _inbox_no(call, f"Not done. A person wants instead: {json.dumps(action, ensure_ascii=False)}")


def _inbox_no(call: Call, words: str) -> JSON:
    return {"type": "response", "args": words} if "respond" in call.allowed else _inbox_ignore(call)


def _inbox_ignore(call: Call) -> JSON:
    if "ignore" not in call.allowed:
        if "respond" in call.allowed:
            return {"type": "response", "args": "Not done, by a person's decision. Do not do it."}
        raise CannotSay(f"“{call.name}” allows only {sorted(call.allowed)}, of which none means no: allow ignore.")
    return {"type": "ignore", "args": None}


def answer_inbox(session: Asks, interrupts: Sequence[Mapping[str, Any]], **more: Any) -> tuple[list[JSON], list[Any]]:
    """Asks about each of the interrupts: `(what to resume with, the decisions)`, in their order."""
    calls = [inbox_call_of(interrupt) for interrupt in interrupts]
    decisions = [_ask(session, call, more) for call in calls]
    said = [inbox_response_for(call, decided) for call, decided in zip(calls, decisions, strict=True)]
    return said, decisions


def report(decisions: Collection[Any], error: str | None = None) -> None:
    """Reports, after the agent has run, that what was to be performed succeeded; or failed, with `error`."""
    for decided in decisions:
        if decided.perform:
            decided.succeeded() if error is None else decided.failed(error)
