"""Levels: promoting and demoting steps, the policy behind it, and the history."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render

from .. import roles
from ..actions.autonomy import demote, promote, set_policy
from ..exceptions import DomainError, InvalidInput
from ..models import LevelChange, Workflow
from ..policy import Policy
from .doors import page, person

SHOWN_CHANGES = 200
MAX_REASON = 2000

#: The fields of the policy's form: name, label, hint.
FIELDS = (
    ("target", "Acceptance rate that is asked for", "0.85 is 85 %"),
    ("min_decisions", "Decisions that must count", "accepted, rejected or corrected; manual and skip do not count"),
    ("confidence", "How sure that the rate is reached", "0 to 1, for a step whose mistakes can be put right"),
    ("confidence_irreversible", "The same for an irreversible step", "0 to 1"),
    ("min_demonstrations", "Demonstrations that end OBSERVATION", "recordings of the workflow"),
    ("audit_rates", "Shares of automatic runs that are audited", "three, falling: 0.2, 0.1, 0.05"),
    ("audit_clean_runs", "Clean audits in a row before the next share", "two, rising: 20, 40"),
)


def _workflow(workflow_id: str) -> Workflow:
    return get_object_or_404(Workflow, workflow_id=workflow_id)


@page(roles.PROMOTE, methods=["POST"])
def workflow_promote(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    workflow = _workflow(workflow_id)
    node_ids = request.POST.getlist("node_id") or None
    promote(workflow, node_ids=node_ids, by=person(request))
    messages.success(request, f"{_named(node_ids)} may run alone now; a sample of the runs is audited.")
    return redirect(workflow)


@page(roles.PROMOTE, methods=["POST"])
def workflow_demote(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    workflow = _workflow(workflow_id)
    node_ids = request.POST.getlist("node_id") or None
    reason = request.POST.get("reason", "").strip()
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"A reason has at most {MAX_REASON} characters.", field="reason")
    demote(workflow, node_ids=node_ids, reason=reason, by=person(request))
    messages.success(request, f"{_named(node_ids)} will be asked about again; the evidence starts anew.")
    return redirect(workflow)


def _named(node_ids: list[str] | None) -> str:
    if node_ids is None:
        return "All steps"
    return f"“{node_ids[0]}”" if len(node_ids) == 1 else f"{len(node_ids)} steps"


@page(roles.VIEW)
def level_history(request: HttpRequest, workflow_id: str) -> HttpResponse:
    workflow = _workflow(workflow_id)
    changes = LevelChange.objects.of_workflow(workflow)
    node_id = request.GET.get("step", "")
    if node_id:
        changes = changes.filter(step__node_id=node_id)
    shown = list(changes[: SHOWN_CHANGES + 1])
    context = {
        "workflow": workflow,
        "changes": shown[:SHOWN_CHANGES],
        "are_more": len(shown) > SHOWN_CHANGES,
        "node_id": node_id,
    }
    return render(request, "coaching/level_history.html", context)


def policy_problem(request: HttpRequest, problem: DomainError, workflow_id: str) -> HttpResponse:
    return _policy_page(request, _workflow(workflow_id), problem=problem)


def _policy_page(request: HttpRequest, workflow: Workflow, problem: DomainError | None = None) -> HttpResponse:
    current, default = workflow.autonomy.as_json(), Policy.of(settings.AUTONOMY).as_json()
    fields = [
        {
            "name": name,
            "label": label,
            "hint": hint,
            "value": request.POST.get(name, _shown(current[name])),
            "default": _shown(default[name]),
            "wrong": getattr(problem, "field", None) == name,
        }
        for name, label, hint in FIELDS
    ]
    auto_promote = "auto_promote" in request.POST if request.method == "POST" else current["auto_promote"]
    context = {"workflow": workflow, "fields": fields, "auto_promote": auto_promote, "problem": problem}
    return render(request, "coaching/policy_edit.html", context, status=problem.status if problem else 200)


def _shown(value: Any) -> str:
    """With all its digits: a form that is saved as it was shown changes nothing."""
    numbers = value if isinstance(value, list) else [value]
    return ", ".join(str(one).removesuffix(".0") for one in numbers)


@page(roles.VIEW, methods=["GET", "POST"], problem=policy_problem)
def policy(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    """Everybody who may look sees the policy; who may change workflows changes it."""
    workflow = _workflow(workflow_id)
    if request.method != "POST":
        return _policy_page(request, workflow)
    if not person(request).has_perm(roles.EDIT_WORKFLOW):
        raise PermissionDenied
    default = Policy.of(settings.AUTONOMY).as_json()
    given = {name: _read(name, request.POST.get(name, ""), default[name]) for name, _, _ in FIELDS}
    set_policy(workflow, {**given, "auto_promote": "auto_promote" in request.POST})
    messages.success(request, "The policy is saved; steps are judged by it from now on.")
    return redirect("policy", workflow_id=workflow_id)


def _read(name: str, text: str, default: Any) -> Any:
    """What was typed, as the type that the policy has there; an emptied field is the site's default."""
    parts = [part.strip() for part in text.split(",")] if isinstance(default, list) else [text.strip()]
    if not any(parts):
        return default
    kind = type(default[0]) if isinstance(default, list) else type(default)
    try:
        numbers = [kind(part) for part in parts]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise InvalidInput(f"“{text.strip()}” is not made of {what}.", field=name) from None
    return numbers if isinstance(default, list) else numbers[0]
