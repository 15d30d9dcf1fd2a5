"""Values of secret fields leave the recording before anything can store or show them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coaching.recordings import CompiledWorkflow, RecordingError, compile_workflow, fill_known, parse_recording
from coaching.recordings.chrome_recorder import export

SECRET = "hunter2-Öl!"


def compiled(*steps: dict[str, Any], title: str = "T") -> CompiledWorkflow:
    return compile_workflow(parse_recording(export({"title": title, "steps": list(steps)})))


def change(value: str, *selectors: str) -> dict[str, Any]:
    return {"type": "change", "selectors": [[one] for one in selectors], "value": value}


def keys(text: str) -> list[dict[str, Any]]:
    return [{"type": kind, "key": letter, "target": "main"} for letter in text for kind in ("keyDown", "keyUp")]


def shown(workflow: CompiledWorkflow) -> str:
    parts = (workflow.name, workflow.start_url, workflow.header, workflow.variables, workflow.steps, workflow.document)
    return json.dumps([repr(part) for part in (*parts, workflow.notes, workflow)], ensure_ascii=False)


@pytest.mark.parametrize(
    "selector",
    [
        "aria/Password", "aria/Enter your PIN", "aria/Passwort wiederholen", "#user_pass", "#newPassword1",
        "#loginpassword", 'input[type="password"]', '[name="cvv"]', "aria/Kennwort", "aria/Contraseña",
        "aria/Mot de passe", "aria/API key", '[data-test="api-key"]', "aria/Access token",
        "aria/Client secret", "xpath///input[@type='password']", "#password-field > div > input",
        "input.password", "aria/Card code (CVC)",
    ],
)  # fmt: skip
def test_secret_fields_are_recognised_word_by_word(selector: str) -> None:
    workflow = compiled(change(SECRET, selector))
    (variable,) = workflow.variables
    assert variable.secret
    assert variable.default == ""
    assert workflow.secrets == {variable.name: SECRET}
    assert "hunter2" not in shown(workflow)
    assert workflow.steps[0].description.startswith("Type “***” into")


@pytest.mark.parametrize(
    "selectors",
    [
        ("aria/Shipping address",), ("aria/Secretary",), ("aria/Compass",), ("aria/Spinner",), ("#tanks",),
        ("aria/Username", "#password-form > input"), ("#token-list #owner",), ("aria/Boarding pass number",),
    ],
)  # fmt: skip
def test_other_fields_are_not(selectors: tuple[str, ...]) -> None:
    assert not compiled(change("x", *selectors)).variables[0].secret


def test_the_value_is_found_wherever_else_it_stands() -> None:
    workflow = compiled(
        {"type": "navigate", "url": "https://x.example/?p=hunter2-%C3%96l%21"},
        change(SECRET, "aria/Password"),
        {
            "type": "click",
            "selectors": [[f"text/{SECRET}"]],
            "assertedEvents": [{"type": "navigation", "title": SECRET}],
        },
        change(f"user:{SECRET}", "aria/Note"),
        {"type": "waitForExpression", "expression": f"pw === '{SECRET}'"},
        {"type": "customStep", "name": "x", "parameters": {"deep": [SECRET]}},
        {"type": "close", "x-extra": SECRET},
        title=f"Login with {SECRET}",
    )
    assert "hunter2" not in shown(workflow)
    assert workflow.name == "Login with ***"
    assert workflow.steps[2].action["selectors"] == [["text/{{ password }}"]]
    assert fill_known(workflow.document, workflow.secrets)["steps"][2]["selectors"] == [[f"text/{SECRET}"]]
    # A value that holds the secret is one itself.
    assert {one.name: one.secret for one in workflow.variables} == {"password": True, "note": True}


def test_an_ordinary_word_as_password_leaves_page_text_alone() -> None:
    workflow = compiled(
        change("admin", "aria/User name"), change("admin", "#password"), {"type": "click", "selectors": ["#admin-link"]}
    )
    assert workflow.secrets == {"user_name": "admin", "password": "admin"}
    assert [step.action["selectors"] for step in workflow.steps][-1] == ["#admin-link"]


def test_a_password_that_is_the_name_of_its_field_keeps_the_field_findable() -> None:
    workflow = compiled(change("password", "aria/Your password", "#password"))
    assert workflow.steps[0].action["selectors"] == [["aria/Your password"], ["#password"]]
    assert workflow.document["steps"][0]["value"] == "{{ your_password }}"


def test_two_secrets_that_contain_each_other_are_both_hidden() -> None:
    workflow = compiled(change("sesame12", "#password"), change("sesame12-longer", "#pin"))
    assert "sesame" not in shown(workflow)
    assert workflow.secrets == {"password": "sesame12", "pin": "sesame12-longer"}


def test_a_password_typed_key_by_key_becomes_one_step() -> None:
    focus = {"type": "click", "selectors": [["aria/PIN"]], "target": "main", "frame": [0]}
    enter = [{"type": "keyDown", "key": "Enter"}, {"type": "keyUp", "key": "Enter"}]
    shift = {"type": "keyDown", "key": "Shift"}
    back = [{"type": "keyDown", "key": "Backspace"}, {"type": "keyUp", "key": "Backspace"}]
    workflow = compiled(focus, *keys("7"), shift, *keys("Xy"), *back, *keys("9")[:1], *enter, keys("9")[1])
    assert [step.action_type for step in workflow.steps] == ["click", "change", "keyDown", "keyUp"]
    assert workflow.secrets == {"pin": "7X9"}
    assert workflow.document["steps"][1] == {
        "type": "change", "selectors": [["aria/PIN"]], "value": "{{ pin }}", "target": "main", "frame": [0],
    }  # fmt: skip
    assert [(note.step_index, note.message) for note in workflow.notes] == [
        (1, "The keys typed into the secret field “PIN” were joined to one step.")
    ]


def test_keys_recorded_beside_the_change_are_left_out() -> None:
    steps = [*keys("abc12"), {"type": "keyDown", "key": "Tab"}, change("abc12", "#password")]
    workflow = compiled(*steps)
    assert [step.action_type for step in workflow.steps] == ["keyDown", "change"]
    assert workflow.secrets == {"password": "abc12"}
    assert len(workflow.notes) == 1


def test_shortcuts_and_keys_for_other_fields_stay() -> None:
    focus = {"type": "click", "selectors": [["aria/Password"]]}
    paste = [{"type": "keyDown", "key": "Control"}, *keys("v"), {"type": "keyUp", "key": "Control"}]
    other = [{"type": "click", "selectors": [["aria/Search"]]}, *keys("ab")]
    steps: list[dict[str, Any]] = [focus, *paste, *other]
    assert compiled(*steps).document["steps"] == steps


def test_too_many_different_secrets_are_refused() -> None:
    with pytest.raises(RecordingError, match="more than 50 different secrets"):
        compiled(*[change(f"secret-{number}", "#password") for number in range(51)])


@given(
    secret=st.from_regex(r"[a-z]{4}[0-9]{3}[!-/:-@]{2}[A-Z]{3}", fullmatch=True),
    before=st.text(max_size=5),
    after=st.text(max_size=5),
)
def test_a_distinctive_secret_never_shows(secret: str, before: str, after: str) -> None:
    text = f"{before}{secret}{after}".replace("\x00", "").encode("utf-8", "ignore").decode()
    workflow = compiled(
        change(text, "aria/Comment"),
        change(secret, "aria/Password"),
        {"type": "click", "selectors": [[f"text/{text}"]]},
        {"type": "waitForExpression", "expression": text},
        title=text,
    )
    everything: list[Any] = [workflow.name, workflow.document, workflow.header]
    everything += [[step.action, step.description, step.node_id] for step in workflow.steps]
    everything += [[spec.name, spec.label, spec.default] for spec in workflow.variables]
    assert secret not in json.dumps(everything, ensure_ascii=False).replace("\\\\", "\\")
    assert secret not in str(everything)
