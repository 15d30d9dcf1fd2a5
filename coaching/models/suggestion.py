"""The action proposed for the current step, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from .workflow import NODE_ID_LENGTH, Risk, StepVersion

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


#: What cannot be undone first, then what waits longest.
INBOX_ORDER = ("inbox_rank", "opened_at")


class SuggestionQuerySet(models.QuerySet["Suggestion"]):
    def open(self) -> SuggestionQuerySet:
        return self.filter(status=Suggestion.Status.OPEN)

    def overdue(self) -> SuggestionQuerySet:
        """Open ones whose time is up."""
        return self.open().filter(expires_at__lte=timezone.now())

    def for_inbox(self, user: User | AnonymousUser) -> SuggestionQuerySet:
        """What waits for this person: irreversible steps first, then the oldest. Empty without the right to decide."""
        waiting = self.open().annotate(inbox_rank=models.Case(models.When(risk=Risk.IRREVERSIBLE, then=0), default=1))
        if not user.is_active or not user.has_perm("coaching.decide_session"):
            waiting = waiting.none()
        return waiting.filter(session__status="active").select_related("session__workflow").order_by(*INBOX_ORDER, "pk")


class Suggestion(models.Model):
    class Status(models.TextChoices):
        OPEN = "open"
        DECIDED = "decided"
        WITHDRAWN = "withdrawn"
        EXPIRED = "expired"

    class Outcome(models.TextChoices):
        PERFORMED = "performed"
        FAILED = "failed"
        UNCERTAIN = "uncertain"
        NOT_PERFORMED = "not_performed"

    class AskedBecause(models.TextChoices):
        COACHING = "coaching"
        NOT_AUTO = "not_auto"
        AUDIT = "audit"
        TROUBLE = "trouble"

    class OnExpiry(models.TextChoices):
        """What happens when nobody has answered in time."""

        REJECT = "reject"
        SKIP = "skip"
        PAUSE = "pause"

    session = models.ForeignKey("coaching.Session", on_delete=models.CASCADE, related_name="suggestions")
    n = models.PositiveIntegerField(help_text="1, 2, 3 … within the session")
    step_index = models.PositiveIntegerField()
    attempt = models.PositiveIntegerField(default=1)
    step_version = models.ForeignKey(StepVersion, null=True, on_delete=models.SET_NULL, related_name="+")
    node_id = models.CharField(max_length=NODE_ID_LENGTH)
    action_type = models.CharField(max_length=100)
    action = models.JSONField(help_text="Variables filled in; secrets still stand as {{ name }}.")
    unchanged_action = models.JSONField(
        null=True, blank=True, help_text="The action before packs changed it, if any did."
    )
    target_key = models.CharField(max_length=64, blank=True, help_text="The same for the same target on the same page.")
    pack_changes = models.PositiveIntegerField(
        default=0,
        help_text="How often packs had changed what is proposed for the step when this was what they propose.",
    )
    description = models.TextField()
    confidence = models.FloatField(null=True, blank=True)
    risk = models.CharField(max_length=12, choices=Risk, default=Risk.REVERSIBLE)
    rationale = models.TextField(blank=True)
    provenance = models.JSONField(default=dict)
    asked_because = models.CharField(
        max_length=10, choices=AskedBecause, default=AskedBecause.COACHING, blank=True,
        help_text="Empty: nobody was asked, the policy accepted.",
    )  # fmt: skip
    target = models.JSONField(null=True, blank=True)
    page = models.JSONField(default=dict, help_text="The page it was proposed on: {url, title, viewport}.")
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    outcome = models.CharField(max_length=13, choices=Outcome, null=True, blank=True)  # noqa: DJ001 - null means "not yet"
    error = models.TextField(blank=True)
    trouble = models.TextField(
        blank=True, help_text="What had gone wrong before: the part of its error that stays when it is proposed anew."
    )
    screenshot = models.FileField(upload_to="screenshots/", max_length=200, blank=True)
    opened_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    on_expiry = models.CharField(max_length=6, choices=OnExpiry, default=OnExpiry.PAUSE)
    reference = models.CharField(
        max_length=200, blank=True, help_text="An outside program's own name for the question, if it has one."
    )
    performing_since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Committed before the action: without an outcome, nobody knows whether it happened.",
    )

    objects: ClassVar[SuggestionQuerySet] = SuggestionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["session", "n"]
        indexes = [
            models.Index(fields=["status", "opened_at"], name="suggestion_inbox"),
            models.Index(
                fields=["expires_at"], condition=Q(status="open", expires_at__isnull=False), name="suggestion_expiring"
            ),
            models.Index(
                fields=["performing_since"],
                condition=Q(outcome__isnull=True, performing_since__isnull=False),
                name="suggestion_performing",
            ),
            models.Index(fields=["target_key"], condition=~Q(target_key=""), name="suggestion_of_target"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["session", "n"], name="suggestion_number_once_per_session"),
            models.UniqueConstraint(
                fields=["session"], condition=Q(status="open"), name="suggestion_one_open_per_session"
            ),
            models.UniqueConstraint(
                fields=["session", "reference"],
                condition=~Q(reference=""),
                name="suggestion_reference_once_per_session",
            ),
            models.CheckConstraint(condition=Q(n__gte=1, attempt__gte=1), name="suggestion_numbers_from_1"),
        ]

    def __str__(self) -> str:
        return f"{self.session_id} #{self.n}: {self.description}"

    @property
    def is_open(self) -> bool:
        return self.status == self.Status.OPEN

    @property
    def is_supported(self) -> bool:
        """Whether coachsite can perform it: a step that it cannot is for a person to do, unless a pack knows better."""
        return self.step_version is None or self.step_version.supported or self.unchanged_action is not None

    @property
    def original_action(self) -> dict[str, Any]:
        """What would have been proposed without packs."""
        original: dict[str, Any] = self.action if self.unchanged_action is None else self.unchanged_action
        return original

    @property
    def awaits_outcome(self) -> bool:
        """Decided, and not yet known to have been performed or not."""
        return self.status == self.Status.DECIDED and self.outcome is None
