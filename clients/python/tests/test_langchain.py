"""The five decisions in LangChain's shapes."""

from __future__ import annotations

from typing import Any

import pytest
from coachsite_client import CoachError
from coachsite_client import langchain as mapping
from coachsite_client._asking import Run, Settled
from coachsite_client._decision import Facts

JSON = dict[str, Any]
CALL: JSON = {"name": "send_email", "args": {"to": "alice@example.org"}}
EDITED: JSON = {"name": "send_email", "args": {"to": "bob@example.org"}}


def said(
    kind: str, *, perform: bool | None = None, feedback: str | None = None, correction: Any = None, action: Any = CALL
) -> Facts:
    decision = {"decision": kind, "feedback": feedback, "correction": correction}
    suggestion = {
        "n": 1,
        "attempt": 1,
        "description": "send_email",
        "action": action,
        "decision": decision,
        "outcome": None,
    }
    return Facts(Run("s"), Settled(0, suggestion, kind in {"accept", "correct"} if perform is None else perform, False))


def request(*allowed: str) -> JSON:
    return {
        "action_requests": [CALL | {"description": "Tool execution requires approval"}],
        "review_configs": [{"action_name": "send_email", "allowed_decisions": [*allowed]}],
    }


ALL = ("approve", "edit", "reject", "respond")


def heard(decided: Facts, *allowed: str) -> JSON:
    (call,) = mapping.calls_of(request(*(allowed or ALL)))
    return mapping.decision_for(call, decided)


def test_each_decision() -> None:
    assert heard(said("accept")) == {"type": "approve"}
    assert heard(said("correct", correction=EDITED)) == {"type": "edit", "edited_action": EDITED}
    assert heard(said("reject", feedback="not Alice")) == {"type": "reject", "message": "not Alice"}
    assert heard(said("manual", feedback="I called her")) == {
        "type": "respond",
        "message": "done by a person: I called her",
    }
    assert heard(said("skip"))["type"] == "reject"
    assert heard(said("skip"))["message"].startswith("Skipped")


def test_what_packs_made_of_it_is_an_edit() -> None:
    assert heard(said("accept", action=EDITED)) == {"type": "edit", "edited_action": EDITED}


def test_what_was_done_before_is_not_run_again() -> None:
    assert heard(said("accept", perform=False)) == {
        "type": "respond", "message": "Already done before this program was started again",
    }  # fmt: skip
    assert heard(said("accept", perform=False), "approve", "reject")["type"] == "reject"


def test_what_a_tool_does_not_allow_becomes_a_reject_with_words() -> None:
    wanted = heard(said("correct", correction=EDITED, feedback="to Bob"), "approve", "reject")
    assert wanted["type"] == "reject"
    assert "bob@example.org" in wanted["message"]
    assert wanted["message"].endswith("to Bob")
    assert heard(said("accept"), "respond", "reject")["type"] == "reject"
    by_hand = heard(said("manual", feedback="called"), "approve", "reject")
    assert by_hand == {"type": "reject", "message": "done by a person: called. Do not do it again."}


@pytest.mark.parametrize("kind", ["reject", "skip"])
def test_a_no_that_cannot_be_said_is_an_error_and_never_a_yes(kind: str) -> None:
    with pytest.raises(mapping.CannotSay, match="reject"):
        heard(said(kind), "approve", "edit", "respond")


def test_an_edit_says_only_name_and_args() -> None:
    odd = {"name": "send_email", "args": {}, "note": "urgent"}
    assert heard(said("correct", correction=odd))["type"] == "reject"
    assert heard(said("correct", correction={"args": {"to": "bob"}})) == {
        "type": "edit", "edited_action": {"name": "send_email", "args": {"to": "bob"}},
    }  # fmt: skip


class Script:
    """Answers in turn, in the place of a session."""

    def __init__(self, *answers: Facts) -> None:
        self.answers, self.asked = list(answers), []  # type: ignore[var-annotated]

    def ask(self, node_id: str, action: Any, **more: Any) -> Facts:
        self.asked.append((node_id, action, more))
        return self.answers.pop(0)


