"""JSON Schemas of what the tools take and answer: what agents are told, and what is checked."""

from __future__ import annotations

from typing import Any

from ..actions.caller import LONGEST_WAIT, OUTCOMES
from ..api.serializers import LONG_TEXT, MAX_COUNT
from ..models import Decision, Risk, Session, Suggestion
from ..models.workflow import NODE_ID_LENGTH
from .runs import EXECUTION_LENGTH, ID_LENGTH
from .waiting import IMPATIENT_SECONDS, LONGEST_WAIT_SECONDS, PATIENT_SECONDS

Schema = dict[str, Any]


def _text(description: str, *, longest: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": r"\S", "description": description}


def _number(description: str, *, kind: str = "number", **limits: float) -> Schema:
    return {"type": kind, **limits, "description": description}


def _one_of(values: list[str], description: str) -> Schema:
    return {"type": "string", "enum": values, "description": description}


def _object(properties: dict[str, Schema], required: tuple[str, ...] = (), *, more: bool = False) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        **({} if more else {"additionalProperties": False}),
    }


def _nullable(schema: Schema) -> Schema:
    """For optional inputs: agents send null as well as nothing. For answers: what may not be there."""
    kinds = {"type": [schema["type"], "null"]}
    return {**schema, **kinds, **({"enum": [*schema["enum"], None]} if "enum" in schema else {})}


_WORKFLOW_ID = _text("The workflow that the step belongs to: one id for one kind of task.", longest=ID_LENGTH)
_SESSION_ID = _text("A session, as an answer before named it.", longest=64)
_N = _number("The number of the suggestion within its session.", kind="integer", minimum=1, maximum=MAX_COUNT)

LIST_OPEN_SESSIONS = _object(
    {
        "workflow_id": _nullable({**_WORKFLOW_ID, "description": "Only sessions of this workflow."}),
        "limit": _nullable(_number("At most so many; 20 unless told.", kind="integer", minimum=1, maximum=100)),
    }
)

REQUEST_DECISION = _object(
    {
        "workflow_id": _nullable(_WORKFLOW_ID),
        "node_id": _text(
            "The step: the same name each time the same kind of step comes up, so that evidence adds up.",
            longest=NODE_ID_LENGTH,
        ),
        "action_type": _text("What kind of action it is, e.g. send_email.", longest=100),
        "action": {
            "type": "object",
            "description": "All that is needed to do it. The coach may change it: do exactly what the answer says.",
        },
        "session_id": _nullable({**_SESSION_ID, "description": "The session to ask in, as an answer before named it."}),
        "execution_id": _nullable(
            _text(
                "Your own name for this run of the workflow. Its session is found, or started. Without it, the "
                "run that the address of this server names, or your run of the day.",
                longest=EXECUTION_LENGTH,
            )
        ),
        "step_index": _nullable(
            _number(
                "0-based; the session’s next step unless given. Given, it tells a question that you ask again because "
                "you missed its answer from another one: then you get the answer.",
                kind="integer",
                minimum=0,
                maximum=MAX_COUNT,
            )
        ),
        "confidence": _nullable(_number("How sure you are, from 0 to 1.", minimum=0, maximum=1)),
        "rationale": _nullable(
            {"type": "string", "maxLength": LONG_TEXT, "description": "Why you propose this, for the coach to read."}
        ),
        "risk": _nullable(_one_of(list(Risk.values), "Whether it can be undone.")),
        "expires_in": _nullable(
            _number("Nobody having decided after so many seconds, on_expiry holds.", exclusiveMinimum=0,
                    maximum=int(LONGEST_WAIT.total_seconds()))
        ),
        "on_expiry": _nullable(
            _one_of(
                list(Suggestion.OnExpiry.values), "pause (unless given) pauses the session; reject and skip decide so."
            )
        ),
        "mode": _nullable(
            _one_of(
                list(Session.Mode.values),
                "Of a session that this call starts: coaching asks about every step (unless given), auto only where "
                "it must.",
            )
        ),
        "wait_seconds": _nullable(
            _number(
                f"How long this call waits for the decision; then it answers with status open. Unless given "
                f"{PATIENT_SECONDS} for clients that listen to progress, else {IMPATIENT_SECONDS}.",
                minimum=0,
                maximum=LONGEST_WAIT_SECONDS,
            )
        ),
    },
    ("node_id", "action_type", "action"),
)  # fmt: skip

