"""The doors of one web process: HTTP, agents by the Model Context Protocol, and sockets.

HTTP runs as one synchronous call on a small fixed pool of threads, so that each keeps its database connection: stock
Django under ASGI makes a thread and a connection per request (see docs/decisions/0002-http-on-a-thread-pool.md).
"""

from __future__ import annotations

import os
from typing import Any, cast

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coachsite.settings")
django_application = get_wsgi_application()

# Both read the models, which are there only once Django is set up.
from a2wsgi import WSGIMiddleware  # noqa: E402
from channels.routing import ProtocolTypeRouter  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402

from coaching.asgi import Application  # noqa: E402
from coaching.exports.flow import Flow  # noqa: E402
from coaching.longpoll import LongPoll  # noqa: E402
from coaching.mcp.door import McpDoor  # noqa: E402
from coaching.routing import websocket_application  # noqa: E402
from coachsite.bodies import KnownLength, NoBodyForHead  # noqa: E402
from coachsite.observed import Observed  # noqa: E402
from coachsite.together import Together  # noqa: E402

HTTP_THREADS = 8

pool = cast("Application", WSGIMiddleware(cast("Any", django_application), workers=HTTP_THREADS))
if connection.vendor == "sqlite":
    pool = Together(pool)
http = Flow(LongPoll(pool), prefixes=["/api/v1/export/"])
doors = ProtocolTypeRouter(
    {
        "http": NoBodyForHead(
            McpDoor(KnownLength(http, limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE), limit=settings.MAX_BODY_BYTES)
        ),
        "websocket": websocket_application,
    }
)
application: Any = Observed(cast("Application", doors))
