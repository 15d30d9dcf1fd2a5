"""An outside program's action in words, for the coach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LONGEST_DESCRIPTION, _LONGEST_VALUE = 200, 60


def in_words(action_type: str, action: Mapping[str, Any]) -> str:
    """An outside program's action in one line: `post_invoice: number 7, amount 42.50, 3 lines`."""
    parts = [_part(name, value) for name, value in action.items() if value is not None]
    words = f"{action_type}: {', '.join(parts)}" if parts else action_type
    return words if len(words) <= _LONGEST_DESCRIPTION else f"{words[: _LONGEST_DESCRIPTION - 1]}…"


def _part(name: str, value: Any) -> str:
    match value:
        case True:
            return name
        case False:
            return f"not {name}"
        case list() | dict():
            return f"{len(value)} {name}" if isinstance(value, list) else f"{name} …"
    line = " ".join(str(value).split())
    return f"{name} {line if len(line) <= _LONGEST_VALUE else f'{line[: _LONGEST_VALUE - 1]}…'}"
