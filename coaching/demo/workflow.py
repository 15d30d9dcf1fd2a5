"""The demo's workflow: the bundled recording, made to run at whatever address this site answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from coaching.actions.workflows import keep_demonstration, set_variable_default
from coaching.models import Workflow
from coaching.recordings import CompiledWorkflow, VariableSpec, compile_workflow, describe, parse_recording

WORKFLOW_ID = "file-an-expense-claim"
RECORDING = Path(__file__).parent / "recordings" / "file-an-expense-claim.json"
RECORDED_AT = "http://127.0.0.1:8000"
SITE = "site"


def load_demo(site_url: str) -> Workflow:
    """The demo workflow, imported if it is missing, its variable `site` set to `site_url` (no slash at the end)."""
    workflow = Workflow.objects.filter(workflow_id=WORKFLOW_ID).first()
    if workflow is None:
        parsed = parse_recording(RECORDING.read_bytes())
        compiled = _with_site_variable(compile_workflow(parsed), site_url)
        workflow = keep_demonstration(compiled, format=parsed.format, workflow_id=WORKFLOW_ID, by=None).workflow
    for variable in workflow.variables.filter(name=SITE).exclude(default=site_url):
        set_variable_default(variable, site_url)
    return workflow


def _with_site_variable(compiled: CompiledWorkflow, site_url: str) -> CompiledWorkflow:
    steps = []
    for step in compiled.steps:
        action = _replace(step.action, RECORDED_AT, f"{{{{ {SITE} }}}}")
        steps.append(replace(step, action=action, description=describe(action)))
    site = VariableSpec(name=SITE, label="Site address", secret=False, default=site_url)
    start_url = compiled.start_url.replace(RECORDED_AT, f"{{{{ {SITE} }}}}")
    return replace(compiled, steps=tuple(steps), variables=(site, *compiled.variables), start_url=start_url)


def _replace(value: Any, old: str, new: str) -> Any:
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, list):
        return [_replace(item, old, new) for item in value]
    if isinstance(value, dict):
        return {key: _replace(item, old, new) for key, item in value.items()}
    return value
