"""coachsite's settings with Django's own default for connections: one for each request, closed after it.

Everything else stays, the pragmas of SQLite too: without them the peer would only fail more often.
"""

from __future__ import annotations

from coachsite.settings import *  # noqa: F403
from coachsite.settings import DATABASES

DATABASES["default"]["CONN_MAX_AGE"] = 0
