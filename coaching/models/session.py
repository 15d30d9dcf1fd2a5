"""One coached or automatic run of a workflow."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q, Subquery
from django.urls import reverse
from django.utils import timezone

from .suggestion import Suggestion
from .workflow import Workflow

MAX_STEPS = 10_000


def new_session_id() -> str:
    """`coaching_<YYYYMMDD>_<HHMMSS>_<8 hex>`, in UTC."""
    return f"coaching_{timezone.now():%Y%m%d_%H%M%S}_{secrets.token_hex(4)}"


def new_audit_seed() -> int:
    """A seed that stays exact wherever JSON is read as floating point."""
    return secrets.randbits(53)


def ratio(part: int, whole: int) -> float:
    """`part / whole`, and 0.0 when there is nothing to divide by."""
    return part / whole if whole else 0.0


class SessionQuerySet(models.QuerySet["Session"]):
    def ongoing(self) -> SessionQuerySet:
        """Sessions that have not ended: only these may be resumed."""
        return self.filter(status__in=Session.ONGOING)

    resumable = ongoing

    def not_updated_since(self, moment: datetime) -> SessionQuerySet:
        return self.filter(updated_at__lt=moment)

    def unleased(self) -> SessionQuerySet:
        """Sessions that no worker holds at this moment."""
        return self.filter(Q(lease_until=None) | Q(lease_until__lt=timezone.now()))

    def of_this_host(self) -> SessionQuerySet:
        """Sessions whose browser is here, or not anywhere yet: the others are for the workers of another host."""
        here = settings.COACHSITE_HOST
        return self.filter(host__in=["", here]) if here else self.all()

    def waiting_for_a_worker(self) -> SessionQuerySet:
        """Active browser sessions that are neither held by a worker nor waiting for a person."""
        waits_for_person = Suggestion.objects.filter(session=OuterRef("pk"), status=Suggestion.Status.OPEN)
        return (
            self.filter(status=Session.Status.ACTIVE, workflow__executor=Workflow.Executor.BROWSER)
            .unleased()
            .filter(~Exists(waits_for_person))
        )

    def paused_unanswered(self) -> SessionQuerySet:
        """Paused because nobody has answered in time, and waiting for somebody to resume: the longest first."""
        last = Suggestion.objects.filter(session=OuterRef("pk")).order_by("-n")
        return (
            self.filter(status=Session.Status.PAUSED)
            .annotate(last_status=Subquery(last.values("status")[:1]))
            .filter(last_status=Suggestion.Status.EXPIRED)
            .select_related("workflow")
            .order_by("updated_at", "pk")
        )


class Session(models.Model):
    class Status(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        COMPLETED = "completed"
        FAILED = "failed"
        ABANDONED = "abandoned"

    class Mode(models.TextChoices):
        COACHING = "coaching"
        AUTO = "auto"

    ONGOING = (Status.ACTIVE, Status.PAUSED)
    ENDED = (Status.COMPLETED, Status.FAILED, Status.ABANDONED)
    MOVES: ClassVar[dict[Status, tuple[Status, ...]]] = {
        Status.ACTIVE: (Status.PAUSED, *ENDED),
        Status.PAUSED: (Status.ACTIVE, *ENDED),
    }
    COUNTERS = ("accepted", "rejected", "corrected", "manual_executions", "skipped")

    session_id = models.CharField(max_length=64, unique=True, default=new_session_id, editable=False)
    # The indexes below begin with it.
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="sessions", db_index=False)
    execution_id = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.COACHING)
    plan = models.JSONField(default=list, help_text="The step versions of this run, as ids in order.")
    current_step_index = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0, help_text="0: not known")
    accepted = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    corrected = models.PositiveIntegerField(default=0)
    manual_executions = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    variables = models.JSONField(default=dict)
    encrypted_secrets = models.TextField(blank=True, editable=False)
    audit_seed = models.PositiveBigIntegerField(
        default=new_audit_seed, editable=False, help_text="Which steps of this run are audited follows from it."
    )
    coaching_ms = models.PositiveBigIntegerField(default=0, help_text="How long people have thought about it so far.")
    metadata = models.JSONField(default=dict)
    error_message = models.TextField(blank=True)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    started_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    completed_at = models.DateTimeField(null=True, blank=True)
    last_seq = models.PositiveBigIntegerField(default=0, help_text="Number of this session's newest event.")
    lease_owner = models.CharField(max_length=200, blank=True, help_text="The worker process that acts for it now.")
    lease_until = models.DateTimeField(null=True, blank=True)
    enqueued_at = models.DateTimeField(
        null=True, blank=True, help_text="When a worker was last asked to go on with it."
    )
    host = models.CharField(
        max_length=200, blank=True, help_text="The host that has its browser; empty where there is one host only."
    )
    browser = models.JSONField(
        default=dict, help_text="Where its browser was last: {url, viewport}; empty before the first."
    )

    last_picture = models.FileField(
        upload_to="screenshots/", max_length=200, blank=True, help_text="The page as it was when the session completed."
    )

    objects: ClassVar[SessionQuerySet] = SessionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-updated_at", "-pk"]
        indexes = [
            models.Index(fields=["-updated_at", "-id"], name="session_newest_first"),
            models.Index(fields=["status", "-updated_at", "-id"], name="session_of_status"),
            models.Index(fields=["workflow", "-updated_at", "-id"], name="session_newest_of_workflow"),
            models.Index(fields=["workflow", "status", "-updated_at"], name="session_of_workflow"),
            models.Index(fields=["lease_until"], condition=Q(lease_until__isnull=False), name="session_leased"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["execution_id", "workflow"], name="session_execution_once_per_workflow"),
            models.CheckConstraint(
                condition=Q(status__in=["active", "paused"], completed_at=None)
                | Q(status__in=["completed", "failed", "abandoned"], completed_at__isnull=False),
                name="session_completed_at_says_it_ended",
            ),
        ]
        permissions = [("decide_session", "Can start, steer and decide sessions")]

    def __str__(self) -> str:
        return self.session_id

    def get_absolute_url(self) -> str:
        return reverse("session-detail", args=[self.session_id])

    def can_move_to(self, new: Status) -> bool:
        return new in self.MOVES.get(self.Status(self.status), ())

    @property
    def is_ongoing(self) -> bool:
        return self.status in self.ONGOING

    @property
    def is_at_its_end(self) -> bool:
        """Whether every step of its plan is decided."""
        return self.current_step_index >= len(self.plan)

    @property
    def suggestions_made(self) -> int:
        """The number of decisions; the five counters always add up to it."""
        return sum(getattr(self, counter) for counter in self.COUNTERS)

    @property
    def counted(self) -> int:
        """Decisions that count for the rates: manual and skip do not."""
        return self.accepted + self.rejected + self.corrected

    @property
    def acceptance_rate(self) -> float:
        return ratio(self.accepted, self.counted)

    @property
    def correction_rate(self) -> float:
        return ratio(self.corrected, self.counted)

    def stats(self) -> dict[str, int]:
        return {"suggestions_made": self.suggestions_made} | {name: getattr(self, name) for name in self.COUNTERS}

    def open_suggestion(self) -> Suggestion | None:
        return self.suggestions.filter(status=Suggestion.Status.OPEN).first()

    def latest_suggestion(self) -> Suggestion | None:
        return self.suggestions.order_by("-n").first()

    @property
    def duration(self) -> timedelta:
        return (self.completed_at or timezone.now()) - self.started_at
