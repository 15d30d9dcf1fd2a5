from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone

from .session import Session


class SessionEvent(models.Model):
    """One row of a session's log, numbered 1, 2, 3 … without gaps; written in the transaction that causes it."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveBigIntegerField()
    type = models.CharField(max_length=40)
    at = models.DateTimeField(default=timezone.now)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["session", "seq"]
        constraints = [models.UniqueConstraint(fields=["session", "seq"], name="event_seq_once_per_session")]

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"

    def as_json(self, session_id: str) -> dict[str, Any]:
        """The event in the contract's shape; `session_id` is the session's public name."""
        at = self.at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"seq": self.seq, "type": self.type, "session_id": session_id, "at": at, "data": self.data}
