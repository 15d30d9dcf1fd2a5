"""Every real recording in the shared folder imports and comes back, or gives an error naming its fault."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coaching.recordings import (
    RecordingError,
    compile_workflow,
    export,
    export_document,
    fill_known,
    merge_demonstration,
    parse_recording,
)

SHARED = Path(__file__).resolve().parents[3] / "shared" / "recordings"
FILES = sorted(path for path in SHARED.rglob("*") if path.suffix in {".json", ".side"})
BROKEN = {"invalid-test.json": "Step 3 has the unknown type ‘invalid’."}
VALID = [path for path in FILES if path.name not in BROKEN]

pytestmark = pytest.mark.skipif(
    not FILES, reason="the folder ../shared/recordings (real recordings) is not beside this project"
)


def label(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", [path for path in FILES if path.name in BROKEN], ids=label)
def test_a_broken_file_gives_an_error_naming_its_fault(path: Path) -> None:
    with pytest.raises(RecordingError) as caught:
        parse_recording(path.read_bytes())
    assert str(caught.value) == BROKEN[path.name]


@pytest.mark.parametrize("path", VALID, ids=label)
def test_import_of_an_export_is_the_same_recording(path: Path) -> None:
    parsed = parse_recording(path.read_bytes())
    again = parse_recording(export(parsed.document))
    assert again.format == "chrome-recorder"
    assert again.document == parsed.document
    if parsed.format == "chrome-recorder":
        assert parsed.document == json.loads(path.read_bytes())


@pytest.mark.parametrize("path", VALID, ids=label)
def test_a_compiled_workflow_exports_what_was_recorded_except_secrets(path: Path) -> None:
    parsed = parse_recording(path.read_bytes())
    compiled = compile_workflow(parsed)
    exported = export_document(compiled.header, [step.action for step in compiled.steps], compiled.variables)
    constants = {name: value for name, value in parsed.constants.items() if name not in compiled.secrets}
    assert exported == fill_known(compiled.document, constants)
    # The secrets put back, it is the recording itself.
    assert fill_known(exported, compiled.secrets) == fill_known(parsed.document, parsed.constants)
    assert parse_recording(export(exported)).document == exported


@pytest.mark.parametrize("path", VALID, ids=label)
def test_compiled_parts_are_complete_and_free_of_secrets(path: Path) -> None:
    compiled = compile_workflow(parse_recording(path.read_bytes()))
    assert len({step.node_id for step in compiled.steps}) == len(compiled.steps) > 0
    assert all(step.description for step in compiled.steps)
    assert {step.action_type for step in compiled.steps if not step.supported} <= {"customStep"}
    assert all(variable.default == "" for variable in compiled.variables if variable.secret)
    for value in compiled.secrets.values():
        assert value not in repr(compiled)


@pytest.mark.parametrize("path", VALID, ids=label)
def test_merging_the_same_recording_changes_nothing(path: Path) -> None:
    compiled = compile_workflow(parse_recording(path.read_bytes()))
    merged = merge_demonstration(compiled.steps, compiled.variables, compiled)
    assert (merged.steps, merged.variables) == (compiled.steps, compiled.variables)
    assert (merged.notes, merged.changed) == ((), ())


@pytest.mark.parametrize("path", [path for path in VALID if path.suffix == ".side"], ids=label)
def test_no_selenium_command_is_dropped_silently(path: Path) -> None:
    project = json.loads(path.read_bytes())
    parsed = parse_recording(path.read_bytes())
    notes = " ".join(note.message for note in parsed.notes)
    if len(project["tests"]) > 1:
        assert all(f"‘{test['name']}’" in notes for test in project["tests"])
    for index, step in enumerate(parsed.document["steps"]):
        if step["type"] == "customStep":
            assert step["name"].startswith("selenium-ide:")
            assert any(note.step_index == index for note in parsed.notes)
