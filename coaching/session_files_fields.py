"""The JSON of a session file, strictly read, and the fields of its objects, each checked as it is taken."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from .recordings import RecordingError, check_json

#: What one file may have, in bytes.
MAX_BYTES = 10 * 1024 * 1024
_SLUG = re.compile(r"[-a-zA-Z0-9_]+")
_NOTHING = object()


class BrokenFile(ValueError):
    """This is not a session as the contract has it; the message is one sentence for a person."""


class Fields:
    """The fields of one object of the file. Every method raises `BrokenFile` naming the field."""

    def __init__(self, value: Any, *, known: Collection[str], at: str = "") -> None:
        self._at = at
        if not isinstance(value, dict):
            raise BrokenFile(f"{at or 'The file'}: this is not an object.")
        self._values: dict[str, Any] = value
        if unknown := sorted(set(value) - set(known)):
            raise BrokenFile(f"{self._named(_short(unknown[0]))}: there is no such field.")

    def _named(self, field: str) -> str:
        return f"{self._at}.{field}" if self._at else field

    def refuse(self, field: str, why: str) -> NoReturn:
        raise BrokenFile(f"{self._named(field)}: {why}.")

    def _get(self, field: str, otherwise: Any = _NOTHING) -> Any:
        """The value; `otherwise` where it is missing or null."""
        value = self._values.get(field)
        if value is not None:
            return value
        if otherwise is _NOTHING:
            self.refuse(field, "it is missing")
        return otherwise

    def _plain(self, field: str, value: Any) -> None:
        try:
            check_json(value, self._named(field))
        except RecordingError as error:
            raise BrokenFile(str(error)) from None

    def text(self, field: str, *, limit: int | None = None, needed: bool = False, otherwise: str | None = "") -> str:
        """`otherwise` None: the field must be there, if empty; `needed`: and must not be empty."""
        value = self._get(field, _NOTHING if needed or otherwise is None else otherwise)
        if not isinstance(value, str):
            self.refuse(field, "this is not a text")
        if needed and not value:
            self.refuse(field, "it is empty")
        if limit and len(value) > limit:
            self.refuse(field, f"it has more than {limit} characters")
        self._plain(field, value)
        return value

    def slug(self, field: str, *, limit: int) -> str:
        value = self.text(field, limit=limit, needed=True)
        if not _SLUG.fullmatch(value):
            self.refuse(field, f"“{_short(value)}” has other characters than letters, digits, “-” and “_”")
        return value

    def choice(self, field: str, choices: Sequence[str], *, otherwise: Any = _NOTHING) -> str:
        value = self._get(field, otherwise)
        if not isinstance(value, str) or value not in {*choices, otherwise}:
            self.refuse(field, f"it is none of {', '.join(choices)}")
        return value

    def whole(self, field: str, *, limit: int, otherwise: Any = _NOTHING) -> Any:
        value = self._get(field, otherwise)
        if value is otherwise and value is not _NOTHING:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit:
            self.refuse(field, f"this is not a whole number from 0 to {limit}")
        return value

    def number(self, field: str) -> float | None:
        value = self._get(field, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(field, "this is not a number")
        try:
            return float(value)
        except OverflowError:
            self.refuse(field, "this number is too large")

    def yes_or_no(self, field: str) -> bool | None:
        value = self._get(field, None)
        if value is not None and not isinstance(value, bool):
            self.refuse(field, "this is neither true, false nor null")
        return value

    def items(self, field: str) -> list[Any]:
        value = self._get(field)
        if not isinstance(value, list):
            self.refuse(field, "this is not a list")
        return value

    def json_object(self, field: str) -> dict[str, Any] | None:
        value = self._get(field, None)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.refuse(field, "this is not an object")
        self._plain(field, value)
        return value

    def moment(self, field: str) -> datetime | None:
        """In UTC, as which a time without a zone is read."""
        value = self._get(field, None)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            self.refuse(field, "this is not a time in ISO 8601")
        if moment.year < 1970:
            self.refuse(field, "a time before 1970 cannot be right")
        return moment


def _short(text: str) -> str:
    line = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", text)
    return line if len(line) <= 60 else f"{line[:59]}…"


def parsed(data: bytes) -> Any:
    if len(data) > MAX_BYTES:
        raise BrokenFile(f"The file is larger than {MAX_BYTES // 1024 // 1024} MiB.")
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_constant)
    except BrokenFile:
        raise
    except UnicodeDecodeError as error:
        raise BrokenFile(f"The file is not UTF-8 text (byte {error.start + 1}).") from None
    except RecursionError:
        raise BrokenFile("The file nests too deeply.") from None
    except ValueError as error:
        raise BrokenFile(f"The file is not JSON: {error}.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise BrokenFile(f"The field “{_short(twice)}” stands twice in one object.")
    return found


def _constant(name: str) -> NoReturn:
    raise BrokenFile(f"The file holds {name}, which is not a JSON number.")
