"""Pictures of a page, in CSS pixels, on which no secret can be read."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import CDPSession, Page, Playwright
from playwright.sync_api import Error as PlaywrightError

TIMEOUT_MS = 10_000
MASK_COLOR = "#3d3d3d"
ENGINE = "coachsecret"
ENGINE_JS = Path(__file__).with_name("secrets.js").read_text(encoding="utf-8")


def register_engine(playwright: Playwright) -> None:
    """Makes the selector engine that finds secrets known to a driver, once."""
    playwright.selectors.register(ENGINE, ENGINE_JS, content_script=True)


def take(page: Page, session: CDPSession, *, hide: Sequence[str]) -> bytes:
    """PNG of the viewport. Password fields, and whatever shows a string of `hide`, are covered by a solid block."""
    secrets = json.dumps([secret for secret in hide if secret.strip()]).encode()
    selector = f"{ENGINE}={base64.b64encode(secrets).decode()}"
    masks = []
    for frame in page.frames:
        locator = frame.locator(selector)
        try:
            if locator.count():
                masks.append(locator)
        except PlaywrightError:
            # The frame went away in this moment. If the page itself did, the picture below says so.
            continue
    if masks:
        return page.screenshot(
            scale="css", mask=masks, mask_color=MASK_COLOR, caret="initial", animations="allow", timeout=TIMEOUT_MS
        )
    # Without anything to cover Chromium is asked directly, which takes half the time.
    picture = session.send("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True})
    return base64.b64decode(picture["data"])
