"""HTTP clients that cost little: many connections in one loop, each asks again as soon as it was answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from .timing import Sample


def request(method: str, path: str, *, headers: Sequence[str] = (), body: Any = None) -> bytes:
    """An HTTP/1.1 request as it is sent."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/json", *headers]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next response."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    if b"content-length:" in head:
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return status, await reader.readexactly(length)
    if b"transfer-encoding: chunked" not in head:
        return status, b""
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return status, body


async def client(port: int, requests: Sequence[bytes], expected: int) -> list[float]:
    """Sends these one after the other on one connection; the seconds that each took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seconds = []
    for each in requests:
        before = time.perf_counter()
        writer.write(each)
        status, body = await answer(reader)
        seconds.append(time.perf_counter() - before)
        if status != expected:
            raise RuntimeError(f"{status} instead of {expected}: {body[:500]!r}")
    writer.close()
    return seconds


def load(port: int, per_client: Sequence[Sequence[bytes]], *, expected: int, cpu: Callable[[], float]) -> Sample:
    """All clients at once; `cpu` says how many CPU seconds the server has used."""

    async def everybody() -> list[list[float]]:
        return await asyncio.gather(*[client(port, requests, expected) for requests in per_client])

    cpu_before, began = cpu(), time.perf_counter()
    found = asyncio.run(everybody())
    wall = time.perf_counter() - began
    return Sample([seconds for each in found for seconds in each], cpu() - cpu_before, wall)
