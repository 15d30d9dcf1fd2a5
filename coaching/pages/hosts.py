"""Where the browser of a workflow may go: its own hosts, and what an owner adds."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render

from .. import roles
from ..actions.workflow_changes import change_workflow
from ..exceptions import DomainError
from ..models import Workflow
from .doors import page, person


def _page(request: HttpRequest, workflow: Workflow, problem: DomainError | None = None) -> HttpResponse:
    typed = request.POST.get("hosts", "\n".join(workflow.allowed_hosts))
    context = {"workflow": workflow, "typed": typed, "problem": problem}
    return render(request, "coaching/hosts_edit.html", context, status=problem.status if problem else 200)


def hosts_problem(request: HttpRequest, problem: DomainError, workflow_id: str) -> HttpResponse:
    return _page(request, get_object_or_404(Workflow, workflow_id=workflow_id), problem)


@page(roles.EDIT_WORKFLOW, methods=["GET", "POST"], problem=hosts_problem)
def hosts_edit(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    workflow = get_object_or_404(Workflow, workflow_id=workflow_id)
    if request.method != "POST":
        return _page(request, workflow)
    change_workflow(workflow, allowed_hosts=request.POST.get("hosts", "").split(), by=person(request))
    messages.success(request, "The hosts are saved. They count from a session’s next step on.")
    return redirect(workflow)
