"""Placeholders `{{ name }}` in actions: find, fill, mask and unmask them.

Filling is one pass: a value that itself looks like a placeholder is text, so no value can pull in another
variable. Field names are never touched, only string values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

PLACEHOLDER = re.compile(r"\{\{[ \t]*([a-z][a-z0-9_]*)[ \t]*\}\}")
MASK = "***"


class MissingVariable(KeyError):
    """An action names a variable that has no value; `name` is the variable's."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"The variable “{self.name}” has no value."


def placeholder(name: str) -> str:
    """The canonical spelling of the placeholder for `name`."""
    return f"{{{{ {name} }}}}"


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """A deep copy of JSON `value` with each string value (not field name) changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [map_strings(item, change) for item in value]
    if isinstance(value, Mapping):
        return {key: map_strings(item, change) for key, item in value.items()}
    return value


def names_in(value: Any) -> set[str]:
    """The names of all placeholders in the strings of JSON `value`."""
    found: set[str] = set()

    def note(text: str) -> str:
        found.update(PLACEHOLDER.findall(text))
        return text

    map_strings(value, note)
    return found


def fill(value: Any, values: Mapping[str, str]) -> Any:
    """A deep copy with every placeholder replaced; raises MissingVariable for one without a value."""

    def known(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise MissingVariable(match[1])
        return values[match[1]]

    return map_strings(value, lambda text: PLACEHOLDER.sub(known, text))


def fill_known(value: Any, values: Mapping[str, str]) -> Any:
    """Like `fill`, but a placeholder without a value stays as it is."""
    return map_strings(value, lambda text: PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text))


def mask(value: Any, secret_names: Collection[str]) -> Any:
    """A deep copy in which the placeholder of each secret variable reads `***`."""
    return fill_known(value, dict.fromkeys(secret_names, MASK))


def unmask(given: Any, stored: Any, secret_names: Collection[str]) -> Any:
    """`given` with the stored text put back where it equals the masked text at the same path.

    For an edited action that was shown masked: `unmask(mask(x, s), x, s) == x`.
    """
    if isinstance(given, str):
        untouched = isinstance(stored, str) and given == mask(stored, secret_names)
        return stored if untouched else given
    if isinstance(given, list | tuple):
        beside = list(stored) if isinstance(stored, list | tuple) else []
        beside += [None] * (len(given) - len(beside))
        return [unmask(item, old, secret_names) for item, old in zip(given, beside, strict=False)]
    if isinstance(given, Mapping):
        old = stored if isinstance(stored, Mapping) else {}
        return {key: unmask(item, old.get(key), secret_names) for key, item in given.items()}
    return given
