"""Compiling: a parsed recording becomes steps with variables.

Each typed value becomes a variable named after its field; values of secret fields become secret variables and
leave the document. Placeholders already in the recording: a `change` whose whole value is `{{ name }}`, and any in
the address of a `navigate`, are variables without a default (so exports of ours come back). Text elsewhere that
only looks like a placeholder gets a variable whose default is that very text: filling is one pass, so it is
performed and exported exactly as recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from coaching.recordings.addresses import is_new_tab
from coaching.recordings.compiled import (
    CompiledWorkflow,
    StepSpec,
    VariableSpec,
    export_document,
    known_values,
    shown_values,
)
from coaching.recordings.demonstrations import MergeResult, merge_demonstration
from coaching.recordings.document import ImportNote, ParsedRecording, RecordingError
from coaching.recordings.keystrokes import join_secret_keys
from coaching.recordings.naming import slug_name, unique
from coaching.recordings.sensitive import Redactor, is_secret_field, is_secret_name
from coaching.recordings.steps import make_steps
from coaching.recordings.targets import Target, target_of
from coaching.recordings.variables import PLACEHOLDER, fill_known, map_strings, mask, names_in, placeholder
from coaching.recordings.wording import describe

__all__ = [
    "MAX_SECRETS",
    "CompiledWorkflow",
    "MergeResult",
    "StepSpec",
    "VariableSpec",
    "compile_workflow",
    "describe",
    "export_document",
    "merge_demonstration",
]

MAX_SECRETS = 50
_MAX_NAME = 200
_MAX_LABEL = 100
_TICKED_ROLES = {"checkbox", "radio", "switch", "menuitemcheckbox", "menuitemradio"}


@dataclass(slots=True)
class _Typed:
    """A value that the recording types: in step `index`, into `target`."""

    index: int
    target: Target
    value: str
    secret: bool
    # The variable it becomes; given when the value is a placeholder already.
    name: str = ""


@dataclass(slots=True)
class _Names:
    """Variables found so far; `taken` also holds every name that stands in the recording as text."""

    taken: set[str]
    specs: dict[str, VariableSpec] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, label: str, *, secret: bool, value: str) -> None:
        """A variable of that very name; a secret's value is kept apart. The first declaration wins."""
        if name not in self.specs:
            self.taken.add(name)
            self.specs[name] = VariableSpec(name, label[:_MAX_LABEL], secret, "" if secret else value)
            if secret and value:
                self.secrets[name] = value

    def add_new(self, label: str, *, secret: bool, value: str) -> str:
        """A variable named after its label, numbered when the name is taken."""
        base = slug_name(label)
        name = unique(base, self.taken)
        number = name.removeprefix(base).removeprefix("_")
        self.add(name, f"{label[: _MAX_LABEL - 6]} ({number})" if number else label, secret=secret, value=value)
        return name

    def hide(self, redactor: Redactor) -> None:
        """Make a secret of each variable whose value holds one."""
        for name, spec in self.specs.items():
            if not spec.secret and redactor.text(spec.default) != spec.default:
                self.specs[name] = replace(spec, secret=True, default="")
                self.secrets[name] = spec.default


def compile_workflow(parsed: ParsedRecording) -> CompiledWorkflow:
    """Compile a recording; raises RecordingError when it types more than MAX_SECRETS different secrets."""
    joined = join_secret_keys(parsed.document["steps"])
    entries = (_typed_at(joined.steps, index, parsed.constants) for index in range(len(joined.steps)))
    typed = [entry for entry in entries if entry]
    names = _declare(joined.steps, typed, parsed.constants)
    _name_typed(typed, names, secret=True)
    redactor = _redactor(typed, names)
    for entry in typed:
        # A value that holds a secret is one, whatever its field is called.
        entry.secret = entry.secret or (not entry.name and redactor.text(entry.value) != entry.value)
    names.hide(redactor)
    _name_typed(typed, names, secret=True)
    _name_typed(typed, names, secret=False)
    redactor = _redactor(typed, names)

    header = redactor.value({key: item for key, item in parsed.document.items() if key != "steps"})
    stored = _stored_steps(joined.steps, typed, redactor)
    actions = _actions(stored, typed, names)
    order = _appearance(actions)
    specs = sorted(names.specs.values(), key=lambda spec: order.get(spec.name, len(order)))
    variables = tuple(_without_secrets(spec, redactor, names.secrets) for spec in specs)
    steps = make_steps(actions, shown_values(variables))
    notes = [replace(note, step_index=_moved(note.step_index, joined.index_of)) for note in parsed.notes]
    notes += [*joined.notes, *_new_tab_notes(actions)]
    return CompiledWorkflow(
        name=str(mask(header["title"], names.secrets)).strip()[:_MAX_NAME] or "Untitled recording",
        start_url=_start_url(steps, variables),
        header=header,
        variables=variables,
        steps=steps,
        secrets=names.secrets,
        document={**header, "steps": stored},
        notes=tuple(replace(note, message=mask(redactor.text(note.message), names.secrets)) for note in notes),
    )


