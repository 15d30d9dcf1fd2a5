"""The browser of a session, as the runner uses it: attach, look, locate, perform, leave.

Every call may come from any thread; the work is done on the browser thread. Leaving closes the connection only:
Chromium stays, with its tabs and all they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page

from . import screenshot
from .chromium import running_endpoint, start_chromium
from .driver import BrowserLost, BrowserThread, P, T
from .locate import Located, locate
from .perform import Performed, perform
from .tabs import Tabs, viewport_of
from .text import clean
from .urls import ForbiddenUrl, check_destination

__all__ = ["BrowserLost", "BrowserThread", "SessionBrowser", "attach"]

REOPEN_MS = 15_000
#: A browser that lives is given this long to answer before it counts as lost, with all that its pages hold.
ANSWER_SECONDS = 10.0
LOST = "The browser does not answer as it should; it may be lost."


class SessionBrowser:
    """An attached browser. `reopened`: the one that should have been there was lost, and a new one was opened."""

    def __init__(self, thread: BrowserThread, tabs: Tabs, *, reopened: bool) -> None:
        self._thread = thread
        self._generation = thread.generation
        self._tabs = tabs
        self.reopened = reopened

    @property
    def url(self) -> str:
        """The address of the tab in use: that of the latest action's target, else the main one."""
        return str(clean(self._run(lambda: self._page.url)))

    @property
    def title(self) -> str:
        return str(clean(self._run(self._page.title)))

    @property
    def viewport(self) -> tuple[int, int]:
        """Width and height of the tab in use, in CSS pixels."""
        return self._run(lambda: viewport_of(self._page))

    def screenshot(self, *, hide: Sequence[str] = ()) -> bytes:
        """PNG of the viewport, one pixel per CSS pixel; password fields and what shows a string of `hide` covered."""
        return self._run(lambda: screenshot.take(self._tabs, self._page, hide=hide))

    def locate(self, action: Mapping[str, Any], *, timeout_ms: int | None = None) -> Located:
        """Where the target of `action` is, waited for up to `timeout_ms`; raises `BrowserLost`."""
        return self._run(locate, self._tabs, action, timeout_ms=timeout_ms)

    def perform(
        self, action: Mapping[str, Any], located: Located | None = None, *, timeout_ms: int | None = None
    ) -> Performed:
        """Performs `action` on what `locate` found during this attachment. A lost browser is an uncertain outcome."""
        try:
            performed = self._run(perform, self._tabs, action, located, timeout_ms=timeout_ms)
        except BrowserLost as error:
            return Performed(ok=False, reason=str(error), uncertain=True)
        return replace(performed, reason=clean(performed.reason))

    @property
    def _page(self) -> Page:
        return self._tabs.main if self._tabs.page.is_closed() else self._tabs.page

    def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._thread.generation != self._generation:
            raise BrowserLost(LOST)
        try:
            return self._thread.run(function, *args, **kwargs)
        except PlaywrightError:
            # Playwright's messages may hold what was typed, so they go no further.
            raise BrowserLost(LOST) from None

    def leave(self) -> None:
        """Closes the connection, not the browser. A connection of a driver that died is closed already."""
        if self._thread.generation == self._generation:
            self._thread.run(self._tabs.close)


@contextmanager
def attach(
    profile: Path,
    *,
    chromium: Path,
    viewport: tuple[int, int],
    last_url: str | None = None,
    expected: bool = False,
    thread: BrowserThread | None = None,
) -> Iterator[SessionBrowser]:
    """Attaches to the Chromium of `profile`, starting one at `last_url` if none is running.

    `expected` says whether one should be running; `viewport` (CSS pixels) is for a new one. Raises `ChromiumFailed`,
    `BrowserLost`.
    """
    thread = thread or default_thread()
    try:
        tabs, fresh = thread.run(_open, thread, profile, chromium, viewport, last_url)
    except PlaywrightError:
        raise BrowserLost(LOST) from None
    browser = SessionBrowser(thread, tabs, reopened=fresh and expected)
    try:
        yield browser
    finally:
        browser.leave()


@cache
def default_thread() -> BrowserThread:
    return BrowserThread()


def _open(
    thread: BrowserThread, profile: Path, chromium: Path, viewport: tuple[int, int], last_url: str | None
) -> tuple[Tabs, bool]:
    endpoint = running_endpoint(profile, patience=ANSWER_SECONDS)
    fresh = endpoint is None
    tabs = Tabs(
        thread.playwright, endpoint or start_chromium(chromium, profile, viewport=viewport), profile, fresh=fresh
    )
    if fresh:
        if viewport_of(tabs.main) != viewport:
            tabs.set_viewport(tabs.main, *viewport)
        if last_url:
            _return_to(tabs, last_url)
    return tabs, fresh


def _return_to(tabs: Tabs, url: str) -> None:
    """Opens the last address again; where that fails, the page itself shows it to the coach."""
    try:
        check_destination(url, closed_ports=tabs.closed_ports())
        tabs.main.goto(url, wait_until="load", timeout=REOPEN_MS)
    except (ForbiddenUrl, PlaywrightError):
        return
