"""Tallies: integers kept beside the facts, so that reading a metric never counts decisions.

Everything here can be built anew from the facts (`manage.py rebuild_metrics`). What sessions contributed that are
deleted now stands in rows of its own (`Source.DELETED`), which nothing else touches.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from coaching.models import Step, Workflow

from .tally import NUMBERS, Tally


class StepTally(models.Model):
    """`tally.Tally` of one step, and whether it is ready by its workflow's policy."""

    step = models.OneToOneField(Step, on_delete=models.CASCADE, primary_key=True, related_name="tally")
    accepted = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    corrected = models.PositiveIntegerField(default=0)
    manual = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    unattended = models.PositiveIntegerField(default=0, help_text="What the policy accepted without a person.")
    epoch_accepted = models.PositiveIntegerField(default=0)
    epoch_refused = models.PositiveIntegerField(default=0)
    epoch_version = models.PositiveIntegerField(default=1, help_text="Decisions on earlier versions do not count.")
    clean_audits = models.PositiveIntegerField(default=0, help_text="In a row.")
    audit_score = models.PositiveIntegerField(default=0)
    execution_score = models.PositiveIntegerField(default=0)
    auto = models.BooleanField(default=False)
    ready = models.BooleanField(default=False)
    base = models.JSONField(default=dict, help_text="The tally when facts were last lost or read differently …")
    base_fact = models.PositiveBigIntegerField(default=0, help_text="… and the number of the last fact it contains.")

    class Meta:
        verbose_name_plural = "step tallies"

    def __str__(self) -> str:
        return f"{self.step_id}: {self.epoch_accepted} of {self.epoch_accepted + self.epoch_refused}"

    @property
    def numbers(self) -> Tally:
        return Tally(**{name: getattr(self, name) for name in NUMBERS})


class Source(models.TextChoices):
    LIVE = "live", "sessions that are kept"
    DELETED = "deleted", "sessions that were deleted"


class Tallied(models.Model):
    """A row of counts of one workflow."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="+")
    source = models.CharField(max_length=7, choices=Source, default=Source.LIVE)

    objects: ClassVar[models.Manager[Any]]

    #: What tells the rows of one workflow apart, and what is counted in them.
    KEYS: ClassVar[tuple[str, ...]] = ()
    COUNTS: ClassVar[tuple[str, ...]] = ()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} of {self.workflow_id}"


class Activity(Tallied):
    """Sessions and decisions, counted. `accepted` … `skipped` are people's decisions; `unattended` and `unanswered` are
    the policy's: what it accepted, and what it rejected or skipped because nobody answered.
    """

    sessions = models.PositiveBigIntegerField(default=0)
    completed = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    abandoned = models.PositiveBigIntegerField(default=0)
    coaching_ms = models.PositiveBigIntegerField(default=0, help_text="Of people, in sessions that have ended.")
    accepted = models.PositiveBigIntegerField(default=0)
    rejected = models.PositiveBigIntegerField(default=0)
    corrected = models.PositiveBigIntegerField(default=0)
    manual = models.PositiveBigIntegerField(default=0)
    skipped = models.PositiveBigIntegerField(default=0)
    unattended = models.PositiveBigIntegerField(default=0)
    unanswered = models.PositiveBigIntegerField(
        default=0, help_text="Rejected or skipped by the policy, because nobody answered in time."
    )

    COUNTS = (
        "sessions", "completed", "failed", "abandoned", "coaching_ms",
        "accepted", "rejected", "corrected", "manual", "skipped", "unattended", "unanswered",
    )  # fmt: skip

    class Meta:
        abstract = True


class WorkflowLearningMetrics(Activity):
    """A workflow's whole life."""

    class Meta:
        verbose_name = "learning metrics"
        verbose_name_plural = "learning metrics"
        constraints = [models.UniqueConstraint(fields=["workflow", "source"], name="learning_metrics_once")]


class DailyTally(Activity):
    """One day of a workflow, in UTC: sessions on the day they started or ended, decisions on the day they were made."""

    date = models.DateField()

    KEYS = ("date",)

    class Meta:
        verbose_name_plural = "daily tallies"
        constraints = [models.UniqueConstraint(fields=["workflow", "date", "source"], name="daily_tally_once")]
        indexes = [models.Index(fields=["date"], name="daily_tally_by_date")]


class CalibrationBin(Tallied):
    """Stated confidence against what people said: suggestions with a confidence from `bin`/10 up to the next tenth."""

    bin = models.PositiveSmallIntegerField(help_text="0 to 9")
    count = models.PositiveBigIntegerField(
        default=0, help_text="Suggestions that were accepted, rejected or corrected."
    )
    accepted = models.PositiveBigIntegerField(default=0)
    squared_error = models.PositiveBigIntegerField(
        default=0, help_text="Sum of (confidence − accepted)², in millionths."
    )

    KEYS = ("bin",)
    COUNTS = ("count", "accepted", "squared_error")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workflow", "bin", "source"], name="calibration_bin_once"),
            models.CheckConstraint(condition=Q(bin__lte=9), name="calibration_bin_up_to_9"),
        ]


class LatencyBin(Tallied):
    """How long people took to decide; which times a bin holds is said by `contributions.latency_bin`."""

    bin = models.PositiveSmallIntegerField()
    count = models.PositiveBigIntegerField(default=0)

    KEYS = ("bin",)
    COUNTS = ("count",)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workflow", "bin", "source"], name="latency_bin_once")]


TALLIES: tuple[type[Tallied], ...] = (WorkflowLearningMetrics, DailyTally, CalibrationBin, LatencyBin)
