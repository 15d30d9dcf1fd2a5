"""Text that comes from pages, made fit to be stored and sent: any page may hold half an emoji or a NUL."""

from __future__ import annotations

from typing import Any


def clean(value: Any) -> Any:
    """JSON `value` with NUL removed and lone surrogates replaced in all its strings."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    return value
