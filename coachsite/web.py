"""The web process of the embedded layout: Daphne, held to bodies of a size that somebody here would read.

Daphne keeps a whole body in memory before the application sees any of it, whoever sends it. `python -m coachsite.web`
takes Daphne's own arguments.
"""

from __future__ import annotations

import json
import os
from typing import Any

from daphne import cli, http_protocol
from django.conf import settings

from coachsite.patience import PatientServer

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coachsite.settings")

#: What the application refuses in its own words may come in; what is larger is cut off.
ROOM_FOR_A_REFUSAL = 1024 * 1024


class LimitedRequest(http_protocol.WebRequest):  # type: ignore[misc]
    """Ends a request whose body is longer than any that is accepted, as soon as that is known."""

    most_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE + ROOM_FOR_A_REFUSAL
    received = 0
    refused = False

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        super().gotLength(length)
        if length is not None and length > self.most_bytes:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self.received += len(data)
        if self.refused:
            return
        if self.received > self.most_bytes:
            self._refuse()
        else:
            super().handleContentChunk(data)

    def _refuse(self) -> None:
        self.refused = True
        words = f"At most {settings.MAX_UPLOAD_BYTES // (1024 * 1024)} MiB are accepted here."
        error = {"code": "too_large", "detail": words, "attr": None}
        body = json.dumps({"type": "client_error", "errors": [error]}).encode()
        head = (
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        transport: Any = self.channel.transport
        transport.write(head.encode() + body)
        transport.loseConnection()


def main() -> None:
    # Looked up by this name whenever a connection is made.
    http_protocol.WebRequest = LimitedRequest
    cli.CommandLineInterface.server_class = PatientServer
    cli.CommandLineInterface.entrypoint()


if __name__ == "__main__":
    main()
