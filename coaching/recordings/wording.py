"""Actions in plain words, for the coach."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from coaching.recordings.targets import Target, target_of
from coaching.recordings.variables import fill_known

_MAX_QUOTED = 80
_KEY_NAMES = {" ": "Space", "\r": "Enter", "\n": "Enter", "NumpadEnter": "Enter", "Meta": "Command/Windows"}
_CLICKS = {
    "secondary": "Right-click",
    "auxiliary": "Middle-click",
    "back": "Click “back” on",
    "forward": "Click “forward” on",
}


def describe(action: Mapping[str, Any], *, values: Mapping[str, str] | None = None) -> str:
    """What the action does, in one line: Type “42.50” into “Amount”.

    `values` fills placeholders; pass `***` for a secret. A placeholder without a value is shown as it is.
    """
    filled = fill_known(dict(action), values or {})
    words = _WORDS.get(filled["type"])
    return words(filled) if words else f"Not supported: {filled['type']}"


def chooses_option(target: Target) -> bool:
    """Whether a `change` of this element chooses from a list rather than types."""
    return bool(target.roles & {"combobox", "listbox"}) or "select" in target.tags


def _quote(text: str) -> str:
    line = re.sub(r"\s+", " ", text).strip()
    return f"“{line if len(line) <= _MAX_QUOTED else line[: _MAX_QUOTED - 1] + '…'}”"


def _where(action: Mapping[str, Any]) -> str:
    name = target_of(action).name
    return _quote(name) if name else "an element without a selector"


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"


def _change(action: Mapping[str, Any]) -> str:
    if not action["value"]:
        return f"Clear {_where(action)}"
    if chooses_option(target_of(action)):
        return f"Choose {_quote(action['value'])} in {_where(action)}"
    return f"Type {_quote(action['value'])} into {_where(action)}"


def _click(action: Mapping[str, Any]) -> str:
    return f"{_CLICKS.get(action.get('button', ''), 'Click')} {_where(action)}"


def _key(verb: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda action: f"{verb} {_KEY_NAMES.get(action['key'], action['key'])}"


def _scroll(action: Mapping[str, Any]) -> str:
    what = f"{_where(action)} " if action.get("selectors") else ""
    x, y = action.get("x", 0), action.get("y", 0)
    place = f"{_number(x)}, {_number(y)}" if x else f"{_number(y)} px"
    return f"Scroll {what}to {place}"


def _wait_for_element(action: Mapping[str, Any]) -> str:
    operator, count = action.get("operator", ">="), action.get("count", 1)
    if action.get("visible") is False:
        return f"Wait until {_where(action)} is hidden"
    if count == 0 and operator != ">=":
        return f"Wait until {_where(action)} is gone"
    if operator == ">=" and count <= 1:
        return f"Wait for {_where(action)}"
    bound = {">=": "at least", "==": "exactly", "<=": "at most"}[operator]
    return f"Wait for {bound} {_number(count)} of {_where(action)}"


def _network(action: Mapping[str, Any]) -> str:
    down, up = (_number(action[name] / 1024) for name in ("download", "upload"))
    return f"Limit the network to {down} KiB/s down, {up} KiB/s up, {_number(action['latency'])} ms latency"


def _custom(action: Mapping[str, Any]) -> str:
    parameters = action.get("parameters")
    name = action["name"].removeprefix("selenium-ide:")
    parts = [parameters.get(part) for part in ("target", "value")] if isinstance(parameters, dict) else []
    return "Not supported: " + " ".join([name, *(_quote(part) for part in parts if isinstance(part, str) and part)])


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "change": _change,
    "click": _click,
    "close": lambda _action: "Close the page",
    "customStep": _custom,
    "doubleClick": lambda action: f"Double-click {_where(action)}",
    "emulateNetworkConditions": _network,
    "hover": lambda action: f"Hover over {_where(action)}",
    "keyDown": _key("Press"),
    "keyUp": _key("Release"),
    "navigate": lambda action: f"Open {action['url']}",
    "scroll": _scroll,
    "setViewport": lambda action: f"Set the window to {_number(action['width'])} × {_number(action['height'])}",
    "waitForElement": _wait_for_element,
    "waitForExpression": lambda action: f"Wait for {_quote(action['expression'])}",
}
