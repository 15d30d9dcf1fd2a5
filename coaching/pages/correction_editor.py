"""The correction editor: an action becomes fields, and fields become the corrected action. Pure functions."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..exceptions import InvalidInput
from ..recordings.variables import MASK

CHAIN = " >>> "
#: Of an outside program's action, what gets an input of its own; the rest is edited as raw JSON.
MAX_FIELDS = 20
_PLAIN_KEY = re.compile(r"[\w.-]{1,60}")
_WHOLE = re.compile(r"[+-]?\d{1,300}")


@dataclass(frozen=True, slots=True)
class Field:
    """One input of the editor. `old` is what the suggestion says, `value` what stands in the input now."""

    key: str
    label: str
    kind: str
    old: str
    value: str
    hint: str = ""
    options: Sequence[tuple[str, str]] = ()

    @property
    def name(self) -> str:
        return f"field-{self.key}"

    @property
    def rows(self) -> int:
        return min(8, max(2, self.value.count("\n") + 1))

    @property
    def is_long(self) -> bool:
        return self.kind == "value" and ("\n" in self.old or len(self.old) > 80)

    @property
    def is_secret(self) -> bool:
        """Whether a secret stands here, shown as `***`."""
        return self.kind == "value" and MASK in self.old

    @property
    def changed(self) -> bool:
        return _normal(self.value) != _normal(self.old)


@dataclass(frozen=True, slots=True)
class Kind:
    """How one key of an action is shown and read back. `read` raises `ValueError` with what is wrong."""

    label: str
    kind: str
    show: Callable[[Any], str]
    read: Callable[[str], Any]
    hint: str = ""
    options: Sequence[tuple[str, str]] = ()


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _number(text: str) -> float:
    if _WHOLE.fullmatch(text):
        return int(text)  # exact, however large
    try:
        number = float(text)
    except ValueError:
        raise ValueError("must be a number") from None
    if not math.isfinite(number):
        raise ValueError("must be a number")
    return int(number) if number.is_integer() else number


def _show_number(value: Any) -> str:
    return f"{value:.15g}" if isinstance(value, float) else _text(value)


def _show_selectors(value: Any) -> str:
    lines = [CHAIN.join(entry) if isinstance(entry, list) else str(entry) for entry in value or []]
    return "\n".join(lines)


def _read_selectors(text: str) -> list[list[str]]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [[part.strip() for part in line.split(CHAIN.strip()) if part.strip()] for line in lines]


def _yes_no(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise ValueError("is yes or no")
    return text == "yes"


_SELECTORS = Kind(
    "Selectors", "lines", _show_selectors, _read_selectors,
    hint="One alternative per line, the parts of a chain joined by >>>",
)  # fmt: skip


def _text_kind(label: str, kind: str = "text", hint: str = "") -> Kind:
    return Kind(label, kind, _text, lambda text: text, hint)


def _number_kind(label: str) -> Kind:
    return Kind(label, "number", _show_number, _number)


_OPERATOR = Kind(
    "How many", "choice", _text, lambda text: text,
    options=(("", "at least (default)"), (">=", "at least"), ("==", "exactly"), ("<=", "at most")),
)  # fmt: skip
_VISIBLE = Kind(
    "Visible", "choice", lambda value: {True: "yes", False: "no"}.get(value, ""), _yes_no,
    options=(("", "does not matter"), ("yes", "must be visible"), ("no", "must be hidden")),
)  # fmt: skip
_OFFSETS = {"offsetX": _number_kind("Offset from the left, px"), "offsetY": _number_kind("Offset from the top, px")}

KINDS: dict[str, dict[str, Kind]] = {
    "change": {"value": _text_kind("Value", "value"), "selectors": _SELECTORS},
    "click": {"selectors": _SELECTORS, **_OFFSETS},
    "doubleClick": {"selectors": _SELECTORS, **_OFFSETS},
    "hover": {"selectors": _SELECTORS},
    "keyDown": {"key": _text_kind("Key", hint="As the browser names it: Enter, Tab, a")},
    "keyUp": {"key": _text_kind("Key", hint="As the browser names it: Enter, Tab, a")},
    "navigate": {"url": _text_kind("Address")},
    "scroll": {"x": _number_kind("To x, px"), "y": _number_kind("To y, px"), "selectors": _SELECTORS},
    "setViewport": {"width": _number_kind("Width, px"), "height": _number_kind("Height, px")},
    "waitForElement": {
        "selectors": _SELECTORS,
        "operator": _OPERATOR,
        "count": _number_kind("Count"),
        "visible": _VISIBLE,
    },
    "waitForExpression": {"expression": _text_kind("Expression", "value")},
    "emulateNetworkConditions": {
        "download": _number_kind("Download, bytes/s"),
        "upload": _number_kind("Upload, bytes/s"),
        "latency": _number_kind("Latency, ms"),
    },
}


def _kinds_of(action: Mapping[str, Any], *, in_browser: bool) -> Mapping[str, Kind]:
    """How the keys of an action are edited: by its type, or, of an outside program's, by what their values are."""
    if in_browser:
        return KINDS.get(str(action.get("type", "")), {})
    kinds = {key: kind for key, value in action.items() if _PLAIN_KEY.fullmatch(key) and (kind := _kind(key, value))}
    return dict([*kinds.items()][:MAX_FIELDS])


