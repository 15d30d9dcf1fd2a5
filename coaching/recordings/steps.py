"""Actions as steps: node id, description, risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from coaching.recordings.addresses import is_new_tab
from coaching.recordings.compiled import StepSpec
from coaching.recordings.naming import slug_node, unique
from coaching.recordings.risk import guess_risk
from coaching.recordings.targets import Target, target_of
from coaching.recordings.variables import PLACEHOLDER
from coaching.recordings.wording import describe

_VERBS = {
    "doubleClick": "double-click", "setViewport": "set-viewport", "keyDown": "key-down", "keyUp": "key-up",
    "waitForElement": "wait-for", "waitForExpression": "wait-for-expression", "customStep": "custom",
    "emulateNetworkConditions": "emulate-network",
}  # fmt: skip
_KEEPS_FOCUS = {"keyDown", "keyUp", "waitForElement", "waitForExpression", "scroll", "hover"}


def make_steps(actions: Sequence[dict[str, Any]], shown: Mapping[str, str]) -> tuple[StepSpec, ...]:
    """A step for each action; `shown` are the values that descriptions show."""
    taken: set[str] = set()
    focused = Target()
    steps = []
    for action in actions:
        node_id = unique(_node_id(action), taken, joiner="-")
        taken.add(node_id)
        steps.append(
            StepSpec(
                node_id=node_id,
                action_type=action["type"],
                action=action,
                description=describe(action, values=shown),
                risk=guess_risk(action, focused),
                supported=is_supported(action),
            )
        )
        if action["type"] not in _KEEPS_FOCUS:
            focused = target_of(action)
    return tuple(steps)


def is_supported(action: Mapping[str, Any]) -> bool:
    """Whether the executor can perform the action at all."""
    return action["type"] != "customStep" and not (action["type"] == "navigate" and is_new_tab(action["url"]))


def _node_id(action: Mapping[str, Any]) -> str:
    """Readable, and without typed values, so that it stays the same when they change."""
    verb = _VERBS.get(action["type"], action["type"])
    match action["type"]:
        case "navigate":
            return slug_node(verb, _without_placeholders(_page(action["url"])))
        case "keyDown" | "keyUp":
            return slug_node(verb, "space" if action["key"] == " " else action["key"])
        case "customStep":
            return slug_node(verb, _without_placeholders(action["name"]))
        case _:
            return slug_node(verb, _without_placeholders(target_of(action).name))


def _page(url: str) -> str:
    """The path of an address, or its host when there is none; never the query, which holds values."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.path.strip("/") or parts.netloc.rpartition("@")[2]


def _without_placeholders(text: str) -> str:
    return PLACEHOLDER.sub(" ", text)
