"""Workflows and their versioned steps."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Count, Max, Q
from django.urls import reverse

NODE_ID_LENGTH = 200


class Level(models.TextChoices):
    OBSERVATION = "OBSERVATION"
    COACHING = "COACHING"
    AUTO = "AUTO"

    @property
    def rank(self) -> int:
        return list(Level).index(self)


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

    def current_steps(self) -> models.QuerySet[Step]:
        """The steps that a new session will run, in order, each with its current version."""
        return self.steps.filter(step_index__isnull=False).select_related("current").order_by("step_index")

    def level(self) -> Level:
        """The level of the weakest step: a workflow is AUTO when all its steps are."""
        levels = [Level(step.level) for step in self.current_steps()]
        return min(levels, key=lambda level: level.rank, default=Level.OBSERVATION)


class Step(models.Model):
    """One node of a workflow. What it does stands in its versions, of which `current` is the latest."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="steps")
    node_id = models.CharField(max_length=NODE_ID_LENGTH)
    step_index = models.PositiveIntegerField(
        null=True, blank=True, help_text="0-based; empty once the step was removed."
    )
    level = models.CharField(max_length=12, choices=Level, default=Level.OBSERVATION)
    current = models.ForeignKey("StepVersion", null=True, on_delete=models.SET_NULL, related_name="+")

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
    supported = models.BooleanField(default=True)
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
