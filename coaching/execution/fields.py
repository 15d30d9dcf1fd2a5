"""The `change` step: a value into a field, whatever kind of field it is. No message ever holds the value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playwright.sync_api import ElementHandle
from playwright.sync_api import Error as PlaywrightError

from .act import Act, Refused, refusal
from .tabs import HELPERS, POLL_MS

SHOWN_OPTIONS = 8
UNSETTABLE = frozenset({"file", "submit", "button", "reset", "image", "hidden"})
WANTED_FORMS = {
    "date": "a date like 2026-11-30",
    "time": "a time like 14:30",
    "datetime-local": "a date and time like 2026-11-30T14:30",
    "month": "a month like 2026-11",
    "week": "a week like 2026-W48",
    "color": "a colour like #336699",
    "number": "a number",
    "range": "a number",
}


def change(act: Act) -> None:
    """Makes the field hold the step's value. Raises `Refused`."""
    element = act.element()
    facts = act.located.field or element.evaluate(f"element => {HELPERS}.field(element)")
    value = str(act.action.get("value", ""))
    if facts["options"] is not None:
        _select(act, element, facts["options"], value)
    elif facts["type"] in ("checkbox", "radio"):
        _tick(act, element, facts["type"], value)
    elif facts["type"] in UNSETTABLE:
        kind = "chooses a file" if facts["type"] == "file" else "is a button, not a field"
        raise Refused(f"{act.name} {kind}: a value cannot be typed into it.")
    elif not facts["editable"]:
        raise Refused(f"{act.name} is not a field that takes a value.")
    else:
        _fill(act, element, facts, value)


def _fill(act: Act, element: ElementHandle, facts: Mapping[str, Any], value: str) -> None:
    if facts["maxlength"] is not None and len(value) > facts["maxlength"]:
        raise Refused(f"{act.name} takes at most {facts['maxlength']} characters, and the value is longer.")
    wanted = WANTED_FORMS.get(facts["type"])
    try:
        element.fill(value, timeout=act.left_ms)
    except PlaywrightError as error:
        if wanted and ("Malformed value" in error.message or "Cannot type text" in error.message):
            raise Refused(f"{act.name} takes {wanted}; the value is not one.") from None
        raise refusal(act, element, error) from None
    if value and element.evaluate(f"element => {HELPERS}.field(element).empty"):
        why = f"takes {wanted}; the value is not one" if wanted else "did not keep the value: it is empty"
        raise Refused(f"{act.name} {why}.")


def _tick(act: Act, element: ElementHandle, kind: str, value: str) -> None:
    """A change recorded on a checkbox follows the click that made it, so it only sees to an explicit state."""
    wanted = {"true": True, "false": False}.get(value.lower())
    if wanted is None and kind == "radio" and value not in ("", "on"):
        wanted = True
    if wanted is None:
        return
    try:
        element.set_checked(wanted, timeout=act.left_ms)
    except PlaywrightError as error:
        raise refusal(act, element, error) from None


def _select(act: Act, element: ElementHandle, options: list[list[Any]], value: str) -> None:
    while True:
        index = _option(options, value)
        if index is not None:
            break
        if act.late:
            raise Refused(f"{act.name} has no such option. {_offered(options)}")
        # Lists that depend on another field are filled a moment later.
        act.page.wait_for_timeout(POLL_MS)
        options = element.evaluate(f"element => {HELPERS}.field(element).options")
    if options[index][2]:
        raise Refused(f"This option of {act.name} is disabled. {_offered(options)}")
    try:
        element.select_option(index=index, timeout=act.left_ms)
    except PlaywrightError as error:
        raise refusal(act, element, error) from None


def _option(options: list[list[Any]], value: str) -> int | None:
    """The option with this value, else with this visible label."""
    for column, wanted in ((0, value), (1, " ".join(value.split()))):
        matches = [index for index, option in enumerate(options) if option[column] == wanted]
        if matches:
            return matches[0]
    return None


def _offered(options: list[list[Any]]) -> str:
    labels = [f"“{label}”" for _value, label, disabled in options if label and not disabled]
    if not labels:
        return "It has no options at all."
    more = " …" if len(labels) > SHOWN_OPTIONS else "."
    return f"It offers {', '.join(labels[:SHOWN_OPTIONS])}{more}"
