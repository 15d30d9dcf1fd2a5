"""Pictures of a page, in CSS pixels, on which no secret can be read."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import CDPSession, Page
from playwright.sync_api import Error as PlaywrightError

from .tabs import Tabs, frame_ids

COVER_JS = Path(__file__).with_name("secrets.js").read_text(encoding="utf-8")
UNCOVER_JS = "function () { for (const cover of document.querySelectorAll('coach-cover')) cover.remove(); }"
WORLD = "coachsite"


def take(tabs: Tabs, page: Page, *, hide: Sequence[str]) -> bytes:
    """PNG of the viewport. Password fields, and whatever shows a string of `hide`, are covered by a solid block.

    Raises Playwright's error rather than taking a picture that is not covered.
    """
    try:
        return _take(tabs, page, hide)
    except PlaywrightError:
        # A frame or the page itself moved on in this moment: once more, with what is there now.
        return _take(tabs, page, hide)


def _take(tabs: Tabs, page: Page, hide: Sequence[str]) -> bytes:
    covered: list[tuple[CDPSession, int]] = []
    try:
        for session, frame_id in _frames(tabs, page):
            world = {"frameId": frame_id, "worldName": WORLD}
            context = session.send("Page.createIsolatedWorld", world)["executionContextId"]
            if _call(session, context, COVER_JS, [secret for secret in hide if secret.strip()]):
                covered.append((session, context))
        picture = tabs.cdp(page).send("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True})
    finally:
        for session, context in covered:
            _uncover(session, context)
    return base64.b64decode(picture["data"])


def _frames(tabs: Tabs, page: Page) -> Iterator[tuple[CDPSession, str]]:
    """Every frame of the page with the session that reaches it: frames of other sites live in other processes."""
    session = tabs.cdp(page)
    ids = list(frame_ids(session))
    yield from ((session, frame_id) for frame_id in ids)
    if len(ids) < len(page.frames):
        for other in tabs.separate_sessions(page):
            yield from ((other, frame_id) for frame_id in frame_ids(other))


def _call(session: CDPSession, context: int, function: str, secrets: list[str]) -> bool:
    answer = session.send(
        "Runtime.callFunctionOn",
        {
            "functionDeclaration": function,
            "executionContextId": context,
            "arguments": [{"value": secrets}],
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    if "exceptionDetails" in answer:
        raise PlaywrightError("The page could not be covered.")
    return bool(answer["result"]["value"])


def _uncover(session: CDPSession, context: int) -> None:
    try:
        session.send("Runtime.callFunctionOn", {"functionDeclaration": UNCOVER_JS, "executionContextId": context})
    except PlaywrightError:
        # The frame moved on, and its cover with it.
        return
