"""What a real web process stands: bodies without end, questions that nobody may ask, answers that must have no body."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from coaching.tests.live import LiveSite, live_site

pytestmark = [pytest.mark.live]

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    with live_site(tmp_path_factory.mktemp("live")) as running:
        yield running


def memory_of(site: LiveSite) -> int:
    """Resident memory of the web process, in bytes."""
    status = Path(f"/proc/{site.processes['web'].pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) * 1024


def raw(site: LiveSite) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", site.port))
    connection.settimeout(20)
    return connection


@pytest.mark.parametrize(
    "path", ["export/sessions/", "export/decisions/", "export/metrics/", "sessions/", "inbox/", "schema/", "nothing/"]
)
def test_waiting_where_nothing_is_waited_for_stops_nobody(site: LiveSite, path: str) -> None:
    answer = httpx.get(f"{site.url}/api/v1/{path}?wait=1", timeout=20)
    assert answer.status_code in {401, 403}
    assert httpx.get(f"{site.url}/healthz", timeout=5).status_code == 200


@pytest.mark.parametrize("path", ["/login/", "/api/v1/sessions/", "/mcp/"])
@pytest.mark.parametrize("says_its_length", [True, False])
def test_a_body_without_end_is_cut_off(site: LiveSite, path: str, says_its_length: bool) -> None:
    before, piece, pieces = memory_of(site), b"x" * MIB, 150
    length = f"Content-Length: {pieces * MIB}" if says_its_length else "Transfer-Encoding: chunked"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    with raw(site) as connection:
        connection.sendall(head.encode())
        answer = b""
        try:
            for _ in range(pieces):
                connection.sendall(piece if says_its_length else f"{MIB:x}\r\n".encode() + piece + b"\r\n")
            answer = connection.recv(4096)
        except ConnectionError:
            answer = answer or b"HTTP/1.1 413 (cut off)"
    assert b" 413 " in answer
    assert memory_of(site) - before < 60 * MIB
    assert httpx.get(f"{site.url}/healthz", timeout=5).status_code == 200


def test_head_is_answered_without_a_body(site: LiveSite) -> None:
    """A second piece of a body would be taken for the answer to the next request, by a proxy for somebody else's."""
    with site.client() as client:
        client.post("workflows/", json={"workflow_id": "w", "name": "W", "executor": "external"})
        session = client.post("sessions/", json={"workflow_id": "w"}).json()["session_id"]
        picture = base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\3\0\0\0\4" + b"x" * 300_000).decode()
        question = {"node_id": "post", "action_type": "post", "action": {}, "screenshot": picture}
        assert client.post(f"sessions/{session}/suggestions/", json=question).status_code == 201
        authorization = client.headers["Authorization"]
    for path in (f"sessions/{session}/suggestions/1/screenshot/", "export/sessions/?format=csv", "inbox/"):
        request = (
            f"HEAD /api/v1/{path} HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n"
            f"Authorization: {authorization}\r\nConnection: close\r\n\r\n"
        )
        with raw(site) as connection:
            connection.sendall(request.encode())
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0], head
        assert body == b""
