"""Another demonstration shows what varies: differing parts become variables, the steps stay."""

from __future__ import annotations

from typing import Any

from coaching.recordings import (
    CompiledWorkflow,
    MergeResult,
    compile_workflow,
    fill,
    merge_demonstration,
    parse_recording,
)
from coaching.recordings.chrome_recorder import export
from coaching.recordings.compiled import known_values


def compiled(*steps: dict[str, Any]) -> CompiledWorkflow:
    return compile_workflow(parse_recording(export({"title": "T", "steps": list(steps)})))


def click(*selectors: str, **more: Any) -> dict[str, Any]:
    return {"type": "click", "selectors": [[one] for one in selectors], **more}


def change(value: str, *selectors: str) -> dict[str, Any]:
    return {"type": "change", "selectors": [[one] for one in selectors], "value": value}


def opened(url: str) -> dict[str, Any]:
    return {"type": "navigate", "url": url}


def merged(first: CompiledWorkflow, second: CompiledWorkflow) -> MergeResult:
    """Merges twice and checks that the second time changes nothing, and that the defaults replay the first."""
    result = merge_demonstration(first.steps, first.variables, second)
    again = merge_demonstration(result.steps, result.variables, second)
    assert (again.steps, again.variables, again.changed) == (result.steps, result.variables, ())
    values = known_values(result.variables)
    known = [fill(step.action, values | dict.fromkeys(first.secrets, "s")) for step in result.steps]
    before = [fill(step.action, values | dict.fromkeys(first.secrets, "s")) for step in first.steps]
    for new, old in zip(known, before, strict=True):
        kept = [entry for entry in old.get("selectors", []) if entry in new.get("selectors", [])]
        assert new in (old, {**old, "selectors": kept})
    return result


def test_different_typed_values_are_nothing_new() -> None:
    first = compiled(opened("https://x.example/"), change("1", "aria/Amount"), click("aria/Save"))
    second = compiled(opened("https://x.example/"), change("2", "aria/Amount"), click("aria/Save"))
    result = merged(first, second)
    assert (result.steps, result.variables, result.notes, result.changed) == (first.steps, first.variables, (), ())


def test_a_differing_name_becomes_one_variable_over_all_alternatives() -> None:
    first = compiled(click("aria/Open claim 17", "#claim-17 > a", "text/Open claim 17"))
    second = compiled(click("aria/Open claim 18", "#claim-18 > a", "text/Open claim 18"))
    result = merged(first, second)
    (variable,) = result.variables
    assert (variable.name, variable.label, variable.default, variable.secret) == ("claim", "Claim", "17", False)
    assert result.steps[0].action["selectors"] == [
        ["aria/Open claim {{ claim }}"], ["#claim-{{ claim }} > a"], ["text/Open claim {{ claim }}"],
    ]  # fmt: skip
    assert result.changed == ("click-open-claim-17",)
    assert result.steps[0].description == "Click “Open claim 17”"


def test_positions_that_only_follow_from_the_name_are_left_out() -> None:
    first = compiled(click("aria/Open 17", "xpath///tr[3]/td/a", "tr:nth-child(3) a"))
    second = compiled(click("aria/Open 18", "xpath///tr[4]/td/a", "tr:nth-child(4) a"))
    result = merged(first, second)
    assert result.steps[0].action["selectors"] == [["aria/Open {{ open }}"]]
    assert result.notes[0].message == "2 selectors that fit only one demonstration were left out."


def test_the_same_name_at_another_place_is_only_noted() -> None:
    first = compiled(click("aria/Edit", "xpath///tr[3]/td/a"))
    second = compiled(click("aria/Edit", "xpath///tr[4]/td/a"))
    result = merged(first, second)
    assert result.steps == first.steps
    assert [(note.step_index, "another place" in note.message) for note in result.notes] == [(0, True)]


