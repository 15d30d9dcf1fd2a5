"""Performs one action on the located element, and says in a coach's words what came of it.

The words never hold what was typed: it may be secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Response
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from .act import Act, Refused, refusal
from .arrival import performed_with_arrival
from .fields import change
from .locate import Located, locate, needs_target, timeout_in
from .tabs import POLL_MS, TabMissing, Tabs, context_gone
from .urls import ForbiddenUrl, check_destination, place

MODIFIERS = frozenset({"Shift", "Control", "Alt", "Meta"})
BUTTONS: Mapping[str, Any] = {"primary": "left", "auxiliary": "middle", "secondary": "right"}
VIEWPORT_BOUNDS = (100, 8_000)
NET_WORDS = {
    "ERR_NAME_NOT_RESOLVED": "there is no such host",
    "ERR_CONNECTION_REFUSED": "nothing answers at this address",
    "ERR_CONNECTION_RESET": "the server broke the connection",
    "ERR_EMPTY_RESPONSE": "the server answered nothing",
    "ERR_INTERNET_DISCONNECTED": "there is no network",
    "ERR_ADDRESS_UNREACHABLE": "the address cannot be reached",
    "ERR_CERT": "its certificate is not trusted",
    "ERR_SSL": "a secure connection could not be made",
    "ERR_TOO_MANY_REDIRECTS": "it redirects in a circle",
    "ERR_ABORTED": "it is a download, or the loading was broken off",
    "ERR_UNSAFE_PORT": "browsers do not open this port",
}


@dataclass(frozen=True)
class Performed:
    """What came of an action. `uncertain`: nobody knows whether it was done. `sent`: it sent a form."""

    ok: bool
    reason: str | None = None
    uncertain: bool = False
    sent: bool = False


def perform(
    tabs: Tabs, action: Mapping[str, Any], located: Located | None, *, timeout_ms: int | None = None
) -> Performed:
    """Performs `action` and waits for what it asserts. Never raises for what a page or the browser does."""
    limit = timeout_in(action, timeout_ms)
    handler = HANDLERS.get(str(action.get("type")))
    if handler is None:
        return Performed(ok=False, reason=f"Steps of the type “{action.get('type')}” cannot be performed here.")
    deadline = time.monotonic() + limit / 1000
    tabs.dialogs.clear()
    tabs.remarks.clear()
    try:
        if located is None or (needs_target(action) and located.found and not located.has_target):
            located = locate(tabs, action, timeout_ms=limit)
        if not located.found:
            return Performed(ok=False, reason=located.problem)
        page = tabs.frame_for({**action, "frame": []}, deadline).page
        act = Act(tabs, action, located, page, limit, deadline)
        _perform_once_more_if_gone(act, handler)
    except (Refused, TabMissing, ForbiddenUrl) as error:
        return Performed(ok=False, reason=_with_dialogs(tabs, str(error)), uncertain=getattr(error, "uncertain", False))
    except PlaywrightError as error:
        return _broken(tabs, error)
    return replace(_answered(tabs), sent=tabs.journey(page).sent)


def _perform_once_more_if_gone(act: Act, handler: Callable[[Act], None]) -> None:
    try:
        performed_with_arrival(act, handler)
    except Refused as error:
        if not error.gone or act.late:
            raise
        # The page drew the element anew between finding and using it, and nothing was done to it.
        again = locate(act.tabs, act.action, timeout_ms=int(act.left_ms))
        if not again.found:
            raise Refused(again.problem or str(error)) from None
        performed_with_arrival(replace(act, located=again), handler)


def _broken(tabs: Tabs, error: PlaywrightError) -> Performed:
    """The outcome when Playwright itself broke off. Its message may hold what was typed, so it is not passed on."""
    if not tabs.connected:
        return Performed(ok=False, reason="The browser was lost during the action.", uncertain=True)
    if tabs.crashed or "crash" in error.message:
        return Performed(ok=False, reason="The page crashed during the action.", uncertain=True)
    if tabs.main.is_closed() or "closed" in error.message:
        return Performed(ok=False, reason="The tab was closed during the action.", uncertain=True)
    if context_gone(error):
        return Performed(ok=False, reason="The page moved on during the action.", uncertain=True)
    return Performed(ok=False, reason="The browser could not do this, and did not say why.", uncertain=True)


# -------------------------------------------------------------------------------------------------- dialogs


def _dialog_words(tabs: Tabs) -> str:
    """What the page said and did meanwhile."""
    asked = [(kind, text) for kind, text in tabs.dialogs if kind != "beforeunload"]
    answered = (
        f"The page showed the message “{text}”; it was closed."
        if kind == "alert"
        else f"The page asked “{text}”; it was answered with “Cancel”."
        for kind, text in asked
    )
    return " ".join([*answered, *tabs.remarks])


def _with_dialogs(tabs: Tabs, words: str) -> str:
    return " ".join(part for part in (_refused_words(tabs), words, _dialog_words(tabs)) if part)


def _refused_words(tabs: Tabs) -> str:
    return tabs.guard.told() if tabs.guard else ""


def _answered(tabs: Tabs) -> Performed:
    """A question answered with “Cancel”, or a place not visited: the page did not do what the action was for."""
    questioned = any(kind in ("confirm", "prompt") for kind, _text in tabs.dialogs)
    refused = bool(tabs.guard and tabs.guard.refused)
    return Performed(ok=not (questioned or refused), reason=_with_dialogs(tabs, "") or None)


# -------------------------------------------------------------------------------------------------- the types


def _navigate(act: Act) -> None:
    url = str(act.action["url"])
    check_destination(url, closed_ports=act.tabs.closed_ports())
    try:
        response = _go(act, url)
    except PlaywrightTimeout:
        # Or the page would come later, under the eyes of a coach who was told that it did not.
        act.tabs.cdp(act.page).send("Page.stopLoading")
        raise Refused(f"{place(url)} did not load within {act.limit_words}.") from None
    except PlaywrightError as error:
        if "net::" not in error.message:
            raise
        code = error.message.partition("net::")[2]
        why = next((words for start, words in NET_WORDS.items() if code.startswith(start)), code.split()[0])
        raise Refused(f"{place(url)} could not be opened: {why}.") from None
    if response is not None and response.status >= 400:
        raise Refused(f"The server answered {place(url)} with error {response.status}.")


def _go(act: Act, url: str) -> Response | None:
    while True:
        try:
            return act.page.goto(url, wait_until="load", timeout=act.left_ms)
        except PlaywrightError as error:
            # The page was still on its way elsewhere, for example to Chromium's page for an earlier error.
            if "interrupted by another navigation" not in error.message or act.late:
                raise


def _set_viewport(act: Act) -> None:
    low, high = VIEWPORT_BOUNDS
    width, height = (int(act.action.get(side, 0)) for side in ("width", "height"))
    if not (low <= width <= high and low <= height <= high):
        raise Refused(f"A viewport of {width} × {height} is not possible: each side takes {low} to {high} pixels.")
    act.tabs.set_viewport(act.page, width, height)


def _click(act: Act) -> None:
    options: dict[str, Any] = {
        "button": BUTTONS.get(str(act.action.get("button") or "primary"), "left"),
        "timeout": act.left_ms,
    }
    element = act.element()
    act.tabs.press_held(act.page)
    if act.located.by_label and (label := element.evaluate_handle("field => field.labels[0]").as_element()):
        element = label
    elif not act.located.plain:
        options["position"] = _position(act)
    try:
        if act.action["type"] == "doubleClick":
            element.dblclick(**options)
        else:
            element.click(**options, delay=float(act.action.get("duration") or 0))
    except PlaywrightError as error:
        if act.tabs.connected and act.page.is_closed():
            # A button that closes its own tab.
            return
        raise refusal(act, element, error) from None


def _position(act: Act) -> dict[str, float] | None:
    """Where in a picture or a slider was clicked, if that place still lies inside."""
    box = act.located.box
    x, y = act.action.get("offsetX"), act.action.get("offsetY")
    if box is None or x is None or y is None or not (0 <= x < box.width and 0 <= y < box.height):
        return None
    return {"x": float(x), "y": float(y)}


def _hover(act: Act) -> None:
    element = act.element()
    try:
        element.hover(timeout=act.left_ms)
    except PlaywrightError as error:
        raise refusal(act, element, error) from None


def _key_down(act: Act) -> None:
    key = str(act.action["key"])
    act.tabs.press_held(act.page)
    try:
        if key in MODIFIERS:
            act.tabs.hold(act.page, key)
        else:
            act.page.keyboard.down(key)
    except PlaywrightError as error:
        raise _unknown_key(error) from None


def _key_up(act: Act) -> None:
    try:
        act.tabs.let_go(act.page, str(act.action["key"]))
    except PlaywrightError as error:
        raise _unknown_key(error) from None


def _unknown_key(error: PlaywrightError) -> Exception:
    # The key itself is not named: single keys may spell a password.
    return Refused("This step names a key that keyboards do not have.") if "Unknown key" in error.message else error


def _scroll(act: Act) -> None:
    point = {"left": act.action.get("x") or 0, "top": act.action.get("y") or 0, "behavior": "instant"}
    if act.located.has_target:
        act.element().evaluate("(element, point) => element.scrollTo(point)", point)
    else:
        act.frame().evaluate("point => window.scrollTo(point)", point)


def _close(act: Act) -> None:
    was_main = act.page == act.tabs.main
    act.page.close()
    if was_main:
        act.tabs.closed_main()
    act.tabs.page = act.tabs.main


def _emulate_network(act: Act) -> None:
    conditions = {
        "offline": False,
        "latency": act.action.get("latency", 0),
        "downloadThroughput": act.action.get("download", -1),
        "uploadThroughput": act.action.get("upload", -1),
    }
    act.tabs.cdp(act.page).send("Network.emulateNetworkConditions", conditions)
    act.tabs.remember(network=conditions)


def _wait_for_element(act: Act) -> None:
    selectors = [[entry] if isinstance(entry, str) else list(entry) for entry in act.action["selectors"]]
    query = {
        "selectors": selectors,
        "count": act.action.get("count", 1),
        "operator": act.action.get("operator") or ">=",
        "properties": act.action.get("properties"),
        "attributes": act.action.get("attributes"),
    }
    wanted = act.action.get("visible") is not False
    while _now(act, query) is not wanted:
        if act.late:
            state = "appear as the step asks" if wanted else "go away"
            raise Refused(f"{act.name} did not {state} within {act.limit_words}.")
        act.page.wait_for_timeout(POLL_MS)


def _now(act: Act, query: dict[str, Any]) -> bool | None:
    try:
        return bool(act.tabs.call(act.frame(), "matches", query))
    except PlaywrightError as error:
        if context_gone(error):
            return None
        if "SyntaxError" in error.message or "DOMException" in error.message:
            raise Refused("One of the step's selectors cannot be read.") from None
        raise


def _wait_for_expression(act: Act) -> None:
    # An expression may be a promise that never ends, so each look at it takes at most half a second.
    look = (
        f"Promise.race([Promise.resolve(({act.action['expression']}\n)).then(value => Boolean(value)),"
        " new Promise(resolve => setTimeout(() => resolve(false), 500))])"
    )
    broken = False
    while True:
        try:
            if act.frame().evaluate(look):
                return
            broken = False
        except PlaywrightError as error:
            if "SyntaxError" in error.message:
                raise Refused("The expression to wait for is not valid JavaScript.") from None
            if not act.tabs.connected or act.page.is_closed():
                raise
            # Until the page is ready, what the expression speaks of may not exist.
            broken = not context_gone(error)
        if act.late:
            what = "fails on this page" if broken else "did not become true"
            raise Refused(f"The condition to wait for {what} within {act.limit_words}.")
        act.page.wait_for_timeout(POLL_MS)


def _custom(_act: Act) -> None:
    raise Refused("This step was recorded with an extension that coachsite does not have. Do it yourself, or skip it.")


HANDLERS: Mapping[str, Callable[[Act], None]] = {
    "navigate": _navigate,
    "setViewport": _set_viewport,
    "click": _click,
    "doubleClick": _click,
    "hover": _hover,
    "change": change,
    "keyDown": _key_down,
    "keyUp": _key_up,
    "scroll": _scroll,
    "close": _close,
    "emulateNetworkConditions": _emulate_network,
    "waitForElement": _wait_for_element,
    "waitForExpression": _wait_for_expression,
    "customStep": _custom,
}
