"""Compiling a recording: variables named after their fields, node ids, risk, literal text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coaching.recordings import (
    CompiledWorkflow,
    ParsedRecording,
    compile_workflow,
    export_document,
    fill,
    parse_recording,
)
from coaching.recordings.chrome_recorder import export
from coaching.recordings.compiled import known_values

DATA = Path(__file__).parent / "data" / "recordings"


def click(*selectors: str) -> dict[str, Any]:
    return {"type": "click", "target": "main", "selectors": [[one] for one in selectors], "offsetX": 1, "offsetY": 1}


def change(value: str, *selectors: str) -> dict[str, Any]:
    return {"type": "change", "target": "main", "selectors": [[one] for one in selectors], "value": value}


def parsed(*steps: dict[str, Any], **header: Any) -> ParsedRecording:
    return parse_recording(export({"title": "T", **header, "steps": list(steps)}))


def compiled(*steps: dict[str, Any], **header: Any) -> CompiledWorkflow:
    return compile_workflow(parsed(*steps, **header))


def exported(workflow: CompiledWorkflow) -> dict[str, Any]:
    return export_document(workflow.header, [step.action for step in workflow.steps], workflow.variables)


@pytest.mark.parametrize(
    ("selectors", "name", "label"),
    [
        (("aria/Amount (EUR)", "#a"), "amount_eur", "Amount (EUR)"),
        (('aria/Category[role="combobox"]', "#a"), "category", "Category"),
        (("#claim-amount", "xpath///*[@id=\"claim-amount\"]"), "claim_amount", "Claim amount"),
        (("#firstName",), "first_name", "First name"),
        (('[name="customer"]',), "customer", "Customer"),
        (('[data-testid=total]', "#x > div:nth-child(2) > input"), "total", "Total"),
        (('input[placeholder="Your town"]',), "your_town", "Your town"),
        (("#x > div:nth-child(2) > textarea",), "textarea", "Textarea"),
        (("text/Straße",), "strasse", "Straße"),
        (("aria/金額",), "value", "金額"),
        (("aria/2nd line",), "value_2nd_line", "2nd line"),
        (("aria/class",), "class_value", "class"),
        (("pierce/#town",), "town", "Town"),
        (("xpath///input[@name='zip']",), "zip", "Zip"),
    ],
)  # fmt: skip
def test_a_typed_value_is_a_variable_named_after_its_field(selectors: tuple[str, ...], name: str, label: str) -> None:
    workflow = compiled(change("42.50", *selectors))
    (variable,) = workflow.variables
    assert (variable.name, variable.label, variable.secret, variable.default) == (name, label, False, "42.50")
    assert workflow.steps[0].action["value"] == f"{{{{ {name} }}}}"
    assert workflow.document["steps"][0]["value"] == "42.50"


def test_shadow_chains_are_named_by_their_innermost_part() -> None:
    step = {"type": "change", "selectors": [["#host", "my-form", "#town"]], "value": "x"}
    assert compiled(step).variables[0].name == "town"


def test_equal_fields_share_a_variable_only_when_they_hold_the_same() -> None:
    workflow = compiled(change("a", "#x"), change("a", "#x"), change("b", "#x"), change("a", "#y"))
    assert [(one.name, one.label, one.default) for one in workflow.variables] == [
        ("x", "X", "a"), ("x_2", "X (2)", "b"), ("y", "Y", "a"),
    ]  # fmt: skip
    assert [step.action["value"] for step in workflow.steps] == ["{{ x }}", "{{ x }}", "{{ x_2 }}", "{{ y }}"]


def test_ticks_and_cleared_fields_are_no_variables() -> None:
    workflow = compiled(
        click("#agree"), change("on", "#agree"), change("", "#note"), change("x", 'aria/A[role="radio"]')
    )
    assert workflow.variables == ()
    assert [step.action for step in workflow.steps] == workflow.document["steps"]


def test_node_ids_are_readable_unique_and_without_values() -> None:
    workflow = compiled(
        {"type": "navigate", "url": "https://example.org/demo/claims/?token=abc"},
        click("aria/New claim"),
        change("42.50", "aria/Amount"),
        click("aria/New claim"),
        {"type": "keyDown", "key": "Enter"},
        {"type": "customStep", "name": "x", "parameters": {}},
    )
    assert [step.node_id for step in workflow.steps] == [
        "navigate-demo-claims", "click-new-claim", "change-amount", "click-new-claim-2", "key-down-enter", "custom-x",
    ]  # fmt: skip
    again = compiled(click("aria/New claim"), change("17", "aria/Amount"))
    assert [step.node_id for step in again.steps] == ["click-new-claim", "change-amount"]


@pytest.mark.parametrize(
    ("name", "risk"),
    [
        ("Submit claim", "irreversible"), ("Pay now", "irreversible"), ("DELETE", "irreversible"),
        ("Place order", "irreversible"), ("Book flight", "irreversible"), ("Sign contract", "irreversible"),
        ("Löschen", "irreversible"), ("Kostenpflichtig bestellen", "irreversible"),
        ("Antrag einreichen", "irreversible"),
        ("Envoyer", "irreversible"), ("Réserver", "irreversible"), ("Eliminar", "irreversible"),
        ("Sign in", "reversible"), ("Sign up", "reversible"), ("Log in", "reversible"), ("Anmelden", "reversible"),
        ("Search", "reversible"), ("New claim", "reversible"), ("Orders", "reversible"), ("Sender", "reversible"),
        ("Book cover", "irreversible"), ("My first book", "reversible"), ("Order history", "reversible"),
    ],
)  # fmt: skip
def test_risk_is_guessed_from_the_words_on_the_element(name: str, risk: str) -> None:
    assert compiled(click(f'aria/{name}[role="button"]')).steps[0].risk == risk


def test_risk_of_identifiers_submit_buttons_and_enter() -> None:
    steps = (
        click("#delete-claim"),
        click('button[type="submit"]'),
        {"type": "doubleClick", "selectors": ["aria/Remove"], "offsetX": 1, "offsetY": 1},
        {"type": "hover", "selectors": ["aria/Remove"]},
        {"type": "keyDown", "key": "Enter"},
        click("aria/Send"),
        {"type": "keyDown", "key": "Enter"},
        {"type": "keyUp", "key": "Enter"},
    )
    risks = [step.risk == "irreversible" for step in compiled(*steps).steps]
    assert risks == [True, True, True, False, True, True, True, False]


def test_steps_that_cannot_be_performed_are_marked() -> None:
    workflow = compiled(
        {"type": "navigate", "url": "chrome://new-tab-page/"},
        {"type": "navigate", "url": "https://example.org/"},
        {"type": "customStep", "name": "lighthouse"},
        {"type": "emulateNetworkConditions", "download": 1, "upload": 1, "latency": 1},
    )
    assert [step.supported for step in workflow.steps] == [False, True, False, True]
    assert workflow.start_url == "https://example.org/"
    assert [(note.step_index, "new-tab page" in note.message) for note in workflow.notes] == [(0, True)]


def test_a_step_without_selectors_is_kept_and_noted() -> None:
    workflow = compiled({"type": "click", "selectors": []})
    assert workflow.steps[0].description == "Click an element without a selector"
    assert workflow.notes[0].step_index == 0


def test_header_and_unknown_fields_survive_the_round_trip() -> None:
    step = {**click("aria/Save"), "x-extra": {"deep": [1, 2.5, None]}}
    workflow = compiled(step, timeout=7000, selectorAttribute="data-testid", other=["x"])
    assert workflow.header == {"title": "T", "timeout": 7000, "selectorAttribute": "data-testid", "other": ["x"]}
    assert exported(workflow) == workflow.document


def test_text_that_looks_like_a_placeholder_is_performed_and_exported_as_recorded() -> None:
    steps = (
        click("text/{{ title }}", "aria/{{title}} of {{ amount }}"),
        change("12", "aria/Amount"),
        change("Dear {{ name }},", "aria/Greeting"),
        {"type": "waitForExpression", "expression": "document.title === '{{ title }}'"},
    )
    recording = parsed(*steps)
    workflow = compile_workflow(recording)
    assert exported(workflow) == recording.document == workflow.document
    filled = [fill(step.action, known_values(workflow.variables)) for step in workflow.steps]
    assert filled == recording.document["steps"]
    # The typed amount does not take the name that stands in the recording as text.
    assert workflow.steps[1].action["value"] == "{{ amount_2 }}"


def test_a_value_that_is_exactly_a_placeholder_is_that_variable() -> None:
    recording = parsed(
        {"type": "navigate", "url": "{{ base_url }}/claims"},
        change("{{ town }}", "aria/Place"),
        change("{{ pw }}", "aria/Password"),
        click("text/Claims in {{ town }}"),
    )
    workflow = compile_workflow(recording)
    assert [(one.name, one.label, one.secret, one.default) for one in workflow.variables] == [
        ("base_url", "Base url", False, ""), ("town", "Place", False, ""), ("pw", "Password", True, ""),
    ]  # fmt: skip
    assert workflow.secrets == {}
    assert workflow.start_url == "{{ base_url }}/claims"
    assert exported(workflow) == recording.document


def test_an_export_with_secrets_comes_back_as_the_same_workflow() -> None:
    first = compile_workflow(parse_recording((DATA / "saucedemo-login.json").read_bytes()))
    second = compile_workflow(parse_recording(export(exported(first))))
    assert second.variables == first.variables
    assert second.steps == first.steps
    assert (first.secrets, second.secrets) == ({"password": "secret_sauce"}, {})
