"""What the main frame of a tab does: whether a navigation is under way, and whether there was one."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import CDPSession, Frame, Page, Request

#: Requests that ask for a page and change nothing.
ASKING = frozenset({"GET", "HEAD"})


class Journey:
    """Listens to a tab from when it is made. `start` before an action, ask afterwards.

    That a navigation begins is heard from Chromium's renderer: its word comes in order with its answers, so after a
    round trip through the page it has come. That one is done is heard from Playwright, whose idea of the page counts.
    """

    def __init__(self, page: Page, session: CDPSession, main_frame_id: str) -> None:
        self._page = page
        self._main_frame_id = main_frame_id
        self.begun = False
        self.moved = False
        #: Whether a form was sent: the tab was led on by a request that may change something.
        self.sent = False
        session.on("Page.frameRequestedNavigation", self._on_requested)
        session.on("Page.frameStoppedLoading", self._on_stopped)
        page.on("framenavigated", self._on_navigated)
        page.on("request", self._on_request)

    def start(self) -> None:
        self.begun = self.moved = self.sent = False

    def _on_requested(self, event: dict[str, Any]) -> None:
        if event.get("frameId") == self._main_frame_id and event.get("disposition", "currentTab") == "currentTab":
            self.begun = True

    def _on_stopped(self, event: dict[str, Any]) -> None:
        if event.get("frameId") == self._main_frame_id:
            self.begun = False

    def _on_navigated(self, frame: Frame) -> None:
        if frame == self._page.main_frame:
            self.moved = True

    def _on_request(self, request: Request) -> None:
        if request.is_navigation_request() and request.method not in ASKING and request.frame == self._page.main_frame:
            self.sent = True
