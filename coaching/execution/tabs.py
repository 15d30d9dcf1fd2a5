"""An attached Chromium on Playwright's thread: its tabs, their frames, and what has to outlive one attachment."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, CDPSession, Dialog, Download, Frame, Page, Playwright
from playwright.sync_api import Error as PlaywrightError

from .chromium import Endpoint, devtools_ports
from .guard import Guard
from .journey import Journey
from .urls import same_place

LOCATE_JS = Path(__file__).with_name("locate.js").read_text(encoding="utf-8")
STATE_FILE = "coachsite-state.json"
POLL_MS = 25
#: A page that opens more tabs than this does so in a loop.
MOST_TABS = 20
#: So many messages of a page are passed on, each so long.
MOST_MESSAGES = 3
LONGEST_MESSAGE = 300
HELPERS = "globalThis[Symbol.for('coachsite')]"
CONTEXT_GONE = ("Execution context was destroyed", "Cannot find context", "frame was detached", "Frame was detached")


class TabMissing(Exception):
    """The tab or frame that an action names is not open; the message is for the coach."""


class Tabs:
    """What Playwright sees of one running Chromium. Lives on Playwright's thread only."""

    def __init__(
        self,
        playwright: Playwright,
        endpoint: Endpoint,
        profile: Path,
        *,
        fresh: bool,
        allowed: Collection[str] | None = None,
    ) -> None:
        self._browser = playwright.chromium.connect_over_cdp(endpoint.ws_url)
        self._context: BrowserContext = self._browser.contexts[0]
        self._state_path = profile / STATE_FILE
        self._profiles = profile.resolve().parent
        self._sessions: dict[Page | Frame, CDPSession] = {}
        self._installed: set[CDPSession] = set()
        self._journeys: dict[Page, Journey] = {}
        self._held_here: set[str] = set()
        self.state = self._read_state()
        if fresh:
            # A new process has new tabs, and nobody holds its keys.
            self.state = {key: value for key, value in self.state.items() if key == "network"}
        #: Host names whose addresses were checked during this attachment.
        self.checked_hosts: set[str] = set()
        #: Messages of JavaScript dialogs that were answered since the list was last emptied: (kind, text).
        self.dialogs: list[tuple[str, str]] = []
        self._context.on("dialog", self._answer)
        #: What the page did meanwhile that a coach should know, in words; emptied with the dialogs.
        self.remarks: list[str] = []
        #: Whether the main tab has crashed during this attachment.
        self.crashed = False
        #: Where the tabs may go; None where nobody has said.
        self.guard: Guard | None = None
        #: Whether the main tab that an earlier attachment has left had crashed, and is another one now.
        self.lost_main = bool(self.state.pop("crashed", False))
        for page in self._context.pages:
            self._watch(page)
        self._context.on("page", self._watch_new)
        if self.lost_main:
            self._leave_crashed_tab()
        if allowed is not None:
            self.guard = Guard(allowed, closed_ports=self.closed_ports())
            self.guard.watch(self._browser)
            self.guard.clear_strayed(self.open_pages())
        self.main = self._find_main()
        self.page = self.main
        if network := self.state.get("network"):
            self.cdp(self.main).send("Network.emulateNetworkConditions", network)

    def closed_ports(self) -> frozenset[int]:
        """Ports of this machine that no page may be opened at: there the browsers themselves are driven."""
        return devtools_ports(self._profiles)

    # -- state that outlives the attachment

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads(self._state_path.read_text())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def remember(self, **changes: Any) -> None:
        """Keeps facts that Chromium forgets when a client leaves: `main` (a target id), `held` keys, `network`."""
        self.state.update(changes)
        self._state_path.write_text(json.dumps(self.state))

    # -- tabs

    def _find_main(self) -> Page:
        pages = self._context.pages
        if not pages:
            # Of a tab that has crashed nothing shows here.
            self.lost_main = self.lost_main or "main" in self.state
            page = self._context.new_page()
            self.remember(main=self._target_id(page))
            return page
        if "main" not in self.state:
            self.remember(main=self._target_id(pages[0]))
        if len(pages) == 1:
            return pages[0]
        return next((page for page in pages if self._target_id(page) == self.state["main"]), pages[0])

    def _leave_crashed_tab(self) -> None:
        """Opens another tab in the place of the crashed one, and closes what is left of that."""
        gone = self.state.pop("main", None)
        page = self._context.new_page()
        self.remember(main=self._target_id(page))
        # Chromium may have put it away itself.
        with contextlib.suppress(PlaywrightError):
            self._browser.new_browser_cdp_session().send("Target.closeTarget", {"targetId": gone})

    # -- what a page does by itself

    def _watch(self, page: Page) -> None:
        page.on("crash", self._note_crash)
        page.on("download", self._refuse_download)
        page.on("framenavigated", self._empty_if_strayed)

    def _watch_new(self, page: Page) -> None:
        self._watch(page)
        if len(self._context.pages) <= MOST_TABS:
            return
        self.remark(f"The page opened more than {MOST_TABS} tabs; the others were closed.")
        with contextlib.suppress(PlaywrightError):  # it may have closed itself
            page.close()

    def _note_crash(self, page: Page) -> None:
        if page == self.main:
            self.crashed = True
            self.remember(crashed=True)

    def _refuse_download(self, download: Download) -> None:
        self.remark(f"The page offered “{download.suggested_filename[:100]}” for download; it was not kept.")
        with contextlib.suppress(PlaywrightError):  # it may be through
            download.cancel()

    def _empty_if_strayed(self, frame: Frame) -> None:
        """Of a page that Chromium has loaded in advance (speculation rules) no request is seen when it is shown."""
        if self.guard is None or frame.parent_frame is not None or not self.guard.has_strayed(frame.url):
            return
        with contextlib.suppress(PlaywrightError):  # it may have closed itself
            self.cdp(frame.page).send("Page.navigate", {"url": "about:blank"})

    def remark(self, words: str) -> None:
        if words not in self.remarks:
            self.remarks.append(words)

    def _target_id(self, page: Page) -> str:
        return str(self.cdp(page).send("Target.getTargetInfo")["targetInfo"]["targetId"])

    @property
    def connected(self) -> bool:
        return self._browser.is_connected()

    def open_pages(self) -> list[Page]:
        return [page for page in self._context.pages if not page.is_closed()]

    def closed_main(self) -> None:
        """After the main tab closed: the oldest that is left takes its place, or an empty one."""
        self.state.pop("main", None)
        self.main = self._find_main()
        self.page = self.main
        self.remember(main=self._target_id(self.main))

    def page_for(self, action: Mapping[str, Any]) -> Page | None:
        """The tab the action's `target` names: `main`, or the address of another one."""
        target = action.get("target") or "main"
        if self.main.is_closed():
            self.closed_main()
        if target == "main":
            return self.main
        others = [page for page in self.open_pages() if page != self.main]
        exact = [page for page in others if page.url == target]
        alike = exact or [page for page in others if same_place(page.url, str(target))]
        return alike[-1] if alike else None

    def frame_for(self, action: Mapping[str, Any], deadline: float) -> Frame:
        """The frame that the action is about, waited for; raises `TabMissing` after `deadline` (monotonic seconds)."""
        path = list(action.get("frame") or [])
        while True:
            page = self.page_for(action)
            frame = _descend(page.main_frame, path) if page else None
            if page and frame:
                self.page = page
                return frame
            if time.monotonic() >= deadline:
                break
            self.pause(POLL_MS)
        if page is None:
            raise TabMissing(f"The tab with {action.get('target')} is not open.")
        self.page = page
        raise TabMissing(f"The frame inside the page that holds the target is not there ({page.title()}).")

    def pause(self, milliseconds: float) -> None:
        """Waits while events of the browser keep coming in."""
        self.main.wait_for_timeout(milliseconds)

    # -- what runs in the page

    def cdp(self, page: Page | Frame) -> CDPSession:
        if page not in self._sessions:
            session = self._sessions[page] = self._context.new_cdp_session(page)
            session.send("Page.enable")
        return self._sessions[page]

    def journey(self, page: Page) -> Journey:
        """The listener to the tab's navigations, which hears them from the first call on."""
        if page not in self._journeys:
            session = self.cdp(page)
            self._journeys[page] = Journey(page, session, next(frame_ids(session)))
        return self._journeys[page]

    def separate_sessions(self, page: Page) -> list[CDPSession]:
        """Sessions of those frames of the page that live in processes of their own."""
        sessions = []
        for frame in page.frames[1:]:
            try:
                sessions.append(self.cdp(frame))
            except PlaywrightError as error:
                if "does not have a separate CDP session" not in str(error) and not frame.is_detached():
                    raise
        return sessions

    def call(self, frame: Frame, function: str, argument: Any = None) -> Any:
        """What a function of locate.js returns in the frame; installs it where it is missing."""
        expression = f"argument => {HELPERS}.{function}(argument)"
        self._prepare(frame)
        try:
            return frame.evaluate(expression, argument)
        except PlaywrightError as error:
            if "Cannot read properties of undefined" not in str(error):
                raise
        self._install(self.cdp(frame))
        return frame.evaluate(expression, argument)

    def _prepare(self, frame: Frame) -> None:
        session = self.cdp(frame.page)
        if session not in self._installed:
            self._install(session)
            self._installed.add(session)
        if frame.parent_frame is not None:
            for frame_id in frame_ids(session):
                session.send("Accessibility.getRootAXNode", {"frameId": frame_id})

    def _install(self, session: CDPSession) -> None:
        script = {"source": LOCATE_JS, "includeCommandLineAPI": True, "runImmediately": True}
        session.send("Page.addScriptToEvaluateOnNewDocument", script)
        # Without a living accessibility tree Chrome builds one anew for every single name it is asked for.
        session.send("Accessibility.enable")
        session.send("Accessibility.getRootAXNode")

    # -- window, keys

    def set_viewport(self, page: Page, width: int, height: int) -> None:
        """Gives the page's window a content area of this size, by moving the window: emulation ends with a client."""
        session = self.cdp(page)
        window = session.send("Browser.getWindowForTarget")["windowId"]
        bounds = {"width": width, "height": height}
        for _attempt in range(2):
            session.send("Browser.setWindowBounds", {"windowId": window, "bounds": bounds})
            actual_width, actual_height = viewport_of(page)
            if (actual_width, actual_height) == (width, height):
                return
            # A full Chromium counts its own bars into the window.
            bounds = {"width": 2 * width - actual_width, "height": 2 * height - actual_height}

    def hold(self, page: Page, key: str) -> None:
        """Presses a modifier key and keeps it, also for later attachments."""
        page.keyboard.down(key)
        self._held_here.add(key)
        self.remember(held=sorted({*self.state.get("held", []), key}))

    def let_go(self, page: Page, key: str) -> None:
        page.keyboard.up(key)
        self._held_here.discard(key)
        if key in self.state.get("held", []):
            self.remember(held=[held for held in self.state["held"] if held != key])

    def press_held(self, page: Page) -> None:
        """Tells a new attachment's keyboard which modifiers an earlier one left pressed."""
        for key in self.state.get("held", []):
            if key not in self._held_here:
                page.keyboard.down(key)
                self._held_here.add(key)

    # -- dialogs

    def _answer(self, dialog: Dialog) -> None:
        if len(self.dialogs) < MOST_MESSAGES:
            self.dialogs.append((dialog.type, dialog.message[:LONGEST_MESSAGE]))
        elif dialog.type != "beforeunload":
            self.remark("More messages followed.")
        try:
            # The coach agreed to leave the page; every other question is answered with “Cancel”.
            if dialog.type == "beforeunload":
                dialog.accept()
            else:
                dialog.dismiss()
        except PlaywrightError:
            # Its page closed meanwhile, and the dialog with it.
            return

    def close(self) -> None:
        """Leaves the browser; its tabs stay as they are."""
        try:
            self._browser.close()
        except PlaywrightError:
            # It was lost before: there is nothing to leave.
            return


def viewport_of(page: Page) -> tuple[int, int]:
    """Width and height of the page's viewport in CSS pixels."""
    width, height = page.evaluate("() => [innerWidth, innerHeight]")
    return int(width), int(height)


def _descend(frame: Frame, path: Sequence[int]) -> Frame | None:
    for index in path:
        children = frame.child_frames
        if not 0 <= index < len(children):
            return None
        frame = children[index]
    return frame


def frame_ids(session: CDPSession) -> Iterator[str]:
    """The ids of the frames that a session reaches, the outermost first."""
    pending = [session.send("Page.getFrameTree")["frameTree"]]
    while pending:
        tree = pending.pop(0)
        yield tree["frame"]["id"]
        pending += tree.get("childFrames", [])


def context_gone(error: PlaywrightError) -> bool:
    """Whether the page moved on while something ran in it."""
    return any(words in str(error) for words in CONTEXT_GONE)
