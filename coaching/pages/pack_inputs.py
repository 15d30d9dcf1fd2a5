"""What a correction of a draft puts in place, as the inputs of a form, and read back from it. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..exceptions import InvalidInput
from ..packs import Change
from ..packs.changes import MISSING
from ..recordings import RecordingError, check_json
from .correction_editor import Kind
from .pack_words import as_json, kind_of, place_of


@dataclass(frozen=True, slots=True)
class Input:
    """The new value of one field. `kind` is `text`, `lines`, `choice` or `json`."""

    name: str
    label: str
    kind: str
    value: str
    hint: str = ""
    options: Sequence[tuple[str, str]] = ()

    @property
    def is_long(self) -> bool:
        return self.kind in {"lines", "json"} or "\n" in self.value or len(self.value) > 80

    @property
    def rows(self) -> int:
        return min(8, max(2, self.value.count("\n") + 1))


def inputs_of(changes: Sequence[Change], action_type: str, typed: Mapping[str, str] | None = None) -> list[Input]:
    """One input for each field that gets a value, with what somebody `typed` in place of what it is."""
    inputs = []
    for number, change in enumerate(changes):
        if change.new is MISSING:
            continue
        kind, shown = _shown(change, action_type)
        name = f"new-{number}"
        value = (typed or {}).get(name, shown)
        hint = kind.hint if kind else "" if isinstance(change.new, str) else "as JSON"
        as_kind = kind.kind if kind else "text" if isinstance(change.new, str) else "json"
        inputs.append(Input(name, place_of(change, action_type), as_kind, value, hint, kind.options if kind else ()))
    return inputs


def _shown(change: Change, action_type: str) -> tuple[Kind | None, str]:
    """The value as text, and how it is read back; None for a text as it is, or JSON."""
    kind = kind_of(change, action_type)
    if kind:
        try:
            text = kind.show(change.new)
            if kind.read(text) == change.new:
                return kind, text
        except (TypeError, ValueError, AttributeError):
            # Another site's file, or the raw editor, may hold what this input cannot.
            return None, _text(change.new)
    return None, _text(change.new)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value)


def read_new(changes: Sequence[Change], action_type: str, typed: Mapping[str, str]) -> dict[str, Any]:
    """`{path: new value}` of the fields that were changed in the form. Raises `InvalidInput` in words."""
    new: dict[str, Any] = {}
    for number, change in enumerate(changes):
        given = typed.get(f"new-{number}")
        if given is None or change.new is MISSING:
            continue
        kind, shown = _shown(change, action_type)
        text = given.replace("\r\n", "\n")
        if text.rstrip("\n") != shown.rstrip("\n"):
            new[change.path] = _read(text, change, kind, place_of(change, action_type))
    return new


def _read(text: str, change: Change, kind: Kind | None, label: str) -> Any:
    try:
        if kind:
            value = kind.read(text if kind.kind == "value" else text.strip())
        elif isinstance(change.new, str):
            value = text
        else:
            value = json.loads(text, parse_constant=_refuse)
        check_json({"value": value}, label)
    except RecordingError as error:
        raise InvalidInput(str(error), field="new") from None
    except json.JSONDecodeError:
        raise InvalidInput(f"{label}: this is not valid JSON.", field="new") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{label}: “{text[:80]}” {error}.", field="new") from None
    if kind and kind.kind == "lines" and not value:
        raise InvalidInput(f"{label}: at least one line is needed.", field="new")
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"holds {name}, which is not JSON")
