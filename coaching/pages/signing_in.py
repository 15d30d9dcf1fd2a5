"""Before a password is looked at: who has sent too many wrong ones is told to wait."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from ..client_address import of_request
from ..guessing import seconds_until_sign_in

#: Where passwords are sent to: the pages' own login, and the admin's.
DOORS = {"login", "admin:login"}


class FewGuesses:
    """Middleware: as looking at a password is what costs, and what is written down, it comes before the view."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: Any) -> HttpResponse | None:
        match = request.resolver_match
        if request.method != "POST" or match is None or match.view_name not in DOORS:
            return None
        wait = seconds_until_sign_in(of_request(request))
        if not wait:
            return None
        answer = render(request, "registration/locked_out.html", {"from_here": True}, status=429)
        answer["Retry-After"] = str(math.ceil(wait))
        return answer
