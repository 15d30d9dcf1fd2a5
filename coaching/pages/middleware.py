"""Domain errors, and answers that are too large, at the door of the pages."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from ..exceptions import DomainError, InvalidInput
from .doors import BodyTooLarge, body_bytes, by_htmx

#: The API and the demo application have words of their own for bad input.
ANSWER_THEMSELVES = ("/api/", "/demo/")
#: Set on an answer whose fragments know their own places; any other refusal is shown in the page's notice.
FRAGMENTS_HEADER = "X-Coachsite-Fragments"


class DomainErrorMiddleware:
    """Answers a `DomainError` that a page raised: in its place where the view says how, else with a page of its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Before anything reads the body: a form's token is looked for in all of it.
        too_large = body_bytes(request) > settings.MAX_UPLOAD_BYTES + 64 * 1024
        if too_large and not request.path.startswith("/api/"):
            megabytes = settings.MAX_UPLOAD_BYTES // (1024 * 1024)
            return _problem_page(request, BodyTooLarge(f"The file is too large: {megabytes} MiB at most."))
        response = self.get_response(request)
        if by_htmx(request) and response.status_code >= 400 and FRAGMENTS_HEADER not in response:
            # Instead of a whole page put into the middle of another.
            response["HX-Retarget"] = "#notice"
            response["HX-Reswap"] = "innerHTML"
        return response

    def process_view(self, request: HttpRequest, *_view: object) -> HttpResponseBase | None:
        """Refuses what no database can hold, before any view or admin page passes it on."""
        if request.path.startswith(ANSWER_THEMSELVES):
            return None
        values = (value for given in (request.GET, request.POST) for _, listed in given.lists() for value in listed)
        if any(isinstance(value, str) and "\0" in value for value in values):
            return _problem_page(request, InvalidInput("The text holds a NUL character, which cannot be kept."))
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        if isinstance(exception, ObjectDoesNotExist):
            # There when the view began, and deleted by somebody since.
            raise Http404 from exception
        if not isinstance(exception, DomainError):
            return None
        match = request.resolver_match
        in_place = getattr(match.func, "problem", None) if match else None
        if match and in_place:
            answer: HttpResponseBase = in_place(request, exception, **match.kwargs)
            return answer
        return _problem_page(request, exception)


def _problem_page(request: HttpRequest, problem: DomainError) -> HttpResponse:
    return render(request, "coaching/problem.html", {"problem": problem}, status=problem.status)
