from __future__ import annotations

from channels.routing import URLRouter
from django.urls import path, re_path

from . import consumers
from .socket_auth import SocketAuth

websocket_urlpatterns = [
    path("ws/inbox/", consumers.InboxConsumer.as_asgi()),
    path("ws/packs/", consumers.PacksConsumer.as_asgi()),
    path("ws/sessions/<slug:session_id>/panel/", consumers.PanelConsumer.as_asgi()),
    path("ws/v1/sessions/<slug:session_id>/events/", consumers.EventsConsumer.as_asgi()),
    re_path("", consumers.NoSuchSocket.as_asgi()),
]

#: The socket door with its own check of login, token and Origin.
websocket_application = SocketAuth(URLRouter(websocket_urlpatterns))
