"""The protocol itself, by the `mcp` library: each request is a world of its own, nothing is kept between two.

So a killed web process loses nothing but open connections, and several may serve one site. Importing this takes about
a second, which is why the door does it in a thread, with the first request that may come in.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import REQUEST_CANCELLED
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from . import cancelling, tools
from .caller import SCOPE_KEY, Caller
from .errors import in_words

logger = logging.getLogger(__name__)

Context = ServerRequestContext[Any, Request]

INSTRUCTIONS = (
    "coachsite lets a person coach you, step by step. Before every step that changes something, call request_decision "
    "and wait; do exactly the action of its answer, and nothing when that is null; then call report_outcome. When the "
    "run is over, call complete_session."
)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a tool."""

    context: Context
    caller: Caller

    @property
    def listens(self) -> bool:
        meta = self.context.meta or {}
        return meta.get("progress_token") is not None

    async def tell(self, progress: float, total: float, message: str) -> None:
        await self.context.session.report_progress(progress, total, message)


async def _list_tools(_context: Context, _params: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=[_described(tool) for tool in tools.TOOLS.values()])


def _described(tool: tools.Tool) -> Tool:
    return Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.takes,
        output_schema=tool.gives,
        annotations=ToolAnnotations(
            read_only_hint=tool.reads_only,
            destructive_hint=False,
            idempotent_hint=tool.repeatable,
            open_world_hint=False,
        ),
    )


async def _call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
    tool = tools.TOOLS.get(params.name)
    if tool is None:
        raise MCPError(code=INVALID_PARAMS, message=f"There is no tool “{params.name[:100]}”.")
    if context.request is None:
        raise RuntimeError("the library says nothing of the request")
    scope = context.request.scope
    call = _Call(context, scope[SCOPE_KEY])
    key = cancelling.key_of(dict(scope["headers"]), context.request_id)
    answer = await cancelling.unless_cancelled(key, partial(_answer, tool, call, params.arguments or {}))
    if answer is None:
        raise MCPError(code=REQUEST_CANCELLED, message="The call was cancelled.")
    return answer


async def _answer(tool: tools.Tool, call: _Call, arguments: Mapping[str, Any]) -> CallToolResult:
    try:
        answer = await tool.call(call, arguments)
    except Exception as error:
        told = in_words(error)
        if told is None:
            logger.exception("The tool %s failed.", tool.name)
            told = {"code": "error", "message": "Something went wrong in coachsite; its log says what.", "field": None}
        return CallToolResult(content=[_text({"error": told})], is_error=True)
    return CallToolResult(content=[_text(answer)], structured_content=answer if tool.gives else None)


def _text(answer: Mapping[str, Any]) -> TextContent:
    return TextContent(type="text", text=json.dumps(answer, ensure_ascii=False))


def _input_schema(name: str) -> Mapping[str, Any] | None:
    tool = tools.TOOLS.get(name)
    return tool.takes if tool else None


_server: Server[Any] = Server(
    "coachsite",
    version="1",
    title="coachsite",
    instructions=INSTRUCTIONS,
    get_tool_input_schema=_input_schema,
    on_list_tools=_list_tools,
    on_call_tool=_call_tool,
)


async def serve(scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Answers one POST whose caller stands in the scope; `receive` tells when the client goes away.

    The library's manager wants a task group that outlives its requests, for sessions that it keeps. There are none
    here, so each request has a manager of its own, and its task group ends with it: when the client goes away, what
    its call was doing is cancelled, and nothing is left behind in a loop that has no start and end of its own.
    """
    message = cancelling.message_of(body)
    cancelling.heed(message, dict(scope["headers"]))
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    async def introduce(said: Message) -> None:
        if said["type"] == "http.response.start":
            said = {**said, "headers": [*said["headers"], *cancelling.introduction(message)]}
        await send(said)

    manager = StreamableHTTPSessionManager(_server, stateless=True)
    async with manager.run():
        await manager.handle_request(scope, replay, introduce)
