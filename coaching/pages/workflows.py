"""Workflows: the list, one with its steps, import, export, starting, and what owners may change."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render

from .. import evidence, roles
from ..actions.secrecy import keep_secret
from ..actions.sessions import start_session
from ..actions.workflows import (
    change_step,
    delete_workflow,
    export_recording,
    import_recording,
    set_variable_default,
)
from ..evidence import Standing
from ..exceptions import DomainError, InvalidInput
from ..models import Level, LevelChange, Risk, Session, Step, Workflow
from ..models.workflow import WorkflowQuerySet
from .captured import corrections_of, fixes_of
from .correction_editor import raw_of
from .doors import page, person
from .standing import Row, row_of

SHOWN_SESSIONS = 10
SHOWN_STEPS = 500
SHOWN_CHANGES = 8
MAX_NAME = 200


def _workflow(workflow_id: str) -> Workflow:
    return get_object_or_404(Workflow, workflow_id=workflow_id)


@page(roles.VIEW)
def workflow_list(request: HttpRequest) -> HttpResponse:
    workflows = list(WorkflowQuerySet(Workflow).with_overview())
    levels = _levels(workflows)
    ready = evidence.ready_counts([workflow.pk for workflow in workflows])
    rows = [
        {"workflow": workflow, "ready": ready.get(workflow.pk, 0), **_level_of(levels[workflow.pk])}
        for workflow in workflows
    ]
    return render(request, "coaching/workflows.html", {"rows": rows})


def _levels(workflows: list[Workflow]) -> defaultdict[int, dict[str, int]]:
    """How many steps of each workflow stand at each level, in one query."""
    levels: defaultdict[int, dict[str, int]] = defaultdict(dict)
    steps = Step.objects.filter(workflow__in=workflows, step_index__isnull=False).order_by()
    for workflow_pk, level, count in steps.values_list("workflow_id", "level").annotate(Count("pk")):
        levels[workflow_pk][level] = count
    return levels


def _level_of(counts: dict[str, int]) -> dict[str, Any]:
    """The level of the weakest step, and how many steps already are AUTO."""
    return {"level": Level.weakest(counts), "auto": counts.get(Level.AUTO, 0)}


@page(roles.VIEW)
def workflow_detail(request: HttpRequest, workflow_id: str) -> HttpResponse:
    workflow = _workflow(workflow_id)
    standing = evidence.workflow_standing(workflow)
    changes = LevelChange.objects.latest_of([one.step for one in standing.steps[:SHOWN_STEPS]])
    policy, fixes = workflow.autonomy, fixes_of(workflow)

    def rows(standings: Sequence[Standing]) -> list[Row]:
        shown = standings[:SHOWN_STEPS]
        return [row_of(one, policy, changes.get(one.step.pk), fixes.get(one.step.node_id, "")) for one in shown]

    context = {
        "workflow": workflow,
        "standing": standing,
        "level": standing.level,
        "rows": rows(standing.steps),
        "step_count": len(standing.steps),
        "alone": sum(one.step.level == Level.AUTO for one in standing.steps),
        "steps_are_more": len(standing.steps) > SHOWN_STEPS,
        "blocking": rows(standing.blocking),
        "waiting_count": len(standing.waiting),
        "waiting": rows(standing.waiting),
        "changes": LevelChange.objects.of_workflow(workflow)[:SHOWN_CHANGES],
        **corrections_of(workflow),
        "variables": workflow.variables.all(),
        "recordings": workflow.recordings.select_related("imported_by").defer("document"),
        "sessions": workflow.sessions.select_related("started_by")[:SHOWN_SESSIONS],
        "session_count": workflow.sessions.count(),
    }
    return render(request, "coaching/workflow_detail.html", context)


def import_problem(request: HttpRequest, problem: DomainError) -> HttpResponse:
    return _import_page(request, problem=problem)


def _import_page(request: HttpRequest, problem: DomainError | None = None) -> HttpResponse:
    chosen = request.POST.get("workflow_id") or request.GET.get("workflow_id") or ""
    context = {
        "workflows": Workflow.objects.filter(executor=Workflow.Executor.BROWSER).only("workflow_id", "name"),
        "chosen": chosen,
        "name": request.POST.get("name", ""),
        "problem": problem,
    }
    return render(request, "coaching/workflow_import.html", context, status=problem.status if problem else 200)


@page(roles.IMPORT, methods=["GET", "POST"], uploads=True, problem=import_problem)
def workflow_import(request: HttpRequest) -> HttpResponseBase:
    if request.method != "POST":
        return _import_page(request)
    file = request.FILES.get("file")
    if not isinstance(file, UploadedFile):
        raise InvalidInput("Choose the file of a recording first.", field="file")
    if (file.size or 0) > settings.MAX_UPLOAD_BYTES:
        megabytes = settings.MAX_UPLOAD_BYTES // (1024 * 1024)
        raise InvalidInput(f"The file is larger than {megabytes} MiB.", field="file")
    name = request.POST.get("name", "").strip()
    if len(name) > MAX_NAME:
        raise InvalidInput(f"A name has at most {MAX_NAME} characters.", field="name")
    workflow_id = request.POST.get("workflow_id") or None
    if workflow_id and not Workflow.objects.filter(workflow_id=workflow_id).exists():
        raise InvalidInput("The workflow you chose does not exist any more.", field="workflow_id")
    imported = import_recording(file.read(), workflow_id=workflow_id, name=name or None, by=person(request))
    messages.success(request, f"‘{imported.recording.title}’ was imported into ‘{imported.workflow.name}’.")
    return redirect(imported.workflow)


@page(roles.VIEW)
def workflow_export(request: HttpRequest, workflow_id: str) -> HttpResponse:  # noqa: ARG001
    workflow = _workflow(workflow_id)
    document = json.dumps(export_recording(workflow), ensure_ascii=False, indent=2)
    response = HttpResponse(document, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{workflow.workflow_id}.json"'
    return response


def start_problem(request: HttpRequest, problem: DomainError, workflow_id: str) -> HttpResponse:
    return _start_page(request, _workflow(workflow_id), problem=problem)


def _start_page(request: HttpRequest, workflow: Workflow, problem: DomainError | None = None) -> HttpResponse:
    variables = [
        {
            "variable": variable,
            "has_default": bool(variable.encrypted_default),
            # What was typed into a secret field is never sent back.
            "value": "" if variable.secret else request.POST.get(f"variable-{variable.name}", variable.default),
        }
        for variable in workflow.variables.all()
    ]
    context = {
        "workflow": workflow,
        "variables": variables,
        "mode": request.POST.get("mode") or request.GET.get("mode", Session.Mode.COACHING),
        "problem": problem,
    }
    return render(request, "coaching/session_start.html", context, status=problem.status if problem else 200)


@page(roles.DECIDE, methods=["GET", "POST"], problem=start_problem)
def session_start(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    workflow = _workflow(workflow_id)
    if request.method != "POST":
        return _start_page(request, workflow)
    mode = request.POST.get("mode", Session.Mode.COACHING)
    if mode not in Session.Mode.values:
        raise InvalidInput("A session is coaching or auto.", field="mode")
    prefix = "variable-"
    given = {name.removeprefix(prefix): value for name, value in request.POST.items() if name.startswith(prefix)}
    return redirect(start_session(workflow, by=person(request), mode=str(mode), variables=given))


def step_problem(request: HttpRequest, problem: DomainError, workflow_id: str, pk: int) -> HttpResponse:
    return _step_page(request, _step(workflow_id, pk), problem=problem)


def _step(workflow_id: str, pk: int) -> Step:
    steps = Step.objects.select_related("workflow", "current").filter(step_index__isnull=False)
    return get_object_or_404(steps, pk=pk, workflow__workflow_id=workflow_id)


def _step_page(request: HttpRequest, step: Step, problem: DomainError | None = None) -> HttpResponse:
    version = step.version
    context = {
        "workflow": step.workflow,
        "step": step,
        "version": version,
        "risks": Risk.choices,
        "risk": request.POST.get("risk", version.risk),
        "description": request.POST.get("description", version.description),
        "action": request.POST.get("action", raw_of(version.action)),
        "versions": step.versions.select_related("created_by")[:20],
        "problem": problem,
    }
    return render(request, "coaching/step_edit.html", context, status=problem.status if problem else 200)


@page(roles.EDIT_WORKFLOW, methods=["GET", "POST"], problem=step_problem)
def step_edit(request: HttpRequest, workflow_id: str, pk: int) -> HttpResponseBase:
    step = _step(workflow_id, pk)
    if request.method != "POST":
        return _step_page(request, step)
    version = change_step(step, by=person(request), **_step_changes(request, step))
    messages.success(request, f"Step {(step.step_index or 0) + 1} is saved as version {version.number}.")
    return redirect(step.workflow)


def _step_changes(request: HttpRequest, step: Step) -> dict[str, Any]:
    """What differs from the current version; a changed action describes itself anew unless words were given too."""
    version = step.version
    changes: dict[str, Any] = {"risk": request.POST.get("risk", "")}
    if changes["risk"] not in Risk.values:
        raise InvalidInput(f"The risk is {' or '.join(Risk.values)}.", field="risk")
    description = request.POST.get("description", "").strip()
    if description != version.description:
        changes["description"] = description
    try:
        action = json.loads(request.POST.get("action", ""))
    except (ValueError, RecursionError):
        raise InvalidInput("The action is not valid JSON.", field="action") from None
    if not isinstance(action, dict):
        raise InvalidInput("The action must be a JSON object.", field="action")
    if action != version.action:
        changes["action"] = action
    return changes


def variables_problem(request: HttpRequest, problem: DomainError, workflow_id: str) -> HttpResponse:
    return _variables_page(request, _workflow(workflow_id), problem=problem)


def _variables_page(request: HttpRequest, workflow: Workflow, problem: DomainError | None = None) -> HttpResponse:
    context = {"workflow": workflow, "variables": workflow.variables.all(), "problem": problem}
    return render(request, "coaching/variables_edit.html", context, status=problem.status if problem else 200)


@page(roles.EDIT_WORKFLOW, methods=["GET", "POST"], problem=variables_problem)
def variables_edit(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    workflow = _workflow(workflow_id)
    if request.method != "POST":
        return _variables_page(request, workflow)
    for variable in workflow.variables.all():
        value = request.POST.get(f"variable-{variable.name}")
        if f"forget-{variable.name}" in request.POST and variable.secret:
            set_variable_default(variable, "")
        elif value is not None and (value or not variable.secret):
            set_variable_default(variable, value)
    named = {variable.name for variable in workflow.variables.all() if f"secret-{variable.name}" in request.POST}
    keep_secret(workflow, named)
    messages.success(request, "The defaults are saved. Sessions that run already keep theirs.")
    return redirect(workflow)


def delete_problem(request: HttpRequest, problem: DomainError, workflow_id: str) -> HttpResponse:
    return _delete_page(request, _workflow(workflow_id), problem=problem)


def _delete_page(request: HttpRequest, workflow: Workflow, problem: DomainError | None = None) -> HttpResponse:
    counts = {
        "steps": workflow.current_steps().count(),
        "recordings": workflow.recordings.count(),
        "sessions": workflow.sessions.count(),
        "ongoing": workflow.sessions.filter(status__in=Session.ONGOING).count(),
    }
    context = {"workflow": workflow, "counts": counts, "problem": problem}
    return render(request, "coaching/workflow_delete.html", context, status=problem.status if problem else 200)


@page(roles.DELETE_WORKFLOW, methods=["GET", "POST"], problem=delete_problem)
def workflow_delete(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    workflow = _workflow(workflow_id)
    if request.method != "POST":
        return _delete_page(request, workflow)
    delete_workflow(workflow)
    messages.success(request, f"‘{workflow.name}’ was deleted with all that belonged to it.")
    return redirect("workflow-list")
