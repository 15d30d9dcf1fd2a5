"""The last resort: what is answered when something failed that no view has dealt with."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

from ..unavailable import CODE, RETRY_AFTER_SECONDS, why_unavailable, with_advice

API = "/api/"


def server_error(request: HttpRequest) -> HttpResponse:
    """503 with words where database or disk fail, else 500; on the API in its one shape of errors.

    Django calls it while the exception is being handled, for one that was raised in a middleware too. It must not need
    the database: so its pages know nobody.
    """
    why = why_unavailable(sys.exception())
    status = 503 if why else 500
    if request.path.startswith(API):
        answer = _as_the_api(status, with_advice(why) if why else "Server Error (500)")
    else:
        by_htmx = bool(why) and request.headers.get("HX-Request") == "true"
        template = "503.html#words" if by_htmx else f"{status}.html"
        answer = HttpResponse(render_to_string(template, {"why": why}), status=status)
        if by_htmx:
            answer["HX-Retarget"], answer["HX-Reswap"] = "#notice", "innerHTML"
    if why:
        answer["Retry-After"] = str(RETRY_AFTER_SECONDS)
        answer["Cache-Control"] = "no-store"
    return answer


def _as_the_api(status: int, detail: str) -> HttpResponse:
    error = {"code": CODE if status == 503 else "error", "detail": detail, "attr": None}
    return JsonResponse({"type": "server_error", "errors": [error]}, status=status)
