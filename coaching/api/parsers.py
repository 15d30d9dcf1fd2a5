"""Bodies: strict JSON, and recordings as they came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser

from ..recordings.document import RecordingError, check_json

#: Reading takes time by the number of values, which in a small body can be large.
MAX_VALUES = 200_000
_BEGINNINGS = (b",", b"[", b"{")


class StrictJSONParser(JSONParser):
    """JSON that every database and every client can hold.

    Not JSON, bytes that are not UTF-8, `NaN`, infinite numbers, a name that stands twice in an object, NUL characters,
    half characters (lone surrogates) and more than 50 levels are a 400.
    """

    def parse(
        self, stream: IO[Any], _media_type: str | None = None, _parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = stream.read()
        if sum(map(body.count, _BEGINNINGS)) > MAX_VALUES:
            raise ParseError(f"The body holds more than {MAX_VALUES} values.")
        try:
            value = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_constant)
            check_json(value, "The body")
        except RecordingError as error:
            raise ParseError(str(error)) from None
        except RecursionError:
            raise ParseError("The body nests too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}") from None
        return value


class RecordingParser(BaseParser):
    """A recording as the body: its bytes, untouched, for the importer to judge."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], _media_type: str | None = None, _parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return stream.read()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ParseError("A name stands twice in one object of the body.")
    return found


def _constant(name: str) -> NoReturn:
    raise ParseError(f"The body holds {name}, which is not a JSON number.")