def _kind(key: str, value: Any) -> Kind | None:
    match value:
        case bool():
            options = (("yes", "yes"), ("no", "no"))
            return Kind(key, "choice", lambda shown: "yes" if shown else "no", _yes_no, options=options)
        case int() | float():
            return _number_kind(key)
        case str():
            return _text_kind(key, "value")
    return None


def fields_of(
    action: Mapping[str, Any], typed: Mapping[str, str] | None = None, *, in_browser: bool = True
) -> list[Field]:
    """The inputs that fit the action, with what the person `typed` in place of what the action says.

    What has no input (a type that is not known, parts of an outside program's action) is edited as raw JSON.
    """
    fields = []
    for key, kind in _kinds_of(action, in_browser=in_browser).items():
        old = kind.show(action.get(key))
        value = (typed or {}).get(f"field-{key}", old)
        fields.append(Field(key, kind.label, kind.kind, old, value, kind.hint, kind.options))
    return fields


def raw_of(action: Mapping[str, Any]) -> str:
    """The action as the raw editor shows it."""
    return json.dumps(action, ensure_ascii=False, indent=2)


def corrected(
    action: Mapping[str, Any],
    typed: Mapping[str, str],
    *,
    candidates: Sequence[Mapping[str, Any]] = (),
    in_browser: bool = True,
) -> dict[str, Any]:
    """The full corrected action: `action` with what the person typed.

    What was not touched stays exactly as it was. `typed["candidate"]` is the number of one of `candidates`, whose
    selector replaces the action's. Raises `InvalidInput` in words.
    """
    result = copy.deepcopy(dict(action))
    changes = _changed_fields(action, typed, in_browser=in_browser)
    choice = _chosen(typed.get("candidate", ""), candidates)
    if choice is not None:
        if "selectors" in changes:
            raise InvalidInput("You chose an element and also changed its selectors: undo one.", field="candidate")
        changes["selectors"] = [[part.strip() for part in choice.split(CHAIN.strip())]]
    if _normal(typed.get("raw", "")) not in {"", _normal(raw_of(action))}:
        if changes:
            raise InvalidInput("You changed both the fields and the raw JSON: undo one of them.", field="raw")
        return _read_raw(typed["raw"])
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = value
    if result == action:
        raise InvalidInput("Nothing is changed yet: to do it as suggested, accept.", field="correction")
    return result


def _changed_fields(action: Mapping[str, Any], typed: Mapping[str, str], *, in_browser: bool) -> dict[str, Any]:
    """`{key: new value}`; None for an optional key that was emptied."""
    changes: dict[str, Any] = {}
    kinds = _kinds_of(action, in_browser=in_browser)
    for field in fields_of(action, typed, in_browser=in_browser):
        if not field.changed:
            continue
        kind = kinds[field.key]
        text = field.value if field.kind == "value" else field.value.strip()
        if field.kind in {"choice", "number"} and not text:
            if not in_browser:
                raise InvalidInput(f"{kind.label}: to leave it out, edit the raw JSON.", field=field.key)
            changes[field.key] = None
            continue
        try:
            changes[field.key] = kind.read(_newlines(text))
        except ValueError as error:
            raise InvalidInput(f"{kind.label}: “{text}” {error}.", field=field.key) from None
        if kind is _SELECTORS:
            changes[field.key] = _keep_untouched(changes[field.key], action.get("selectors") or [])
    return changes


def _keep_untouched(selectors: list[list[str]], old: Sequence[Any]) -> list[Any]:
    """A line that was there before keeps the form it had (a text, or a chain with one part)."""
    known = {_show_selectors([entry]): entry for entry in old}
    return [known.get(CHAIN.join(chain), chain) for chain in selectors]


def _chosen(number: str, candidates: Sequence[Mapping[str, Any]]) -> str | None:
    if not number:
        return None
    if not number.isdecimal() or not 1 <= int(number) <= len(candidates):
        raise InvalidInput(f"There is no element {number} to choose.", field="candidate")
    return str(candidates[int(number) - 1].get("selector", ""))


def _read_raw(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        where = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidInput(f"The raw action is not valid JSON{where}.", field="raw") from None
    if not isinstance(value, dict):
        raise InvalidInput("The raw action must be a JSON object.", field="raw")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n")


def _normal(text: str) -> str:
    """Forms send line ends as CR LF, and a text area drops nothing else."""
    return _newlines(text).rstrip("\n")
