"""What several test modules of coaching share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page, sync_playwright

from coaching.execution.chromium import find_chromium
from coaching.tests.journeys import SLOW_MS
from coaching.tests.live import OWNER_PASSWORD, LiveSite, live_site


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser in which coaches have their windows."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(settings.CHROMIUM_PATH), args=["--no-sandbox", "--disable-quic"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    with live_site(tmp_path_factory.mktemp("live")) as running:
        yield running


@pytest.fixture
def coach_page(site: LiveSite, chromium: Browser) -> Iterator[Page]:
    """The browser of a coach who has signed in."""
    context = chromium.new_context(base_url=site.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(SLOW_MS)
    page = context.new_page()
    page.goto("/login/")
    page.get_by_label("User name").fill("owner")
    page.get_by_label("Password").fill(OWNER_PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    yield page
    context.close()
