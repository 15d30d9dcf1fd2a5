"""What tells a target on a page from others: where a correction learned in one workflow may serve another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from coaching.packs.changes import digest
from coaching.recordings.targets import target_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPrint:
    """Role, name and label of the element that an action is about, and the path of the page; empty where unknown."""

    role: str = ""
    name: str = ""
    label: str = ""
    path: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)

    def key(self, action_type: str) -> str:
        """The same for the same kind of action on the same target; empty when it would fit anything."""
        if not (self.name or self.label) or not self.path:
            return ""
        return digest(action_type, self.role, self.name, self.label, self.path)


def target_print(action: Mapping[str, Any], page_url: str) -> TargetPrint:
    """The target of a browser action on the page at `page_url`."""
    if not action.get("selectors"):
        return TargetPrint()
    target = target_of(action)
    return TargetPrint(
        role=min(target.roles, default=""),
        name=target.names[0] if target.names else "",
        label=target.labels[0] if target.labels else "",
        path=_path(page_url),
    )


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