def _typed_at(steps: list[dict[str, Any]], index: int, constants: Mapping[str, str]) -> _Typed | None:
    step = steps[index]
    if step["type"] != "change" or not step["value"]:
        return None
    target = target_of(step)
    if _follows_a_click(steps, index, target):
        return None
    secret = is_secret_field(target)
    exact = PLACEHOLDER.fullmatch(step["value"])
    if exact and step["value"] == placeholder(exact[1]):
        return _Typed(index, target, constants.get(exact[1], ""), secret, exact[1])
    if names_in(step["value"]) & constants.keys() and not secret:
        return None
    return _Typed(index, target, fill_known(step["value"], constants), secret)


def _follows_a_click(steps: list[dict[str, Any]], index: int, target: Target) -> bool:
    """Whether the change only repeats that the click before it ticked a box."""
    if target.roles & _TICKED_ROLES or target.types & {"checkbox", "radio"}:
        return True
    before = steps[index - 1] if index else {}
    clicked = before.get("type") == "click" and before["selectors"] == steps[index]["selectors"]
    return clicked and steps[index]["value"] == "on"


def _declare(steps: list[dict[str, Any]], typed: list[_Typed], constants: Mapping[str, str]) -> _Names:
    """Variables that the recording itself names."""
    names = _Names(taken=names_in(steps) | constants.keys())
    secret = set().union(*(names_in(steps[entry.index]["value"]) for entry in typed if entry.secret))
    for entry in typed:
        if entry.name:
            entry.secret = entry.name in secret or is_secret_name(entry.name)
            names.add(entry.name, entry.target.label, secret=entry.secret, value=entry.value)
    for name, value in constants.items():
        hidden = name in secret or is_secret_name(name)
        names.add(name, name.replace("_", " ").capitalize(), secret=hidden, value=value)
    for step in steps:
        if step["type"] == "navigate":
            for name in sorted(names_in(step["url"])):
                names.add(name, name.replace("_", " ").capitalize(), secret=is_secret_name(name), value="")
    return names


def _name_typed(typed: list[_Typed], names: _Names, *, secret: bool) -> None:
    """Give the typed values of one kind their variables; the same value in the same field is one variable."""
    same: dict[tuple[str, str], str] = {}
    for entry in typed:
        if entry.name or entry.secret != secret:
            continue
        key = (entry.target.label, entry.value)
        if key not in same:
            same[key] = names.add_new(entry.target.label, secret=secret, value=entry.value)
        entry.name = same[key]


def _redactor(typed: list[_Typed], names: _Names) -> Redactor:
    if len(set(names.secrets.values())) > MAX_SECRETS:
        raise RecordingError(f"The recording types more than {MAX_SECRETS} different secrets.")
    public = [text for entry in typed if entry.secret for text in _own_texts(entry.target)]
    return Redactor.of(names.secrets, public=public)


def _own_texts(target: Target) -> list[str]:
    return [*target.names, *target.labels, *target.identifiers, *target.classes, *target.surroundings]


def _stored_steps(steps: list[dict[str, Any]], typed: list[_Typed], redactor: Redactor) -> list[dict[str, Any]]:
    """The steps with every secret as a placeholder, and all else as recorded."""
    stored: list[dict[str, Any]] = redactor.value(steps)
    for entry in typed:
        if entry.secret:
            stored[entry.index]["value"] = placeholder(entry.name)
    return stored


def _actions(stored: list[dict[str, Any]], typed: list[_Typed], names: _Names) -> list[dict[str, Any]]:
    """The steps with every typed value as a placeholder, and text that looks like one made safe."""
    variable_of = {entry.index: entry.name for entry in typed}
    declared = frozenset(names.specs)
    literals: dict[str, str] = {}

    def keep_literal(match: re.Match[str]) -> str:
        if match[1] in declared:
            return match[0]
        if match[0] not in literals:
            own_name = match[0] == placeholder(match[1])
            name = match[1] if own_name else unique(match[1], names.taken)
            names.add(name, f"Text {match[0]}", secret=False, value=match[0])
            literals[match[0]] = name
        return placeholder(literals[match[0]])

    actions = []
    for index, step in enumerate(stored):
        typed_value = {"value": placeholder(variable_of[index])} if index in variable_of else {}
        actions.append(map_strings({**step, **typed_value}, lambda text: PLACEHOLDER.sub(keep_literal, text)))
    return actions


def _appearance(actions: list[dict[str, Any]]) -> dict[str, int]:
    """The position of each variable in the order in which the steps use them."""
    used = dict.fromkeys(name for action in actions for name in sorted(names_in(action)))
    return {name: position for position, name in enumerate(used)}


def _without_secrets(spec: VariableSpec, redactor: Redactor, secrets: Mapping[str, str]) -> VariableSpec:
    # Labels come from the page; a page may show what was typed.
    return replace(spec, label=mask(redactor.text(spec.label, selector=True), secrets))


def _start_url(steps: tuple[StepSpec, ...], variables: tuple[VariableSpec, ...]) -> str:
    pages = (step.action["url"] for step in steps if step.action_type == "navigate" and step.supported)
    return str(fill_known(next(pages, ""), known_values(variables)))


def _moved(index: int | None, index_of: list[int]) -> int | None:
    return None if index is None else index_of[index]


def _new_tab_notes(actions: list[dict[str, Any]]) -> list[ImportNote]:
    message = "Chrome’s new-tab page cannot be opened here: skip this step, the next one opens the real page."
    return [
        ImportNote(index, message)
        for index, action in enumerate(actions)
        if action["type"] == "navigate" and is_new_tab(action["url"])
    ]
