"""What the pages of coaching show of the metrics."""

from __future__ import annotations

from typing import Any

from django import template

from coaching.evidence import WorkflowStanding
from metrics.overview import calibration, per_day, workflow_activity

register = template.Library()


@register.inclusion_tag("metrics/_learning.html")
def learning_of(standing: WorkflowStanding) -> dict[str, Any]:
    """The figures of a workflow as a whole, and how they have moved."""
    workflow = standing.workflow
    return {
        "activity": workflow_activity(workflow),
        "expected_clean_run_rate": standing.expected_clean_run_rate,
        "calibration": calibration(workflow),
        "days": per_day(workflow=workflow),
    }
