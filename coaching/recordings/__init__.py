"""Recordings: parse them, compile them to workflows, merge demonstrations, export them. Pure functions, no Django."""

from __future__ import annotations

from coaching.recordings.addresses import check_url
from coaching.recordings.chrome_recorder import export, validate_step
from coaching.recordings.compiled import CompiledWorkflow, StepSpec, VariableSpec, export_document
from coaching.recordings.demonstrations import MergeResult, merge_demonstration
from coaching.recordings.document import MAX_BYTES, MAX_STEPS, ImportNote, ParsedRecording, RecordingError, check_json
from coaching.recordings.parsed import parse_recording
from coaching.recordings.risk import guess_risk, sending_is_harmless
from coaching.recordings.sensitive import Redactor, types_a_secret
from coaching.recordings.targets import target_of
from coaching.recordings.variables import MissingVariable, fill, fill_known, mask, names_in, unmask
from coaching.recordings.wording import describe
from coaching.recordings.workflow import compile_workflow

__all__ = [
    "MAX_BYTES",
    "MAX_STEPS",
    "CompiledWorkflow",
    "ImportNote",
    "MergeResult",
    "MissingVariable",
    "ParsedRecording",
    "RecordingError",
    "Redactor",
    "StepSpec",
    "VariableSpec",
    "check_json",
    "check_url",
    "compile_workflow",
    "describe",
    "export",
    "export_document",
    "fill",
    "fill_known",
    "guess_risk",
    "mask",
    "merge_demonstration",
    "names_in",
    "parse_recording",
    "sending_is_harmless",
    "target_of",
    "types_a_secret",
    "unmask",
    "validate_step",
]