REPORT_OUTCOME = _object(
    {
        "session_id": _SESSION_ID,
        "n": _N,
        "status": _one_of(list(OUTCOMES), "uncertain: you do not know whether it happened."),
        "error": _nullable({"type": "string", "maxLength": LONG_TEXT, "description": "What went wrong, in words."}),
    },
    ("session_id", "n", "status"),
)

TAKE_BACK = _object(
    {
        "session_id": _SESSION_ID,
        "n": _N,
        "reason": _nullable({"type": "string", "maxLength": LONG_TEXT, "description": "Why, for the coach to read."}),
    },
    ("session_id", "n"),
)

COMPLETE_SESSION = _object(
    {
        "session_id": _SESSION_ID,
        "success": _nullable({"type": "boolean", "description": "false ends it as failed; true unless given."}),
        "error_message": _nullable({"type": "string", "maxLength": LONG_TEXT, "description": "Why it failed."}),
    },
    ("session_id",),
)

#: Told to agents only: what is wrong with a permission prompt must be answered with a no in its own shape.
APPROVE_TOOL_USE = _object(
    {
        "tool_name": _text("The tool that is to be used.", longest=NODE_ID_LENGTH),
        "input": {"type": "object", "description": "What it is to be called with."},
        "tool_use_id": {
            "type": ["string", "null"],
            "description": "Your name for this use: the same one again gets the same answer.",
        },
    },
    ("tool_name", "input"),
    more=True,
)

_ANY_TEXT: Schema = {"type": "string"}
_ANY_NUMBER: Schema = {"type": "integer"}
_STATUS: Schema = {"type": "string", "enum": list(Suggestion.Status.values)}

DECISION_ANSWER = _object(
    {
        "session_id": _ANY_TEXT,
        "n": _ANY_NUMBER,
        "status": _STATUS,
        "decision": _nullable({"type": "string", "enum": list(Decision.Kind.values)}),
        "action": {"type": ["object", "null"], "description": "What is to be done; null when nothing is."},
        "feedback": _nullable(_ANY_TEXT),
        "reason_code": _nullable({"type": "string", "enum": list(Decision.Reason.values)}),
        "decided_by": _nullable(_ANY_TEXT),
        "attempt": _ANY_NUMBER,
        "instructions": {"type": "string", "description": "What to do now, in one sentence."},
    },
    ("session_id", "n", "status", "decision", "action", "instructions"),
    more=True,
)

OUTCOME_ANSWER = _object(
    {
        "session_id": _ANY_TEXT,
        "n": _ANY_NUMBER,
        "status": _STATUS,
        "outcome": _nullable({"type": "string", "enum": list(Suggestion.Outcome.values)}),
        "session_status": _ANY_TEXT,
        "current_step_index": _ANY_NUMBER,
    },
    ("session_id", "n", "status", "outcome", "session_status"),
    more=True,
)

SESSION_ANSWER = _object(
    {"session_id": _ANY_TEXT, "status": _ANY_TEXT, "error_message": _nullable(_ANY_TEXT)},
    ("session_id", "status"),
    more=True,
)

SESSIONS_ANSWER = _object(
    {
        "sessions": {
            "type": "array",
            "items": _object(
                {
                    "session_id": _ANY_TEXT,
                    "workflow_id": _ANY_TEXT,
                    "execution_id": _ANY_TEXT,
                    "status": _ANY_TEXT,
                    "mode": _ANY_TEXT,
                    "current_step_index": _ANY_NUMBER,
                    "open_suggestion": {"type": ["object", "null"], "description": "What waits for a decision now."},
                },
                ("session_id", "workflow_id", "status"),
                more=True,
            ),
        },
        "more": {"type": "boolean", "description": "Whether there are more than these."},
    },
    ("sessions", "more"),
    more=True,
)
