"""Pages of the demo.

Its login and its release live in cookies of their own, below its path only: using the demo in the browser one
is signed in to coachsite with never touches that login.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .forms import PASSWORD, USERNAME, ClaimForm, SignInForm
from .models import Claim, projects_in

USER_COOKIE = "demo_user"
RELEASE_COOKIE = "demo_release"
SALT = "coaching.demo"
KEPT_SECONDS = 8 * 60 * 60
RELEASES = {"1": 1, "2": 2}
SHOWN_CLAIMS = 100


@dataclass(frozen=True)
class Visit:
    """Who asks (`None` before signing in), and which release they get."""

    request: HttpRequest
    claimant: str | None
    release: int

    def page(self, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
        context |= {
            "claimant": self.claimant,
            "release": self.release,
            "other_release": 3 - self.release,
            "csrf_token": get_token(self.request),
        }
        # Without the request on purpose: coachsite's context processors read coachsite's session.
        return HttpResponse(render_to_string(f"demo/{template}", context), status=status)


def _visit_of(request: HttpRequest) -> Visit:
    asked = RELEASES.get(request.GET.get("release", ""))
    kept = RELEASES.get(request.COOKIES.get(RELEASE_COOKIE, ""))
    name = request.get_signed_cookie(USER_COOKIE, default=None, salt=SALT, max_age=KEPT_SECONDS)
    return Visit(request, claimant=name, release=asked or kept or 1)


def _cookie_scope(request: HttpRequest) -> dict[str, Any]:
    return {
        "path": reverse("demo:home"),
        # Not for the browser's session only: a browser that crashed and came back is still where it was.
        "max_age": KEPT_SECONDS,
        "httponly": True,
        "samesite": "Lax",
        "secure": request.is_secure(),
    }


def demo_page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponseBase]:
    """Hands the view its `Visit` in place of the request, and keeps an asked-for release for later pages."""

    @login_not_required
    @wraps(view)
    def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        visit = _visit_of(request)
        response = view(visit, **kwargs)
        if request.GET.get("release") in RELEASES:
            response.set_cookie(RELEASE_COOKIE, str(visit.release), **_cookie_scope(request))
        return response

    return wrapped


def signed_in(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def wrapped(visit: Visit, **kwargs: Any) -> HttpResponse:
        return view(visit, **kwargs) if visit.claimant else redirect("demo:home")

    return wrapped


@require_http_methods(["GET", "HEAD", "POST"])
@demo_page
def home(visit: Visit) -> HttpResponse:
    request = visit.request
    if request.method != "POST":
        if visit.claimant:
            return redirect("demo:claims")
        return visit.page("sign_in.html", form=SignInForm(), username=USERNAME, password=PASSWORD)
    form = SignInForm(request.POST)
    if not form.is_valid():
        return visit.page("sign_in.html", status=422, form=form, username=USERNAME, password=PASSWORD)
    response = redirect("demo:claims")
    name = form.cleaned_data["user_name"]
    response.set_signed_cookie(USER_COOKIE, name, salt=SALT, **_cookie_scope(request))
    return response


@require_POST
@demo_page
def sign_out(_visit: Visit) -> HttpResponse:
    response = redirect("demo:home")
    response.delete_cookie(USER_COOKIE, path=reverse("demo:home"), samesite="Lax")
    return response


@require_safe
@demo_page
@signed_in
def claims(visit: Visit) -> HttpResponse:
    rows = list(Claim.objects.all()[: SHOWN_CLAIMS + 1])
    return visit.page("claims.html", claims=rows[:SHOWN_CLAIMS], more=len(rows) > SHOWN_CLAIMS)


@require_http_methods(["GET", "HEAD", "POST"])
@demo_page
@signed_in
def new_claim(visit: Visit) -> HttpResponse:
    request = visit.request
    form = ClaimForm(request.POST if request.method == "POST" else None, release=visit.release)
    if form.is_bound and form.is_valid():
        return redirect(form.save(claimant=str(visit.claimant)))
    return visit.page(
        "new_claim.html",
        status=422 if form.is_bound else 200,
        form=form,
        projects=projects_in(visit.release),
    )


@require_safe
@demo_page
@signed_in
def claim(visit: Visit, *, number: int) -> HttpResponse:
    return visit.page("claim.html", claim=get_object_or_404(Claim, number=number))
