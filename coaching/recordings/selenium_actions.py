"""Selenium IDE commands that do something on the page, each with its Recorder equivalent.

A handler appends steps to the state or raises NotSupportedError; nothing is appended before it raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

from coaching.recordings.document import ImportNote
from coaching.recordings.selenium_state import MAIN_PAGE, VARIABLE, Command, NotSupportedError, State
from coaching.recordings.variables import PLACEHOLDER

Handler = Callable[[State, Command], None]

_KEY = re.compile(r"\$\{KEY_([A-Z0-9_]+)\}")
# Selenium's key names → the Recorder's.
_KEYS = {
    "ENTER": "Enter", "RETURN": "Enter", "TAB": "Tab", "ESC": "Escape", "ESCAPE": "Escape",
    "BACKSPACE": "Backspace", "BKSP": "Backspace", "DELETE": "Delete", "DEL": "Delete", "SPACE": " ",
    "UP": "ArrowUp", "DOWN": "ArrowDown", "LEFT": "ArrowLeft", "RIGHT": "ArrowRight",
    "HOME": "Home", "END": "End", "PAGE_UP": "PageUp", "PGUP": "PageUp", "PAGE_DOWN": "PageDown",
    "PGDN": "PageDown", "INSERT": "Insert",
    **{f"F{number}": f"F{number}" for number in range(1, 13)},
}  # fmt: skip


def _open(state: State, command: Command) -> None:
    target = state.expand(command.target)
    # A placeholder at the start may bring its own scheme: never put the project's address before it.
    url = target if PLACEHOLDER.match(target) else _joined(state.base_url, target)
    if not PLACEHOLDER.match(url) and "://" not in url and ":" not in url.partition("/")[0]:
        raise NotSupportedError("the project names no address to open it under")
    state.frame = []
    state.typed = None
    state.emit("navigate", url=url)


def _joined(base: str, target: str) -> str:
    try:
        return urljoin(base, target)
    except ValueError:
        raise NotSupportedError("its address cannot be read") from None


def _set_window_size(state: State, command: Command) -> None:
    match = re.fullmatch(r"\s*(\d{1,5})\s*[x,]\s*(\d{1,5})\s*", command.target)
    if not match or not all(1 <= int(size) <= 10_000 for size in match.groups()):
        raise NotSupportedError("its size is not of the form 1280x720")
    state.emit(
        "setViewport", width=int(match[1]), height=int(match[2]), deviceScaleFactor=1, isMobile=False, hasTouch=False,
        isLandscape=False,
    )  # fmt: skip


def _pointer(kind: str) -> Handler:
    def handler(state: State, command: Command) -> None:
        fields: dict[str, Any] = {"selectors": state.selectors(command)}
        if command.name.endswith("At") and command.value.strip():
            fields |= _offsets(command.value)
        state.emit_in_frame(kind, **fields)
        state.typed = None
        if command.opens_window:
            state.handles[command.opens_window] = f"selenium-ide:{command.opens_window}"

    return handler


def _offsets(value: str) -> dict[str, float]:
    match = re.fullmatch(r"\s*(-?\d{1,6}(?:\.\d+)?)\s*,\s*(-?\d{1,6}(?:\.\d+)?)\s*", value)
    if not match:
        raise NotSupportedError("its position is not of the form 10,20")
    return {"offsetX": float(match[1]), "offsetY": float(match[2])}


def _tick(state: State, command: Command) -> None:
    state.emit_in_frame("click", selectors=state.selectors(command))
    state.typed = None
    before = "not ticked" if command.name == "check" else "ticked"
    state.note(
        f"‘{command.name}’ became a click: it is right only if the box is {before} before.", about_last_step=True
    )


def _mouse_over(state: State, command: Command) -> None:
    state.emit_in_frame("hover", selectors=state.selectors(command))


def _select(state: State, command: Command) -> None:
    strategy, sign, option = command.value.partition("=")
    if not sign:
        strategy, option = "label", command.value
    if strategy not in {"label", "value"} or option.startswith(("regexp:", "glob:")):
        raise NotSupportedError("it chooses the option neither by label nor by value")
    state.emit_in_frame("change", selectors=state.selectors(command), value=state.expand(option))
    state.typed = None


def _type(state: State, command: Command) -> None:
    _enter_text(state, command, before="")


def _send_keys(state: State, command: Command) -> None:
    # sendKeys appends to what the field holds, a change step replaces it: give it the whole text.
    selectors = state.selectors(command)
    known = state.typed is not None and state.typed[0] == selectors
    before = state.typed[1] if state.typed and known else ""
    count = len(state.steps)
    _enter_text(state, command, before=before)
    if not known and len(state.steps) > count and state.steps[count]["type"] == "change":
        state.notes.append(
            ImportNote(count, "‘sendKeys’ became a change: it is right only if the field is empty before.")
        )


def _enter_text(state: State, command: Command, *, before: str) -> None:
    selectors = state.selectors(command)
    text, keys = _text_and_keys(state, command)
    if text or command.name == "type":
        state.emit_in_frame("change", selectors=selectors, value=before + text)
        state.typed = (selectors, before + text)
    elif state.typed is None or state.typed[0] != selectors:
        # Keys go to the focused element; clicking is how a person would bring the focus there.
        state.emit_in_frame("click", selectors=selectors)
    for key in keys:
        state.emit("keyDown", key=key)
        state.emit("keyUp", key=key)
    if keys:
        state.typed = None


def _text_and_keys(state: State, command: Command) -> tuple[str, list[str]]:
    """The text typed first and the special keys pressed after it; text after a key is not supported."""
    pieces = _KEY.split(command.value)
    text, names, texts_after = pieces[0], pieces[1::2], pieces[2::2]
    unknown = [name for name in names if name not in _KEYS]
    if unknown or any(texts_after):
        raise NotSupportedError("it mixes text and special keys in a way that has no equivalent")
    return state.expand(text), [_KEYS[name] for name in names]


def _close(state: State, _command: Command) -> None:
    state.emit("close")


def _pause(state: State, command: Command) -> None:
    duration = command.target.strip() or command.value.strip()
    # The step's own time limit is at most 30 s and must be longer than the pause.
    if not re.fullmatch(r"\d{1,5}", duration) or int(duration) > 25_000:
        raise NotSupportedError("its duration is not a number of milliseconds up to 25,000")
    state.emit_in_frame(
        "waitForExpression",
        expression=f"new Promise(resolve => setTimeout(() => resolve(true), {int(duration)}))",
        timeout=int(duration) + 5_000,
    )


def _select_frame(state: State, command: Command) -> None:
    match command.target.strip().partition("="):
        case ("relative", _, "top"):
            state.frame = []
        case ("relative", _, "parent") if state.frame is not None:
            state.frame = state.frame[:-1]
        case ("index", _, number) if state.frame is not None and re.fullmatch(r"\d{1,4}", number):
            state.frame = [*state.frame, int(number)]
        case _:
            state.frame = None
            raise NotSupportedError("it names the frame in a way that a recording cannot express")
    state.typed = None


def _store_window_handle(state: State, command: Command) -> None:
    state.handles[command.target] = state.page


def _select_window(state: State, command: Command) -> None:
    match = VARIABLE.fullmatch(command.target.strip().removeprefix("handle="))
    state.frame = []
    state.typed = None
    # An unknown page gets a name no page has: its steps then stop for the coach instead of acting on the wrong page.
    name = match[1] if match else command.target.strip()
    state.page = state.handles.get(name, f"selenium-ide:{name}")
    if state.page != MAIN_PAGE:
        raise NotSupportedError("it changes to a window that a recording cannot name")


ACTIONS: dict[str, Handler] = {
    "open": _open,
    "setWindowSize": _set_window_size,
    "click": _pointer("click"),
    "clickAt": _pointer("click"),
    "doubleClick": _pointer("doubleClick"),
    "doubleClickAt": _pointer("doubleClick"),
    "check": _tick,
    "uncheck": _tick,
    "mouseOver": _mouse_over,
    "select": _select,
    "type": _type,
    "sendKeys": _send_keys,
    "close": _close,
    "pause": _pause,
    "selectFrame": _select_frame,
    "storeWindowHandle": _store_window_handle,
    "selectWindow": _select_window,
}
