"""The peer: the demo's claim filed by a Playwright script, as a programmer would write it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, Playwright

#: Of demo and recording.
PASSWORD = "expenses-2026"


def steps(page: Page, url: str) -> list[Callable[[], object]]:
    """The same eleven steps as the recording; Playwright waits for what each needs."""
    return [
        lambda: page.set_viewport_size({"width": 1280, "height": 720}),
        lambda: page.goto(f"{url}/demo/"),
        lambda: page.get_by_label("User name").fill("pat"),
        lambda: page.get_by_label("Password").fill(PASSWORD),
        lambda: _and_arrive(page, "Sign in", "button", "**/demo/claims/"),
        lambda: _and_arrive(page, "New claim", "link", "**/demo/claims/new/"),
        lambda: page.get_by_label("What was it for?").fill("Train to the supplier in Utrecht"),
        lambda: page.get_by_label("Amount").fill("42.50"),
        lambda: page.get_by_label("Category").select_option("travel"),
        lambda: page.get_by_label("Aurora").check(),
        lambda: _and_arrive(page, "Submit claim", "button", re.compile(r"/demo/claims/\d+/$")),
    ]


def _and_arrive(page: Page, name: str, role: str, url: str | re.Pattern[str]) -> None:
    page.get_by_role(role, name=name).click()  # type: ignore[arg-type]
    page.wait_for_url(url)


def file_a_claim(playwright: Playwright, chromium: Path, url: str) -> tuple[float, list[float]]:
    """Seconds of the whole run, launch included, and of each step."""
    began = time.perf_counter()
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    each = []
    for step in steps(browser.new_page(), url):
        before = time.perf_counter()
        step()
        each.append(time.perf_counter() - before)
    took = time.perf_counter() - began
    browser.close()
    return took, each
