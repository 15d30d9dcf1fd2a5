"""Sessions: the list, the panel and its record, the decisions and moves, screenshots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.db.models.fields.files import FieldFile
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse

from .. import roles
from ..actions.decisions import Answer, decide
from ..actions.pictures import content_type_of
from ..actions.secrecy import masked_action
from ..actions.sessions import (
    abandon_session,
    complete_session,
    delete_session,
    pause_session,
    resume_session,
)
from ..exceptions import DomainError, InvalidInput
from ..models import Decision, Session, Suggestion
from . import correction_editor, watchers
from .doors import by_htmx, page, person
from .listing import session_page
from .middleware import FRAGMENTS_HEADER
from .panel import Reader, candidates_of, panel_context, render_fragments

MAX_FEEDBACK = 10_000
#: In the editor: “I did this myself instead”, a manual decision that says what was done.
DID_THIS = "did_this"


def _session(session_id: str) -> Session:
    return get_object_or_404(Session.objects.select_related("workflow"), session_id=session_id)


@page(roles.VIEW)
def session_list(request: HttpRequest) -> HttpResponse:
    context = session_page(request.GET, person(request))
    return render(request, "coaching/sessions.html", context)


@page(roles.VIEW)
def session_detail(request: HttpRequest, session_id: str) -> HttpResponse:
    return _panel_page(request, _session(session_id))


def _panel_page(
    request: HttpRequest,
    session: Session,
    *,
    status: int = 200,
    message: str = "",
    typed: Mapping[str, str] | None = None,
) -> HttpResponse:
    context = panel_context(
        session, Reader.of(person(request)), watchers=_watchers(request, session), typed=typed, message=message
    )
    return render(request, "coaching/session_detail.html", context, status=status)


def _watchers(request: HttpRequest, session: Session) -> tuple[str, ...]:
    others = watchers.names(session.pk)
    name = person(request).get_username()
    return others if name in others else (*others, name)


def _answer(request: HttpRequest, session_id: str, *, status: int = 200, message: str = "") -> HttpResponseBase:
    """After an act on the panel: its fragments with `message` for HTMX, else the page anew."""
    if not by_htmx(request):
        if not message:
            return redirect("session-detail", session_id=session_id)
        typed = request.POST.dict() if request.method == "POST" else None
        return _panel_page(request, _session(session_id), status=status, message=message, typed=typed)
    session = _session(session_id)
    context = panel_context(session, Reader.of(person(request)), watchers=_watchers(request, session), message=message)
    fragments = {**render_fragments(context), "message": _message(message)}
    response = HttpResponse("\n".join(fragments.values()), status=status)
    response[FRAGMENTS_HEADER] = "1"
    return response


def _message(message: str) -> str:
    return render_to_string("coaching/session_detail.html#message", {"message": message})


def panel_problem(request: HttpRequest, problem: DomainError, session_id: str) -> HttpResponseBase:
    """What went wrong, said inside the panel beside the session's current state."""
    return _answer(request, session_id, status=problem.status, message=_about(request, session_id) + str(problem))


def _about(request: HttpRequest, session_id: str) -> str:
    """Names the step a late answer was meant for, once the panel has gone on to another."""
    n = request.POST.get("n", "")
    if not n.isdecimal():
        return ""
    suggestion = Suggestion.objects.select_related("session").filter(session__session_id=session_id, n=n[:9]).first()
    if suggestion is None or suggestion.is_open:
        return ""
    return f"‘{masked_action(suggestion.description, suggestion.session)}’: "


@page(roles.DECIDE, methods=["POST"], problem=panel_problem)
def session_decide(request: HttpRequest, session_id: str) -> HttpResponseBase:
    suggestion = _asked_about(_session(session_id), request.POST.get("n", ""))
    decide(suggestion, _answer_to(suggestion, request.POST.dict()), by=person(request))
    return _answer(request, session_id)


def _asked_about(session: Session, n: str) -> Suggestion:
    suggestion = None
    if n.isdecimal() and len(n) < 10:
        suggestion = session.suggestions.select_related("step_version").filter(n=int(n)).first()
    if suggestion is None:
        raise InvalidInput("This answer does not say which suggestion it is for.", field="n")
    suggestion.session = session
    return suggestion


