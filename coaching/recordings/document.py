"""What every recording format shares: the fault, the note, the parsed result and strict JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

MAX_BYTES = 10 * 1024 * 1024
MAX_STEPS = 2_000
# Real recordings nest six levels deep; beyond this only an attack does.
MAX_DEPTH = 50
# JavaScript prints whole numbers without an exponent up to 10^21.
_MAX_DIGITS = 22


class RecordingError(ValueError):
    """A recording or an action is not acceptable; the message is one sentence for a person."""


@dataclass(frozen=True, slots=True)
class ImportNote:
    """Something the person should know about an import; `step_index` is 0-based, None for the whole."""

    step_index: int | None
    message: str


@dataclass(frozen=True, slots=True)
class ParsedRecording:
    """A recording as a Chrome Recorder user flow.

    `document` is the header and `steps`, with typed secrets still in the clear: never log or store it, store
    `CompiledWorkflow.document`. `constants` are values of `{{ name }}` placeholders that the file itself
    defines (Selenium IDE's `store`); empty for Chrome recordings.
    """

    format: str
    title: str
    document: dict[str, Any] = field(repr=False)
    notes: tuple[ImportNote, ...]
    constants: Mapping[str, str] = field(default_factory=dict, repr=False)


def quoted(text: str, *, limit: int = 60) -> str:
    """Text of a file as it may stand in a message: one line, shortened, in typographic quotes."""
    line = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", text)
    return f"‘{line if len(line) <= limit else line[: limit - 1] + '…'}’"


def load_json(data: bytes) -> Any:
    """Strict JSON: UTF-8, no duplicate keys, only finite numbers, at most MAX_DEPTH levels.

    Raises RecordingError naming the fault.
    """
    if len(data) > MAX_BYTES:
        raise RecordingError(f"The file has {len(data):,} bytes; at most 10 MiB are allowed.")
    if not data.strip():
        raise RecordingError("The file is empty.")
    try:
        value = json.loads(
            _decode(data),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except json.JSONDecodeError as error:
        raise RecordingError(
            f"The file is not JSON: {error.msg} at line {error.lineno}, column {error.colno}. "
            "In Chrome’s Recorder panel choose “Export” and then “JSON”."
        ) from None
    except RecursionError:
        raise RecordingError(f"The file nests deeper than {MAX_DEPTH} levels.") from None
    check_json(value, "The file")
    return value


def check_json(value: object, where: str) -> None:
    """Raise RecordingError unless `value` is plain JSON that every database and browser can hold."""
    level: list[object] = [value]
    for _depth in range(MAX_DEPTH):
        below: list[object] = []
        for item in level:
            below.extend(_children(item, where))
        if not below:
            return
        level = below
    raise RecordingError(f"{where} nests deeper than {MAX_DEPTH} levels.")


def _children(item: object, where: str) -> list[object]:
    match item:
        case str():
            _check_text(item, where)
        case float() if not math.isfinite(item):
            raise RecordingError(f"{where} holds a number that is not finite.")
        case None | bool() | int() | float():
            pass
        case list():
            return item
        case dict():
            for key in item:
                if not isinstance(key, str):
                    raise RecordingError(f"{where} has a field whose name is not text.")
                _check_text(key, where)
            return list(item.values())
        case _:
            raise RecordingError(f"{where} holds something that is not JSON.")
    return []


def _check_text(text: str, where: str) -> None:
    if "\x00" in text:
        raise RecordingError(f"{where} holds a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RecordingError(f"{where} holds half a character (a lone surrogate).") from None


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RecordingError("The file is UTF-16; save it as UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordingError(f"The file is not UTF-8 text (byte {error.start + 1}).") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise RecordingError(f"The field {quoted(key)} stands twice in one object.")
        result[key] = value
    return result


def _constant(name: str) -> NoReturn:
    raise RecordingError(f"The file holds {name}, which is not a JSON number.")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise RecordingError(f"The number {quoted(text)} is too large.")
    return number


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise RecordingError(f"The number {quoted(text)} is too large.")
    return int(text)
