"""Wrong tokens, counted by where they come from: whoever guesses is told to wait, and shows in the audit log.

Only failures are counted, so what is right costs nothing: a robot with an old token never locks out its neighbours
behind the same address, and a token has more than 200 bits that nobody guesses in any number of tries.
"""

from __future__ import annotations

import time

from django.conf import settings
from django.core.cache import cache

from .actions.audit import What, note

WINDOW_SECONDS = 300


def failed(address: str) -> float:
    """Counts a wrong token from `address` and says how long to wait: 0 while it is not one of too many."""
    limit = settings.COACHSITE_WRONG_TOKENS
    now = time.time()
    window = int(now // WINDOW_SECONDS)
    key = f"wrong-token:{address}:{window}"
    if not limit or cache.add(key, 1, timeout=WINDOW_SECONDS * 2):
        return 0.0
    try:
        count = cache.incr(key)
    except ValueError:
        return 0.0  # dropped from the cache between the two
    if count <= limit:
        return 0.0
    if count == limit + 1:
        note(What.TOKENS_GUESSED, address, by="", in_seconds=WINDOW_SECONDS, more_than=limit)
    return (window + 1) * WINDOW_SECONDS - now
