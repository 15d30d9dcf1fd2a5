"""What several test modules of coaching share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from playwright.sync_api import Browser, sync_playwright

from coaching.execution.chromium import find_chromium


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser in which coaches have their windows."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(settings.CHROMIUM_PATH), args=["--no-sandbox", "--disable-quic"]
        )
        yield browser
        browser.close()
