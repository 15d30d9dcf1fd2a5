"""Claims of the made-up company, and the projects they are charged to."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models
from django.urls import reverse


@dataclass(frozen=True)
class Project:
    code: str
    name: str
    lead: str
    state: str
    since_release: int = 1


# Release 2 puts a closed namesake above the project people mean: its row takes over the place, and so the
# element id, of the right one.
PROJECTS = (
    Project("AUR-25", "Aurora", "M. Okafor", "closed 2025", since_release=2),
    Project("AUR-26", "Aurora", "M. Okafor", "open"),
    Project("BOR-26", "Borealis", "J. Lindqvist", "open"),
    Project("CIR-26", "Cirrus", "T. Hadley", "open"),
)


def projects_in(release: int) -> list[Project]:
    """The rows of the project table in `release` (1 or 2), in the order shown."""
    return [project for project in PROJECTS if project.since_release <= release]


class Claim(models.Model):
    class Status(models.TextChoices):
        SUBMITTED = "submitted", "Submitted"

    class Category(models.TextChoices):
        TRAVEL = "travel", "Travel"
        MEALS = "meals", "Meals"
        LODGING = "lodging", "Lodging"
        SUPPLIES = "supplies", "Office supplies"
        TRAINING = "training", "Training"

    # The claim number people see is the key, so two people submitting at once never share one.
    number = models.BigAutoField(primary_key=True)
    claimant = models.CharField(max_length=40)
    title = models.CharField(max_length=80)
    amount = models.DecimalField(max_digits=7, decimal_places=2, help_text="In euros.")
    category = models.CharField(max_length=20, choices=Category)
    project = models.CharField(
        max_length=10, choices=[(p.code, p.name) for p in PROJECTS], help_text="Code of the chosen row."
    )
    date = models.DateField()
    status = models.CharField(max_length=10, choices=Status, default=Status.SUBMITTED)
    release = models.PositiveSmallIntegerField(help_text="Release of the form the claim was filed with.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="demo_claim_amount_positive"),
        ]

    def __str__(self) -> str:
        return f"Claim {self.number}: {self.title}"

    def get_absolute_url(self) -> str:
        return reverse("demo:claim", args=[self.number])

    @property
    def project_row(self) -> Project:
        return next(project for project in PROJECTS if project.code == self.project)
