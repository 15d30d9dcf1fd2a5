"""The least that a decision over HTTP can cost in this language: the same SQL without Django.

One connection and one writer thread; the token is looked up by its hash. The statements of each decision are those that
coachsite executed for one (see `recorded_sql`), taken in order from the file that `BENCHMARK_WORK` names.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pickle
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .recorded_sql import execute, opened

bare: sqlite3.Connection = opened(
    Path(os.environ["COACHSITE_DATA"]) / "coachsite.sqlite3", os.environ["BENCHMARK_INIT"]
)
works = iter(pickle.loads(Path(os.environ["BENCHMARK_WORK"]).read_bytes()))
writer = ThreadPoolExecutor(max_workers=1)
KNOWN = "SELECT user_id FROM knox_authtoken WHERE digest = ? AND (expiry IS NULL OR expiry > datetime('now'))"


def decide(token: str, given: dict[str, Any]) -> dict[str, Any] | None:
    """Keeps a decision; None for a token that is not known."""
    digest = hashlib.sha512(token.encode()).hexdigest()
    known = bare.execute(KNOWN, (digest,)).fetchone()
    if known is None:
        return None
    execute(bare, next(works))
    return {**given, "decided_by": known[0]}


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    token = dict(scope["headers"]).get(b"authorization", b"").decode().removeprefix("Token ")
    kept = await asyncio.get_running_loop().run_in_executor(writer, decide, token, json.loads(body))
    content = json.dumps(kept).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 201 if kept else 401, "headers": headers})
    await send({"type": "http.response.body", "body": content})
