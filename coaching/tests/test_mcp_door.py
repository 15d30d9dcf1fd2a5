"""The door of `/mcp/`: who comes in, in what order that is looked at, what it costs, and what ends a wait."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from knox.models import AuthToken
from pytest_django.fixtures import Settings

from coaching import hub
from coaching.actions.autonomy import set_policy
from coaching.actions.sessions import delete_session
from coaching.mcp import door as door_module
from coaching.mcp import waiting
from coaching.mcp.door import McpDoor
from coaching.models import Level, Session, Step, Suggestion, Workflow
from coaching.tests.live import PROJECT, until

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 1024 * 1024
MODERN = "2026-07-28"
QUESTION = {"node_id": "send", "action_type": "send_mail", "action": {"to": "ann"}, "execution_id": "one"}

Headers = dict[bytes, bytes]


async def elsewhere(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Exchange:
    """One request to the door, whose client may go away."""

    def __init__(
        self, path: str, headers: Headers, body: bytes = b"", *, method: str = "POST", query: str = ""
    ) -> None:
        self.scope = {
            "type": "http", "method": method, "path": path, "query_string": query.encode(), "root_path": "",
            "headers": list(headers.items()), "scheme": "http", "http_version": "1.1", "raw_path": path.encode(),
            "client": ["127.0.0.1", 1], "server": ["127.0.0.1", 8000],
        }  # fmt: skip
        self.body, self.was_read = body, False
        self.gone = asyncio.Event()
        self.said: list[dict[str, Any]] = []
        self.task = asyncio.create_task(McpDoor(elsewhere, limit=MIB)(self.scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self.was_read:
            self.was_read = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.said.append(message)

    async def answer(self) -> Exchange:
        await asyncio.wait_for(self.task, 20)
        return self

    @property
    def status(self) -> int:
        return int(self.said[0]["status"])

    @property
    def headers(self) -> Headers:
        return {name.lower(): value for name, value in self.said[0]["headers"]}

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.said[1:]).decode()

    @property
    def message(self) -> dict[str, Any]:
        """The JSON-RPC answer, whether it came as JSON or as the last event of a stream."""
        data = [line.removeprefix("data: ") for line in self.text.splitlines() if line.startswith("data: ")]
        found: dict[str, Any] = json.loads(data[-1] if data else self.text)
        return found


def base(**more: bytes) -> Headers:
    return {
        b"host": b"127.0.0.1:8000",
        b"accept": b"application/json, text/event-stream",
        b"content-type": b"application/json",
    } | {name.replace("_", "-").encode(): value for name, value in more.items()}


@pytest.fixture
def token(owner: User) -> bytes:
    return f"Bearer {AuthToken.objects.create(owner)[1]}".encode()


def call(tool: str, arguments: Mapping[str, Any], *, id: Any = 1, modern: bool = False) -> bytes:  # noqa: A002
    params: dict[str, Any] = {"name": tool, "arguments": arguments}
    if modern:
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).encode()


def modern_headers(token: bytes) -> Headers:
    return base(authorization=token, mcp_protocol_version=MODERN.encode(), mcp_method=b"tools/call",
                mcp_name=b"request_decision")  # fmt: skip


LIST = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()


# ---- who comes in


async def test_other_addresses_are_handed_on() -> None:
    for path in ("/", "/api/v1/", "/mcpx", "/mcp2/", "/demo/mcp/"):
        assert (await Exchange(path, base()).answer()).status == 299


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
@pytest.mark.parametrize("scheme", [b"Bearer", b"Token", b"bearer", b"token"])
async def test_both_addresses_and_both_words_for_a_token(path: str, scheme: bytes, token: bytes) -> None:
    answer = await Exchange(path, base(authorization=scheme + b" " + token.split()[1]), LIST).answer()
    assert answer.status == 200
    assert {tool["name"] for tool in answer.message["result"]["tools"]} >= {"request_decision", "approve_tool_use"}


async def test_below_it_there_is_nothing(token: bytes) -> None:
    assert (await Exchange("/mcp/other", base(authorization=token), LIST).answer()).status == 404


@pytest.mark.parametrize(
    "authorization", [None, b"", b"Bearer", b"Bearer x y", b"Bearer \xff", b"Basic eDp5", b"Token none"]
)
async def test_without_a_token_nothing_is_read(authorization: bytes | None) -> None:
    headers = base() if authorization is None else base(authorization=authorization)
    answer = await Exchange("/mcp/", headers, b"x" * (2 * MIB)).answer()
    assert answer.status == 401
    assert answer.headers[b"www-authenticate"].startswith(b"Bearer")
    assert not answer.was_read


async def test_somebody_who_was_switched_off_does_not_come_in(owner: User, token: bytes) -> None:
    owner.is_active = False
    await sync_to_async(owner.save)()
    assert (await Exchange("/mcp/", base(authorization=token), LIST).answer()).status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": b"http://evil.example"}, 403),
        ({"origin": b"null"}, 403),
        ({"origin": b"file://127.0.0.1"}, 403),
        ({"origin": b"http://127.0.0.1.evil.example"}, 403),
        ({"host": b"evil.example"}, 403),
        ({"host": b""}, 403),
        ({"origin": b"http://localhost:3000"}, 200),
        ({"origin": b"http://[::1]:8000", "host": b"[::1]:8000"}, 200),
        ({"origin": b"https://tools.example"}, 200),
    ],
)
async def test_pages_of_other_sites_are_refused(
    headers: dict[str, bytes], status: int, token: bytes, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://tools.example"]
    answer = await Exchange("/mcp/", base(authorization=token, **headers), LIST).answer()
    assert answer.status == status
    assert answer.was_read == (status == 200)


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS"])
async def test_only_post(method: str, token: bytes) -> None:
    answer = await Exchange("/mcp/", base(authorization=token), method=method).answer()
    assert (answer.status, answer.headers[b"allow"]) == (405, b"POST")


async def test_a_body_over_the_limit_is_refused(token: bytes) -> None:
    headers = base(authorization=token)
    for length in (b"1048577", b"9" * 5000):
        said = await Exchange("/mcp/", headers | {b"content-length": length}, b"x").answer()
        assert (said.status, said.was_read) == (413, False)
    unsaid = await Exchange("/mcp/", headers, b"x" * (MIB + 1)).answer()
    assert unsaid.status == 413
    action = {"to": "x" * (MIB - 5000)}
    just_right = call("request_decision", QUESTION | {"workflow_id": "w", "action": action, "wait_seconds": 0})
    assert (await Exchange("/mcp/", headers, just_right).answer()).status == 200


@pytest.mark.parametrize("modern", [False, True])
async def test_what_is_no_call_is_an_error_and_never_a_failure(modern: bool, token: bytes) -> None:
    headers = modern_headers(token) if modern else base(authorization=token)
    for body in (
        b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"jsonrpc": "2.0", "id": 1}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "no/such"}', b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 3}}', call("no_such_tool", {}),
    ):  # fmt: skip
        answer = await Exchange("/mcp/", headers, body).answer()
        assert answer.status < 500, (body[:80], answer.text)
        assert "error" in answer.message, (body[:80], answer.text)
        assert "Traceback" not in answer.text


# ---- what ends a wait


@contextlib.asynccontextmanager
async def a_wait(headers: Headers, **options: Any) -> AsyncIterator[tuple[Exchange, int]]:
    """A call that waits for a coach, and the key of the session that it waits in."""
    exchange = Exchange(
        "/mcp/", headers, call("request_decision", QUESTION | {"wait_seconds": 600}, **options), query="workflow_id=w"
    )

    def asked() -> Suggestion | None:
        return Suggestion.objects.open().filter(session__execution_id="one").first()

    suggestion = await asyncio.to_thread(until, asked)
    assert suggestion is not None
    assert hub.current().watchers(suggestion.session_id) == 1
    yield exchange, suggestion.session_id
    exchange.gone.set()
    await exchange.answer()


def is_open() -> bool:
    return Suggestion.objects.open().filter(session__execution_id="one").count() == 1


@pytest.mark.parametrize("modern", [False, True])
async def test_a_client_that_goes_away_ends_the_wait_and_nothing_else(modern: bool, token: bytes) -> None:
    headers = modern_headers(token) if modern else base(authorization=token)
    async with a_wait(headers, modern=modern) as (exchange, session):
        exchange.gone.set()
        await exchange.answer()
        assert hub.current().watchers(session) == 0
    assert await sync_to_async(is_open)()


async def test_a_cancellation_ends_the_wait_of_its_own_client_only(token: bytes) -> None:
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}).encode()
    introduced = await Exchange("/mcp/", base(authorization=token), body).answer()
    name = introduced.headers[b"mcp-session-id"]

    async def cancel(client: bytes, request_id: Any) -> None:
        message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request_id}}
        body = json.dumps(message).encode()
        answer = await Exchange("/mcp/", base(authorization=token, mcp_session_id=client), body).answer()
        assert answer.status == 202

    async with a_wait(base(authorization=token, mcp_session_id=name), id=7) as (exchange, session):
        for client, request_id in ((b"another", 7), (name, 8), (name, "7"), (name, None)):
            await cancel(client, request_id)
        await asyncio.sleep(0.1)
        assert hub.current().watchers(session) == 1
        await cancel(name, 7)
        await exchange.answer()
        assert exchange.message["error"]["code"] == -32800
        assert hub.current().watchers(session) == 0
    assert await sync_to_async(is_open)()


async def test_a_token_that_is_withdrawn_ends_the_wait(
    owner: User, token: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(waiting, "RECHECK_SECONDS", 0.05)
    async with a_wait(base(authorization=token)) as (exchange, _):
        await sync_to_async(AuthToken.objects.filter(user=owner).delete)()
        await exchange.answer()
        assert "not_authenticated" in exchange.text


async def test_a_session_that_is_deleted_ends_the_wait(token: bytes) -> None:
    async with a_wait(base(authorization=token)) as (exchange, session):
        await sync_to_async(delete_session)(await sync_to_async(Session.objects.get)(pk=session))
        await exchange.answer()
        assert "not_found" in exchange.text


# ---- what is earned


async def test_an_earned_tool_is_allowed_at_once_and_an_unearned_one_is_not(token: bytes) -> None:
    headers = base(authorization=token)
    address = "workflow_id=w&execution_id=one&mode=auto&wait_seconds=1"
    use = {"tool_name": "Bash", "input": {"command": "ls"}}

    async def asked() -> dict[str, Any]:
        answer = await Exchange("/mcp/", headers, call("approve_tool_use", use), query=address).answer()
        permission: dict[str, Any] = json.loads(answer.message["result"]["content"][0]["text"])
        return permission

    def earn() -> None:
        Suggestion.objects.open().update(status=Suggestion.Status.WITHDRAWN)
        set_policy(Workflow.objects.get(workflow_id="w"), {"audit_rates": [0, 0, 0]})
        Step.objects.filter(node_id="Bash").update(level=Level.AUTO)

    assert (await asked())["behavior"] == "deny"
    await sync_to_async(earn)()
    assert await asked() == {"behavior": "allow", "updatedInput": {"command": "ls"}}


# ---- what it costs


async def test_a_failure_of_our_own_is_told_in_one_sentence(token: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any) -> None:
        raise ZeroDivisionError("secret words")

    monkeypatch.setattr(door_module, "import_module", lambda _name: type("Server", (), {"serve": fails}))
    answer = await Exchange("/mcp/", base(authorization=token), LIST).answer()
    assert answer.status == 500
    assert "secret words" not in answer.text


def test_the_library_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, coachsite.asgi; print([name for name in sys.modules if name.split('.')[0] in {'mcp', 'pydantic', 'starlette'}])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"
