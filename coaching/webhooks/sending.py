"""One attempt to deliver a message: resolve, check, connect to exactly what was checked, post, read a little.

Redirects are not followed and proxies of the environment are not used: both would lead around the check.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import certifi
import httpcore

from .addresses import AllowedHosts, Refused, refuse_address
from .urls import BadAddress, Origin, origin_of

#: How much of an answer is read, and how much of it is kept to be shown.
MAX_READ = 64 * 1024
MAX_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an attempt may take, in seconds."""

    connect: float = 5.0
    whole: float = 15.0


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent and where to."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of an attempt. `status` is None when there was no answer; then `error` says why, for people.

    `refused`: nothing was sent, because the address is not allowed; trying again would not help.
    """

    status: int | None = None
    text: str = ""
    error: str = ""
    refused: bool = False
    took: float = 0.0

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The receiver says that it wants no more, ever."""
        return self.status == 410


def send(letter: Letter, allowed: AllowedHosts, limits: Limits) -> Answer:
    """Posts the letter once. Never raises: what goes wrong is said in the answer."""
    started = time.monotonic()
    status, text, error, refused = None, "", "", False
    try:
        status, text = _post(letter, allowed, limits, until=started + limits.whole)
        error = _unwanted(status)
    except (Refused, BadAddress) as problem:
        error, refused = str(problem), True
    except (httpcore.TimeoutException, TimeoutError):
        error = f"No answer within {limits.whole:g} s ({limits.connect:g} s to connect)."
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as problem:
        error = f"It could not be sent: {_in_words(problem)}."
    return Answer(status=status, text=text, error=error, refused=refused, took=time.monotonic() - started)


def _unwanted(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"Answered {status}: redirects are not followed, enter the address that it leads to."
    return f"Answered {status}, and only 2xx counts as received."


def _in_words(problem: Exception) -> str:
    text = str(problem) or str(problem.__cause__ or "") or type(problem).__name__
    return text[:300].rstrip(".")


def _post(letter: Letter, allowed: AllowedHosts, limits: Limits, *, until: float) -> tuple[int, str]:
    origin = origin_of(letter.url)
    network = _GuardedNetwork(origin, allowed, limits, until)
    waits = {"connect": limits.connect, "read": limits.whole, "write": limits.whole, "pool": limits.whole}
    headers = [*letter.headers.items(), ("Connection", "close"), ("Accept-Encoding", "identity")]
    with (
        httpcore.ConnectionPool(ssl_context=_trust(), network_backend=network, retries=0) as connections,
        connections.stream(
            "POST", letter.url, headers=headers, content=letter.body, extensions={"timeout": waits}
        ) as answer,
    ):
        kept = bytearray()
        read = 0
        for part in answer.iter_stream():
            read += len(part)
            kept += part[: MAX_KEPT - len(kept)]
            if read >= MAX_READ:
                break
        # PostgreSQL keeps no NUL characters.
        return answer.status, kept.decode("utf-8", "replace").replace("\0", "�")


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Whom to believe: the authorities of the machine, where a company adds its own, and the usual public ones."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    return context


class _GuardedNetwork(httpcore.NetworkBackend):
    """Connects to nothing but the addresses of one origin that were checked, and keeps to one deadline in all."""

    def __init__(self, origin: Origin, allowed: AllowedHosts, limits: Limits, until: float) -> None:
        self._origin, self._allowed, self._limits, self._until = origin, allowed, limits, until
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the origin's, which is known
        port: int,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        until = min(self._until, time.monotonic() + self._limits.connect)
        addresses = resolve(self._origin.host, self._origin.port, seconds=_left(until))
        # All of them before any: a name that leads to an inside address beside a public one is not to be trusted.
        for address in addresses:
            refuse_address(self._origin.host, self._origin.port, address, self._allowed)
        for number, address in enumerate(addresses, start=1):
            try:
                stream = self._sockets.connect_tcp(
                    address, self._origin.port, _left(until), local_address, socket_options
                )
                return _Timed(stream, self._until)
            except httpcore.ConnectError:
                if number == len(addresses):
                    raise
        raise httpcore.ConnectError(f"{self._origin.host} has no address")

    def connect_unix_socket(self, path: str, *_args: Any, **_options: Any) -> httpcore.NetworkStream:
        raise Refused(f"Nothing is sent to {path}.")


class _Timed(httpcore.NetworkStream):
    """A connection whose every wait ends at the same moment, however slowly the bytes drip."""

    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream, self._until = stream, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _left(self._until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _left(self._until))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, _left(self._until)), self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def resolve(host: str, port: int, *, seconds: float) -> list[str]:
    """The IP addresses of a host, each once, in the resolver's order. Raises `OSError`, `TimeoutError` when it is slow.

    In a thread of its own, because the resolver knows no time-out.
    """
    found: list[str] = []
    problems: list[OSError] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(address[0]) for *_, address in answers))
        except (OSError, UnicodeError) as problem:
            problems.append(problem if isinstance(problem, OSError) else OSError(f"{host} is not a name"))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    if problems:
        raise problems[0]
    if asking.is_alive():
        raise TimeoutError
    return found