def test_a_batch_is_answered_in_its_order_and_to_the_end() -> None:
    both = {
        "action_requests": [CALL, {"name": "delete_file", "args": {"path": "a"}}],
        "review_configs": [
            {"action_name": "delete_file", "allowed_decisions": ["approve", "reject"]},
            {"action_name": "send_email", "allowed_decisions": ["approve", "edit", "reject"]},
        ],
    }
    script = Script(said("reject", feedback="no"), said("accept", action=both["action_requests"][1]))
    answers, decisions = mapping.answer(script, both, risk="irreversible")
    assert answers == {"decisions": [{"type": "reject", "message": "no"}, {"type": "approve"}]}
    assert [decided.decision for decided in decisions] == ["reject", "accept"]
    assert [node_id for node_id, _, _ in script.asked] == ["send_email", "delete_file"]
    assert script.asked[1][1:] == (
        {"name": "delete_file", "args": {"path": "a"}},
        {"action_type": "tool_call", "rationale": None, "risk": "irreversible"},
    )


#: As pydantic writes it for a tool that allows approve, edit and reject.
SCHEMA: JSON = {
    "$defs": {
        "ApproveDecision": {"properties": {"type": {"const": "approve", "type": "string"}}, "required": ["type"]},
        "RejectDecision": {"properties": {"type": {"const": "reject"}, "message": {"type": "string"}}},
        "EditDecision": {"properties": {"type": {"const": "edit"}, "edited_action": {"$ref": "#/$defs/EditedAction"}}},
        "EditedAction": {"properties": {"name": {"const": "send_email"}, "args": {"type": "object"}}},
    },
    "discriminator": {"mapping": {}, "propertyName": "type"},
    "oneOf": [
        {"$ref": "#/$defs/ApproveDecision"},
        {"$ref": "#/$defs/EditDecision"},
        {"$ref": "#/$defs/RejectDecision"},
    ],
}
APPROVAL = CALL | {"type": "tool_approval", "tool_call_id": "1", "description": "Send?"}


def test_per_call() -> None:
    assert mapping.allowed_by(SCHEMA) == {"approve", "edit", "reject"}
    assert mapping.allowed_by({"properties": {"type": {"const": "respond"}}}) == {"respond"}
    answer, decided = mapping.answer_call(Script(said("correct", correction=EDITED)), APPROVAL, SCHEMA)
    assert answer == {"type": "edit", "edited_action": EDITED}
    assert decided.perform
    # An edit of a single call is pinned to its tool.
    other = EDITED | {"name": "send_letter"}
    assert mapping.answer_call(Script(said("correct", correction=other)), APPROVAL, SCHEMA)[0]["type"] == "reject"
    with pytest.raises(CoachError, match="no tool approval"):
        mapping.call_of({"action_requests": []})


def inbox(**allowed: bool) -> JSON:
    config = {f"allow_{name}": allowed.get(name, False) for name in ("ignore", "respond", "edit", "accept")}
    return {"action_request": {"action": "send_email", "args": CALL["args"]}, "config": config, "description": "Send?"}


def test_agent_inbox() -> None:
    everything = inbox(ignore=True, respond=True, edit=True, accept=True)

    def answer(decided: Facts, interrupt: JSON = everything) -> JSON:
        (response,), _ = mapping.answer_inbox(Script(decided), [interrupt])
        return response

    assert answer(said("accept")) == {"type": "accept", "args": None}
    assert answer(said("correct", correction=EDITED)) == {
        "type": "edit", "args": {"action": "send_email", "args": EDITED["args"]},
    }  # fmt: skip
    assert answer(said("reject")) == {"type": "ignore", "args": None}
    assert answer(said("reject", feedback="not her")) == {
        "type": "response", "args": "Not done. A person said no: not her",
    }  # fmt: skip
    assert answer(said("manual", feedback="called")) == {"type": "response", "args": "done by a person: called"}
    assert answer(said("skip")) == {"type": "ignore", "args": None}
    assert "bob@example.org" in answer(said("correct", correction=EDITED), inbox(accept=True, respond=True))["args"]
    with pytest.raises(mapping.CannotSay):
        answer(said("skip"), inbox(accept=True))
