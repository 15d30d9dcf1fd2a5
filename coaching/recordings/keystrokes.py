"""Passwords recorded key by key: joined to one `change` step, so that no letter of them is stored.

The Recorder writes what is typed into ordinary fields as a `change`; single keys appear where the page draws its
own field, or beside the `change`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from coaching.recordings.document import ImportNote
from coaching.recordings.sensitive import is_secret_field
from coaching.recordings.targets import target_of

Step = dict[str, Any]

_KEY_STEPS = {"keyDown", "keyUp"}
_COMMAND_KEYS = ("Meta", "Control", "Alt")
_SHIFTS = ("Shift", "AltGraph", "CapsLock")
_FOCUSING = {"click", "doubleClick", "change"}


@dataclass(slots=True)
class JoinedKeys:
    """The steps without secret key presses; `index_of[i]` is where step `i` of the recording went."""

    steps: list[Step] = field(default_factory=list)
    notes: list[ImportNote] = field(default_factory=list)
    index_of: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Run:
    """Keys typed in a row: the text they make, where the run ends, and the keys still down there."""

    end: int
    text: str
    down: set[str]


def join_secret_keys(steps: Sequence[Step]) -> JoinedKeys:
    """Replace each run of keys typed into a secret field by a `change` of that field, with a note."""
    joined = JoinedKeys()
    focus: Step | None = None
    commands: set[str] = set()
    loose: set[str] = set()
    at = 0
    while at < len(steps):
        step = steps[at]
        run = _run_at(steps, at) if not commands and _types_text(step) else None
        change = _secret_change(steps, run, focus) if run else None
        if run and change:
            joined.index_of.extend([len(joined.steps)] * (run.end - at))
            _keep(joined, change, repeated=change is _next_other(steps, run.end))
            loose |= run.down
            at = run.end
            continue
        joined.index_of.append(len(joined.steps))
        at += 1
        if step["type"] == "keyUp" and step["key"].casefold() in loose:
            # The release of the last letter may follow the press of Enter.
            loose.discard(step["key"].casefold())
            continue
        joined.steps.append(step)
        focus = _focus_after(step, focus)
        _hold(step, commands)
    return joined


def _keep(joined: JoinedKeys, change: Step, *, repeated: bool) -> None:
    label = target_of(change).label
    if repeated:
        message = f"The keys typed into “{label}” were left out: the next change of the field holds their text."
    else:
        message = f"The keys typed into the secret field “{label}” were joined to one step."
    joined.notes.append(ImportNote(len(joined.steps), message))
    if not repeated:
        joined.steps.append(change)


def _secret_change(steps: Sequence[Step], run: _Run, focus: Step | None) -> Step | None:
    """The change step that stands for the run, or None when the run is no secret."""
    into_secret = focus is not None and is_secret_field(target_of(focus))
    following = _next_other(steps, run.end)
    if (
        following
        and following["type"] == "change"
        and is_secret_field(target_of(following))
        and (into_secret or following["value"] == run.text)
    ):
        return following
    if not into_secret or focus is None:
        return None
    before = focus["value"] if focus["type"] == "change" else ""
    place: Step = {name: focus[name] for name in ("target", "frame", "timeout") if name in focus}
    return {"type": "change", "selectors": focus["selectors"], "value": before + run.text, **place}


def _run_at(steps: Sequence[Step], start: int) -> _Run:
    run = _Run(start, "", set())
    while run.end < len(steps) and steps[run.end]["type"] in _KEY_STEPS:
        key = steps[run.end]["key"]
        if steps[run.end]["type"] == "keyUp":
            if key.casefold() not in run.down and not key.startswith(_SHIFTS):
                break
            run.down.discard(key.casefold())
        elif len(key) == 1 and key.isprintable():
            run.text += key
            run.down.add(key.casefold())
        elif key == "Backspace":
            run.text = run.text[:-1]
            run.down.add(key.casefold())
        elif not key.startswith(_SHIFTS):
            break
        run.end += 1
    return run


def _types_text(step: Step) -> bool:
    return step["type"] == "keyDown" and len(step["key"]) == 1 and step["key"].isprintable()


def _next_other(steps: Sequence[Step], start: int) -> Step | None:
    return next((step for step in steps[start:] if step["type"] not in _KEY_STEPS), None)


def _focus_after(step: Step, focus: Step | None) -> Step | None:
    if step["type"] in _FOCUSING:
        return step if step["selectors"] else None
    moves_on = step["type"] in {"navigate", "close"} or (step["type"] == "keyDown" and step["key"] == "Tab")
    return None if moves_on else focus


def _hold(step: Step, commands: set[str]) -> None:
    if step["type"] == "keyDown" and step["key"].startswith(_COMMAND_KEYS) and not step["key"].startswith(_SHIFTS):
        commands.add(step["key"])
    elif step["type"] == "keyUp":
        commands.discard(step["key"])
