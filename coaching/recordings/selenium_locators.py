"""Selenium locators (`id=`, `css=`, `xpath=` …) as Recorder selectors and as JavaScript that finds the element."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence


def selectors_for(target: str, alternatives: Iterable[str]) -> list[list[str]]:
    """Recorder selectors for a locator, first the one in use, then the recorded alternatives.

    Empty when the locator's strategy is unknown. Alternatives of an unknown strategy are left out.
    """
    result = [[selector] for selector in _selectors(target)]
    if result:
        for alternative in alternatives:
            result.extend([selector] for selector in _selectors(alternative))
    return [entry for index, entry in enumerate(result) if entry not in result[:index]]


def recorded_alternatives(target: str, recorded: Sequence[Sequence[str]]) -> list[str]:
    """Those of the alternative lists that belong to `target`.

    Selenium IDE leaves the old alternatives in place when a person edits the target, and they may then mean
    another element: a list that does not hold the target itself is not used.
    """
    return next((list(entries) for entries in recorded if target in entries), [])


def element_expression(target: str) -> str | None:
    """JavaScript for the first element a locator finds, or None when its strategy is unknown."""
    selectors = _selectors(target)
    if not selectors:
        return None
    selector = next((entry for entry in selectors if not entry.startswith("aria/")), selectors[0])
    if selector.startswith("xpath/"):
        path = json.dumps(selector.removeprefix("xpath/"), ensure_ascii=False)
        return f"document.evaluate({path}, document, null, 9, null).singleNodeValue"
    return f"document.querySelector({json.dumps(selector, ensure_ascii=False)})"


def _selectors(locator: str) -> list[str]:
    locator = locator.strip()
    if locator.startswith(("//", "(//")):
        return [f"xpath/{locator}"]
    strategy, sign, value = locator.partition("=")
    if not sign or strategy not in _STRATEGIES or not value.strip():
        return []
    return _STRATEGIES[strategy](value.strip())


def _css_identifier(value: str) -> str:
    escaped = re.sub(r"([^\w\-\u0080-\U0010ffff])", r"\\\1", value)
    # An identifier may not begin with a digit: CSS wants its code point there.
    return re.sub(r"^(-?)(\d)", lambda found: f"{found[1]}\\3{found[2]} ", escaped)


def _css_string(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _xpath_string(value: str) -> str:
    if '"' not in value:
        return f'"{value}"'
    if "'" not in value:
        return f"'{value}'"
    # XPath 1.0 has no escapes: join the pieces between the double quotes.
    return "concat(" + ", '\"', ".join(f'"{piece}"' for piece in value.split('"')) + ")"


def _by_id(value: str) -> str:
    return f"#{_css_identifier(value)}"


def _by_name(value: str) -> str:
    return f"[name={_css_string(value)}]"


def _by_link(value: str) -> list[str]:
    return [f'aria/{value}[role="link"]', f"xpath///a[normalize-space(.)={_xpath_string(value)}]"]


_STRATEGIES: dict[str, Callable[[str], list[str]]] = {
    "class": lambda value: ["".join(f".{_css_identifier(name)}" for name in value.split())],
    "className": lambda value: ["".join(f".{_css_identifier(name)}" for name in value.split())],
    "css": lambda value: [value],
    "id": lambda value: [_by_id(value)],
    "identifier": lambda value: [_by_id(value), _by_name(value)],
    "link": _by_link,
    "linkText": _by_link,
    "name": lambda value: [_by_name(value)],
    "partialLinkText": lambda value: [f"xpath///a[contains(normalize-space(.), {_xpath_string(value)})]"],
    "xpath": lambda value: [f"xpath/{value}"],
}
