"""What a correction changes: fields of an action, each from an old value to a new one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

import jsonpatch

LONGEST_COMPARED_LIST = 200
#: Where an action has no such field.
MISSING: Final = object()
#: Where it has not even an object that could have it.
NO_PLACE: Final = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One field from `old` to `new`; `MISSING` where there is no such field. `path` is a JSON pointer (RFC 6901).

    Objects are looked into; a list is one value, because what stands at a place of it means little by itself.
    """

    path: str
    old: Any
    new: Any

    def as_json(self) -> dict[str, Any]:
        """`{path, old, new}`, without what is missing."""
        return {"path": self.path} | {
            name: value for name, value in (("old", self.old), ("new", self.new)) if value is not MISSING
        }

    @property
    def parts(self) -> list[str]:
        return [part.replace("~1", "/").replace("~0", "~") for part in self.path.split("/")[1:]]


def changes_between(original: Mapping[str, Any], corrected: Mapping[str, Any]) -> list[Change]:
    """The fields in which two actions differ, by path."""
    return sorted(_differences("", original, corrected), key=lambda change: change.path)


def patch_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The difference as an RFC 6902 patch.

    The library compares lists item by item, in time that grows with the square of their length: beyond a length a list
    is one value.
    """
    if max(_longest_list(before), _longest_list(after)) <= LONGEST_COMPARED_LIST:
        operations: list[dict[str, Any]] = jsonpatch.make_patch(before, after).patch
        return operations
    return [_operation(change) for change in changes_between(before, after)]


def _longest_list(value: Any) -> int:
    if isinstance(value, Mapping):
        return max(map(_longest_list, value.values()), default=0)
    return max([len(value), *map(_longest_list, value)]) if isinstance(value, list) else 0


def _operation(change: Change) -> dict[str, Any]:
    if change.new is MISSING:
        return {"op": "remove", "path": change.path}
    return {"op": "add" if change.old is MISSING else "replace", "path": change.path, "value": change.new}


def _differences(path: str, old: Any, new: Any) -> Iterator[Change]:
    if _is_object(old) and _is_object(new):
        for key in {**old, **new}:
            place = f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"
            yield from _differences(place, old.get(key, MISSING), new.get(key, MISSING))
    elif not same(old, new):
        yield Change(path, old, new)


def _is_object(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: 1 and 1.0 are, 1 and true are not."""
    if any(value is MISSING or value is NO_PLACE for value in (one, other)):
        return one is other
    return canonical(one) == canonical(other)


def canonical(value: Any) -> str:
    """One text for each JSON value: keys in order, no white space, whole numbers without a fraction."""
    return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def digest(*values: Any) -> str:
    """SHA-256 of JSON values, in hexadecimal."""
    return hashlib.sha256(canonical(list(values)).encode()).hexdigest()


def changes_as_json(changes: Iterable[Change]) -> list[dict[str, Any]]:
    return [change.as_json() for change in changes]


def changes_from_json(rows: Iterable[Mapping[str, Any]]) -> list[Change]:
    """The reverse of `changes_as_json`."""
    return [Change(row["path"], row.get("old", MISSING), row.get("new", MISSING)) for row in rows]


def value_at(action: Mapping[str, Any], change: Change) -> Any:
    """What stands at the place of a change; `MISSING` if nothing does, `NO_PLACE` if nothing could."""
    value: Any = action
    for part in change.parts:
        if not _is_object(value):
            return NO_PLACE
        value = value.get(part, MISSING)
    return value


def fits(action: Mapping[str, Any], changes: Sequence[Change]) -> bool:
    """Whether every field is as it was when the change was made: then, and only then, the changes apply."""
    return all(same(value_at(action, change), change.old) for change in changes)


def changed(action: Mapping[str, Any], changes: Iterable[Change]) -> dict[str, Any]:
    """A copy of `action` with the changes made."""
    result: dict[str, Any] = _copy(action)
    for change in changes:
        *parents, last = change.parts
        place: dict[str, Any] = result
        for part in parents:
            place = place.setdefault(part, {})
        if change.new is MISSING:
            place.pop(last, None)
        else:
            place[last] = _copy(change.new)
    return result


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(one) for key, one in value.items()}
    return [_copy(one) for one in value] if isinstance(value, list) else value
