"""Tells the audit log on whose request, and from where, something is done."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from ..acting import acting
from ..client_address import of_request


class ActingMiddleware:
    """Stands after the login's middleware. Costs nothing until something is written down."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Asked late: the API puts the token's user there long after this.
        with acting(lambda: getattr(request, "user", None), of_request(request)):
            return self.get_response(request)
