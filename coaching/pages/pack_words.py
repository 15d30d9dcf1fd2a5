"""Corrections of packs in plain words: which fields change from what to what, and where. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..packs import Change, changes_between
from ..packs.changes import MISSING, changed
from ..recordings import describe
from .correction_editor import CHAIN, KINDS, Kind

EMPTY = "(empty)"


@dataclass(frozen=True, slots=True)
class Line:
    """One field from `old` to `new`; None where there is no such field."""

    place: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Sentences:
    """What was proposed, and what is proposed instead; both empty for actions that have no words."""

    before: str
    after: str

    @property
    def differ(self) -> bool:
        return bool(self.before) and self.before != self.after


def lines_of(changes: Iterable[Change], action_type: str) -> list[Line]:
    """A line for each changed field."""
    return [
        Line(place_of(change, action_type), *(_value(change, value, action_type) for value in (change.old, change.new)))
        for change in changes
    ]


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Line]:
    """A line for each field in which two actions differ."""
    return lines_of(changes_between(before, after), str(before.get("type", "")))


def place_of(change: Change, action_type: str) -> str:
    """The field as the correction editor names it; one that it does not know by its path."""
    kind = kind_of(change, action_type)
    return kind.label if kind else path_in_words(change.path)


def path_in_words(path: str) -> str:
    """`/params/amount` → `params amount`."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in path.strip("/").split("/")]
    return " ".join(parts) or "the action"


def kind_of(change: Change, action_type: str) -> Kind | None:
    """How the correction editor shows this field; None for one that it does not know."""
    return KINDS.get(action_type, {}).get(change.parts[0]) if len(change.parts) == 1 else None


def _value(change: Change, value: Any, action_type: str) -> str | None:
    if value is MISSING:
        return None
    if isinstance(value, str):
        return value or EMPTY
    kind = kind_of(change, action_type)
    if kind and kind.kind == "lines" and (chains := _chains(value)):
        return "\n".join(chains)
    return as_json(value)


def _chains(value: Any) -> list[str]:
    """Selectors, one a line; nothing for what are none."""
    if not isinstance(value, list):
        return []
    entries = [entry if isinstance(entry, list) else [entry] for entry in value]
    if not all(isinstance(part, str) for entry in entries for part in entry):
        return []
    return [CHAIN.join(entry) for entry in entries]


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def sentences_of(original: Mapping[str, Any] | None, changes: Sequence[Change]) -> Sentences:
    """The action in words before and after the changes."""
    if original is None:
        return Sentences("", "")
    return Sentences(sentence(original), sentence(changed(original, changes)))


def sentence(action: Mapping[str, Any]) -> str:
    """The action in words; empty for one of an outside program, and for one that is not as it should be."""
    if not isinstance(action.get("type"), str):
        return ""
    try:
        return describe(action)
    except (KeyError, TypeError, ValueError, AttributeError):
        # Edited, or from another site's file: its fields are shown all the same.
        return ""
