"""An RFC 6902 patch in words: what was there, and what stands there now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jsonpointer

_MISSING = object()


class Change(NamedTuple):
    place: str
    old: str
    new: str


def changes_in(before: Any, patch: Sequence[Mapping[str, Any]]) -> list[Change]:
    """One line for each operation of `patch`, which was made against `before`."""
    changes = []
    for operation in patch:
        path = str(operation.get("path", ""))
        old = jsonpointer.resolve_pointer(before, path, _MISSING) if operation.get("op") != "add" else _MISSING
        new = operation.get("value", _MISSING)
        if operation.get("op") in {"move", "copy"}:
            new = jsonpointer.resolve_pointer(before, str(operation.get("from", "")), _MISSING)
        changes.append(Change(_place(path), _show(old), _show(new)))
    return changes


def _place(path: str) -> str:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in path.strip("/").split("/")]
    return " ".join(str(int(part) + 1) if part.isdecimal() else part for part in parts)


def _show(value: Any) -> str:
    if value is _MISSING:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
