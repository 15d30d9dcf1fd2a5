"""Corrections as they were captured, and the packs that apply them to later suggestions."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Aggregate, Count, Exists, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone

from .decision import Decision
from .workflow import NODE_ID_LENGTH, Workflow


class CorrectionQuerySet(models.QuerySet["Correction"]):
    def uncovered(self) -> CorrectionQuerySet:
        """In no pack that is being worked on or applied."""
        covered = PackItem.objects.filter(correction=OuterRef("pk")).exclude(pack__status=CorrectionPack.Status.RETIRED)
        return self.filter(~Exists(covered))

    def suggested(self) -> CorrectionQuerySet:
        """Seen at least twice in the same way, and in no pack that is being worked on or applied."""
        return self.uncovered().filter(count__gte=Correction.SEEN_OFTEN).select_related("workflow")


class Correction(models.Model):
    """What coaches put in place of a suggested action, gathered: equal ones are one row with a count."""

    #: How often it must have been made before a pack with it is suggested.
    SEEN_OFTEN = 2

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="corrections")
    node_id = models.CharField(max_length=NODE_ID_LENGTH)
    action_type = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, help_text="Of what is changed: equal for equal corrections of a step.")
    action_fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the original action as first seen.")
    target = models.JSONField(default=dict, help_text="{role, name, label, path} of the original target.")
    target_key = models.CharField(max_length=64, blank=True, help_text="The same for the same target elsewhere.")
    original = models.JSONField(help_text="The action as it was proposed, without any pack.")
    corrected = models.JSONField(help_text="The full corrected action.")
    difference = models.JSONField(help_text="Original → corrected, as an RFC 6902 patch.")
    changes = models.JSONField(help_text="The fields that differ, as [{path, old, new}].")
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[CorrectionQuerySet] = CorrectionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-last_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["workflow", "node_id", "digest"], name="correction_gathered_per_step"),
            models.CheckConstraint(condition=Q(count__gte=1), name="correction_seen_at_least_once"),
        ]

    def __str__(self) -> str:
        return f"{self.node_id}: correction {self.pk}"


class CorrectionMade(models.Model):
    """One time that a correction was made: by which decision, with what reason and feedback."""

    correction = models.ForeignKey(Correction, on_delete=models.CASCADE, related_name="made")
    decision = models.OneToOneField(Decision, on_delete=models.CASCADE, related_name="correction_made")

    class Meta:
        verbose_name_plural = "corrections made"
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.correction_id} by {self.decision_id}"


class CorrectionPackQuerySet(models.QuerySet["CorrectionPack"]):
    def with_overview(self) -> CorrectionPackQuerySet:
        """Adds what lists show: how many corrections apply now (`applied`), in how many workflows (`reach`), how often
        all of them together were right (`right_uses`) and wrong (`wrong_uses`), and how many conflicts are open.
        """
        # One sub-query for each: joined, the rows of one would multiply those of the others.
        on = PackEntry.objects.on().filter(version=OuterRef("active"))
        items = PackItem.objects.filter(pack=OuterRef("pk"))
        this = OuterRef("pk")
        conflicts = PackConflict.objects.open().filter(Q(item__pack=this) | Q(other__pack=this))
        return self.select_related("active", "draft", "created_by").annotate(
            applied=_over(on, Count("pk")),
            reach=_over(on, Count("workflow_id", distinct=True)),
            right_uses=_over(items, Sum("right")),
            wrong_uses=_over(items, Sum("wrong")),
            open_conflicts=_over(conflicts, Count("pk")),
        )


def _over(rows: models.QuerySet[Any, Any], total: Aggregate) -> Coalesce:
    """An aggregate over all rows of a sub-query, 0 where there are none."""
    # Grouped by what is the same for all of them: without a group, the sub-query would not be one any more.
    return Coalesce(
        Subquery(rows.order_by().annotate(all=Value(1)).values("all").annotate(total=total).values("total")), 0
    )


class CorrectionPack(models.Model):
    """A named set of corrections. `active` is the version that is applied, `draft` the one that is worked on."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        IN_REVIEW = "in_review", "in review"
        PUBLISHED = "published"
        RETIRED = "retired"

    class Scope(models.TextChoices):
        STEP = "step", "the steps that were corrected"
        TARGET = "target", "the same target on the same page in every workflow"

    pack_id = models.SlugField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    scope = models.CharField(max_length=6, choices=Scope, default=Scope.STEP)
    status = models.CharField(max_length=9, choices=Status, default=Status.DRAFT)
    active = models.ForeignKey("PackVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    draft = models.ForeignKey("PackVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects: ClassVar[CorrectionPackQuerySet] = CorrectionPackQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["name", "pk"]
        permissions = [("review_correctionpack", "Can edit, publish and retire correction packs")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("pack-detail", args=[self.pack_id])

    @property
    def shown(self) -> PackVersion | None:
        """The version that a page shows first: what is worked on, else what is applied, else the newest."""
        return self.draft or self.active or self.versions.first()


class PackVersion(models.Model):
    """The corrections of a pack at one time; immutable once it was published."""

    pack = models.ForeignKey(CorrectionPack, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    published_at = models.DateTimeField(null=True, blank=True)
    published_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pack", "-number"]
        constraints = [models.UniqueConstraint(fields=["pack", "number"], name="pack_version_number_once")]

    def __str__(self) -> str:
        return f"{self.pack.name} v{self.number}"

    @property
    def is_published(self) -> bool:
        return self.published_at is not None


class PackItemQuerySet(models.QuerySet["PackItem"]):
    def switched_themselves_off(self, policy: str) -> PackItemQuerySet:
        """Of packs that are applied or worked on, those that `policy` has taken out of use; the latest first."""
        found = self.filter(off_since__isnull=False, off_by=policy).exclude(pack__status=CorrectionPack.Status.RETIRED)
        return found.select_related("pack").order_by("-off_since")


class PackItem(models.Model):
    """A correction of a pack through all its versions: its number, and how often it was right.

    What it changes stands in the entries of the versions; another change is another item.
    """

    pack = models.ForeignKey(CorrectionPack, on_delete=models.CASCADE, related_name="items")
    number = models.PositiveIntegerField(help_text="1, 2, 3 … within the pack")
    correction = models.ForeignKey(Correction, null=True, blank=True, on_delete=models.SET_NULL, related_name="items")
    right = models.PositiveIntegerField(default=0, help_text="Changed suggestions that were accepted.")
    wrong = models.PositiveIntegerField(default=0, help_text="Changed suggestions that were rejected or corrected.")
    off_since = models.DateTimeField(null=True, blank=True)
    off_by = models.CharField(max_length=150, blank=True, help_text="The user name, or “policy”.")
    off_reason = models.TextField(blank=True)

    objects: ClassVar[PackItemQuerySet] = PackItemQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["pack", "number"]
        constraints = [models.UniqueConstraint(fields=["pack", "number"], name="pack_item_number_once")]

    def __str__(self) -> str:
        return f"{self.pack.name}, correction {self.number}"

    @property
    def uses(self) -> int:
        return self.right + self.wrong


class PackEntryQuerySet(models.QuerySet["PackEntry"]):
    def on(self) -> PackEntryQuerySet:
        """Those that change suggestions wherever their version is applied: taken in, not rejected, not switched off."""
        return self.filter(enabled=True, rejected="", item__off_since=None)

    def applied(self) -> PackEntryQuerySet:
        """The corrections that change suggestions now."""
        return self.on().filter(version=models.F("version__pack__active")).select_related("item__pack", "version")


class PackEntry(models.Model):
    """What one correction of a pack is in one version."""

    version = models.ForeignKey(PackVersion, on_delete=models.CASCADE, related_name="entries")
    item = models.ForeignKey(PackItem, on_delete=models.PROTECT, related_name="entries")
    workflow_id = models.SlugField(max_length=100, help_text="By name: a pack may come from another site.")
    node_id = models.CharField(max_length=NODE_ID_LENGTH)
    action_type = models.CharField(max_length=100)
    target = models.JSONField(default=dict, help_text="{role, name, label, path}")
    target_key = models.CharField(max_length=64, blank=True)
    changes = models.JSONField(help_text="[{path, old, new}]")
    note = models.TextField(blank=True)
    enabled = models.BooleanField(default=True)
    rejected = models.TextField(blank=True, help_text="Why a reviewer will not have it; empty: not rejected.")

    objects: ClassVar[PackEntryQuerySet] = PackEntryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name_plural = "pack entries"
        ordering = ["version", "item__number"]
        indexes = [
            models.Index(fields=["workflow_id", "node_id"], name="pack_entry_of_step"),
            models.Index(fields=["target_key"], name="pack_entry_of_target"),
        ]
        constraints = [models.UniqueConstraint(fields=["version", "item"], name="pack_entry_once_per_version")]

    def __str__(self) -> str:
        return f"{self.workflow_id} {self.node_id}"

    @property
    def is_on(self) -> bool:
        return self.enabled and not self.rejected and self.item.off_since is None


class PackUse(models.Model):
    """A suggestion that a correction of a pack has changed."""

    suggestion = models.ForeignKey("coaching.Suggestion", on_delete=models.CASCADE, related_name="pack_uses")
    item = models.ForeignKey(PackItem, on_delete=models.CASCADE, related_name="uses_made")
    version = models.ForeignKey(PackVersion, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)
    right = models.BooleanField(null=True, blank=True, help_text="Empty until a person has judged it.")

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["suggestion", "item"], name="pack_use_once_per_suggestion")]

    def __str__(self) -> str:
        return f"{self.item} in {self.suggestion_id}"


class PackConflictQuerySet(models.QuerySet["PackConflict"]):
    def open(self) -> PackConflictQuerySet:
        """Those of which both corrections are still applied."""
        applied = PackEntry.objects.applied().select_related(None).order_by()
        return self.filter(
            Exists(applied.filter(item=OuterRef("item"))), Exists(applied.filter(item=OuterRef("other")))
        )


class PackConflict(models.Model):
    """Two corrections of published packs that would change the same field of the same step differently."""

    item = models.ForeignKey(PackItem, on_delete=models.CASCADE, related_name="conflicts")
    other = models.ForeignKey(PackItem, on_delete=models.CASCADE, related_name="+")
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="+")
    node_id = models.CharField(max_length=NODE_ID_LENGTH)
    path = models.CharField(max_length=200)
    seen = models.PositiveIntegerField(default=1)
    last_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[PackConflictQuerySet] = PackConflictQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-last_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["item", "other", "workflow", "node_id", "path"], name="pack_conflict_once_per_field"
            )
        ]

    def __str__(self) -> str:
        return f"{self.item} against {self.other}"


