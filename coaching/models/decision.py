"""The one answer to a suggestion."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from .workflow import NODE_ID_LENGTH


class Decision(models.Model):
    class Kind(models.TextChoices):
        ACCEPT = "accept"
        REJECT = "reject"
        CORRECT = "correct"
        MANUAL = "manual"
        SKIP = "skip"

        @property
        def counter(self) -> str:
            """The session's counter that this kind of decision adds to."""
            return _COUNTERS[self]

        @property
        def performs(self) -> bool:
            """Whether coachsite (or the caller) acts after it."""
            return self in {Decision.Kind.ACCEPT, Decision.Kind.CORRECT}

        @property
        def counts(self) -> bool:
            """Whether it says something about the suggestion: manual and skip do not."""
            return self not in {Decision.Kind.MANUAL, Decision.Kind.SKIP}

    class Reason(models.TextChoices):
        WRONG_TARGET = "wrong_target", "wrong target"
        WRONG_VALUE = "wrong_value", "wrong value"
        WRONG_ORDER = "wrong_order", "wrong order"
        NOT_NEEDED = "not_needed", "not needed"
        UNSAFE = "unsafe", "unsafe"
        OTHER = "other", "other"

    session = models.ForeignKey("coaching.Session", on_delete=models.CASCADE, related_name="decisions")
    suggestion = models.OneToOneField(
        "coaching.Suggestion",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="decision",
        help_text="Empty when an outside tool recorded a decision that was made elsewhere.",
    )
    step = models.ForeignKey("coaching.Step", null=True, on_delete=models.SET_NULL, related_name="decisions")
    step_version = models.ForeignKey("coaching.StepVersion", null=True, on_delete=models.SET_NULL, related_name="+")
    fact = models.PositiveBigIntegerField(null=True, help_text="Its number among the facts of its step.")
    outcome_fact = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="The number of its outcome among the facts of its step."
    )
    step_index = models.PositiveIntegerField()
    node_id = models.CharField(max_length=NODE_ID_LENGTH)
    action_type = models.CharField(max_length=100)
    decision = models.CharField(max_length=8, choices=Kind)
    correction = models.JSONField(null=True, blank=True, help_text="The full corrected action.")
    difference = models.JSONField(default=list, help_text="Suggestion → correction, as an RFC 6902 patch.")
    feedback = models.TextField(blank=True)
    reason_code = models.CharField(max_length=20, choices=Reason, blank=True)
    timestamp = models.DateTimeField(default=timezone.now)
    execution_success = models.BooleanField(null=True, blank=True)
    decided_by = models.CharField(max_length=150, help_text="The user name, or “policy” where no person was asked.")
    unattended = models.BooleanField(default=False, help_text="The policy decided; no person was asked.")
    outdated = models.BooleanField(
        default=False, help_text="Packs propose something else by now: it is no evidence of that."
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    latency_ms = models.PositiveBigIntegerField(null=True, blank=True, help_text="From being asked to the answer.")

    class Meta:
        ordering = ["session", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(decision="correct") | Q(correction__isnull=False), name="decision_correct_has_a_correction"
            ),
            models.CheckConstraint(
                condition=Q(decision__in=["correct", "manual"]) | Q(correction__isnull=True),
                name="decision_correction_only_where_it_belongs",
            ),
            models.UniqueConstraint(fields=["step", "fact"], name="decision_fact_once_per_step"),
        ]

    def __str__(self) -> str:
        return f"{self.decision} {self.node_id}"

    @property
    def kind(self) -> Kind:
        return self.Kind(self.decision)


_COUNTERS = {
    Decision.Kind.ACCEPT: "accepted",
    Decision.Kind.REJECT: "rejected",
    Decision.Kind.CORRECT: "corrected",
    Decision.Kind.MANUAL: "manual_executions",
    Decision.Kind.SKIP: "skipped",
}
