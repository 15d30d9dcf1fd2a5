"""The file of a pack: one JSON document that another site can read, and that nobody can change unnoticed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema

from coaching.packs.changes import Change, canonical, changes_as_json, changes_from_json, digest
from coaching.packs.targets import TargetPrint
from coaching.recordings import RecordingError, check_json

FORMAT = "coachsite-correction-pack"
FORMAT_VERSION = 1
MAX_BYTES = 10 * 1024 * 1024
SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "correction-pack.schema.json"


class PackFileError(ValueError):
    """The file is no pack, or not as it was exported; the message is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackItem:
    """One correction as it stands in a file. `picture` is a PNG in base64, only where it was asked for."""

    number: int
    workflow_id: str
    node_id: str
    action_type: str
    target: TargetPrint = field(default_factory=TargetPrint)
    changes: tuple[Change, ...] = ()
    note: str = ""
    enabled: bool = True
    picture: str = ""

    def as_json(self) -> dict[str, Any]:
        row = {
            "number": self.number,
            "workflow_id": self.workflow_id,
            "node_id": self.node_id,
            "action_type": self.action_type,
            "target": self.target.as_json(),
            "changes": changes_as_json(self.changes),
            "note": self.note,
            "enabled": self.enabled,
        }
        return row | ({"picture": self.picture} if self.picture else {})

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> PackItem:
        return cls(
            number=row["number"],
            workflow_id=row["workflow_id"],
            node_id=row["node_id"],
            action_type=row["action_type"],
            target=TargetPrint(**row["target"]),
            changes=tuple(changes_from_json(row["changes"])),
            note=row["note"],
            enabled=row["enabled"],
            picture=row.get("picture", ""),
        )

    @property
    def place(self) -> str:
        """The same for corrections of the same fields of the same step: of two, only one can hold."""
        paths = sorted(change.path for change in self.changes)
        return canonical([self.workflow_id, self.node_id, self.action_type, paths])

    @property
    def content(self) -> str:
        """The same for equal corrections, whatever their number and note."""
        return digest(self.workflow_id, self.node_id, self.action_type, changes_as_json(self.changes))


@dataclass(frozen=True, slots=True, kw_only=True)
class PackDocument:
    """A version of a pack as a file holds it."""

    pack_id: str
    name: str
    description: str
    scope: str
    version: int
    items: tuple[PackItem, ...]


def content_digest(items: Iterable[PackItem]) -> str:
    """SHA-256 of what the corrections do: equal for versions that behave alike."""
    return digest([item.as_json() | {"picture": ""} for item in sorted(items, key=lambda item: item.number)])


def export_pack(document: PackDocument) -> dict[str, Any]:
    """The file. `sha256` is over everything else in canonical JSON (keys in order, no white space, UTF-8)."""
    body = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "pack_id": document.pack_id,
        "name": document.name,
        "description": document.description,
        "scope": document.scope,
        "version": document.version,
        "corrections": [item.as_json() for item in document.items],
    }
    return body | {"sha256": digest(body)}


def read_pack(data: bytes) -> PackDocument:
    """The reverse of `export_pack`. Raises `PackFileError` for what is no pack, another format, or tampered with."""
    if len(data) > MAX_BYTES:
        raise PackFileError(f"The file is larger than {MAX_BYTES // 1024 // 1024} MiB.")
    document = _parsed(data)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise PackFileError("This is not a correction pack.")
    if document.get("format_version") != FORMAT_VERSION:
        found = str(document.get("format_version"))[:20]
        raise PackFileError(f"This pack has the format version {found}; {FORMAT_VERSION} is read.")
    if error := next(iter(_validator().iter_errors(document)), None):
        where = "/".join(map(str, error.absolute_path)) or "the file"
        raise PackFileError(f"The pack is not as it should be, at {where}: {error.message[:200]}")
    body = {key: value for key, value in document.items() if key != "sha256"}
    if digest(body) != document["sha256"]:
        raise PackFileError("The pack was changed after it was exported: its SHA-256 does not fit its content.")
    items = tuple(PackItem.from_json(row) for row in document["corrections"])
    if len({item.number for item in items}) != len(items):
        raise PackFileError("Two corrections of the pack have the same number.")
    if torn := next((item for item in items if _contradicts_itself(item)), None):
        raise PackFileError(f"Correction {torn.number} of the pack changes the same field twice.")
    return PackDocument(
        pack_id=document["pack_id"],
        name=document["name"],
        description=document["description"],
        scope=document["scope"],
        version=document["version"],
        items=items,
    )


def _contradicts_itself(item: PackItem) -> bool:
    # In order, what lies within a field comes right after it.
    places = sorted(change.parts for change in item.changes)
    return any(later[: len(one)] == one for one, later in pairwise(places))


def _parsed(data: bytes) -> Any:
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise PackFileError(f"The file is not JSON: {error}") from None
    try:
        check_json(document, "The pack")
    except RecordingError as error:
        raise PackFileError(str(error)) from None
    return document


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a field stands twice in one object")
    return result


@lru_cache(maxsize=1)
def _validator() -> Any:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)
