"""Selenium IDE commands that wait for or assert something, as `waitForElement` and `waitForExpression` steps.

`verify…` differs from `assert…` only in going on after a failure; as steps of a workflow both stop for the coach.
"""

from __future__ import annotations

import json
import re
from typing import Any

from coaching.recordings.chrome_recorder import MAX_TIMEOUT_MS
from coaching.recordings.selenium_locators import element_expression
from coaching.recordings.selenium_state import Command, NotSupportedError, State

_COMMAND = re.compile(r"(?:assert|verify|waitFor)([A-Z]\w*)")
# What is checked → the step's fields beside the selectors.
_PRESENCE: dict[str, dict[str, Any]] = {
    "ElementPresent": {"operator": ">=", "count": 1},
    "ElementNotPresent": {"operator": "==", "count": 0},
    "ElementVisible": {"operator": ">=", "count": 1, "visible": True},
}
# What is checked → a condition on {element}, JavaScript for the element or null, and {wanted}, a string literal.
_CONDITIONS = {
    "Checked": "{element}?.checked === true",
    "Editable": '{element}?.matches(":enabled:not([readonly])") === true',
    "ElementEditable": '{element}?.matches(":enabled:not([readonly])") === true',
    "ElementNotEditable": '{element}?.matches(":disabled, [readonly]") === true',
    "ElementNotVisible": "!{element}?.checkVisibility({{visibilityProperty: true}})",
    "NotChecked": "{element}?.checked === false",
    "NotEditable": '{element}?.matches(":disabled, [readonly]") === true',
    "NotSelectedValue": "![undefined, {wanted}].includes({element}?.value)",
    "NotText": "![undefined, {wanted}].includes({element}?.innerText.trim())",
    "SelectedLabel": "{element}?.selectedOptions[0]?.label === {wanted}",
    "SelectedValue": "{element}?.value === {wanted}",
    "Text": "{element}?.innerText.trim() === {wanted}",
    "Value": "{element}?.value === {wanted}",
}


def compile_check(state: State, command: Command) -> bool:
    """Append the step for a checking command; False when it is none.

    Raises NotSupportedError when it is one, but cannot be expressed.
    """
    match = _COMMAND.fullmatch(command.name)
    what = match[1] if match else ""
    timeout = _timeout(command) if command.name.startswith("waitFor") else {}
    if what in _PRESENCE:
        state.emit_in_frame("waitForElement", selectors=state.selectors(command), **_PRESENCE[what], **timeout)
    elif what == "Title":
        title = _js(state.expand(command.target))
        state.emit("waitForExpression", expression=f"document.title === {title}", **timeout)
    elif what in _CONDITIONS:
        expression = _expression(state, command, what)
        state.emit_in_frame("waitForExpression", expression=expression, **timeout)
    else:
        return False
    return True


def _expression(state: State, command: Command, what: str) -> str:
    element = element_expression(state.expand(command.target))
    if element is None:
        raise NotSupportedError("its locator is of a kind that coachsite does not know")
    wanted = state.expand(command.value)
    if what.endswith("Text"):
        wanted = wanted.replace("\\n", "\n").strip()
    return _CONDITIONS[what].format(element=element, wanted=_js(wanted))


def _timeout(command: Command) -> dict[str, int]:
    if not re.fullmatch(r"\d{1,9}", command.value.strip()):
        return {}
    return {"timeout": min(max(int(command.value), 1), MAX_TIMEOUT_MS)}


def _js(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
