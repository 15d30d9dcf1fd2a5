"""The tallies, to look at: `manage.py rebuild_metrics` puts them right, nobody edits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.safestring import SafeString

from coaching.admin import LookOnly, pretty

from .models import CalibrationBin, DailyTally, LatencyBin, StepTally, WorkflowLearningMetrics

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(StepTally)
class StepTallyAdmin(LookOnly, ModelAdmin):
    list_display = [
        "step",
        "workflow",
        "epoch_accepted",
        "epoch_refused",
        "ready",
        "auto",
        "audit_score",
        "execution_score",
    ]
    list_filter = ["ready", "auto"]
    list_select_related = ["step__workflow"]
    search_fields = ["step__node_id", "step__workflow__workflow_id"]
    show_full_result_count = False
    fields = [
        "step", "workflow", "ready", "epoch_accepted", "epoch_refused", "epoch_version", "accepted", "rejected",
        "corrected", "manual", "skipped", "unattended", "auto", "clean_audits", "audit_score", "execution_score",
        "base_fact", "shown_base",
    ]  # fmt: skip

    @admin.display(description="workflow", ordering="step__workflow__name")
    def workflow(self, tally: StepTally) -> str:
        return str(tally.step.workflow)

    @admin.display(description="base")
    def shown_base(self, tally: StepTally) -> SafeString:
        return pretty(tally.base)


class TalliedAdmin(LookOnly, ModelAdmin):
    list_filter = ["source"]
    list_select_related = ["workflow"]
    search_fields = ["workflow__workflow_id", "workflow__name"]
    show_full_result_count = False


@admin.register(WorkflowLearningMetrics)
class LearningMetricsAdmin(TalliedAdmin):
    list_display = ["workflow", "source", *WorkflowLearningMetrics.COUNTS]


@admin.register(DailyTally)
class DailyTallyAdmin(TalliedAdmin):
    list_display = ["workflow", "date", "source", *DailyTally.COUNTS]
    date_hierarchy = "date"


@admin.register(CalibrationBin)
class CalibrationBinAdmin(TalliedAdmin):
    list_display = ["workflow", "bin", "source", *CalibrationBin.COUNTS]


@admin.register(LatencyBin)
class LatencyBinAdmin(TalliedAdmin):
    list_display = ["workflow", "bin", "source", *LatencyBin.COUNTS]
