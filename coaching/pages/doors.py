"""What every page asks before it runs: the role, the method, the size of the body."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial, wraps
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_http_methods
from django_htmx.middleware import HtmxDetails

from ..exceptions import DomainError, IdempotencyMismatch
from ..idempotency import Answer, fingerprint_of, key_of, once

#: The hidden field of forms that must not do twice what they do (see the tag `once`).
KEY_FIELD = "idempotency_key"
#: Who sends the same again later, having gone back, means it.
DOUBLE_CLICK = timedelta(seconds=30)
#: Headers that lead somewhere.
_LEADING = {"Location", "HX-Redirect", "HX-Location", "HX-Refresh"}

View = Callable[..., HttpResponseBase]
#: Answers a `DomainError` of its view: `(request, problem, **the view's arguments)`.
Problem = Callable[..., HttpResponseBase]


class BodyTooLarge(DomainError):
    code = "too_large"
    status = 413


def page(
    permission: str, *, methods: Sequence[str] = ("GET",), uploads: bool = False, problem: Problem | None = None
) -> Callable[[View], View]:
    """A view for people with `permission`; everybody else who is signed in gets the 403 page.

    A `DomainError` is answered by `problem` where the page shows it in its place, else by a page of its own.
    """
    allowed = [*methods, "HEAD"] if "GET" in methods else [*methods]
    limit = settings.MAX_UPLOAD_BYTES + 64 * 1024 if uploads else settings.MAX_BODY_BYTES

    def decorate(view: View) -> View:
        @require_http_methods(allowed)
        @wraps(view)
        def guarded(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            if not person(request).has_perm(permission):
                raise PermissionDenied
            if body_bytes(request) > limit:
                raise BodyTooLarge(f"That is too much at once: {limit // (1024 * 1024)} MiB at most.")
            key = request.POST.get(KEY_FIELD) if request.method == "POST" else None
            return _once(view, request, key, arguments) if key else view(request, **arguments)

        guarded.problem = problem  # type: ignore[attr-defined]
        return guarded

    return decorate


def _once(view: View, request: HttpRequest, key: str, arguments: Mapping[str, Any]) -> HttpResponseBase:
    """Of a form that is sent twice, the second is led where the first was; with other values it is another request."""

    def keep(response: HttpResponseBase) -> Answer:
        # What a page was answered shows what is there by now: a second time there is nothing new to show.
        status = 204 if response.status_code == 200 else response.status_code
        return Answer(status, "", {name: value for name, value in response.items() if name in _LEADING})

    # Put in by the page, but anybody may send anything.
    fingerprint = fingerprint_of(request, leave_out=[KEY_FIELD, "csrfmiddlewaretoken"])
    try:
        act = partial(view, request, **arguments)
        return once(person(request), key_of(key), fingerprint, act, keep, within=DOUBLE_CLICK)
    except IdempotencyMismatch:
        return view(request, **arguments)


def body_bytes(request: HttpRequest) -> int:
    length = request.META.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isdecimal() else 0


def person(request: HttpRequest) -> User:
    """Who is signed in; the middleware lets nobody else come this far."""
    return cast("User", request.user)


def by_htmx(request: HttpRequest) -> bool:
    return bool(cast("HtmxDetails", request.htmx))  # type: ignore[attr-defined]
