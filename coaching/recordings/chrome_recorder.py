"""Chrome DevTools Recorder user flows: check every field, keep everything, write them back.

The rules follow the `parse` function of `@puppeteer/replay`, with three differences. Fields it does not know
are kept, not dropped. Optional fields of a wrong type are refused, where it drops them silently. Click offsets
may be absent, as other recorders write them: the middle of the element is meant.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from coaching.recordings.addresses import check_expected_url, check_url, is_new_tab
from coaching.recordings.document import MAX_STEPS, RecordingError, check_json, quoted

__all__ = ["MAX_TIMEOUT_MS", "MIN_TIMEOUT_MS", "STEP_FIELDS", "check_url", "export", "parse", "validate_step"]

MIN_TIMEOUT_MS: Final = 1
MAX_TIMEOUT_MS: Final = 30_000

# What is wrong with a value, or None.
Check = Callable[[object], str | None]
# Field name → (required, check).
Fields = dict[str, tuple[bool, Check]]


def parse(document: object) -> dict[str, Any]:
    """A checked deep copy of a user flow: `title`, `steps`, optional `timeout`, `selectorAttribute`, extras.

    Raises RecordingError naming the step (counted from 1) and the field.
    """
    check_json(document, "The recording")
    if not isinstance(document, dict):
        raise RecordingError("The recording is not an object with ‘title’ and ‘steps’.")
    _check_fields(document, _HEADER, "The recording")
    steps = document["steps"]
    if not steps:
        raise RecordingError("The recording has no steps.")
    if len(steps) > MAX_STEPS:
        raise RecordingError(f"The recording has {len(steps):,} steps; at most {MAX_STEPS:,} are allowed.")
    for number, step in enumerate(steps, start=1):
        _checked_step(step, f"Step {number}")
    return copy.deepcopy(document)


def export(document: Mapping[str, Any]) -> bytes:
    """Pretty UTF-8 JSON that Chrome's Recorder imports; `parse` of it gives `document` back."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def validate_step(step: object) -> dict[str, Any]:
    """A checked deep copy of one action, as a coach may give it.

    Stricter than a step of a file: there must be a selector to look for, and every address must be one that can
    be opened. Raises RecordingError.
    """
    check_json(step, "The action")
    action = copy.deepcopy(_checked_step(step, "The action"))
    if "selectors" in action and not any(_last_part(entry) for entry in action["selectors"]):
        raise RecordingError("The action has no selector.")
    if action["type"] == "navigate":
        check_url(action["url"])
    return action


def _last_part(selector: str | list[str]) -> str:
    chain = [selector] if isinstance(selector, str) else selector
    return chain[-1].strip() if chain else ""


def _checked_step(step: object, where: str) -> dict[str, Any]:
    if not isinstance(step, dict):
        raise RecordingError(f"{where} is not an object.")
    if "type" not in step:
        raise RecordingError(f"{where} has no ‘type’.")
    kind = step["type"]
    if not isinstance(kind, str):
        raise RecordingError(f"{where}: ‘type’ must be text.")
    if kind not in STEP_FIELDS:
        raise RecordingError(f"{where} has the unknown type {quoted(kind)}.")
    place = f"{where} ({kind})"
    _check_fields(step, STEP_FIELDS[kind], place)
    try:
        if kind == "navigate" and not is_new_tab(step["url"]):
            check_url(step["url"])
        for event in step.get("assertedEvents", []):
            check_expected_url(event.get("url", ""))
    except RecordingError as error:
        raise RecordingError(f"{place}: {error}") from None
    return step


def _check_fields(data: dict[str, Any], fields: Fields, where: str) -> None:
    for name, (required, check) in fields.items():
        if name not in data:
            if required:
                raise RecordingError(f"{where} has no ‘{name}’.")
            continue
        fault = check(data[name])
        if fault:
            raise RecordingError(f"{where}: ‘{name}’ {fault}.")


