"""Workflows and their versioned steps."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Count, Max, Q
from django.urls import reverse
from django.utils import timezone

from ..policy import Policy

NODE_ID_LENGTH = 200


class Level(models.TextChoices):
    OBSERVATION = "OBSERVATION"
    COACHING = "COACHING"
    AUTO = "AUTO"

    @property
    def rank(self) -> int:
        return list(Level).index(self)

    @classmethod
    def weakest(cls, levels: Iterable[str]) -> Level:
        """The level of a workflow whose steps stand at `levels`; one without steps has shown nothing yet."""
        return min(map(cls, levels), key=lambda level: level.rank, default=cls.OBSERVATION)


class Risk(models.TextChoices):
    REVERSIBLE = "reversible"
    IRREVERSIBLE = "irreversible"


class WorkflowQuerySet(models.QuerySet["Workflow"]):
    def with_overview(self) -> WorkflowQuerySet:
        """Adds `step_count` and `last_run_at` for lists, without a query per row."""
        return self.annotate(
            step_count=Count("steps", filter=Q(steps__step_index__isnull=False), distinct=True),
            last_run_at=Max("sessions__started_at"),
        )


class Workflow(models.Model):
    class Executor(models.TextChoices):
        BROWSER = "browser"
        EXTERNAL = "external"

    workflow_id = models.SlugField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    executor = models.CharField(max_length=10, choices=Executor, default=Executor.BROWSER)
    start_url = models.TextField(blank=True)
    header = models.JSONField(default=dict, help_text="The recording without its steps: title, timeout and the like.")
    policy = models.JSONField(
        default=dict, blank=True, help_text="Where its autonomy policy differs from the default of the settings."
    )
    allowed_hosts = models.JSONField(
        default=list,
        blank=True,
        help_text="Where its browser may go beyond the hosts of its own steps: host, host:port, *.host.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects: ClassVar[models.Manager[Workflow]] = WorkflowQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        permissions = [("promote_workflow", "Can promote and demote workflows")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("workflow-detail", args=[self.workflow_id])

    @property
    def is_browser(self) -> bool:
        return self.executor == self.Executor.BROWSER

    @property
    def autonomy(self) -> Policy:
        """What its steps must show before they run alone: the default of the settings with its own overrides."""
        return _policy(json.dumps(settings.AUTONOMY | self.policy))

    def current_steps(self) -> models.QuerySet[Step]:
        """The steps that a new session will run, in order, each with its current version."""
        return self.steps.filter(step_index__isnull=False).select_related("current").order_by("step_index")


@lru_cache(maxsize=256)
def _policy(overrides: str) -> Policy:
    """Checked once, though every decision asks for it."""
    return Policy.of(json.loads(overrides))


class Step(models.Model):
    """One node of a workflow. What it does stands in its versions, of which `current` is the latest."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="steps")
    node_id = models.CharField(max_length=NODE_ID_LENGTH)
    step_index = models.PositiveIntegerField(
        null=True, blank=True, help_text="0-based; empty once the step was removed."
    )
    level = models.CharField(max_length=12, choices=Level, default=Level.OBSERVATION)
    current = models.ForeignKey("StepVersion", null=True, on_delete=models.SET_NULL, related_name="+")
    last_fact = models.PositiveBigIntegerField(
        default=0, help_text="How many facts there are about it: decisions, outcomes, versions, changes of level."
    )
    pack_changes = models.PositiveIntegerField(
        default=0, help_text="How often packs have changed what is proposed for it."
    )

    class Meta:
        ordering = ["workflow", "step_index"]
        constraints = [
            models.UniqueConstraint(fields=["workflow", "node_id"], name="step_node_id_once_per_workflow"),
            models.UniqueConstraint(fields=["workflow", "step_index"], name="step_index_once_per_workflow"),
        ]

    def __str__(self) -> str:
        return self.node_id

    @property
    def version(self) -> StepVersion:
        """The current version; every step is created together with its first one."""
        if self.current is None:
            raise ValueError(f"step {self.node_id} has no version")
        return self.current


