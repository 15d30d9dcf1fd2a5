"""Pages that misbehave, in the real Chromium of a live site: the coach is told, and the session goes on or stops."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from coaching.execution.browser import BrowserHangs, BrowserLost, BrowserThread
from coaching.execution.chromium import stop_chromium
from coaching.execution.limits import close_because
from coaching.tests.browser_pages import Site, own_desk, serve
from coaching.tests.faults import Acknowledged, Program, alive, browsers_of, every_pid, token_of
from coaching.tests.live import LiveSite, free_port, live_site, until

pytestmark = [pytest.mark.faults, pytest.mark.live, pytest.mark.browser]

MOST_BROWSERS, MOST_MEMORY, MOST_SECONDS = 3, 700, 15
BUTTON = "<button id=go onclick='{}'>Go</button>"
CLICK = {"type": "click", "selectors": [["aria/Go"], ["#go"]], "offsetX": 3, "offsetY": 3, "timeout": 2000}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    limits = {
        "COACHSITE_MAX_BROWSERS": str(MOST_BROWSERS),
        "COACHSITE_BROWSER_MEMORY_MB": str(MOST_MEMORY),
        "COACHSITE_PAGE_SECONDS": str(MOST_SECONDS),
        "COACHSITE_STEP_SECONDS": "2",
    }
    with live_site(tmp_path_factory.mktemp("pages"), **limits) as running:
        yield running


@pytest.fixture(scope="module")
def pages() -> Iterator[Site]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def program(site: LiveSite) -> Program:
    return Program(site, token_of(site), Acknowledged())


class Run:
    """One coached session of a workflow whose steps a test names."""

    def __init__(self, program: Program, name: str, *steps: dict[str, Any]) -> None:
        self.program = program
        document = {"title": name, "steps": [*steps]}
        workflow = program.post(f"workflows/import/?workflow_id={name}", document)["workflow"]["workflow_id"]
        self.session_id = program.start(workflow)

    @property
    def now(self) -> Any:
        return self.program.get(f"sessions/{self.session_id}/")

    def question(self, *, after: int = 0, seconds: float = 60) -> Any:
        """The open question, once it is a later one than `after`."""

        def asked() -> Any:
            question = self.now["open_suggestion"]
            return question if question and question["n"] > after else None

        return until(asked, seconds=seconds, what=f"a question after {after}")

    def answer(self, decision: str = "accept") -> int:
        question = self.question()
        assert self.program.decide(self.session_id, question["n"], decision)
        return int(question["n"])

    def events(self) -> list[Any]:
        return list(self.program.get(f"sessions/{self.session_id}/events/")["results"])

    def told(self) -> str:
        """All that was said about what went wrong."""
        return " ".join(
            str(event["data"].get(name) or "") for event in self.events() for name in ("error", "remark", "reason")
        )

    def finish(self) -> None:
        """The session can be gone on with to its end, whatever happened."""
        while self.now["status"] == "active":
            if self.now["open_suggestion"]:
                self.answer("manual")
            time.sleep(0.05)
        assert self.now["status"] == "completed"


def navigate(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "navigate", "url": url, **more}


def click(pages: Site, program: Program, name: str, body: str) -> tuple[Run, Any]:
    """A session at a page with this body, its button clicked; and the question that follows."""
    pages.pages[f"/{name}"] = body
    run = Run(program, name, navigate(f"{pages.origin}/{name}"), CLICK, {**CLICK, "type": "hover"})
    run.answer()
    n = run.question(after=1)["n"]
    run.answer()
    return run, run.question(after=n, seconds=120)


@pytest.mark.parametrize(("named", "seconds"), [({"timeout": 1500}, "1.5"), ({}, "2")], ids=["step", "site"])
def test_a_page_that_never_loads(pages: Site, program: Program, named: dict[str, Any], seconds: str) -> None:
    """It is given the time that the step names, or the site's setting."""
    pages.held["/never"] = threading.Event()
    run = Run(program, f"never-{len(named)}", navigate(f"{pages.origin}/never", **named))
    n = run.answer()
    again = run.question(after=n)
    assert f"did not load within {seconds} seconds" in again["error"]
    assert (again["attempt"], again["asked_because"]) == (2, "trouble")
    pages.held["/never"].set()
    run.finish()


