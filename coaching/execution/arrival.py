"""Waiting for the page that an action leads to, and judging whether it is the right one."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Frame, Page, Request
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from .act import Act, Refused
from .tabs import Tabs, context_gone
from .urls import ForbiddenUrl, check_destination, place, same_place

POLL_MS = 5
#: How long a page may go on redirecting after it loaded before its address is judged.
REDIRECT_MS = 1_000
ERROR_PAGE = "chrome-error://"


class Journey:
    """What the main frame of a page does while an action is performed."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.moved = False
        self._under_way: set[Request] = set()

    def __enter__(self) -> Journey:
        self.page.on("request", self._on_request)
        self.page.on("requestfinished", self._on_request_ended)
        self.page.on("requestfailed", self._on_request_ended)
        self.page.on("framenavigated", self._on_navigated)
        return self

    def __exit__(self, *_error: object) -> None:
        self.page.remove_listener("request", self._on_request)
        self.page.remove_listener("requestfinished", self._on_request_ended)
        self.page.remove_listener("requestfailed", self._on_request_ended)
        self.page.remove_listener("framenavigated", self._on_navigated)

    @property
    def begun(self) -> bool:
        return bool(self._under_way)

    def _on_request(self, request: Request) -> None:
        if request.is_navigation_request() and request.frame == self.page.main_frame:
            self._under_way.add(request)

    def _on_request_ended(self, request: Request) -> None:
        self._under_way.discard(request)

    def _on_navigated(self, frame: Frame) -> None:
        if frame == self.page.main_frame:
            self.moved = True


def performed_with_arrival(act: Act, handler: Callable[[Act], None]) -> None:
    """Runs the handler, then waits for the navigation that it begins or that the step asserts. Raises `Refused`."""
    asserted = [event for event in act.action.get("assertedEvents") or [] if event.get("type") == "navigation"]
    with Journey(act.page) as journey:
        handler(act)
        if act.page.is_closed():
            return
        if act.action["type"] != "navigate":
            _wait(act, journey, asserted[-1].get("url") if asserted else None, must_move=bool(asserted))
        if asserted:
            _check_asserted(act, str(asserted[-1].get("url") or ""))
    guard(act.tabs)


def guard(tabs: Tabs) -> None:
    """Leaves every tab that stands at a forbidden address: links and redirects lead anywhere. Raises `ForbiddenUrl`."""
    for page in tabs.open_pages():
        host = urlsplit(page.url).netloc
        if not page.url.startswith(("http:", "https:")) or host in tabs.checked_hosts:
            continue
        try:
            check_destination(page.url)
        except ForbiddenUrl:
            page.goto("about:blank")
            raise
        tabs.checked_hosts.add(host)


def _wait(act: Act, journey: Journey, asserted_url: str | None, *, must_move: bool) -> None:
    try:
        # A round trip through the page: a navigation that the action caused is announced by the time it is back.
        act.page.evaluate("() => 0")
    except PlaywrightError as error:
        if not context_gone(error):
            raise
    while not journey.moved and (must_move or journey.begun):
        if act.late:
            where = f" to {place(asserted_url)}" if asserted_url else ""
            done = "Clicked" if "click" in act.action["type"].lower() else "Done"
            raise Refused(f"{done}, but the page did not move on{where}.", uncertain=journey.begun)
        act.page.wait_for_timeout(POLL_MS)
    if not journey.moved:
        return
    try:
        act.page.wait_for_load_state("load", timeout=act.left_ms)
    except PlaywrightTimeout:
        raise Refused(f"The page {place(act.page.url)} did not finish loading in {act.limit_words}.") from None


def _check_asserted(act: Act, asserted_url: str) -> None:
    page = act.page
    if page.url.startswith(ERROR_PAGE):
        raise Refused("The page that should come next could not be loaded.")
    if not asserted_url or same_place(page.url, asserted_url):
        return
    try:
        page.wait_for_url(lambda url: same_place(url, asserted_url), timeout=min(REDIRECT_MS, act.left_ms))
    except PlaywrightTimeout:
        raise Refused(f"The page moved to {place(page.url)} instead of {place(asserted_url)}.") from None
