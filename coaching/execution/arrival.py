"""Waiting for the page that an action leads to, and judging whether it is the right one."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from .act import Act, Refused
from .journey import Journey
from .tabs import Tabs, context_gone
from .urls import ForbiddenUrl, check_destination, place, same_place

POLL_MS = 5
ROUND_TRIP_MS = 1_000
#: How long a page may go on redirecting after it loaded before its address is judged.
REDIRECT_MS = 1_000
ERROR_PAGE = "chrome-error://"
#: Pages of the browser's own making, and content of the page that is judged itself.
HARMLESS = ("about:", "blob:", ERROR_PAGE)
#: Steps that only look, or set up.
LEADS_NOWHERE = frozenset({"setViewport", "emulateNetworkConditions", "waitForElement", "waitForExpression"})


def performed_with_arrival(act: Act, handler: Callable[[Act], None]) -> None:
    """Runs the handler, then waits for the navigation that it begins or that the step asserts. Raises `Refused`."""
    asserted = [event for event in act.action.get("assertedEvents") or [] if event.get("type") == "navigation"]
    journey = act.tabs.journey(act.page)
    journey.start()
    handler(act)
    if not act.page.is_closed():
        if act.action["type"] != "navigate" and (asserted or act.action["type"] not in LEADS_NOWHERE):
            _wait(act, journey, asserted[-1].get("url") if asserted else None, must_move=bool(asserted))
        if journey.moved and act.page.url.startswith(ERROR_PAGE):
            raise Refused("The page that should come next could not be loaded.", uncertain=journey.sent)
        if asserted:
            _check_asserted(act, str(asserted[-1].get("url") or ""))
    guard(act.tabs)


def guard(tabs: Tabs) -> None:
    """Leaves every tab that stands at a forbidden address: links and redirects lead anywhere. Raises `ForbiddenUrl`."""
    for page in tabs.open_pages():
        for frame in page.frames:
            host = urlsplit(frame.url).netloc
            # Only a tab itself could stand at a file or a page of the browser: what is inside one is the page's own.
            inside = frame != page.main_frame and not frame.url.startswith(("http:", "https:"))
            if inside or not frame.url or frame.url.startswith(HARMLESS) or (host and host in tabs.checked_hosts):
                continue
            try:
                check_destination(frame.url, closed_ports=tabs.closed_ports())
            except ForbiddenUrl:
                page.goto("about:blank")
                raise
            tabs.checked_hosts.add(host)


def _wait(act: Act, journey: Journey, asserted_url: str | None, *, must_move: bool) -> None:
    if not (journey.begun or journey.moved):
        _round_trip(act)
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


def _round_trip(act: Act) -> None:
    """After it, a navigation that the action caused has been announced.

    Not by `evaluate`: sent in the moment in which a navigation begins, it comes back only when that has ended.
    """
    try:
        act.page.wait_for_selector("html", state="attached", timeout=min(ROUND_TRIP_MS, act.left_ms))
    except PlaywrightTimeout:
        # Then the page is busy leaving, and the journey has heard of it.
        return
    except PlaywrightError as error:
        if not context_gone(error):
            raise


def _check_asserted(act: Act, asserted_url: str) -> None:
    page = act.page
    if not asserted_url or same_place(page.url, asserted_url):
        return
    try:
        page.wait_for_url(lambda url: same_place(url, asserted_url), timeout=min(REDIRECT_MS, act.left_ms))
    except PlaywrightTimeout:
        raise Refused(f"The page moved to {place(page.url)} instead of {place(asserted_url)}.") from None