class PackChange(models.Model):
    """The change log of a pack: who did what, when."""

    pack = models.ForeignKey(CorrectionPack, on_delete=models.CASCADE, related_name="changes")
    at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=150, help_text="The user name, or “policy”.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    what = models.CharField(max_length=30)
    version_number = models.PositiveIntegerField(null=True, blank=True)
    words = models.TextField(blank=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.what} by {self.by}"


class BackTest(models.Model):
    """A pack version replayed over the decisions of the past."""

    class Status(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    version = models.ForeignKey(PackVersion, on_delete=models.CASCADE, related_name="backtests")
    digest = models.CharField(max_length=64, help_text="Of the version's corrections: another digest, another result.")
    status = models.CharField(max_length=7, choices=Status, default=Status.RUNNING)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    saved = models.PositiveIntegerField(default=0)
    broken = models.PositiveIntegerField(default=0)
    altered = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    progress_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    started_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.version}: {self.saved} saved, {self.broken} broken"

    @property
    def percent(self) -> int:
        return 100 if self.status == self.Status.DONE else self.done * 100 // self.total if self.total else 0


class BackTestFinding(models.Model):
    """A decision that the pack would have changed."""

    backtest = models.ForeignKey(BackTest, on_delete=models.CASCADE, related_name="findings")
    verdict = models.CharField(max_length=7)
    decision = models.ForeignKey(Decision, on_delete=models.CASCADE, related_name="+")
    item_number = models.PositiveIntegerField(help_text="The correction that changes it.")
    now: Any = models.JSONField(help_text="What would have been proposed.")

    class Meta:
        ordering = ["backtest", "pk"]
        indexes = [models.Index(fields=["backtest", "verdict"], name="finding_by_verdict")]

    def __str__(self) -> str:
        return f"{self.verdict}: {self.decision_id}"
