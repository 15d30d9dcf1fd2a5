"""An agent that speaks the Model Context Protocol is coached: a real client, a real server, a coach beside them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import httpx2
import pytest
from mcp import Client, ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from coaching.tests.live import LiveSite, until

pytestmark = pytest.mark.live

#: Clients of today shake hands first, those of the 2026 protocol do not.
MODES = ("legacy", "auto")
ACTION = {"to": "ann@example.org", "subject": "Invoice 7"}
CORRECTED = {"to": "bob@example.org", "subject": "Invoice 7"}
DECISIONS: dict[str, dict[str, Any]] = {
    "accept": {},
    "reject": {"reason_code": "unsafe", "feedback": "Ann has left."},
    "correct": {"correction": CORRECTED, "reason_code": "wrong_value"},
    "manual": {"feedback": "I have called her."},
    "skip": {},
}
NOTHING: Any = None
PEOPLE = """
from django.contrib.auth.models import Group, User
for name, role in (("cora", "coach"), ("vera", "viewer"), ("sam", None), ("cleo", "owner")):
    user = User.objects.create_user(name, password="a long pass phrase")
    if role:
        user.groups.add(Group.objects.get(name=role))
"""


class Tokens(dict[str, str]):
    """A token for each person, printed when it is first needed."""

    def __init__(self, site: LiveSite) -> None:
        super().__init__()
        self.site = site

    def __missing__(self, name: str) -> str:
        self[name] = self.site.manage("issue_token", name).split()[-1]
        return self[name]


@pytest.fixture(scope="module")
def tokens(site: LiveSite) -> Tokens:
    site.manage("shell", "-c", PEOPLE)
    return Tokens(site)


class Coach:
    """Somebody who decides over the API, beside the agent."""

    def __init__(self, api: httpx.Client) -> None:
        self.api = api

    async def get(self, path: str, **params: str) -> Any:
        found = await asyncio.to_thread(self.api.get, path, params=params)
        assert found.status_code == 200, found.text
        return found.json()

    async def post(self, path: str, **body: Any) -> Any:
        done = await asyncio.to_thread(self.api.post, path, json=body)
        assert done.status_code in {200, 201}, done.text
        return done.json()

    async def session(self, run: str) -> str:
        """The `session_id` of the only run of this name."""
        (session,) = (await self.get("sessions/", execution_id=run))["results"]
        session_id: str = session["session_id"]
        return session_id

    async def asked(self, run: str) -> tuple[str, dict[str, Any]]:
        """`(session_id, suggestion)` of what is, or will be, asked in a run."""

        def look() -> tuple[str, dict[str, Any]]:
            return until(lambda: self._waiting(run) or NOTHING, what=f"a question in {run}")

        return await asyncio.to_thread(look)

    async def waiting(self, run: str) -> tuple[str, dict[str, Any]] | None:
        return await asyncio.to_thread(self._waiting, run)

    def _waiting(self, run: str) -> tuple[str, dict[str, Any]] | None:
        for session in self.api.get("sessions/", params={"execution_id": run}).json()["results"]:
            detail = self.api.get(f"sessions/{session['session_id']}/").json()
            if detail["open_suggestion"]:
                return session["session_id"], detail["open_suggestion"]
        return None

    async def decide(self, run: str, decision: str) -> dict[str, Any]:
        """Answers what is, or will be, asked in a run."""
        session_id, suggestion = await self.asked(run)
        answer = DECISIONS[decision] | {"decision": decision, "n": suggestion["n"]}
        await self.post(f"sessions/{session_id}/decisions/", **answer)
        return suggestion


@pytest.fixture(scope="module")
def coach(site: LiveSite) -> Coach:
    return Coach(site.client())


@contextlib.asynccontextmanager
async def agent(site: LiveSite, token: str, *, mode: Any = "auto", **address: str) -> AsyncIterator[Client]:
    query = f"?{urlencode(address)}" if address else ""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30, read=120)) as http:
        transport = streamable_http_client(f"{site.url}/mcp/{query}", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


def question(execution_id: str, **more: Any) -> dict[str, Any]:
    return {
        "workflow_id": "mail-agent",
        "execution_id": execution_id,
        "node_id": "send-mail",
        "action_type": "send_mail",
        "action": ACTION,
    } | more


async def ask(client: Client, execution_id: str, **more: Any) -> dict[str, Any]:
    """What `request_decision` answers."""
    return answer_of(await client.call_tool("request_decision", question(execution_id, **more)))


async def while_coached(
    client: Client, tool: str, arguments: dict[str, Any], *, by: Coach, run: str, decision: str
) -> CallToolResult:
    """The result of a call that a coach answers once it is known to wait."""
    waits = asyncio.Event()

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        waits.set()

    async def deciding() -> None:
        await waits.wait()
        await by.decide(run, decision)

    decided = asyncio.create_task(deciding())
    result = await client.call_tool(tool, arguments, progress_callback=progress)
    await decided
    assert not result.is_error, result.content
    return result


def answer_of(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, result.content
    answer: dict[str, Any] = result.structured_content
    assert json.loads(text_of(result)) == answer
    return answer


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def error_of(result: CallToolResult) -> dict[str, Any]:
    assert result.is_error
    told: dict[str, Any] = json.loads(text_of(result))["error"]
    return told


# ---- asking


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("decision", DECISIONS)
async def test_a_decision_reaches_the_agent(
    site: LiveSite, tokens: Tokens, coach: Coach, decision: str, mode: str
) -> None:
    run = f"ask-{decision}-{mode}"
    async with agent(site, tokens["owner"], mode=mode) as client:
        result = await while_coached(client, "request_decision", question(run), by=coach, run=run, decision=decision)
    answer = answer_of(result)
    assert (answer["status"], answer["decision"], answer["decided_by"]) == ("decided", decision, "owner")
    assert answer["action"] == {"accept": ACTION, "correct": CORRECTED}.get(decision)
    assert (answer["n"], answer["attempt"]) == (1, 1)
    said = DECISIONS[decision]
    assert (answer["feedback"], answer["reason_code"]) == (said.get("feedback"), said.get("reason_code"))
    words = {
        "accept": "as you proposed", "reject": "Rejected by owner", "correct": "instead of the one",
        "manual": "Done by a person", "skip": "Skipped by owner",
    }  # fmt: skip
    assert words[decision] in answer["instructions"]


async def test_a_plain_client_session_asks_and_is_told_of_progress(
    site: LiveSite, tokens: Tokens, coach: Coach
) -> None:
    told: list[str | None] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    headers = {"Authorization": f"Token {tokens['owner']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        streamable_http_client(f"{site.url}/mcp", http_client=http) as streams,
        ClientSession(*streams) as session,
    ):
        introduced = await session.initialize()
        assert introduced.server_info.name == "coachsite"
        assert "request_decision" in (introduced.instructions or "")
        assert "request_decision" in {tool.name for tool in (await session.list_tools()).tools}
        deciding = asyncio.create_task(coach.decide("plain", "accept"))
        result = await session.call_tool("request_decision", question("plain"), progress_callback=progress)
        await deciding
    assert answer_of(result)["decision"] == "accept"
    assert told
    assert "waits for a coach" in (told[0] or "")


async def test_the_coach_sees_what_the_agent_says_about_it(site: LiveSite, tokens: Tokens, coach: Coach) -> None:
    more = {
        "confidence": 0.4,
        "rationale": "The invoice is new.",
        "risk": "irreversible",
        "expires_in": 600,
        "step_index": 3,
    }
    async with agent(site, tokens["owner"]) as client:
        deciding = asyncio.create_task(coach.decide("told", "accept"))
        await client.call_tool("request_decision", question("told", **more))
        seen = await deciding
    assert seen["confidence"] == 0.4
    assert "The invoice is new." in seen["rationale"]
    assert (seen["risk"], seen["step_index"], seen["action"]) == ("irreversible", 3, ACTION)
    assert seen["expires_at"]


async def test_time_is_up_and_asking_again_goes_on_with_the_same_question(
    site: LiveSite, tokens: Tokens, coach: Coach
) -> None:
    async with agent(site, tokens["owner"]) as client:
        first = await ask(client, "patience", wait_seconds=0)
        assert (first["status"], first["action"]) == ("open", None)
        assert "again with the same arguments" in first["instructions"]
        assert await ask(client, "patience", wait_seconds=0.5) == first
        third = await while_coached(
            client, "request_decision", question("patience"), by=coach, run="patience", decision="accept"
        )
    assert (answer_of(third)["session_id"], answer_of(third)["n"]) == (first["session_id"], first["n"])


async def test_another_question_while_one_is_open_is_refused_until_it_is_taken_back(
    site: LiveSite, tokens: Tokens
) -> None:
    async with agent(site, tokens["owner"]) as client:
        first = await ask(client, "busy", wait_seconds=0)
        other = question("busy", node_id="delete-mail", wait_seconds=0)
        told = error_of(await client.call_tool("request_decision", other))
        assert (told["code"], told["open_suggestion"]) == ("stale_step", first["n"])
        gone = await client.call_tool("take_back", {"session_id": first["session_id"], "n": 1, "reason": "Not now."})
        assert answer_of(gone)["status"] == "withdrawn"
        second = answer_of(await client.call_tool("request_decision", other))
        assert (second["n"], second["status"]) == (2, "open")


async def test_a_question_expires(site: LiveSite, tokens: Tokens) -> None:
    async with agent(site, tokens["owner"]) as client:
        rejected = await ask(client, "late", expires_in=1, on_expiry="reject")
        skipped = await ask(client, "late-too", expires_in=1, on_expiry="skip")
        paused = await ask(client, "later", expires_in=1)
        again = await client.call_tool("request_decision", question("later", wait_seconds=0))
    for answer, decision in ((rejected, "reject"), (skipped, "skip"), (paused, None)):
        assert (answer["status"], answer["action"], answer["decision"]) == ("expired", None, decision)
        assert "Nobody decided in time" in answer["instructions"]
    assert error_of(again)["code"] == "session_not_active"


async def test_the_outcome_is_reported_and_the_run_ended(site: LiveSite, tokens: Tokens, coach: Coach) -> None:
    async with agent(site, tokens["owner"], workflow_id="mail-agent", execution_id="outcome") as client:
        given = {"node_id": "send-mail", "action_type": "send_mail", "action": ACTION}
        first = answer_of(
            await while_coached(client, "request_decision", given, by=coach, run="outcome", decision="accept")
        )
        names = {"session_id": first["session_id"], "n": first["n"]}
        failed = await client.call_tool("report_outcome", {**names, "status": "failed", "error": "No route."})
        assert answer_of(failed)["outcome"] == "failed"
        assert answer_of(failed)["current_step_index"] == 0
        other = await client.call_tool("report_outcome", {**names, "status": "succeeded"})
        assert error_of(other)["code"] == "illegal_transition"
        second = answer_of(
            await while_coached(client, "request_decision", given, by=coach, run="outcome", decision="accept")
        )
        assert (second["n"], second["attempt"]) == (2, 2)
        done = {"session_id": first["session_id"], "n": 2, "status": "succeeded"}
        assert answer_of(await client.call_tool("report_outcome", done))["outcome"] == "performed"
        ended = await client.call_tool("complete_session", {"session_id": first["session_id"]})
        assert answer_of(ended)["status"] == "completed"
        assert error_of(await client.call_tool("request_decision", given))["code"] == "session_not_active"
    decisions = (await coach.get(f"sessions/{first['session_id']}/decisions/"))["results"]
    assert [decision["execution_success"] for decision in decisions] == [False, True]


async def test_open_sessions_are_listed(site: LiveSite, tokens: Tokens) -> None:
    async with agent(site, tokens["owner"], workflow_id="list-agent") as client:
        for run in ("a", "b", "c"):
            await client.call_tool("request_decision", question(run, workflow_id=None, wait_seconds=0, mode="auto"))
        listed = await client.call_tool("list_open_sessions", {"workflow_id": "list-agent", "limit": 2})
    sessions = answer_of(listed)["sessions"]
    assert [session["execution_id"] for session in sessions] == ["c", "b"]
    assert answer_of(listed)["more"] is True
    assert {session["mode"] for session in sessions} == {"auto"}
    assert sessions[0]["open_suggestion"]["action"] == ACTION


# ---- who may


def test_a_wrong_token_is_told_apart_before_anything_is_read(site: LiveSite) -> None:
    for headers in ({}, {"Authorization": "Bearer coach_wrong"}, {"Authorization": "Basic b3duZXI6eA=="}):
        refused = httpx.post(f"{site.url}/mcp/", headers=headers, content=b"not JSON")
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert refused.json()["errors"][0]["code"] == "not_authenticated"


async def test_a_viewer_lists_and_asks_nothing(site: LiveSite, tokens: Tokens) -> None:
    async with agent(site, tokens["vera"]) as client:
        assert not (await client.call_tool("list_open_sessions", {})).is_error
        assert error_of(await client.call_tool("request_decision", question("viewer")))["code"] == "permission_denied"
        prompt = await client.call_tool("approve_tool_use", {"tool_name": "Bash", "input": {"command": "ls"}})
        assert json.loads(text_of(prompt))["behavior"] == "deny"
    async with agent(site, tokens["sam"]) as client:
        assert error_of(await client.call_tool("list_open_sessions", {}))["code"] == "permission_denied"


async def test_a_coach_asks_in_a_workflow_that_exists_and_makes_none(site: LiveSite, tokens: Tokens) -> None:
    async with agent(site, tokens["owner"]) as client:
        await client.call_tool("request_decision", question("made", wait_seconds=0))
    async with agent(site, tokens["cora"]) as client:
        assert not (await client.call_tool("request_decision", question("coachs", wait_seconds=0))).is_error
        none = await client.call_tool("request_decision", question("coachs", workflow_id="not-there"))
        assert error_of(none)["code"] == "not_found"


@pytest.mark.parametrize("mode", MODES)
async def test_bad_input_is_an_error_of_the_tool(site: LiveSite, tokens: Tokens, mode: str) -> None:
    deep: Any = {}
    for _ in range(60):
        deep = {"x": deep}
    wrong: list[dict[str, Any]] = [
        {"node_id": ""}, {"node_id": "x" * 201}, {"action": []}, {"action": {"a": "\x00"}}, {"action": deep},
        {"confidence": 2}, {"risk": "none"}, {"expires_in": 0}, {"on_expiry": "accept"}, {"step_index": -1},
        {"step_index": 20_000}, {"unknown": 1}, {"mode": "wild"}, {"wait_seconds": -1}, {"workflow_id": "no spaces"},
        {"workflow_id": "claims-demo", "session_id": "coaching_20260101_000000_00000000"},
    ]  # fmt: skip
    async with agent(site, tokens["owner"], mode=mode) as client:
        for change in wrong:
            told = error_of(await client.call_tool("request_decision", question("bad", wait_seconds=0) | change))
            assert told["code"] in {"invalid", "not_found"}, (change, told)
            assert told["message"]
        for tool, arguments in (
            ("report_outcome", {"session_id": "x", "n": 1, "status": "succeeded"}),
            ("complete_session", {"session_id": "x"}),
            ("take_back", {"session_id": "x", "n": 1}),
        ):
            assert error_of(await client.call_tool(tool, arguments))["code"] == "not_found"


async def test_a_browser_workflow_is_not_asked_about(site: LiveSite, tokens: Tokens, coach: Coach) -> None:
    browser = next(w for w in (await coach.get("workflows/"))["results"] if w["executor"] == "browser")
    async with agent(site, tokens["owner"]) as client:
        told = error_of(
            await client.call_tool("request_decision", question("browser", workflow_id=browser["workflow_id"]))
        )
    assert (told["code"], told["field"]) == ("invalid", "workflow_id")


# ---- the permission prompt


def tool_use(number: int, **more: Any) -> dict[str, Any]:
    return {"tool_name": "Bash", "input": {"command": f"echo {number}"}} | more


async def permission(client: Client, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool("approve_tool_use", arguments)
    assert not result.is_error
    answer: dict[str, Any] = json.loads(text_of(result))
    return answer


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("decision", DECISIONS)
async def test_a_permission_prompt_is_answered(
    site: LiveSite, tokens: Tokens, coach: Coach, decision: str, mode: str
) -> None:
    run = f"permit-{decision}-{mode}"
    async with agent(site, tokens["owner"], mode=mode, workflow_id="tool-agent", execution_id=run) as client:
        result = await while_coached(client, "approve_tool_use", tool_use(1), by=coach, run=run, decision=decision)
    answer = json.loads(text_of(result))
    if decision in {"accept", "correct"}:
        updated = {"accept": {"command": "echo 1"}, "correct": CORRECTED}[decision]
        assert answer == {"behavior": "allow", "updatedInput": updated}
    else:
        words = {"reject": "Rejected by owner", "manual": "Done by a person", "skip": "Skipped by owner"}[decision]
        assert answer["behavior"] == "deny"
        assert answer["message"].startswith(words)
        assert DECISIONS[decision].get("feedback", "") in answer["message"]


async def test_a_permission_that_nobody_gives_in_time_is_denied(site: LiveSite, tokens: Tokens, coach: Coach) -> None:
    address = {"workflow_id": "tool-agent", "execution_id": "nobody", "wait_seconds": "1"}
    async with agent(site, tokens["owner"], **address) as client:
        answer = await permission(client, **tool_use(1))
        assert answer["behavior"] == "deny"
        assert "Nobody decided in time" in answer["message"]
        assert await coach.waiting("nobody") is None, "the question does not stand in the way of the next"


async def test_what_cannot_be_asked_is_denied(site: LiveSite, tokens: Tokens, coach: Coach) -> None:
    async with agent(site, tokens["owner"]) as client:
        for wrong in (
            {}, {"tool_name": "Bash"}, {"tool_name": "Bash", "input": "ls"}, {"tool_name": " ", "input": {}},
            {"tool_name": "Bash", "input": {"command": "\x00"}}, {"tool_name": "Bash", "input": {}, "tool_use_id": "“"},
        ):  # fmt: skip
            assert (await permission(client, **wrong))["behavior"] == "deny"
    async with agent(site, tokens["owner"], wait_seconds="soon") as client:
        assert (await permission(client, **tool_use(1)))["behavior"] == "deny"
    async with agent(site, tokens["owner"], workflow_id="tool-agent", execution_id="over") as client:
        await while_coached(client, "approve_tool_use", tool_use(1), by=coach, run="over", decision="accept")
        await coach.post(f"sessions/{await coach.session('over')}/abandon/")
        answer = await permission(client, **tool_use(2))
        assert answer["behavior"] == "deny"
        assert "abandoned" in answer["message"]


async def test_the_same_tool_use_gets_the_same_answer(site: LiveSite, tokens: Tokens, coach: Coach) -> None:
    run = {"workflow_id": "tool-agent", "execution_id": "twice"}
    use = tool_use(1, tool_use_id="toolu_01")
    async with agent(site, tokens["owner"], **run) as client:
        first = await while_coached(client, "approve_tool_use", use, by=coach, run="twice", decision="correct")
        assert await permission(client, **use) == json.loads(text_of(first))
        other = await permission(client, **tool_use(2, tool_use_id="toolu_01"))
        assert other["behavior"] == "deny"
        # Another use of the same tool with the same input is another question.
        second = await while_coached(
            client, "approve_tool_use", tool_use(1, tool_use_id="toolu_02"), by=coach, run="twice", decision="reject"
        )
    assert json.loads(text_of(second))["behavior"] == "deny"


async def test_tool_uses_at_once_wait_for_their_turn(site: LiveSite, tokens: Tokens, coach: Coach) -> None:
    run = {"workflow_id": "tool-agent", "execution_id": "at-once"}
    async with agent(site, tokens["owner"], **run) as client:
        # The same input three times: three uses, three questions.
        prompts = [
            asyncio.create_task(permission(client, **tool_use(7, tool_use_id=f"toolu_{number}"))) for number in range(3)
        ]
        numbers = [(await coach.decide("at-once", decision))["n"] for decision in ("accept", "reject", "accept")]
        answers = await asyncio.gather(*prompts)
    assert numbers == [1, 2, 3]
    assert sorted(answer["behavior"] for answer in answers) == ["allow", "allow", "deny"]


async def test_a_paused_run_makes_tool_uses_wait(site: LiveSite, tokens: Tokens, coach: Coach) -> None:
    run = {"workflow_id": "tool-agent", "execution_id": "paused"}
    async with agent(site, tokens["owner"], **run) as client:
        await while_coached(client, "approve_tool_use", tool_use(1), by=coach, run="paused", decision="accept")
        session = await coach.session("paused")
        await coach.post(f"sessions/{session}/pause/")
        prompt = asyncio.create_task(permission(client, **tool_use(2)))
        await asyncio.sleep(0.5)
        assert not prompt.done()
        await coach.post(f"sessions/{session}/resume/")
        await coach.decide("paused", "accept")
        assert (await prompt)["behavior"] == "allow"


async def test_without_a_name_the_run_is_the_users_of_the_day(site: LiveSite, tokens: Tokens, coach: Coach) -> None:
    async with agent(site, tokens["cleo"]) as client:
        for name in (today := f"cleo {datetime.now(UTC):%Y-%m-%d}", f"{today} / 2"):
            prompt = asyncio.create_task(permission(client, **tool_use(1)))
            await coach.decide(name, "accept")
            assert (await prompt)["behavior"] == "allow"
            session = await coach.session(name)
            assert (await coach.get(f"sessions/{session}/"))["workflow_id"] == "agent-tool-use-cleo"
            await coach.post(f"sessions/{session}/complete/")


# ---- what goes away


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_goes_away_leaves_its_question_open(
    site: LiveSite, tokens: Tokens, coach: Coach, mode: str
) -> None:
    run = f"gone-{mode}"
    async with agent(site, tokens["owner"], mode=mode) as client:
        call = asyncio.create_task(client.call_tool("request_decision", question(run)))
        session_id, suggestion = await coach.asked(run)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
    await asyncio.sleep(0.5)
    assert await coach.waiting(run) == (session_id, suggestion)
    async with agent(site, tokens["owner"], mode=mode) as client:
        result = await while_coached(client, "request_decision", question(run), by=coach, run=run, decision="accept")
    assert (answer_of(result)["session_id"], answer_of(result)["n"]) == (session_id, suggestion["n"])


async def test_a_decision_that_was_missed_is_found_by_its_step(site: LiveSite, tokens: Tokens, coach: Coach) -> None:
    async with agent(site, tokens["owner"]) as client:
        await ask(client, "missed", step_index=0, wait_seconds=0)
        await coach.decide("missed", "correct")
        found = await ask(client, "missed", step_index=0)
        assert (found["n"], found["action"]) == (1, CORRECTED)
        # What was done is done: the same step again is a new question.
        await client.call_tool("report_outcome", {"session_id": found["session_id"], "n": 1, "status": "succeeded"})
        again = await ask(client, "missed", step_index=0, wait_seconds=0)
        assert (again["n"], again["status"]) == (2, "open")


def threads_of(site: LiveSite) -> int:
    return len([*Path(f"/proc/{site.processes['web'].pid}/task").iterdir()])


async def test_fifty_that_wait_cost_no_threads(site: LiveSite, tokens: Tokens, coach: Coach) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(agent(site, tokens["owner"])) for _ in range(50)]
        await clients[0].call_tool("list_open_sessions", {})
        before = threads_of(site)
        calls = [
            asyncio.create_task(client.call_tool("request_decision", question(f"many-{number}")))
            for number, client in enumerate(clients)
        ]
        listed = {"workflow_id": "mail-agent", "limit": 100}

        def all_wait() -> bool:
            found = site.rows("SELECT count(*) FROM coaching_suggestion WHERE status = 'open'")
            return bool(found[0][0] >= 50)

        await asyncio.to_thread(until, all_wait)
        await asyncio.sleep(1)
        assert threads_of(site) <= before + 4, "at most the few threads of this door, which may not all have been there"
        took = []
        for _ in range(20):
            start = time.monotonic()
            await coach.get("sessions/", limit="5")
            took.append(time.monotonic() - start)
        assert sorted(took)[10] < 0.5
        assert not (await clients[0].call_tool("list_open_sessions", listed)).is_error
        for number in range(50):
            await coach.decide(f"many-{number}", "accept")
        results = await asyncio.gather(*calls)
    assert {answer_of(result)["decision"] for result in results} == {"accept"}


@pytest.mark.parametrize("mode", MODES)
async def test_a_killed_web_process_loses_no_question(site: LiveSite, tokens: Tokens, coach: Coach, mode: str) -> None:
    run = f"killed-{mode}"
    # What a client makes of a lost connection is its own affair: some never get over it.
    with contextlib.suppress(Exception, asyncio.CancelledError):
        async with agent(site, tokens["owner"], mode=mode) as client:
            lost = asyncio.create_task(client.call_tool("request_decision", question(run)))
            session_id, suggestion = await coach.asked(run)
            await asyncio.to_thread(site.kill, "web")
            await asyncio.wait({lost}, timeout=30)
    await asyncio.to_thread(site.start, "web")
    async with agent(site, tokens["owner"], mode=mode) as client:
        result = await while_coached(client, "request_decision", question(run), by=coach, run=run, decision="accept")
    assert (answer_of(result)["session_id"], answer_of(result)["n"]) == (session_id, suggestion["n"])