def test_an_endless_redirect(pages: Site, program: Program) -> None:
    pages.redirects["/round"] = "/round"
    run = Run(program, "round", navigate(f"{pages.origin}/round"))
    assert "it redirects in a circle" in run.question(after=run.answer())["error"]
    run.finish()


def test_a_page_that_goes_on_to_the_next_for_ever(pages: Site, program: Program) -> None:
    pages.pages["/on"] = "<script>location = '/on?' + Math.random()</script>"
    run = Run(program, "on", navigate(f"{pages.origin}/on", timeout=1500))
    run.question(after=run.answer())
    run.finish()


@contextlib.contextmanager
def self_signed(folder: Path) -> Iterator[str]:
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("openssl is not installed: no certificate can be made")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "2", "-subj", "/CN=localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_a_certificate_that_nobody_trusts(program: Program, tmp_path: Path) -> None:
    with self_signed(tmp_path) as address:
        run = Run(program, "certificate", navigate(address))
        assert "its certificate is not trusted" in run.question(after=run.answer())["error"]
    run.finish()


def test_dialogs_one_after_the_other(pages: Site, program: Program) -> None:
    run, _ = click(pages, program, "dialogs", BUTTON.format("for (let i = 0; i < 30; i++) alert(`Message ${i}`)"))
    said = run.told()
    assert "The page showed the message “Message 0”; it was closed." in said
    assert "More messages followed." in said
    assert "Message 5" not in said
    run.finish()


def test_a_page_that_opens_one_tab_after_the_other(pages: Site, program: Program) -> None:
    run, _ = click(pages, program, "tabs", BUTTON.format('for (let i = 0; i < 60; i++) window.open("about:blank")'))
    assert "opened more than 20 tabs" in run.told()
    run.finish()


def test_a_download(pages: Site, program: Program, site: LiveSite) -> None:
    link = '<a id=go role=button download="accounts.xlsx" href="data:application/x-thing;base64,AAAA">Go</a>'
    run, question = click(pages, program, "download", link)
    assert "The page offered “accounts.xlsx” for download; it was not kept." in run.told()
    assert question["step_index"] == 2
    assert not list(site.folder.rglob("accounts*"))
    run.finish()


def renderers(folder: Path, session_id: str) -> list[int]:
    found = []
    leaders = browsers_of(folder / "browsers" / session_id)
    for pid in every_pid():
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"--type=renderer" in line and os.getpgid(pid) in leaders:
                found.append(pid)
    return found


def test_a_tab_that_crashes(pages: Site, program: Program, site: LiveSite) -> None:
    """While the coach thinks, and the renderer is killed as the kernel kills what takes too much memory."""
    pages.pages["/crash"] = BUTTON.format("document.title = 1")
    run = Run(program, "crash", navigate(f"{pages.origin}/crash"), CLICK, {**CLICK, "type": "hover"})
    run.answer()
    n = run.question(after=1)["n"]
    killed = renderers(site.folder, run.session_id)
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    run.answer()
    again = run.question(after=n)
    assert "crashed its tab" in again["error"]
    assert again["step_index"] == 1
    assert again["screenshot_url"]
    # And it is the page again, on which the step can be done.
    n = run.answer()
    assert run.question(after=n)["step_index"] == 2
    run.finish()


def test_fifty_megabytes_of_page(pages: Site, program: Program, site: LiveSite) -> None:
    """It is slow, and may be closed for its memory; but the coach is asked, told, and can end it."""
    filler = "<p>some text of fifty bytes or so is here, to be read" * 1_000_000
    pages.pages["/large"] = f"<button id=go>Go</button>{filler}"
    run = Run(program, "large", navigate(f"{pages.origin}/large", timeout=8000), CLICK)
    run.question(after=run.answer(), seconds=150)
    del pages.pages["/large"]
    run.finish()
    assert all(alive(site).values())


def test_a_page_that_takes_more_and_more_memory(pages: Site, program: Program, site: LiveSite) -> None:
    eat = "window.kept = []; setInterval(() => kept.push(new Uint8Array(4e7).fill(1)), 50)"
    pages.pages["/eat"] = BUTTON.format(eat)
    run = Run(program, "eat", navigate(f"{pages.origin}/eat"), CLICK, {**CLICK, "type": "hover"})
    run.answer()
    n = run.question(after=1)["n"]
    run.answer()
    until(lambda: "took too much memory" in run.told(), seconds=60, what="the coach to be told")
    again = run.question(after=n)
    assert f"of {MOST_MEMORY}" in run.told()
    assert again["screenshot_url"]
    run.finish()


