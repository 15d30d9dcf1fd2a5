"""How many requests a caller may make."""

from __future__ import annotations

import logging
import time

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from ..counting import counted
from ..longpoll import ASKED_AGAIN

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60
#: How long nothing is counted once the cache did not answer: asking it again takes each request its time.
WITHOUT_CACHE_SECONDS = 5.0


def seconds_to_wait(caller: str) -> float:
    """Counts a request of `caller` and says how long it must wait: 0 when it may come in.

    Counted in windows of a minute: one number per caller, where the framework's own throttles keep the time of every
    request.
    """
    limit = settings.COACHSITE_API_RATE
    now = time.time()
    if not limit or now < _Cache.missing_until:
        return 0.0
    window = int(now // WINDOW_SECONDS)
    try:
        count = counted(f"api:{caller}:{window}", seconds=WINDOW_SECONDS * 2)
    except Exception:  # whatever the cache's own library raises
        # Redis is gone. The limit keeps one program from crowding out others; a site without it goes on.
        logger.warning("Requests are not counted for now: the cache does not answer.", exc_info=True)
        _Cache.missing_until = now + WITHOUT_CACHE_SECONDS
        return 0.0
    return 0.0 if count <= limit else (window + 1) * WINDOW_SECONDS - now


class _Cache:
    #: Until when it is not asked, by the clock.
    missing_until = 0.0


class TokenThrottle(BaseThrottle):
    """At most `COACHSITE_API_RATE` requests a minute per token, and per person who comes with a session cookie.

    What a long poll asks again while it waits was not asked by the caller.
    """

    def __init__(self) -> None:
        self._wait = 0.0

    def allow_request(self, request: Request, _view: APIView) -> bool:
        if request.META.get(ASKED_AGAIN):
            return True
        token = request.auth
        self._wait = seconds_to_wait(f"token:{token.pk}" if token is not None else f"user:{request.user.pk}")
        return not self._wait

    def wait(self) -> float:
        return self._wait
