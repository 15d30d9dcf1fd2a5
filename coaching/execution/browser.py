"""The browser of a session, as the runner uses it: attach, look, locate, perform, leave.

Every call may come from any thread; the work is done on the browser thread. Leaving closes the connection only:
Chromium stays, with its tabs and all they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page

from .chromium import running_endpoint, start_chromium
from .driver import LIMIT_SECONDS, BrowserHangs, BrowserLost, BrowserThread, P, T
from .guard import resolver_rules
from .limits import OFTEN, closing_was_told, room_beside, why_closed
from .locate import Located, locate, timeout_in
from .perform import Performed, perform
from .screenshot import View, look
from .tabs import Tabs, viewport_of
from .text import clean
from .urls import ForbiddenUrl, check_destination

__all__ = ["BrowserHangs", "BrowserLost", "BrowserThread", "SessionBrowser", "attach"]

REOPEN_MS = 15_000
#: A browser that lives is given this long to answer before it counts as lost, with all that its pages hold.
ANSWER_SECONDS = 10.0
LOST = "The browser does not answer as it should; it may be lost."
CRASHED = (
    "The page has crashed its tab, and a new one was opened at the last address: the page may differ from what it was. "
    "Look at the picture before you decide."
)
#: How long a look at the page may take before the browser counts as hanging; an action has this much more, beside its
#: own limit, because it looks too.
LOOK_SECONDS = 30.0
BEYOND_LOOK_SECONDS = 15.0


class SessionBrowser:
    """An attached browser. `reopened`: the one that should have been there was lost, and a new one was opened.

    `why_reopened` says why, for the coach, where that is known.
    """

    def __init__(
        self, thread: BrowserThread, tabs: Tabs, *, reopened: bool, patience: float, why_reopened: str = ""
    ) -> None:
        self._thread, self._patience = thread, patience
        self._generation = thread.generation
        self._tabs = tabs
        self._hangs = ""
        self.reopened, self.why_reopened = reopened, why_reopened

    @property
    def url(self) -> str:
        """The address of the tab in use: that of the latest action's target, else the main one."""
        return str(clean(self._run(lambda: self._page.url)))

    def refused(self) -> str:
        """Where its tabs may not go and wanted to, or went while nobody looked on, since this was last told."""
        return self._run(lambda: self._tabs.guard.told() if self._tabs.guard else "")

    def look(self, *, hide: Sequence[str] = ()) -> View:
        """What the tab in use shows; password fields and what shows a string of `hide` are covered on the picture."""
        view = self._within(self._patience, lambda: look(self._tabs, self._page, hide=hide))
        return replace(view, url=clean(view.url), title=clean(view.title))

    def locate(self, action: Mapping[str, Any], *, timeout_ms: int | None = None) -> Located:
        """Where the target of `action` is, waited for up to `timeout_ms`; raises `BrowserLost`."""
        return self._within(self._longest(action, timeout_ms), locate, self._tabs, action, timeout_ms=timeout_ms)

    def perform(
        self, action: Mapping[str, Any], located: Located | None = None, *, timeout_ms: int | None = None
    ) -> Performed:
        """Performs `action` on what `locate` found during this attachment. A lost browser is an uncertain outcome."""
        try:
            performed = self._within(
                self._longest(action, timeout_ms), perform, self._tabs, action, located, timeout_ms=timeout_ms
            )
        except BrowserLost as error:
            return Performed(ok=False, reason=str(error), uncertain=True)
        return replace(performed, reason=clean(performed.reason))

    @property
    def _page(self) -> Page:
        return self._tabs.main if self._tabs.page.is_closed() else self._tabs.page

    def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self._within(LIMIT_SECONDS, function, *args, **kwargs)

    def _longest(self, action: Mapping[str, Any], timeout_ms: int | None) -> float:
        return timeout_in(action, timeout_ms) / 1000 + self._patience + BEYOND_LOOK_SECONDS

    def _within(self, seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._hangs:
            raise BrowserHangs(self._hangs)
        if self._tabs.crashed:
            raise BrowserLost(CRASHED)
        if self._thread.generation != self._generation:
            raise BrowserLost(LOST)
        try:
            return self._thread.run_within(seconds, function, *args, **kwargs)
        except BrowserHangs as error:
            if self._tabs.crashed:
                raise BrowserLost(CRASHED) from None
            self._hangs = str(error)
            raise
        except PlaywrightError:
            # Playwright's messages may hold what was typed, so they go no further.
            raise BrowserLost(CRASHED if self._tabs.crashed else LOST) from None

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
    allowed: Collection[str] | None = None,
    most: int = 0,
    thread: BrowserThread | None = None,
    patience: float = LOOK_SECONDS,
) -> Iterator[SessionBrowser]:
    """Attaches to the Chromium of `profile`, starting one at `last_url` if none is running.

    `allowed` are the hosts that its tabs may visit (`guard.Places`; None: any). `expected` says whether one should be
    running; `viewport` (CSS pixels) is for a new one, which is not started beside `most` others (0: any number).
    A look at a page that takes longer than `patience` (seconds) raises `BrowserHangs`.
    Raises `ChromiumFailed`, `BrowserLost`, `NoRoom`.
    """
    thread = thread or default_thread()
    why, times = why_closed(profile)
    if times >= OFTEN:
        last_url = None
    try:
        tabs, fresh = thread.run(
            _open, thread, profile, chromium, viewport=viewport, last_url=last_url, allowed=allowed, most=most
        )
    except PlaywrightError:
        raise BrowserLost(LOST) from None
    closing_was_told(profile)
    why = _after_opening(why, last_url) if fresh else CRASHED if tabs.lost_main else ""
    reopened = expected and (fresh or tabs.lost_main)
    browser = SessionBrowser(thread, tabs, reopened=reopened, why_reopened=why, patience=patience)
    try:
        yield browser
    finally:
        browser.leave()


def _after_opening(why_closed: str, url: str | None) -> str:
    """For the coach: why the browser before was closed, if that is known, and where the new one is."""
    where = "at the last address: the page may differ from what it was" if url else "on an empty page"
    return why_closed and f"{why_closed} A new one was opened {where}. Look at the picture before you decide."


@cache
def default_thread() -> BrowserThread:
    return BrowserThread()


def _open(
    thread: BrowserThread,
    profile: Path,
    chromium: Path,
    *,
    viewport: tuple[int, int],
    last_url: str | None,
    allowed: Collection[str] | None,
    most: int,
) -> tuple[Tabs, bool]:
    endpoint = running_endpoint(profile, patience=ANSWER_SECONDS)
    fresh = endpoint is None
    if endpoint is None:
        room, rules = room_beside(profile, most), resolver_rules(allowed)
        endpoint = start_chromium(chromium, profile, viewport=viewport, resolver_rules=rules, room=room)
    tabs = Tabs(thread.playwright, endpoint, profile, fresh=fresh, allowed=allowed)
    if fresh or tabs.lost_main:
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