def test_more_sessions_than_browsers_may_run(pages: Site, program: Program, site: LiveSite) -> None:
    until(lambda: not browsers_of(site.folder), what="those of the tests before to be closed")
    pages.pages["/one"] = "<p>One</p>"
    first, *others = [Run(program, f"room-{n}", navigate(f"{pages.origin}/one")) for n in range(MOST_BROWSERS + 1)]
    runs = [first, *others]
    until(lambda: sum(bool(run.now["open_suggestion"]) for run in runs) == MOST_BROWSERS, what="those that have room")
    [waiting] = until(
        lambda: [run for run in runs if "session.waiting" in [event["type"] for event in run.events()]],
        what="one to say that it waits",
    )
    assert f"{MOST_BROWSERS} browsers run on this machine already" in waiting.told()
    assert len({os.getpgid(pid) for pid in browsers_of(site.folder)}) <= MOST_BROWSERS
    next(run for run in runs if run is not waiting).finish()
    assert waiting.question()["asked_because"] == "coaching"
    assert [event["type"] for event in waiting.events()].count("session.waiting") == 1
    for run in runs:
        run.finish()
    until(lambda: not browsers_of(site.folder), what="all browsers to be closed")


def test_a_page_that_hangs(pages: Site, program: Program) -> None:
    """It may do so for as long as the setting says; then the coach sees where a new browser is."""
    pages.pages["/busy"] = BUTTON.format("setTimeout(() => { while (true); })")
    run = Run(program, "busy", navigate(f"{pages.origin}/busy"), CLICK, {**CLICK, "type": "hover"})
    run.answer()
    n = run.question(after=1)["n"]
    run.answer()
    again = run.question(after=n, seconds=120)
    said = run.told()
    # By chance it is the end of the action that does not come back, or the look after it.
    assert re.search(f"has not answered for ({MOST_SECONDS}|{MOST_SECONDS + 15 + 2}) seconds", said), said
    assert "A new one was opened at the last address" in said
    assert again["screenshot_url"]
    run.finish()


def test_a_page_that_had_its_browser_closed_twice_is_not_opened_again(tmp_path: Path, pages: Site) -> None:
    pages.pages["/twice"] = "<p>Twice</p>"
    profile, thread = tmp_path / "twice", BrowserThread()
    last = {"last_url": f"{pages.origin}/twice", "expected": True}
    seen = []
    try:
        with own_desk(profile, thread, pages, **last) as desk:
            seen.append((desk.browser.url, desk.browser.why_reopened))
        for _ in range(2):
            close_because(profile, "It hung.")
            with own_desk(profile, thread, pages, **last) as desk:
                seen.append((desk.browser.url, desk.browser.why_reopened.partition(":")[0]))
    finally:
        stop_chromium(profile)
        thread.close()
    assert [address for address, _ in seen] == [last["last_url"], last["last_url"], "about:blank"]
    assert seen[0][1] == ""
    assert seen[1][1] == "It hung. A new one was opened at the last address"
    assert seen[2][1].startswith("It hung. A new one was opened on an empty page.")


def test_a_page_that_hangs_costs_its_limit_once(tmp_path: Path, pages: Site) -> None:
    """Each further call used to wait as long again, on a driver that was about to be gone."""
    pages.pages["/hang"] = BUTTON.format("while (true);")
    thread = BrowserThread(limit_seconds=8)
    try:
        with own_desk(tmp_path / "hang", thread, pages, patience=4) as desk:
            desk.browser.perform(navigate(f"{pages.origin}/hang"))
            assert not desk.do("click", "#go", ms=500).ok
            started = time.monotonic()
            with pytest.raises(BrowserHangs):
                desk.browser.look()
            for _ in range(5):
                with pytest.raises(BrowserLost):
                    desk.browser.look()
            assert time.monotonic() - started < 12, "six times four seconds without it"
    finally:
        stop_chromium(tmp_path / "hang")
        thread.close()
