"""Rows as CSV and as JSON Lines, piece by piece. Pure functions."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

CSV = "csv"
JSON_LINES = "jsonl"
MEDIA_TYPES = {CSV: "text/csv", JSON_LINES: "application/x-ndjson"}

#: What makes a spreadsheet read a cell as a formula.
_FORMULA = re.compile(
    "[\ufeff\u200b-\u200f\u2060 ]*[=+\\-@\t\r\n＝＋－＠]|.*[;\t][\ufeff\u200b-\u200f\u2060 ]*[=+\\-@＝＋－＠]",
    re.DOTALL,
)
_PLAIN_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def as_csv(columns: Sequence[str], chunks: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    """RFC 4180 in UTF-8, lines ended by CR LF, a header first: one piece for the header, one for each chunk of rows."""
    yield _csv_lines([columns])
    for rows in chunks:
        yield _csv_lines([cell(row.get(column)) for column in columns] for row in rows)


def _csv_lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def cell(value: Any) -> str:
    """A value as a cell: null is empty, objects and lists are JSON.

    A text that a spreadsheet would take for a formula, or for several cells with one in them, gets an apostrophe before
    it; a plain number is none.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        harmless = not _FORMULA.match(value) or _PLAIN_NUMBER.fullmatch(value)
        return value if harmless else f"'{value}"
    return json.dumps(value, ensure_ascii=False)


def as_json_lines(chunks: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    """One JSON object per line, in UTF-8: one piece for each chunk of rows."""
    for rows in chunks:
        yield "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
