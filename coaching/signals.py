"""Facts that the domain announces to whoever listens, after the commit."""

from __future__ import annotations

from django.dispatch import Signal

#: A browser session has something to do without a person. Sent with `session_pk`; `coaching.tasks` listens.
session_needs_worker = Signal()

#: A session has ended or was deleted: its browser may be closed. Sent with `session_id`; `coaching.tasks` listens.
session_ended = Signal()
