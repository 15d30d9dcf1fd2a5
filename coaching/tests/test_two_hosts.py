"""Two hosts on one PostgreSQL and one Redis: each with a name, a data folder, browsers and workers of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from .live import LiveSite, until

pytestmark = [pytest.mark.live, pytest.mark.browser]

POSTGRES = os.environ.get("COACHSITE_TEST_POSTGRES", "postgres://postgres@127.0.0.1:5432")
REDIS = os.environ.get("COACHSITE_TEST_REDIS", "redis://127.0.0.1:6379/7")
#: Long enough for a worker to start on a busy machine.
DEAD_SECONDS = 20


class HostOf(LiveSite):
    """One of several hosts; its rows are in the database that they share."""

    def __init__(self, folder: Path, database: str, settings: dict[str, str]) -> None:
        folder.mkdir()
        super().__init__(folder, database=database)
        self.environment |= settings

    def browser_of(self, session_id: str) -> bool:
        return (self.folder / "browsers" / session_id).exists()


@pytest.fixture
def database() -> Iterator[str]:
    """The address of an empty database, made for this test."""
    name = f"coachsite_hosts_{secrets.token_hex(4)}"
    try:
        server = psycopg.connect(f"{POSTGRES}/postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError:
        pytest.skip("no PostgreSQL answers here")
    with server:
        server.execute(f"CREATE DATABASE {name}".encode())
        yield f"{POSTGRES}/{name}"
        server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def hosts(database: str, tmp_path: Path) -> Iterator[tuple[HostOf, HostOf]]:
    """North has the web process, and both have a worker and a sweep."""
    shared = {
        "REDIS_URL": REDIS,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "COACHSITE_MEDIA": str(tmp_path / "shared-media"),
        "COACHSITE_HOST_DEAD_SECONDS": str(DEAD_SECONDS),
    }
    north = HostOf(tmp_path / "north", database, {"COACHSITE_HOST": "north", **shared})
    south = HostOf(tmp_path / "south", database, {"COACHSITE_HOST": "south", **shared})
    north.manage("migrate", "--noinput", "-v0")
    north.manage("first_start", "--site-url", north.url)
    north.start("web", "worker-1", "sweep")
    try:
        yield north, south
    finally:
        for host in (north, south):
            with contextlib.suppress(AssertionError):
                host.stop()
            if host.log.exists():
                print(f"---- {host.folder.name}\n{host.log.read_text()[-8000:]}")


def test_sessions_stay_with_the_host_of_their_browser_and_outlive_it(hosts: tuple[HostOf, HostOf]) -> None:
    north, south = hosts
    document = {
        "title": "On two hosts",
        "steps": [
            {"type": "navigate", "url": f"{north.url}/demo/"},
            {"type": "change", "selectors": [["aria/User name"]], "value": "pat"},
            {"type": "change", "selectors": [["aria/User name"]], "value": "kim"},
        ],
    }
    with north.client() as api:
        workflow = api.post("workflows/import/", json=document).raise_for_status().json()["workflow"]

        def start() -> str:
            begun = api.post("sessions/", json={"workflow_id": workflow["workflow_id"]}).raise_for_status().json()
            return str(begun["session_id"])

        def question(session_id: str) -> dict[str, Any]:
            return api.get(f"sessions/{session_id}/").json()["open_suggestion"] or {}

        def accept(session_id: str) -> None:
            api.post(f"sessions/{session_id}/decisions/", json={"decision": "accept"}).raise_for_status()

        def host_of(session_id: str) -> str:
            return str(north.rows("SELECT host FROM coaching_session WHERE session_id = ?", session_id)[0][0])

        mine = start()
        until(lambda: question(mine), what="the first question")
        assert host_of(mine) == "north"

        # South has nothing to do at first, and North's session is none of its business, however long North is busy.
        south.start("worker-1", "sweep")
        until(lambda: len(north.rows("SELECT * FROM coaching_host")) == 2, what="both to be known")
        north.kill("worker-1")
        accept(mine)
        other = start()
        until(lambda: question(other), what="South to take a new session")
        assert host_of(other) == "south"
        assert (host_of(mine), question(mine)) == ("north", {})
        north.start("worker-1")
        until(lambda: question(mine).get("step_index") == 1, what="North to go on with its own")
        assert host_of(mine) == "north"
        assert north.browser_of(mine)
        assert not south.browser_of(mine)
        assert not question(mine)["error"]

        # South dies with its browser; North takes over, and the coach is told.
        accept(other)
        until(lambda: question(other).get("step_index") == 1, what="the second question")
        before = question(other)["n"]
        south.stop()
        until(lambda: question(other).get("n", before) != before, seconds=90, what="North to take over")
        again = question(other)
        assert "The browser was lost" in again["error"]
        assert (again["step_index"], host_of(other)) == (1, "north")
        assert api.get(f"{north.url}{again['screenshot_url']}").content.startswith(b"\x89PNG")

        # South comes back: what it has left of the session's browser is removed, and North goes on to the end.
        assert south.browser_of(other)
        south.start("worker-1", "sweep")
        until(lambda: not south.browser_of(other), what="the old profile to go")
        for session_id in (other, mine):
            for index in (1, 2):
                until(lambda: question(session_id).get("step_index") == index, what=f"step {index}")  # noqa: B023
                accept(session_id)
            until(lambda: api.get(f"sessions/{session_id}/").json()["status"] == "completed", what="the end")  # noqa: B023
            assert host_of(session_id) == "north"
