"""What is no recording, or no valid action, is refused with one sentence that says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coaching.recordings import MAX_STEPS, RecordingError, check_url, parse_recording, validate_step

DATA = Path(__file__).parent / "data" / "recordings"
CLICK: dict[str, Any] = {"type": "click", "selectors": [["aria/Save"]], "offsetX": 1, "offsetY": 2}
VIEWPORT: dict[str, Any] = {
    "type": "setViewport", "width": 800, "height": 600, "deviceScaleFactor": 1, "isMobile": False, "hasTouch": False,
    "isLandscape": False,
}  # fmt: skip


def flow(*steps: object, **header: object) -> bytes:
    return json.dumps({"title": "T", "steps": list(steps), **header}).encode()


def fault(data: bytes) -> str:
    with pytest.raises(RecordingError) as caught:
        parse_recording(data)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 250
    return message


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "The file is empty."),
        (b" \n ", "The file is empty."),
        (b"const puppeteer = require('puppeteer');", "The file is not JSON: Expecting value at line 1, column 1."),
        (b'{"title": "T", "steps": [', "The file is not JSON"),
        ('{"title": "T"}'.encode("utf-16"), "The file is UTF-16; save it as UTF-8."),
        (b'{"title": "\xff\xfe"}', "The file is not UTF-8 text (byte 12)."),
        (b"[]", "does not hold an object"),
        (b"7", "does not hold an object"),
        (b'{"name": "package", "version": "1.0"}', "neither a Chrome Recorder recording"),
        (b'{"title": "T"}', "The recording has no ‘steps’."),
        (b'{"steps": [{"type": "close"}]}', "The recording has no ‘title’."),
        (b'{"title": 1, "steps": [{"type": "close"}]}', "‘title’ must be text"),
        (b'{"title": "T", "steps": {}}', "‘steps’ must be a list"),
        (b'{"title": "T", "steps": []}', "The recording has no steps."),
        (b'{"title": "T", "title": "U", "steps": []}', "The field ‘title’ stands twice in one object."),
        (b'{"title": "T", "timeout": NaN, "steps": []}', "NaN, which is not a JSON number"),
        (b'{"title": "T", "timeout": -Infinity, "steps": []}', "-Infinity, which is not a JSON number"),
        (b'{"title": "T", "timeout": 1e999, "steps": []}', "The number ‘1e999’ is too large."),
        (b'{"title": "T", "timeout": ' + b"9" * 5_000 + b', "steps": []}', "is too large"),
        (b'{"title": "\\ud800", "steps": [{"type": "close"}]}', "half a character"),
        (b'{"title": "\\u0000", "steps": [{"type": "close"}]}', "NUL character"),
        (b'{"title": "T", "steps": ' + b"[" * 60 + b"]" * 60 + b"}", "nests deeper than 50 levels"),
        (b"[" * 200_000, "nests deeper than 50 levels"),
        (b'{"a":' * 100_000, "nests deeper than 50 levels"),
        (flow("click"), "Step 1 is not an object."),
        (flow(CLICK, {}), "Step 2 has no ‘type’."),
        (flow({"type": 4}), "Step 1: ‘type’ must be text."),
        (flow({"type": "file:" + "x" * 500}), "Step 1 has the unknown type ‘file:xx"),
        (flow(CLICK, timeout=0), "The recording: ‘timeout’ must be between 1 and 30,000 milliseconds."),
    ],
)
def test_a_file_that_is_no_recording_is_refused(data: bytes, expected: str) -> None:
    assert expected in fault(data)


def test_a_file_over_ten_mebibytes_is_refused_before_it_is_read() -> None:
    assert "at most 10 MiB" in fault(b" " * (10 * 1024 * 1024 + 1))


def test_ten_thousand_steps_are_refused_and_the_limit_is_named() -> None:
    assert fault(flow(*[CLICK] * 10_000)) == "The recording has 10,000 steps; at most 2,000 are allowed."
    assert len(parse_recording(flow(*[CLICK] * MAX_STEPS)).document["steps"]) == MAX_STEPS
    commands = [{"command": "click", "target": "id=a", "value": ""}] * 10_000
    project = {"name": "P", "url": "http://x", "tests": [{"id": "1", "name": "t", "commands": commands}]}
    assert "has 10,000 commands; at most 2,000" in fault(json.dumps(project).encode())


def test_a_byte_order_mark_does_no_harm() -> None:
    assert parse_recording(b"\xef\xbb\xbf" + flow(CLICK)).title == "T"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({**CLICK, "selectors": "aria/Save"}, "Step 1 (click): ‘selectors’ must be a list."),
        ({**CLICK, "selectors": [7]}, "‘selectors’ must hold only texts and lists of texts"),
        ({**CLICK, "selectors": [["a", 7]]}, "‘selectors’ must hold only texts and lists of texts"),
        ({"type": "click"}, "Step 1 (click) has no ‘selectors’."),
        ({**CLICK, "offsetX": "1"}, "‘offsetX’ must be a number"),
        ({**CLICK, "offsetX": True}, "‘offsetX’ must be a number"),
        ({**CLICK, "button": "left"}, "‘button’ must be one of primary"),
        ({**CLICK, "deviceType": []}, "‘deviceType’ must be one of mouse, pen, touch"),
        ({**CLICK, "timeout": 30_001}, "‘timeout’ must be between 1 and 30,000 milliseconds"),
        ({**CLICK, "timeout": "5000"}, "‘timeout’ must be a number"),
        ({**CLICK, "frame": [0, -1]}, "‘frame’ must be a list of whole numbers"),
        ({**CLICK, "frame": [True]}, "‘frame’ must be a list of whole numbers"),
        ({**CLICK, "assertedEvents": {}}, "‘assertedEvents’ must be a list"),
        ({**CLICK, "assertedEvents": [{"type": "load"}]}, "only events of the type ‘navigation’"),
        ({**CLICK, "assertedEvents": [{"type": "navigation", "url": 1}]}, "texts as ‘url’ and ‘title’"),
        ({"type": "change", "selectors": ["#a"]}, "Step 1 (change) has no ‘value’."),
        ({"type": "change", "selectors": ["#a"], "value": 5}, "‘value’ must be text"),
        ({"type": "keyDown"}, "Step 1 (keyDown) has no ‘key’."),
        ({"type": "emulateNetworkConditions", "download": 1, "upload": 1}, "has no ‘latency’"),
        ({**VIEWPORT, "width": 0}, "‘width’ must be between 1 and 10,000 pixels"),
        ({**VIEWPORT, "isMobile": 0}, "‘isMobile’ must be true or false"),
        ({"type": "waitForElement", "selectors": ["#a"], "operator": ">"}, "‘operator’ must be one of >=, ==, <="),
        ({"type": "waitForElement", "selectors": ["#a"], "count": -1}, "‘count’ must be between 0"),
        ({"type": "waitForExpression"}, "has no ‘expression’"),
        ({"type": "customStep"}, "has no ‘name’"),
        ({"type": "scroll", "y": "down"}, "‘y’ must be a number"),
        ({"type": "navigate", "url": "file:///etc/passwd"}, "Step 1 (navigate): Addresses that begin with ‘file:’"),
        ({**CLICK, "assertedEvents": [{"type": "navigation", "url": "javascript:1"}]}, "begin with ‘javascript:’"),
    ],
)
def test_a_step_is_checked_field_by_field(step: dict[str, Any], expected: str) -> None:
    assert expected in fault(flow(step))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "FILE:/etc/passwd", " file:///x", "javascript:alert(1)", "java\nscript:alert(1)",
        "\x01javascript:alert(1)", "javascript:{{ code }}", "data:text/html,x", "chrome://settings", "about:config",
        "about:srcdoc", "blob:https://x/1", "ftp://x/", "view-source:https://x/", "/relative", "", "https://", "http:///x",
        "http:\\\\evil", "https:evil.example", "http://[", "vbscript:1",
    ],
)  # fmt: skip
def test_forbidden_addresses_are_refused(url: str) -> None:
    with pytest.raises(RecordingError):
        check_url(url)
    with pytest.raises(RecordingError):
        parse_recording(flow({"type": "navigate", "url": url}))
    with pytest.raises(RecordingError):
        validate_step({"type": "navigate", "url": url})


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a?b=c#d", "HTTP://example.org", "about:blank", "http://127.0.0.1:8000/demo/",
        "{{ base_url }}/claims", "https://{{ host }}/", "https://example.org/claims/{{ claim }}", "http://[::1]/",
    ],
)  # fmt: skip
def test_web_addresses_and_placeholders_are_accepted(url: str) -> None:
    check_url(url)
    assert validate_step({"type": "navigate", "url": url})["url"] == url


def test_chromes_new_tab_page_is_kept_in_a_recording_but_no_coach_may_ask_for_it() -> None:
    step = {"type": "navigate", "url": "chrome://new-tab-page/"}
    assert parse_recording(flow(step)).document["steps"] == [step]
    with pytest.raises(RecordingError, match="chrome:"):
        validate_step(step)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (None, "The action is not an object."),
        ([], "The action is not an object."),
        ({"type": "explode"}, "The action has the unknown type ‘explode’."),
        ({**CLICK, "selectors": []}, "The action has no selector."),
        ({**CLICK, "selectors": [[], "", [" "]]}, "The action has no selector."),
        ({**CLICK, "offsetX": float("nan")}, "The action holds a number that is not finite."),
        ({**CLICK, "note": "\ud800"}, "half a character"),
        ({**CLICK, "note": {1: 2}}, "a field whose name is not text"),
        ({**CLICK, "note": {1, 2}}, "something that is not JSON"),
    ],
)
def test_a_correction_must_be_a_valid_action(action: object, expected: str) -> None:
    with pytest.raises(RecordingError) as caught:
        validate_step(action)
    assert expected in str(caught.value)


def test_a_valid_correction_comes_back_as_a_copy_with_its_unknown_fields() -> None:
    action = {**CLICK, "x-note": {"by": ["coach"]}}
    checked = validate_step(action)
    assert checked == action
    checked["x-note"]["by"].append("other")
    assert action["x-note"] == {"by": ["coach"]}


@pytest.mark.parametrize(
    ("project", "expected"),
    [
        ({"tests": {}}, "has no tests"),
        ({"tests": []}, "has no tests"),
        ({"tests": [{}]}, "Test 1 of the Selenium IDE project has no name."),
        ({"tests": [{"name": "t"}]}, "Test ‘t’ has no list of commands."),
        ({"tests": [{"name": "t", "commands": []}]}, "no command that does anything"),
        ({"tests": [{"name": "t", "commands": [{"command": "//open"}]}]}, "no command that does anything"),
        ({"tests": [{"name": "t", "commands": [5]}]}, "Test ‘t’, command 1 is not an object."),
        ({"tests": [{"name": "t", "commands": [{"target": "x"}]}]}, "Test ‘t’, command 1 has no ‘command’."),
        ({"tests": [{"name": "t", "commands": [{"command": "open", "target": 5}]}]}, "‘target’ must be text"),
        ({"tests": [{"name": "t", "commands": [{"command": "open", "target": "file:///x"}]}]}, "‘file:’"),
        ({"url": 5, "tests": [{"name": "t", "commands": [{"command": "close"}]}]}, "‘url’ must be text"),
    ],
)
def test_a_broken_selenium_project_is_refused(project: dict[str, Any], expected: str) -> None:
    assert expected in fault(json.dumps(project).encode())


def test_a_real_file_with_an_unknown_step_type_names_the_step() -> None:
    assert fault((DATA / "invalid-test.json").read_bytes()) == "Step 3 has the unknown type ‘invalid’."
