"""The way in: bytes of a file become a checked recording, whatever format it has."""

from __future__ import annotations

from typing import Any

from coaching.recordings import chrome_recorder, selenium_ide
from coaching.recordings.document import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_STEPS,
    ImportNote,
    ParsedRecording,
    RecordingError,
    load_json,
)

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_STEPS",
    "ImportNote",
    "ParsedRecording",
    "RecordingError",
    "parse_recording",
]


def parse_recording(data: bytes) -> ParsedRecording:
    """Parse a Chrome Recorder JSON file or a Selenium IDE project; the format is detected.

    Raises RecordingError (one clear sentence) for anything else: over MAX_BYTES, more than MAX_STEPS steps,
    nested deeper than MAX_DEPTH, not UTF-8, not JSON, not a recording, an invalid step.
    """
    value = load_json(data)
    if not isinstance(value, dict):
        raise RecordingError("The file is JSON, but not a recording: it does not hold an object.")
    if "steps" in value:
        return _chrome(value)
    if "tests" in value:
        return selenium_ide.parse(value)
    if "title" in value:
        raise RecordingError("The recording has no ‘steps’.")
    raise RecordingError(
        "The file is JSON, but neither a Chrome Recorder recording (with ‘title’ and ‘steps’) "
        "nor a Selenium IDE project (with ‘tests’)."
    )


def _chrome(value: dict[str, Any]) -> ParsedRecording:
    document = chrome_recorder.parse(value)
    notes = tuple(
        ImportNote(index, "This step names no selector, so the coach will have to say what is meant.")
        for index, step in enumerate(document["steps"])
        if step.get("selectors") == []
    )
    return ParsedRecording("chrome-recorder", document["title"], document, notes)
