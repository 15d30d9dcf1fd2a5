"""Every action is described in plain words with typographic quotes."""

from __future__ import annotations

from typing import Any

import pytest

from coaching.recordings import describe

AMOUNT = {"selectors": [["#amount"], ["text/Sum"], ["aria/Amount"]]}


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"type": "change", "value": "42.50", **AMOUNT}, "Type “42.50” into “Amount”"),
        ({"type": "change", "value": "", **AMOUNT}, "Clear “Amount”"),
        (
            {"type": "change", "value": "Travel", "selectors": ['aria/Category[role="combobox"]']},
            "Choose “Travel” in “Category”",
        ),
        ({"type": "change", "value": "Two", "selectors": ["#form > select"]}, "Choose “Two” in “#form > select”"),
        ({"type": "click", "selectors": [["aria/New claim"]]}, "Click “New claim”"),
        ({"type": "click", "selectors": [["aria/Add - X", 'aria/[role="generic"]']]}, "Click “Add - X”"),
        ({"type": "click", "selectors": ["text/Save", "#s"]}, "Click “Save”"),
        ({"type": "click", "selectors": ["#new-claim-btn"]}, "Click “New claim btn”"),
        ({"type": "click", "selectors": ["div > span:nth-child(2)"]}, "Click “div > span:nth-child(2)”"),
        ({"type": "click", "button": "secondary", "selectors": ["aria/Row"]}, "Right-click “Row”"),
        ({"type": "doubleClick", "selectors": ["aria/Row"]}, "Double-click “Row”"),
        ({"type": "hover", "selectors": ["aria/Menu"]}, "Hover over “Menu”"),
        ({"type": "navigate", "url": "https://example.org/"}, "Open https://example.org/"),
        ({"type": "keyDown", "key": "Enter"}, "Press Enter"),
        ({"type": "keyUp", "key": " "}, "Release Space"),
        ({"type": "scroll", "y": 300}, "Scroll to 300 px"),
        ({"type": "scroll", "x": 10, "y": 20.5, "selectors": ["#list"]}, "Scroll “List” to 10, 20.5"),
        ({"type": "waitForElement", "selectors": ["aria/Saved"]}, "Wait for “Saved”"),
        (
            {"type": "waitForElement", "selectors": ["aria/Spinner"], "operator": "==", "count": 0},
            "Wait until “Spinner” is gone",
        ),
        (
            {"type": "waitForElement", "selectors": ["aria/Row"], "operator": ">=", "count": 2},
            "Wait for at least 2 of “Row”",
        ),
        ({"type": "waitForExpression", "expression": "a === 1"}, "Wait for “a === 1”"),
        ({"type": "setViewport", "width": 1280, "height": 720}, "Set the window to 1280 × 720"),
        ({"type": "close"}, "Close the page"),
        (
            {"type": "emulateNetworkConditions", "download": 51200, "upload": 1024, "latency": 20},
            "Limit the network to 50 KiB/s down, 1 KiB/s up, 20 ms latency",
        ),
        (
            {"type": "customStep", "name": "selenium-ide:if", "parameters": {"target": "${x}", "value": ""}},
            "Not supported: if “${x}”",
        ),
        ({"type": "customStep", "name": "lighthouse", "parameters": 5}, "Not supported: lighthouse"),
    ],
)
def test_description(action: dict[str, Any], expected: str) -> None:
    assert describe(action) == expected


def test_values_fill_placeholders_and_a_secret_shows_as_stars() -> None:
    action = {"type": "change", "value": "{{ password }}", "selectors": ["aria/Password of {{ user }}"]}
    assert describe(action, values={"password": "***", "user": "Ada"}) == "Type “***” into “Password of Ada”"
    assert describe(action) == "Type “{{ password }}” into “Password of {{ user }}”"


def test_long_and_multi_line_texts_are_shortened_to_one_line() -> None:
    words = describe({"type": "change", "value": "a\nb " * 100, "selectors": ["aria/Note"]})
    assert "\n" not in words
    assert len(words) < 120
