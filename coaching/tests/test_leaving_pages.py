"""A press while the page is on its way elsewhere by itself: that it arrives is not taken for what the press led to.

The page leaves by a timer of its own (an `evaluate` that begins a navigation would come back only when that has ended),
and the server answers late.
"""

from __future__ import annotations

import threading
import time

import pytest

from .browser_pages import Desk, browser_thread, desk, shared_desk  # noqa: F401

pytestmark = pytest.mark.browser

LEAVES_AFTER = 0.5
PLAIN = "<button type=button>Submit</button>"
FORM = "<form action=/sent method=post><button>Submit</button></form>"
ASSERTED = [{"type": "navigation", "url": "http://recorded.example/claims/9"}]


@pytest.mark.parametrize("late", [-0.03, 0, 0.06, 0.15], ids="pressed {} s after it left".format)
@pytest.mark.parametrize("markup", [PLAIN, FORM], ids=["plain", "form"])
def test_a_press_on_a_page_that_leaves(desk: Desk, markup: str, late: float) -> None:  # noqa: F811
    arrives = desk.site.held["/claims/1"] = threading.Event()
    desk.site.pages |= {"/claims/1": "<p>Arrived by itself</p>", "/sent": "<p>Sent</p>"}
    leaving = f"onload = () => setTimeout(() => {{ location.href = '/claims/1'; }}, {LEAVES_AFTER * 1000});"
    desk.show(f"{markup}<script>{leaving}</script>")
    left = time.monotonic() + LEAVES_AFTER
    press = {"type": "click", "selectors": [["aria/Submit"]], "assertedEvents": ASSERTED}
    located = desk.browser.locate(press, timeout_ms=300)
    assert located.found
    threading.Timer(LEAVES_AFTER + 0.6, arrives.set).start()
    time.sleep(max(0.0, left + late - time.monotonic()))
    done = desk.browser.perform(press, located, timeout_ms=2_000)
    assert not done.ok or "POST /sent" in desk.site.visits, "performed, it says, though nothing was sent"
