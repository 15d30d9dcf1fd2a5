"""The disk is full, or the database locked: the site says so, keeps what it has acknowledged, and goes on afterwards."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from coaching.tests.faults import (
    TIMES,
    Acknowledged,
    Program,
    alive,
    assert_nothing_is_lost,
    assert_refused_in_words,
    decided_since,
    deciding,
    fill,
    signed_in,
    small_disk,
    with_invoices,
)
from coaching.tests.live import LiveSite, live_site, until

pytestmark = [pytest.mark.faults, pytest.mark.live]

LOCK = """
import sqlite3, sys
# The site writes all the time, and SQLite's waiting is not fair.
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, bool]]:
    folder = tmp_path_factory.mktemp("small")
    with small_disk(folder, megabytes=160) as mounted:
        yield folder, mounted


@pytest.fixture(scope="module")
def site(disk: tuple[Path, bool]) -> Iterator[LiveSite]:
    # The faults of SQLite's file; those of PostgreSQL are tried out in `test_faults_servers.py`.
    with live_site(disk[0], database="", COACHSITE_DATABASE_WAIT_SECONDS="1") as running:
        yield running


@pytest.fixture(scope="module")
def token(site: LiveSite) -> str:
    return with_invoices(site)


def files_may_grow(site: LiveSite, to: int) -> None:
    """A limit for the files that each process writes, which running processes feel at once."""
    for process in site.processes.values():
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (to if to >= 0 else hard, hard))


@contextlib.contextmanager
def no_room(folder: Path, _site: LiveSite) -> Iterator[None]:
    filler, over = fill(folder), threading.Event()

    def keep_full() -> None:
        """What is given back meanwhile (a log of SQLite that is cut, say) is taken as well."""
        with filler.open("ab", buffering=0) as file:
            while not over.wait(0.05):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * 4096) == 4096:
                        pass

    thread = threading.Thread(target=keep_full)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        filler.unlink()


@contextlib.contextmanager
def no_growth(_folder: Path, site: LiveSite) -> Iterator[None]:
    files_may_grow(site, 8192)
    try:
        yield
    finally:
        files_may_grow(site, -1)


def a_page_says(browser: httpx.Client, words: str, *, session: str) -> None:
    """A form that writes is answered with a page that says what is the matter."""
    form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    where, others = f"/sessions/{session}/pause/", Counter[int]()

    def refused() -> httpx.Response | None:
        answer = browser.post(where, data=form, headers={"Referer": str(browser.base_url)})
        if answer.status_code == 503:
            return answer
        others.update([answer.status_code, browser.post(f"/sessions/{session}/resume/", data=form).status_code])
        return None

    try:
        answer = until(refused, what="a page to be refused")
    finally:
        print(f"answered before a page was refused: {dict(others)}")
    assert answer is not None
    assert "text/html" in answer.headers["Content-Type"]
    assert words in answer.text
    assert int(answer.headers["Retry-After"]) > 0


def everything_works_again(site: LiveSite, kept: Acknowledged, browser: httpx.Client) -> None:
    decided_since(kept)
    assert browser.get("/").status_code == 200
    assert all(alive(site).values()), "every process has outlived it"


def a_browser_session_still_runs(site: LiveSite, token: str) -> None:
    """Workers and sweep have outlived it too: a step in Chromium is proposed, performed, and the session completes."""
    program = Program(site, token, Acknowledged())
    document = {"title": "Opens", "steps": [{"type": "navigate", "url": f"{site.url}/demo/"}]}
    workflow = program.post("workflows/import/?workflow_id=opens", document)["workflow"]
    session = program.start(workflow["workflow_id"])
    asked = until(lambda: program.get(f"sessions/{session}/")["open_suggestion"], what="the question")
    program.decide(session, asked["n"], "accept")
    until(lambda: program.get(f"sessions/{session}/")["status"] == "completed", what="the end")


@pytest.mark.parametrize("fault", [no_room, no_growth], ids=["disk", "limit"])
def test_a_full_disk(
    site: LiveSite, token: str, disk: tuple[Path, bool], fault: Callable[..., contextlib.AbstractContextManager[None]]
) -> None:
    folder, mounted = disk
    if fault is no_room and not mounted:
        pytest.skip("no file system may be mounted here; the limit for files stands in for it")
    browser = signed_in(site)
    session = Program(site, token, Acknowledged()).start()
    with deciding(site, token) as kept:
        decided_since(kept)
        with fault(folder, site):
            until(lambda: kept.answers[503] >= 5, what=f"refusals: {kept.answers}")
            a_page_says(browser, "The disk of this site", session=session)
            time.sleep(2 * TIMES)
            acknowledged = len(kept.decisions)
        everything_works_again(site, kept, browser)
    assert acknowledged >= 3
    assert_refused_in_words(kept.refusals, "The disk of this site")
    assert_nothing_is_lost(site.rows, kept.decisions)
    assert "ok" in str(site.rows("PRAGMA integrity_check"))


def test_a_locked_database(site: LiveSite, token: str) -> None:
    browser = signed_in(site)
    session = Program(site, token, Acknowledged()).start()
    with deciding(site, token) as kept:
        decided_since(kept)
        database = site.folder / "coachsite.sqlite3"
        holder = subprocess.Popen(
            [sys.executable, "-c", LOCK, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert holder.stdout
            assert holder.stdout.readline() == b"locked\n"
            until(lambda: kept.answers[503] >= 3, what=f"refusals: {kept.answers}")
            a_page_says(browser, "The database has been busy", session=session)
            # Reading goes on: who only looks notices nothing.
            assert browser.get(f"/sessions/{session}/").status_code == 200
            time.sleep(2 * TIMES)
        finally:
            holder.communicate()
        everything_works_again(site, kept, browser)
    assert_refused_in_words(kept.refusals, "The database has been busy")
    assert_nothing_is_lost(site.rows, kept.decisions)
    a_browser_session_still_runs(site, token)
    assert site.manage("rebuild_metrics", "--check")