def test_a_differing_address_becomes_a_variable_named_after_its_field() -> None:
    first = compiled(opened("https://x.example/claims/17/edit"), opened("https://x.example/list?year=2024&a=b"))
    second = compiled(opened("https://x.example/claims/18/edit"), opened("https://x.example/list?year=2025&a=b"))
    result = merged(first, second)
    assert [(one.name, one.default) for one in result.variables] == [("claims", "17"), ("year", "2024")]
    assert [step.action["url"] for step in result.steps] == [
        "https://x.example/claims/{{ claims }}/edit",
        "https://x.example/list?year={{ year }}&a=b",
    ]


def test_another_host_is_noted_and_changes_nothing() -> None:
    result = merged(compiled(opened("https://x.example/a")), compiled(opened("https://evil.example/a")))
    assert result.changed == ()
    assert result.notes[0].message == "The new demonstration opens another address: https://evil.example/a."


def test_a_typed_value_that_shows_up_in_a_name_uses_its_variable() -> None:
    first = compiled(change("Ada", "aria/Customer"), click("aria/Open Ada"))
    second = compiled(change("Bob", "aria/Customer"), click("aria/Open Bob"))
    result = merged(first, second)
    assert result.variables == first.variables
    assert result.steps[1].action["selectors"] == [["aria/Open {{ customer }}"]]


def test_the_same_pair_in_two_steps_is_one_variable() -> None:
    first = compiled(opened("https://x.example/claims/17"), click("aria/Approve claim 17"))
    second = compiled(opened("https://x.example/claims/18"), click("aria/Approve claim 18"))
    result = merged(first, second)
    assert [variable.name for variable in result.variables] == ["claims"]
    assert result.steps[1].action["selectors"] == [["aria/Approve claim {{ claims }}"]]


def test_results_follow_variables_but_never_make_one() -> None:
    def flow(claim: str, receipt: str) -> CompiledWorkflow:
        events = [{"type": "navigation", "url": f"https://x.example/claims/{claim}", "title": f"Receipt {receipt}"}]
        return compiled(change(claim, "aria/Claim"), click("aria/Go", assertedEvents=events))

    result = merged(flow("17", "aa"), flow("18", "bb"))
    (event,) = result.steps[1].action["assertedEvents"]
    assert event == {"type": "navigation", "url": "https://x.example/claims/{{ claim }}", "title": "Receipt aa"}
    assert [note.message for note in result.notes] == [
        "The demonstrations differ in the ‘title’ expected after this step."
    ]


def test_different_steps_are_noted_and_the_rest_still_aligned() -> None:
    first = compiled(opened("https://x.example/"), click("aria/Help"), click("aria/Open claim 17"), click("aria/Save"))
    second = compiled(
        opened("https://x.example/"), click("aria/Open claim 18"), {"type": "keyDown", "key": "Tab"}, click("aria/Save")
    )
    result = merged(first, second)
    assert [step.node_id for step in result.steps] == [step.node_id for step in first.steps]
    assert result.changed == ("click-open-claim-17",)
    assert [(note.step_index, note.message) for note in result.notes] == [
        (1, "The new demonstration does not have this step: Click “Help”."),
        (None, "The new demonstration has one more step: Press Tab."),
    ]


def test_unrelated_targets_are_never_merged() -> None:
    result = merged(compiled(click("aria/Delete account")), compiled(click("aria/Print")))
    assert result.changed == ()
    assert len(result.notes) == 2


def test_secrets_stay_secret_when_the_second_person_types_another_one() -> None:
    first = compiled(change("hunter2-first", "aria/Password"), click("aria/Sign in"))
    second = compiled(change("hunter2-second", "aria/Password"), click("aria/Sign in"))
    result = merged(first, second)
    assert result.variables == first.variables
    assert "hunter2" not in repr(result)


def test_a_third_demonstration_fits_what_the_second_opened() -> None:
    flows = [compiled(click(f"aria/Open claim {number}")) for number in (17, 18, 19)]
    second = merged(flows[0], flows[1])
    third = merge_demonstration(second.steps, second.variables, flows[2])
    assert (third.steps, third.variables, third.notes) == (second.steps, second.variables, ())
