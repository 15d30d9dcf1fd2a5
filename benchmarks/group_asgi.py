"""The peer of delivery: coachsite's own HTTP, and sockets told by plain `group_send` on the in-memory layer.

A decision is kept exactly as coachsite keeps it; then, before the answer, the group of its session is sent a text, as
the usual example of Channels does it. Its sockets ask for no login and read nothing from the database.
`POST /burst/N` sends N messages at once.
"""

from __future__ import annotations

import json
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from coachsite.asgi import http as coachsite_http

BURST = "/burst/"


class Plain(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        self.group = f"session.{self.scope['url_route']['kwargs']['session_id']}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:  # noqa: ARG002
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def news(self, message: dict[str, Any]) -> None:
        await self.send(text_data=message["text"])


async def http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`X-Length` of a request says how long the text is to be: as long as what coachsite would send."""
    length = int(dict(scope["headers"]).get(b"x-length", b"0"))
    if scope["path"].startswith(BURST):
        _, _, count, session_id = scope["path"].split("/")
        for n in range(int(count)):
            await _tell(session_id, json.dumps({"seq": n}).ljust(length))
        await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return

    async def told(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body" and scope["method"] == "POST" and message.get("body"):
            await _tell(scope["path"].split("/")[4], message["body"].decode().ljust(length))
        await send(message)

    await coachsite_http(scope, receive, told)


async def _tell(session_id: str, text: str) -> None:
    await get_channel_layer().group_send(f"session.{session_id}", {"type": "news", "text": text})


application = ProtocolTypeRouter(
    {"http": http, "websocket": URLRouter([path("ws/<slug:session_id>/", Plain.as_asgi())])}
)
