"""The parts without input and output, driven by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from coachsite_client import (
    AlreadyDecided,
    ApiError,
    BadRequest,
    CoachError,
    DuplicateExecution,
    IdempotencyMismatch,
    StillWaiting,
    Unreachable,
)
from coachsite_client._asking import Asking, Move, OnUncertain, Question, Run, judge, question
from coachsite_client._calls import Calls
from coachsite_client._wire import Policy, Reply, Request, Sleep, Steps, Trouble, send

JSON = dict[str, Any]
#: As the server described it.
SUGGESTION: JSON = {
    "n": 1, "step_index": 0, "attempt": 1, "node_id": "post", "action_type": "post", "action": {"number": 7},
    "description": "post: number 7", "provenance": {"source": "caller", "changed": []}, "status": "open",
    "decision": None, "outcome": None, "error": None, "performing_since": None,
}  # fmt: skip


def decided(kind: str, **more: Any) -> JSON:
    return SUGGESTION | {"status": "decided", "decision": {"decision": kind, "correction": None}} | more


def plain_question(**action: Any) -> Question:
    return question(
        "post", action or {"number": 7}, action_type=None, confidence=None, rationale=None, risk=None, screenshot=None,
        expires_in=None, on_expiry=None,
    )  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def reply(status: int, body: Any = None, **headers: str) -> Reply:
    return Reply(status, headers, json.dumps(body or {}).encode())


def refusal(status: int, code: str, **beside: Any) -> Reply:
    return reply(status, {"type": "client_error", "errors": [{"code": code, "detail": "no", "attr": None}]} | beside)


def drive(steps: Steps[Any], clock: Clock, *answers: Reply | Trouble) -> tuple[Any, list[Request], list[float]]:
    """`(result, the requests, the seconds slept)`; sleeping moves the clock."""
    waiting, requests, slept = list(answers), [], []
    try:
        effect = next(steps)
        while True:
            if isinstance(effect, Sleep):
                slept.append(effect.seconds)
                clock.now += effect.seconds
                effect = steps.send(None)
            else:
                requests.append(effect)
                effect = steps.send(waiting.pop(0))
    except StopIteration as stop:
        assert not waiting
        return stop.value, requests, slept


def policy(clock: Clock, patience: float | None = None) -> Policy:
    return Policy(patience=patience, clock=clock, chance=lambda: 1.0)


NO_ANSWER = Trouble("nothing there")


def test_trouble_is_borne_with_growing_waits_and_the_same_request() -> None:
    clock = Clock()
    request = Request("POST", "sessions/", content=b"{}", key="k")
    troubles: list[Reply | Trouble] = [NO_ANSWER, reply(502), reply(503), reply(504), *[NO_ANSWER] * 4]
    result, requests, slept = drive(send(policy(clock), request), clock, *troubles, reply(201, {"ok": 1}))
    assert result == {"ok": 1}
    assert requests == [request] * 9
    assert slept == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert request.headers["Idempotency-Key"] == "k"


def test_a_busy_server_says_when() -> None:
    clock = Clock()
    busy = Reply(429, {"retry-after": "7"}, b"")
    _, _, slept = drive(send(policy(clock), Request("GET", "inbox/")), clock, busy, reply(200))
    assert slept == [7.0]


def test_chance_spreads_the_waits() -> None:
    lucky = Policy(chance=lambda: 0.0)
    assert lucky.wait(1, NO_ANSWER) == 0.1
    assert lucky.wait(100, NO_ANSWER) == 2.5


def test_patience_counts_from_the_first_failure_of_a_row() -> None:
    clock = Clock()
    with pytest.raises(Unreachable, match="nothing there"):
        drive(send(policy(clock, patience=3.0), Request("GET", "inbox/")), clock, *[NO_ANSWER] * 50)
    assert 3.0 <= clock.now < 7.0


def test_a_deadline_ends_waiting_for_the_server() -> None:
    clock = Clock()
    with pytest.raises(StillWaiting):
        drive(send(policy(clock), Request("GET", "inbox/"), deadline=1.0), clock, *[NO_ANSWER] * 50)
    assert clock.now == 1.0


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (refusal(400, "required"), BadRequest, "no"),
        (refusal(409, "already_decided", decision={"decision": "accept"}), AlreadyDecided, "no"),
        (refusal(409, "duplicate_execution", session={"session_id": "s"}), DuplicateExecution, "no"),
        (refusal(422, "idempotency_mismatch"), IdempotencyMismatch, "no"),
        (Reply(500, {}, b"<h1>Server Error</h1>"), ApiError, "answered 500: <h1>"),
        (Reply(301, {"location": "https://x"}, b""), ApiError, "answered 301"),
    ],
)
def test_refusals_have_their_own_errors(answer: Reply, kind: type[ApiError], words: str) -> None:
    with pytest.raises(kind, match=words) as refused:
        drive(send(policy(Clock()), Request("GET", "inbox/")), Clock(), answer)
    assert refused.value.status == answer.status


@pytest.mark.parametrize(
    ("latest", "went_on", "on_uncertain", "move"),
    [
        (None, False, "ask", Move.ASK),
        (SUGGESTION, False, "ask", Move.WAIT),
        (SUGGESTION | {"status": "withdrawn"}, False, "ask", Move.TAKEN_BACK),
        (SUGGESTION | {"status": "expired"}, False, "ask", Move.AWAIT_RESUME),
        (decided("skip", status="expired", outcome="not_performed"), False, "ask", Move.RETURN),
        (decided("reject", outcome="not_performed"), False, "ask", Move.RETURN),
        (decided("manual", outcome="not_performed"), False, "perform", Move.RETURN),
        (decided("accept"), False, "ask", Move.BEGIN),
        (decided("accept"), True, "ask", Move.RETURN),
        (decided("accept", outcome="performed"), False, "perform", Move.RETURN),
        (decided("correct", outcome="failed"), False, "perform", Move.ASK),
        (decided("correct", outcome="failed"), True, "perform", Move.RETURN),
        (decided("accept", outcome="uncertain"), False, "ask", Move.ASK),
        (decided("accept", performing_since="2031-05-04T09:30:00Z"), False, "ask", Move.REPORT),
        (decided("accept", performing_since="2031-05-04T09:30:00Z"), False, "perform", Move.PERFORM),
        (decided("accept", performing_since="2031-05-04T09:30:00Z"), True, "perform", Move.RETURN),
    ],
)
def test_what_a_suggestion_calls_for(latest: JSON | None, went_on: bool, on_uncertain: OnUncertain, move: Move) -> None:
    assert judge(latest, went_on=went_on, on_uncertain=on_uncertain) is move


def test_what_packs_changed_does_not_make_it_another_question() -> None:
    packed = SUGGESTION | {
        "action": {"number": 7, "account": "4711"},
        "provenance": {"changed": [{"op": "replace", "path": "/account", "value": "4711"}]},
    }
    assert plain_question(number=7, account="12").is_about(packed)
    assert not plain_question(number=8, account="12").is_about(packed)
    assert not plain_question(number=8).is_about(SUGGESTION)
    assert plain_question(number=7).is_about(SUGGESTION)


def test_what_json_cannot_hold_is_refused_before_anything_is_sent() -> None:
    for value in (float("nan"), {1, 2}, object()):
        with pytest.raises(CoachError, match="not JSON"):
            plain_question(value=value)
    with pytest.raises(CoachError, match="mapping"):
        question(
            "post", ["no"], action_type=None, confidence=None, rationale=None, risk=None, screenshot=None,  # type: ignore[arg-type]
            expires_in=None, on_expiry=None,
        )  # fmt: skip


def test_a_key_is_the_same_for_whoever_asks_the_same_place_and_attempt() -> None:
    clock = Clock()

    def keys(*answers: Reply | Trouble) -> list[str | None]:
        asking = Asking(Calls(policy(clock)), Run("coaching_1"), plain_question())
        _, requests, _ = drive(asking.steps(), clock, *answers)
        return [
            request.key for request in requests if request.path.endswith("/suggestions/") and request.method == "POST"
        ]

    auto = [reply(201, decided("accept")), reply(200, decided("accept", performing_since="now"))]
    assert keys(NO_ANSWER, *auto) == ["ask:coaching_1:0:1"] * 2
    # The server remembers another body: look at its list, and go on with a key of its own.
    mismatch = [refusal(422, "idempotency_mismatch"), reply(200, {"next": None, "results": []})]
    assert keys(*mismatch, *auto) == ["ask:coaching_1:0:1", "ask:coaching_1:0:1:2"]


def test_after_a_mismatch_the_servers_list_counts() -> None:
    """The answer of an earlier life's question arrived after the list was read: the question is there, and decided."""
    clock = Clock()
    asking = Asking(Calls(policy(clock)), Run("coaching_1"), plain_question())
    settled, requests, _ = drive(
        asking.steps(), clock,
        refusal(422, "idempotency_mismatch"),
        reply(200, {"next": None, "results": [decided("reject", outcome="not_performed")]}),
    )  # fmt: skip
    assert (settled.perform, settled.suggestion["decision"]["decision"]) == (False, "reject")
    assert [request.method for request in requests] == ["POST", "GET"]


def test_all_pages_of_a_list_by_their_cursors() -> None:
    clock = Clock()
    rows, requests, _ = drive(
        Calls(policy(clock)).everything("sessions/", {"resumable": True}), clock,
        reply(200, {"next": "http://inside:8000/api/v1/sessions/?cursor=abc%3D&limit=500", "results": [{"n": 1}]}),
        reply(200, {"next": None, "results": [{"n": 2}]}),
    )  # fmt: skip
    assert rows == [{"n": 1}, {"n": 2}]
    assert [dict(request.params) for request in requests] == [
        {"resumable": "true", "limit": "500"},
        {"resumable": "true", "limit": "500", "cursor": "abc="},
    ]
