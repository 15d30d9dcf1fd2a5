"""Properties of the parser: nothing but RecordingError for any input, and every valid flow comes back."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from coaching.recordings import (
    ParsedRecording,
    RecordingError,
    compile_workflow,
    describe,
    export,
    export_document,
    fill_known,
    merge_demonstration,
    parse_recording,
    validate_step,
)

# Only characters that JSON files and databases can hold.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
NUMBER = st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6))
ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBER, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
PIECE = st.one_of(
    TEXT,
    st.sampled_from(
        ["#amount", "aria/Amount", 'aria/A[role="button"]', "text/{{ amount }}", "xpath///a[1]", "aria/Password"]
    ),
)  # fmt: skip
SELECTORS = st.lists(st.one_of(PIECE, st.lists(PIECE, min_size=1, max_size=3)), min_size=1, max_size=3)
VALUE = st.one_of(TEXT, st.sampled_from(["{{ amount }}", "{{amount}}", "x {{ amount }}", "hunter2-secret", "on", ""]))
URL = st.one_of(TEXT.map(lambda text: "https://x.example/" + text), st.just("{{ base }}/a"), st.just("about:blank"))
EVENTS = st.lists(
    st.fixed_dictionaries({"type": st.just("navigation")}, optional={"url": URL, "title": TEXT}), max_size=2
)
PAGE = {
    "target": st.sampled_from(["main", "https://popup.example/"]),
    "timeout": st.integers(1, 30_000),
    "assertedEvents": EVENTS,
}
FRAME = {**PAGE, "frame": st.lists(st.integers(0, 5), max_size=3)}
POINTER = {**FRAME, "offsetX": NUMBER, "offsetY": NUMBER, "button": st.sampled_from(["primary", "secondary"])}


def step(kind: str, optional: dict[str, Any], **required: Any) -> st.SearchStrategy[dict[str, Any]]:
    known = st.fixed_dictionaries({"type": st.just(kind), **required}, optional=optional)
    extra = st.dictionaries(TEXT.map(lambda text: f"x-{text}"), ANY_JSON, max_size=2)
    return st.builds(lambda one, more: {**more, **one}, known, extra)


STEP = st.one_of(
    step("change", FRAME, selectors=SELECTORS, value=VALUE),
    step("click", {**POINTER, "duration": st.integers(0, 30_000)}, selectors=SELECTORS),
    step("close", PAGE),
    step("customStep", {**FRAME, "parameters": ANY_JSON}, name=TEXT),
    step("doubleClick", POINTER, selectors=SELECTORS),
    step("emulateNetworkConditions", PAGE, download=NUMBER, upload=NUMBER, latency=NUMBER),
    step("hover", FRAME, selectors=SELECTORS),
    step("keyDown", PAGE, key=st.one_of(TEXT, st.sampled_from(["Enter", "a", "b", "Shift", "Control", "Backspace"]))),
    step("keyUp", PAGE, key=st.one_of(TEXT, st.sampled_from(["Enter", "a", "b", "Shift", "Control", "Backspace"]))),
    step("navigate", PAGE, url=URL),
    step("scroll", {**FRAME, "selectors": SELECTORS, "x": NUMBER, "y": NUMBER}),
    step(
        "setViewport", PAGE, width=st.integers(1, 9999), height=st.integers(1, 9999), deviceScaleFactor=st.just(1),
        isMobile=st.booleans(), hasTouch=st.booleans(), isLandscape=st.booleans(),
    ),
    step(
        "waitForElement",
        {**FRAME, "operator": st.sampled_from([">=", "==", "<="]), "count": st.integers(0, 9)},
        selectors=SELECTORS,
    ),
    step("waitForExpression", FRAME, expression=TEXT),
)  # fmt: skip
FLOW = st.fixed_dictionaries(
    {"title": TEXT, "steps": st.lists(STEP, min_size=1, max_size=6)},
    optional={"timeout": st.integers(1, 30_000), "selectorAttribute": TEXT, "x-more": ANY_JSON},
)
COMMAND = st.fixed_dictionaries(
    {
        "command": st.one_of(
            TEXT,
            st.sampled_from(
                ["open", "click", "clickAt", "type", "sendKeys", "store", "select", "selectFrame", "close", "if", "end",
                 "waitForElementPresent", "assertText", "pause", "selectWindow", "storeWindowHandle"]
            ),
        ),
        "target": st.one_of(TEXT, st.sampled_from(["id=a", "css=b", "//a", "index=1", "relative=parent", "${v}", "/"])),
        "value": st.one_of(TEXT, st.sampled_from(["v", "${v}", "${KEY_ENTER}", "label=x", "1,2", "5000", "{{ v }}"])),
    },
    optional={"targets": ANY_JSON, "frameLocation": TEXT, "opensWindow": st.booleans(), "windowHandleName": TEXT},
)  # fmt: skip
PROJECT = st.fixed_dictionaries(
    {"url": st.just("http://x.example"), "tests": st.lists(
        st.fixed_dictionaries({"name": TEXT, "commands": st.lists(COMMAND, max_size=6)}), max_size=2)},
    optional={"name": TEXT, "suites": ANY_JSON},
)  # fmt: skip
SLOW = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def parsed_or_none(data: bytes) -> ParsedRecording | None:
    """Anything but a RecordingError fails the test that calls this."""
    try:
        return parse_recording(data)
    except RecordingError:
        return None


def comes_back_if_it_parses(data: bytes) -> None:
    parsed = parsed_or_none(data)
    assert parsed is None or parse_recording(export(parsed.document)).document == parsed.document


@given(st.binary(max_size=200))
@example(b'{"tests": [[]]}')
@example(b'{"steps": 1e400}')
def test_any_bytes(data: bytes) -> None:
    comes_back_if_it_parses(data)


@SLOW
@given(ANY_JSON, st.sampled_from(["steps", "tests", "title"]))
def test_any_json_where_a_recording_is_expected(value: Any, name: str) -> None:
    comes_back_if_it_parses(json.dumps({"title": "T", "name": "N", name: value}).encode())
    comes_back_if_it_parses(json.dumps(value).encode())


@SLOW
@given(STEP, st.data())
def test_any_damage_to_a_valid_step(action: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(action)))
    damaged = {**action, name: data.draw(ANY_JSON)}
    comes_back_if_it_parses(json.dumps({"title": "T", "steps": [damaged]}).encode())
    try:
        checked = validate_step(damaged)
    except RecordingError:
        return
    assert checked == damaged
    assert describe(checked)


@SLOW
@given(FLOW)
def test_every_valid_flow_round_trips(flow: dict[str, Any]) -> None:
    parsed = parse_recording(json.dumps(flow).encode())
    assert parsed.document == flow
    assert parse_recording(export(flow)).document == flow


@SLOW
@given(FLOW)
def test_every_valid_flow_compiles_and_exports_again(flow: dict[str, Any]) -> None:
    compiled = compile_workflow(parse_recording(export(flow)))
    actions = [step.action for step in compiled.steps]
    exported = export_document(compiled.header, actions, compiled.variables)
    assert exported == compiled.document
    assert parse_recording(export(exported)).document == exported
    assert len({step.node_id for step in compiled.steps}) == len(compiled.steps)
    assert len({variable.name for variable in compiled.variables}) == len(compiled.variables)
    assert all(describe(action) for action in actions)
    joined = len(compiled.steps) != len(flow["steps"])
    if not joined and not compiled.secrets:
        assert compiled.document == flow
    for value in compiled.secrets.values():
        if len(value) >= 8:
            assert value not in json.dumps([compiled.document, actions], ensure_ascii=False)


@SLOW
@given(FLOW, FLOW)
def test_merging_is_idempotent_and_keeps_the_steps(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (compile_workflow(parse_recording(export(flow))) for flow in (one, other))
    same = merge_demonstration(first.steps, first.variables, first)
    assert (same.steps, same.variables, same.changed) == (first.steps, first.variables, ())
    merged = merge_demonstration(first.steps, first.variables, second)
    assert [step.node_id for step in merged.steps] == [step.node_id for step in first.steps]
    again = merge_demonstration(merged.steps, merged.variables, second)
    assert (again.steps, again.variables, again.changed) == (merged.steps, merged.variables, ())


@SLOW
@given(PROJECT)
def test_any_selenium_project_compiles_or_says_why(project: dict[str, Any]) -> None:
    data = json.dumps(project).encode()
    comes_back_if_it_parses(data)
    parsed = parsed_or_none(data)
    if parsed is None:
        return
    compiled = compile_workflow(parsed)
    exported = export_document(compiled.header, [step.action for step in compiled.steps], compiled.variables)
    constants = {name: value for name, value in parsed.constants.items() if name not in compiled.secrets}
    assert exported == fill_known(compiled.document, constants)
