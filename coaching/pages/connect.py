"""Connecting a program: its workflow, its token, and what to write."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from knox.models import AuthToken

from .. import roles
from ..actions.naming import slug_of
from ..actions.tokens import issue_token, withdraw_token
from ..actions.workflows import create_workflow
from ..exceptions import DomainError, InvalidInput
from ..models import Workflow
from .doors import page, person

DEFAULT_DAYS = 90
MAX_NAME = 200
SHOWN_WORKFLOWS = 200


def _page(request: HttpRequest, *, status: int = 200, **more: object) -> HttpResponse:
    workflows = list(Workflow.objects.filter(executor=Workflow.Executor.EXTERNAL).order_by("-pk")[:SHOWN_WORKFLOWS])
    # Only what exists: the name stands in lines that people copy into a shell.
    known = [workflow.workflow_id for workflow in workflows]
    wanted = request.GET.get("workflow", "")
    chosen = wanted if wanted in known else (known or ["my-program"])[0]
    context = {
        "workflows": workflows,
        "chosen": chosen,
        "address": request.build_absolute_uri("/").rstrip("/"),
        "tokens": AuthToken.objects.filter(user=person(request), expiry__gt=timezone.now()).order_by("-created"),
        "days": DEFAULT_DAYS,
        **more,
    }
    answer = render(request, "coaching/connect.html", context, status=status)
    # It may show a token.
    answer["Cache-Control"] = "no-store"
    return answer


def connect_problem(request: HttpRequest, problem: DomainError) -> HttpResponse:
    return _page(request, status=problem.status, problem=problem, typed=request.POST)


@page(roles.VIEW)
def connect(request: HttpRequest) -> HttpResponse:
    return _page(request)


@page(roles.IMPORT, methods=["POST"], problem=connect_problem)
def connect_workflow(request: HttpRequest) -> HttpResponseBase:
    name = request.POST.get("name", "").strip()
    if not 0 < len(name) <= MAX_NAME:
        raise InvalidInput(f"Give it a name of 1 to {MAX_NAME} characters.", field="name")
    workflow = create_workflow(
        workflow_id=slug_of(name, otherwise="program"),
        name=name,
        executor=Workflow.Executor.EXTERNAL,
        by=person(request),
    )
    messages.success(request, f"“{workflow.name}” is ready: its steps come into being as your program names them.")
    return redirect(f"{reverse('connect')}?workflow={workflow.workflow_id}")


@page(roles.VIEW, methods=["POST"], problem=connect_problem)
def token_make(request: HttpRequest) -> HttpResponse:
    days = request.POST.get("days", "")
    if not days.isdecimal() or len(days) > 6:
        raise InvalidInput("For how many days? Give a whole number.", field="days")
    stored, text = issue_token(person(request), days=int(days))
    return _page(request, token=text, expiry=stored.expiry)


@page(roles.VIEW, methods=["POST"])
def token_withdraw(request: HttpRequest) -> HttpResponseBase:
    if withdraw_token(person(request), request.POST.get("digest", "")):
        messages.success(request, "The token is withdrawn: whoever still uses it gets nothing.")
    return redirect("connect")
