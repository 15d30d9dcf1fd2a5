"""Pages for the tests of the browser: a real HTTP server on a free port of 127.0.0.1, and a browser looking at it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from coaching.execution.browser import BrowserThread, SessionBrowser, attach
from coaching.execution.chromium import find_chromium, stop_chromium
from coaching.execution.locate import Located
from coaching.execution.perform import Performed

VIEWPORT = (1000, 700)
SHORT_MS = 250


@dataclass
class Site:
    """Serves `pages` (path → HTML body, or a `Location` for a redirect); unknown paths are 404."""

    pages: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    visits: list[str] = field(default_factory=list)
    #: Paths whose answers wait until the event is set.
    held: dict[str, threading.Event] = field(default_factory=dict)
    #: How long each answer takes, in seconds.
    delay: float = 0.0
    origin: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        self.visits.append(f"{request.command} {request.path}")
        if path in self.held:
            self.held[path].wait(20)
        time.sleep(self.delay)
        if path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[path])
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        body = document(self.pages.get(path, "<p>Nothing here</p>")).encode()
        status = 500 if path in self.failing else 200 if path in self.pages else 404
        request.send_response(status)
        request.send_header("Content-Type", "text/html; charset=utf-8")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


def document(body: str) -> str:
    if body.startswith("<!doctype"):
        return body
    return f"<!doctype html><html lang=en><title>Claims</title><meta charset=utf-8><body>{body}</body></html>"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up before the answer is no fault; anything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serve() -> Iterator[Site]:
    """A site that runs until the end of the block."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            site.answer(self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Says nothing: test output is for failures."""

    server = _Server(("127.0.0.1", 0), Handler)
    site.origin = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Desk:
    """A browser and the site it looks at."""

    site: Site
    browser: SessionBrowser

    def show(self, body: str, path: str = "/") -> None:
        """Serves `body` at `path` and opens it in the main tab."""
        self.site.pages[path] = body
        done = self.browser.perform({"type": "navigate", "url": self.site.origin + path})
        assert done.ok, done.reason

    def locate(self, *selectors: str | list[str], type: str = "click", ms: int = SHORT_MS, **rest: Any) -> Located:  # noqa: A002
        chains = [[one] if isinstance(one, str) else one for one in selectors]
        return self.browser.locate({"type": type, "selectors": chains, **rest}, timeout_ms=ms)

    def do(self, type: str, *selectors: str, ms: int = 3_000, **rest: Any) -> Performed:  # noqa: A002
        """Locates and performs in one go, as the runner does."""
        action = {"type": type, "selectors": [[one] for one in selectors], **rest}
        if not selectors:
            del action["selectors"]
        located = self.browser.locate(action, timeout_ms=ms)
        return self.browser.perform(action, located, timeout_ms=ms)

    def js(self, expression: str) -> Any:
        """The value of a JavaScript expression in the tab in use."""
        return self.browser._run(lambda: self.browser._page.evaluate(expression))


@pytest.fixture(scope="module")
def browser_thread() -> Iterator[BrowserThread]:
    thread = BrowserThread()
    yield thread
    thread.close()


@pytest.fixture(scope="module")
def shared_desk(browser_thread: BrowserThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    profile = tmp_path_factory.mktemp("profile")
    try:
        with (
            serve() as site,
            attach(profile, chromium=find_chromium(None), viewport=VIEWPORT, thread=browser_thread) as browser,
        ):
            yield Desk(site, browser)
    finally:
        stop_chromium(profile)


@pytest.fixture
def desk(shared_desk: Desk) -> Iterator[Desk]:
    """A browser of this module with one tab, and a site without pages."""
    site = shared_desk.site
    for kept in (site.pages, site.redirects, site.failing, site.visits, site.held):
        kept.clear()
    yield shared_desk
    tabs = shared_desk.browser._tabs
    for page in tabs.open_pages():
        if page != tabs.main:
            shared_desk.browser._run(page.close)
    tabs.page = tabs.main


@contextmanager
def own_desk(profile: Path, thread: BrowserThread, site: Site, **options: Any) -> Iterator[Desk]:
    """One attachment to a browser of its own; the caller stops it."""
    with attach(profile, chromium=find_chromium(None), viewport=VIEWPORT, thread=thread, **options) as browser:
        yield Desk(site, browser)
