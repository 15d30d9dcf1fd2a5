"""coachsite's settings for its own views in Django's own ASGI application: a connection for each request.

SQLite's pragmas stay, and the queue of writers: without them it would only fail more often.
"""

from __future__ import annotations

from coachsite.settings import *  # noqa: F403
from coachsite.settings import DATABASES

DATABASES["default"]["CONN_MAX_AGE"] = 0