def _answer_to(suggestion: Suggestion, typed: Mapping[str, str]) -> Answer:
    kind = typed.get("decision", "")
    correction = None
    if not kind:
        raise InvalidInput("Choose one of the buttons: Enter alone decides nothing.", field="decision")
    if kind in {Decision.Kind.CORRECT, DID_THIS} and suggestion.is_open:
        correction = correction_editor.corrected(
            masked_action(suggestion.action, suggestion.session),
            typed,
            candidates=candidates_of(suggestion),
            in_browser=suggestion.session.workflow.is_browser,
        )
    elif kind in {Decision.Kind.CORRECT, DID_THIS}:
        # Too late in any case: `decide` says why.
        correction = suggestion.action
    feedback = typed.get("feedback", "").strip()
    if len(feedback) > MAX_FEEDBACK:
        raise InvalidInput(f"The feedback is too long: {MAX_FEEDBACK} characters at most.", field="feedback")
    reasoned = {Decision.Kind.CORRECT, Decision.Kind.REJECT}
    return Answer(
        decision=Decision.Kind.MANUAL if kind == DID_THIS else kind,
        correction=correction,
        feedback=feedback,
        # The form has one reason beside all buttons; it is meant only where one belongs.
        reason_code=typed.get("reason_code", "") if kind in reasoned else "",
    )


@page(roles.DECIDE, methods=["POST"], problem=panel_problem)
def session_pause(request: HttpRequest, session_id: str) -> HttpResponseBase:
    pause_session(_session(session_id), by=person(request))
    return _answer(request, session_id)


@page(roles.DECIDE, methods=["POST"], problem=panel_problem)
def session_resume(request: HttpRequest, session_id: str) -> HttpResponseBase:
    resume_session(_session(session_id), by=person(request))
    return _answer(request, session_id)


@page(roles.DECIDE, methods=["POST"], problem=panel_problem)
def session_complete(request: HttpRequest, session_id: str) -> HttpResponseBase:
    complete_session(_session(session_id), by=person(request))
    return _answer(request, session_id)


@page(roles.DECIDE, methods=["GET", "POST"], problem=panel_problem)
def session_abandon(request: HttpRequest, session_id: str) -> HttpResponseBase:
    session = _session(session_id)
    if request.method != "POST":
        return render(request, "coaching/session_abandon.html", {"session": session, "workflow": session.workflow})
    abandon_session(session, by=person(request))
    return _answer(request, session_id)


@page(roles.DELETE_SESSION, methods=["GET", "POST"])
def session_delete(request: HttpRequest, session_id: str) -> HttpResponseBase:
    session = _session(session_id)
    if request.method == "POST":
        delete_session(session)
        messages.success(request, f"The session of ‘{session.workflow.name}’ was deleted with all that belonged to it.")
        return HttpResponseRedirect(reverse("session-list"))
    counts: dict[str, Any] = {
        "suggestions": session.suggestions.count(),
        "decisions": session.decisions.count(),
        "screenshots": session.suggestions.exclude(screenshot="").count(),
        "events": session.last_seq,
    }
    context = {"session": session, "workflow": session.workflow, "counts": counts}
    return render(request, "coaching/session_delete.html", context)


@page(roles.VIEW)
def screenshot(request: HttpRequest, session_id: str, n: int) -> HttpResponseBase:  # noqa: ARG001
    return _picture(get_object_or_404(Suggestion, session__session_id=session_id, n=n).screenshot)


@page(roles.VIEW)
def last_picture(request: HttpRequest, session_id: str) -> HttpResponseBase:  # noqa: ARG001
    return _picture(get_object_or_404(Session, session_id=session_id).last_picture)


def _picture(kept: FieldFile) -> HttpResponseBase:
    if not kept:
        raise Http404("There is no picture.")
    try:
        file = kept.open("rb")
    except FileNotFoundError:
        raise Http404("The picture is gone.") from None
    response = FileResponse(file, content_type=content_type_of(str(kept)))
    # A picture never changes; only this person's own browser may keep it.
    response["Cache-Control"] = "private, max-age=86400, immutable"
    return response