class StepVersion(models.Model):
    """What a step does, immutable: a change makes the next version."""

    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    action_type = models.CharField(max_length=100)
    action = models.JSONField()
    description = models.TextField()
    risk = models.CharField(max_length=12, choices=Risk, default=Risk.REVERSIBLE)
    risk_chosen = models.BooleanField(default=False, help_text="A person has set the risk; it is guessed no more.")
    supported = models.BooleanField(default=True)
    fact = models.PositiveBigIntegerField(default=0, help_text="Its number among the facts of its step.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["step", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["step", "number"], name="step_version_number_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="step_version_number_from_1"),
        ]

    def __str__(self) -> str:
        return f"{self.step.node_id} v{self.number}"

    def keeps_evidence_of(self, earlier: StepVersion) -> bool:
        """Whether decisions on an earlier version still say something about this one.

        So it is while the step does the same; and what is irreversible only now was not decided on as such.
        """
        same = (self.action_type, self.action, self.supported) == (
            earlier.action_type, earlier.action, earlier.supported
        )  # fmt: skip
        return same and self.risk in {earlier.risk, Risk.REVERSIBLE}


class LevelChangeQuerySet(models.QuerySet["LevelChange"]):
    def of_workflow(self, workflow: Workflow) -> LevelChangeQuerySet:
        """The latest first."""
        return self.filter(step__workflow=workflow).select_related("step__current", "version").order_by("-pk")

    def latest_of(self, steps: Collection[Step]) -> dict[int, LevelChange]:
        """The latest change of each step by the step's key; a step that never changed is left out."""
        newest = self.filter(step__in=steps).order_by().values("step").annotate(newest=Max("pk")).values("newest")
        return {change.step_id: change for change in self.filter(pk__in=newest)}


class LevelChange(models.Model):
    """A step came to another level: who or what changed it, why, and what the evidence was at that moment."""

    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="level_changes")
    version = models.ForeignKey(StepVersion, null=True, on_delete=models.SET_NULL, related_name="+")
    fact = models.PositiveBigIntegerField(help_text="Its number among the facts of its step.")
    from_level = models.CharField(max_length=12, choices=Level)
    to_level = models.CharField(max_length=12, choices=Level)
    at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=150, help_text="The user name, or “policy” where no person decided it.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    reason = models.TextField()
    restarts = models.BooleanField(
        default=False, help_text="The evidence starts anew because what is proposed has changed, whatever the level."
    )
    evidence = models.JSONField(default=dict, help_text="The step's counts and scores, and the policy, at that moment.")

    objects: ClassVar[LevelChangeQuerySet] = LevelChangeQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["step", "fact"], name="level_change_fact_once_per_step")]

    def __str__(self) -> str:
        return f"{self.step.node_id}: {self.from_level} → {self.to_level}"


class Variable(models.Model):
    """A value that a session may set anew. A secret one keeps its default encrypted."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="variables")
    name = models.CharField(max_length=100, validators=[RegexValidator(r"^[a-z][a-z0-9_]*$")])
    label = models.CharField(max_length=200)
    secret = models.BooleanField(default=False)
    default = models.TextField(blank=True, help_text="Empty for a secret.")
    encrypted_default = models.TextField(blank=True, editable=False)

    class Meta:
        ordering = ["workflow", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["workflow", "name"], name="variable_name_once_per_workflow"),
            models.CheckConstraint(
                condition=Q(secret=False) | Q(default=""), name="variable_secret_never_in_the_clear"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def as_json(self) -> dict[str, Any]:
        """`{name, label, secret, default}` of the contract; the default of a secret is never given."""
        return {
            "name": self.name,
            "label": self.label,
            "secret": self.secret,
            "default": "***" if self.secret and self.encrypted_default else self.default,
        }