def _text(value: object) -> str | None:
    return None if isinstance(value, str) else "must be text"


def _list(value: object) -> str | None:
    return None if isinstance(value, list) else "must be a list"


def _boolean(value: object) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _number(value: object) -> str | None:
    return None if isinstance(value, int | float) and not isinstance(value, bool) else "must be a number"


def _between(low: float, high: float, unit: str = "") -> Check:
    def check(value: object) -> str | None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return "must be a number"
        return None if low <= value <= high else f"must be between {low:,} and {high:,}{unit}"

    return check


def _one_of(*allowed: str) -> Check:
    def check(value: object) -> str | None:
        return None if value in allowed else f"must be one of {', '.join(allowed)}"

    return check


def _frame(value: object) -> str | None:
    whole = isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
    return None if whole else "must be a list of whole numbers"


def _selectors(value: object) -> str | None:
    if not isinstance(value, list):
        return "must be a list"
    for entry in value:
        chain = entry if isinstance(entry, list) else [entry]
        if not all(isinstance(part, str) for part in chain):
            return "must hold only texts and lists of texts"
    return None


def _asserted_events(value: object) -> str | None:
    if not isinstance(value, list):
        return "must be a list"
    for event in value:
        if not isinstance(event, dict):
            return "must hold only objects"
        if event.get("type") != "navigation":
            return "must hold only events of the type ‘navigation’"
        if not all(isinstance(event.get(name, ""), str) for name in ("url", "title")):
            return "must have texts as ‘url’ and ‘title’"
    return None


_timeout = _between(MIN_TIMEOUT_MS, MAX_TIMEOUT_MS, " milliseconds")
_pixels = _between(1, 10_000, " pixels")

_HEADER: Fields = {
    "title": (True, _text),
    "steps": (True, _list),
    "timeout": (False, _timeout),
    "selectorAttribute": (False, _text),
}
_PAGE: Fields = {
    "target": (False, _text),
    "timeout": (False, _timeout),
    "assertedEvents": (False, _asserted_events),
}
_FRAME: Fields = {**_PAGE, "frame": (False, _frame)}
_ELEMENT: Fields = {**_FRAME, "selectors": (True, _selectors)}
_POINTER: Fields = {
    **_ELEMENT,
    "offsetX": (False, _number),
    "offsetY": (False, _number),
    "deviceType": (False, _one_of("mouse", "pen", "touch")),
    "button": (False, _one_of("primary", "auxiliary", "secondary", "back", "forward")),
}
_KEY: Fields = {**_PAGE, "key": (True, _text)}

STEP_FIELDS: Final[dict[str, Fields]] = {
    "change": {**_ELEMENT, "value": (True, _text)},
    "click": {**_POINTER, "duration": (False, _between(0, MAX_TIMEOUT_MS, " milliseconds"))},
    "close": _PAGE,
    "customStep": {**_FRAME, "name": (True, _text)},
    "doubleClick": _POINTER,
    "emulateNetworkConditions": {
        **_PAGE,
        "download": (True, _number),
        "upload": (True, _number),
        "latency": (True, _number),
    },
    "hover": _ELEMENT,
    "keyDown": _KEY,
    "keyUp": _KEY,
    "navigate": {**_PAGE, "url": (True, _text)},
    "scroll": {**_FRAME, "selectors": (False, _selectors), "x": (False, _number), "y": (False, _number)},
    "setViewport": {
        **_PAGE,
        "width": (True, _pixels),
        "height": (True, _pixels),
        "deviceScaleFactor": (True, _between(0, 10)),
        "isMobile": (True, _boolean),
        "hasTouch": (True, _boolean),
        "isLandscape": (True, _boolean),
    },
    "waitForElement": {
        **_ELEMENT,
        "operator": (False, _one_of(">=", "==", "<=")),
        "count": (False, _between(0, 1_000_000)),
        "visible": (False, _boolean),
    },
    "waitForExpression": {**_FRAME, "expression": (True, _text)},
}
