"""Selenium IDE projects become the same user flows; nothing is dropped silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coaching.recordings import ParsedRecording, compile_workflow, parse_recording

DATA = Path(__file__).parent / "data" / "recordings"


def load(name: str) -> ParsedRecording:
    return parse_recording((DATA / name).read_bytes())


def project(*commands: tuple[str, ...], url: str = "https://shop.example/app/", **more: Any) -> ParsedRecording:
    listed = [dict(zip(("command", "target", "value"), command, strict=False)) for command in commands]
    tests = [{"id": "t1", "name": "first", "commands": listed}]
    return parse_recording(json.dumps({"name": "P", "url": url, "tests": tests, **more}).encode())


def only(*commands: tuple[str, ...]) -> dict[str, Any]:
    steps = project(*commands).document["steps"]
    assert len(steps) == 1
    step: dict[str, Any] = steps[0]
    return step


def test_a_login_compiles_with_all_recorded_alternatives() -> None:
    parsed = load("single-test.side")
    assert parsed.format == "selenium-ide"
    assert parsed.title == "the-internet"
    opened, window, username, password, login, check = parsed.document["steps"]
    assert opened == {"type": "navigate", "target": "main", "url": "http://the-internet.herokuapp.com/login"}
    assert (window["width"], window["height"]) == (1440, 1177)
    assert username["selectors"][:3] == [["#username"], ['[name="username"]'], ["xpath///input[@id='username']"]]
    assert (password["type"], password["value"]) == ("change", "SuperSecretPassword!")
    # The target was edited by hand: the alternatives left behind mean another element and are not used.
    assert login["selectors"] == [["#login button"]]
    assert check["type"] == "waitForExpression"
    assert 'innerText.trim() === "You logged into a secure area!\\n×"' in check["expression"]
    assert parsed.notes == ()


def test_frames_become_frame_indices() -> None:
    steps = load("frames.side").document["steps"]
    assert [step.get("frame") for step in steps] == [None, [0], [0], [0], [1], [1], [1], [1], [2]]
    assert ['aria/Test Link 1[role="link"]'] in steps[6]["selectors"]


def test_a_frame_that_cannot_be_told_stops_for_the_coach_until_it_can() -> None:
    parsed = project(
        ("selectFrame", "id=payment"), ("click", "id=a"), ("selectFrame", "relative=top"), ("click", "id=b")
    )
    names = [step.get("name", step["type"]) for step in parsed.document["steps"]]
    assert names == ["selenium-ide:selectFrame", "selenium-ide:click", "click"]


def test_another_window_is_never_taken_for_the_main_page() -> None:
    parsed = load("select-window.side")
    steps = parsed.document["steps"]
    assert [step["target"] for step in steps[-4:]] == [*["selenium-ide:win5336"] * 3, "main"]
    assert steps[-4]["name"] == "selenium-ide:selectWindow"
    assert steps[-2]["type"] == "close"


def test_control_flow_becomes_named_unsupported_steps() -> None:
    parsed = load("control-flow.side")
    assert parsed.notes[0].message == (
        "Imported ‘control flow if’; not imported: ‘control flow else if’, ‘control flow else’."
    )
    step = parsed.document["steps"][1]
    assert step["name"] == "selenium-ide:if"
    assert step["parameters"] == {"target": '${myVar} === "a"', "value": "", "comment": ""}
    assert any(note.step_index == 1 and "‘if’ is not supported" in note.message for note in parsed.notes)
    assert not compile_workflow(parsed).steps[1].supported


def test_a_constant_becomes_a_variable_and_a_rewritten_one_does_not() -> None:
    parsed = project(
        ("store", "Ada", "customerName"),
        ("type", "id=customer", "${customerName}"),
        ("assertText", "id=hello", "Hello ${customerName}"),
        ("storeText", "id=other", "customerName"),
        ("type", "id=customer", "${customerName}"),
    )
    assert parsed.constants == {"customer_name": "Ada"}
    first, check, _, second = parsed.document["steps"]
    assert first["value"] == "{{ customer_name }}"
    assert "Hello {{ customer_name }}" in check["expression"]
    assert second["name"] == "selenium-ide:type"
    assert second["parameters"]["value"] == "${customerName}"
    assert any("${customerName}" in note.message and note.step_index == 3 for note in parsed.notes)
    compiled = compile_workflow(parsed)
    assert [(spec.name, spec.default) for spec in compiled.variables] == [("customer_name", "Ada")]


def test_a_constant_for_a_password_field_becomes_a_secret() -> None:
    parsed = project(("store", "hunter2hunter2", "creds"), ("type", "id=password", "${creds}"))
    compiled = compile_workflow(parsed)
    assert compiled.secrets == {"creds": "hunter2hunter2"}
    assert "hunter2hunter2" not in repr(compiled)


def test_keys_typed_after_a_text_extend_it_and_special_keys_are_pressed() -> None:
    parsed = project(("type", "id=q", "selen"), ("sendKeys", "id=q", "ium${KEY_ENTER}"))
    kinds = [(step["type"], step.get("value") or step.get("key")) for step in parsed.document["steps"]]
    assert kinds == [("change", "selen"), ("change", "selenium"), ("keyDown", "Enter"), ("keyUp", "Enter")]
    assert parsed.notes == ()


def test_keys_for_an_element_without_focus_click_it_first() -> None:
    steps = project(("sendKeys", "id=q", "${KEY_TAB}")).document["steps"]
    assert [step["type"] for step in steps] == ["click", "keyDown", "keyUp"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("open", "claims/new"), {"type": "navigate", "url": "https://shop.example/app/claims/new"}),
        (("open", "//other.example/x"), {"type": "navigate", "url": "https://other.example/x"}),
        (("clickAt", "css=a", "12, 7.5"), {"type": "click", "offsetX": 12.0, "offsetY": 7.5}),
        (("clickAt", "css=a", ""), {"type": "click", "selectors": [["a"]]}),
        (("doubleClick", "id=1a"), {"type": "doubleClick", "selectors": [["#\\31 a"]]}),
        (("click", "id=a.b:c"), {"selectors": [["#a\\.b\\:c"]]}),
        (("click", "//button[1]"), {"selectors": [["xpath///button[1]"]]}),
        (("click", 'partialLinkText=a "b"'), {"selectors": [["xpath///a[contains(normalize-space(.), 'a \"b\"')]"]]}),
        (("mouseOver", "name=menu"), {"type": "hover", "selectors": [['[name="menu"]']]}),
        (("select", "id=c", "label=Travel"), {"type": "change", "value": "Travel"}),
        (("select", "id=c", "value=7"), {"type": "change", "value": "7"}),
        (("check", "id=c"), {"type": "click"}),
        (("waitForElementPresent", "id=c", "90000"), {"operator": ">=", "count": 1, "timeout": 30_000}),
        (("waitForElementNotPresent", "id=c", "0"), {"operator": "==", "count": 0, "timeout": 1}),
        (("assertElementPresent", "id=c"), {"type": "waitForElement", "operator": ">=", "count": 1}),
        (("waitForElementVisible", "id=c", "5"), {"type": "waitForElement", "visible": True, "timeout": 5}),
        (("verifyTitle", 'A "B"'), {"expression": 'document.title === "A \\"B\\""'}),
        (("assertChecked", "id=c"), {"expression": 'document.querySelector("#c")?.checked === true'}),
        (("verifyText", "xpath=//h", " x "), {
            "expression": 'document.evaluate("//h", document, null, 9, null).singleNodeValue?.innerText.trim() === "x"',
        }),
        (("pause", "1500"), {"timeout": 6_500}),
        (("close",), {"type": "close"}),
        (("select", "id=c", "index=3"), {"name": "selenium-ide:select"}),
        (("setWindowSize", "0x0"), {"name": "selenium-ide:setWindowSize"}),
        (("setWindowSize", "wide"), {"name": "selenium-ide:setWindowSize"}),
        (("click", "ui=mystery"), {"name": "selenium-ide:click"}),
        (("sendKeys", "id=a", "${KEY_ENTER}more"), {"name": "selenium-ide:sendKeys"}),
        (("pause", "60000"), {"name": "selenium-ide:pause"}),
        (("executeScript", "return 1", "x"), {"name": "selenium-ide:executeScript"}),
        (("dragAndDropToObject", "id=a", "id=b"), {"name": "selenium-ide:dragAndDropToObject"}),
        (("myPlugin", "x", "y"), {"name": "selenium-ide:myPlugin"}),
    ],
)  # fmt: skip
def test_each_command_has_its_equivalent_or_stops(command: tuple[str, ...], expected: dict[str, Any]) -> None:
    step = only(command)
    assert {name: step.get(name) for name in expected} == expected


def test_a_relative_address_without_a_project_address_stops_for_the_coach() -> None:
    step = project(("open", "/login"), url="").document["steps"][0]
    assert step["name"] == "selenium-ide:open"


def test_disabled_commands_comments_and_echoes_are_noted() -> None:
    parsed = project(("//click", "id=a"), ("", ""), ("echo", "hi"), ("close",))
    assert [step["type"] for step in parsed.document["steps"]] == ["close"]
    assert [note.message for note in parsed.notes] == [
        "The disabled command ‘click’ was left out.",
        "An empty command was left out.",
        "‘echo’ does nothing on the page and was left out.",
    ]


@pytest.mark.parametrize(("persist", "count"), [(True, 2), (False, 1)])
def test_a_suite_in_one_session_is_imported_whole_and_in_order(persist: bool, count: int) -> None:
    tests = [
        {"id": name, "name": name, "commands": [{"command": "open", "target": f"/{name}"}]} for name in ("a", "b", "c")
    ]
    suites = [{"name": "empty", "tests": []}, {"name": "s", "tests": ["c", "a"], "persistSession": persist}]
    data = json.dumps({"name": "P", "url": "http://x.example", "tests": tests, "suites": suites}).encode()
    parsed = parse_recording(data)
    assert [step["url"][-1] for step in parsed.document["steps"]] == ["c", "a"][:count]
    assert "‘b’" in parsed.notes[0].message
