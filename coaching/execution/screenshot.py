"""What a page shows: its title, its size, and a picture in CSS pixels on which no secret can be read."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import CDPSession, Page
from playwright.sync_api import Error as PlaywrightError

from .tabs import Tabs, frame_ids

COVER_JS = Path(__file__).with_name("secrets.js").read_text(encoding="utf-8")
#: Covers, and tells in the same call what else is to be known of a frame: each call costs its way there and back.
LOOK_JS = f"""async function (secrets) {{
  const covered = await ({COVER_JS})(secrets);
  return {{ covered, title: document.title, viewport: [innerWidth, innerHeight] }};
}}"""
UNCOVER_JS = "function () { for (const cover of document.querySelectorAll('coach-cover')) cover.remove(); }"
WORLD = "coachsite"


@dataclass(frozen=True, slots=True)
class View:
    """What a tab shows. `viewport` is width and height in CSS pixels; `picture` a PNG of it, secrets covered."""

    url: str
    title: str
    viewport: tuple[int, int]
    picture: bytes


def look(tabs: Tabs, page: Page, *, hide: Sequence[str]) -> View:
    """What the page shows. Password fields, and whatever shows a string of `hide`, are covered by a solid block.

    Raises Playwright's error rather than taking a picture that is not covered.
    """
    try:
        return _look(tabs, page, hide)
    except PlaywrightError:
        # A frame or the page itself moved on in this moment: once more, with what is there now.
        return _look(tabs, page, hide)


def _look(tabs: Tabs, page: Page, hide: Sequence[str]) -> View:
    secrets = [secret for secret in hide if secret.strip()]
    seen: list[dict[str, Any]] = []
    covered: list[tuple[CDPSession, int]] = []
    try:
        for session, frame_id in _frames(tabs, page):
            world = {"frameId": frame_id, "worldName": WORLD}
            context = session.send("Page.createIsolatedWorld", world)["executionContextId"]
            seen.append(_call(session, context, LOOK_JS, secrets))
            if seen[-1]["covered"]:
                covered.append((session, context))
        picture = tabs.cdp(page).send("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True})
    finally:
        for session, context in covered:
            _uncover(session, context)
    outermost = seen[0]
    width, height = outermost["viewport"]
    return View(page.url, str(outermost["title"]), (int(width), int(height)), base64.b64decode(picture["data"]))


def _frames(tabs: Tabs, page: Page) -> Iterator[tuple[CDPSession, str]]:
    """Every frame of the page with the session that reaches it: frames of other sites live in other processes."""
    session = tabs.cdp(page)
    ids = list(frame_ids(session))
    yield from ((session, frame_id) for frame_id in ids)
    if len(ids) < len(page.frames):
        for other in tabs.separate_sessions(page):
            yield from ((other, frame_id) for frame_id in frame_ids(other))


def _call(session: CDPSession, context: int, function: str, secrets: list[str]) -> dict[str, Any]:
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
    value: dict[str, Any] = answer["result"]["value"]
    return value


def _uncover(session: CDPSession, context: int) -> None:
    try:
        session.send("Runtime.callFunctionOn", {"functionDeclaration": UNCOVER_JS, "executionContextId": context})
    except PlaywrightError:
        # The frame moved on, and its cover with it.
        return
