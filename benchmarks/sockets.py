"""Many WebSocket clients that cost little: they note when each message came and how long it was, and read nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TEXT, CLOSE, PING = 1, 8, 9
AT_ONCE = 25


class Watcher(asyncio.Protocol):
    """One socket. `came` are the moments at which whole messages had arrived, `lengths` their bytes."""

    def __init__(self, path: str, headers: Sequence[str]) -> None:
        self.opening = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade",
                        f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13", *headers]  # fmt: skip
        self.came: list[float] = []
        self.lengths: list[int] = []
        self.closed = ""
        self._buffer = bytearray()
        self.opened = asyncio.get_running_loop().create_future()
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write("\r\n".join([*self.opening, "", ""]).encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.opened.done():
            head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not end:
                return
            self._buffer = bytearray(rest)
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self.opened.set_exception(RuntimeError(head.decode(errors="replace")[:300]))
                return
            self.opened.set_result(None)
        while self._frame():
            continue

    def _frame(self) -> bool:
        """Takes one whole frame out of the buffer, if one is there; a server's frames are not masked."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        length, start = buffer[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return False
            length = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + length:
            return False
        kind, content = buffer[0] & 0x0F, bytes(buffer[start : start + length])
        del buffer[: start + length]
        if kind == TEXT:
            self.came.append(time.perf_counter())
            self.lengths.append(length)
            self._news.set()
        elif kind == CLOSE:
            self.closed = f"closed with {int.from_bytes(content[:2], 'big')}"
            self._news.set()
        elif kind == PING:
            self.transport.write(bytes([0x8A, 0x80 | len(content), 0, 0, 0, 0]) + content)
        return True

    async def until(self, messages: int, *, seconds: float = 60) -> float:
        """When so many messages had come in all; raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while len(self.came) < messages:
                if self.closed:
                    raise RuntimeError(self.closed)
                self._news.clear()
                await self._news.wait()
        return self.came[messages - 1]


async def watch(port: int, path: str, headers: Sequence[str], count: int) -> list[Watcher]:
    """So many open sockets at one address."""
    loop, found = asyncio.get_running_loop(), []

    async def one() -> Watcher:
        _, watcher = await loop.create_connection(lambda: Watcher(path, headers), "127.0.0.1", port)
        await asyncio.wait_for(watcher.opened, 60)
        return watcher

    for first in range(0, count, AT_ONCE):
        found += await asyncio.gather(*[one() for _ in range(min(AT_ONCE, count - first))])
    return found
