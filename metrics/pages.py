"""The dashboard: what needs me, where the workflows stand, and how well the site learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from coaching import roles
from coaching.actions.naming import POLICY
from coaching.models import Correction, CorrectionPack, Level, LevelChange, PackItem, Workflow
from coaching.pages.doors import page, person
from coaching.pages.inbox import waiting_for

from .contributions import day
from .models import Activity, WorkflowLearningMetrics
from .overview import ActivityCounts, Day, GlobalCoachingMetrics, total_of

SHOWN_QUESTIONS = 5
SHOWN_WORKFLOWS = 50
SHOWN_DEMOTIONS = 5
SHOWN_PACKS = 5
RECENT = timedelta(days=7)
CHART_DAYS = 90
#: Acceptance is shown over this many days up to each: single days say little.
WINDOW = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRow:
    """A workflow on the dashboard: of its `steps` so many are `ready`, run `alone`, or are `waiting` for an owner."""

    workflow: Workflow
    level: Level
    steps: int
    ready: int
    alone: int
    waiting: int
    activity: ActivityCounts


@dataclass(frozen=True, slots=True)
class Point:
    """Rates over the `WINDOW` days up to `date`, 0 to 1; None when nothing was counted in them."""

    date: date
    acceptance: float | None
    correction: float | None
    unattended: float | None


@page(roles.VIEW)
def dashboard(request: HttpRequest) -> HttpResponse:
    metrics = GlobalCoachingMetrics.read(CHART_DAYS)
    return render(request, "metrics/dashboard.html", _context(metrics, person(request)))


def _context(metrics: GlobalCoachingMetrics, user: User) -> dict[str, Any]:
    rows = workflow_rows()
    latest = metrics.per_day[-1] if metrics.per_day else None
    return {
        "metrics": metrics,
        "today": latest.activity if latest and latest.date == day(timezone.now()) else None,
        "questions": waiting_for(user, limit=SHOWN_QUESTIONS),
        "waiting": [row for row in rows if row.waiting],
        "demotions": recent_demotions(),
        "reviewing": packs_to_review() if user.has_perm(roles.REVIEW_PACKS) else None,
        "rows": rows[:SHOWN_WORKFLOWS],
        "are_more": len(rows) > SHOWN_WORKFLOWS,
        "rates": rates_over_time(metrics.per_day),
        "window": WINDOW,
    }


def workflow_rows() -> list[WorkflowRow]:
    """All workflows with their counts of steps, in two queries."""
    there, auto, ready = Q(steps__step_index__isnull=False), Q(steps__level=Level.AUTO), Q(steps__tally__ready=True)
    workflows: Any = Workflow.objects.annotate(
        step_count=Count("steps", filter=there),
        observed=Count("steps", filter=there & Q(steps__level=Level.OBSERVATION)),
        alone=Count("steps", filter=there & auto),
        ready=Count("steps", filter=there & ready),
        waiting=Count("steps", filter=there & ready & ~auto),
    )
    sums: Any = WorkflowLearningMetrics.objects.order_by().values("workflow").annotate(**total_of(Activity.COUNTS))
    activities = {
        row["workflow"]: ActivityCounts({name: row[f"sum_{name}"] for name in Activity.COUNTS}) for row in sums
    }
    nothing = ActivityCounts(dict.fromkeys(Activity.COUNTS, 0))
    return [
        WorkflowRow(
            workflow=workflow,
            level=_level(workflow.step_count, workflow.observed, workflow.alone),
            steps=workflow.step_count,
            ready=workflow.ready,
            alone=workflow.alone,
            waiting=workflow.waiting,
            activity=activities.get(workflow.pk, nothing),
        )
        for workflow in workflows
    ]


def _level(steps: int, observed: int, alone: int) -> Level:
    if observed or not steps:
        return Level.OBSERVATION
    return Level.AUTO if alone == steps else Level.COACHING


def recent_demotions() -> Sequence[LevelChange]:
    """Steps that came back to the coach by themselves in the last days, the latest first."""
    changes = LevelChange.objects.filter(from_level=Level.AUTO, by=POLICY, at__gte=timezone.now() - RECENT)
    return list(changes.select_related("step__workflow", "step__current")[:SHOWN_DEMOTIONS])


def packs_to_review() -> dict[str, Any]:
    """What waits for a reviewer: packs in review, corrections that switched themselves off, and what is suggested."""
    in_review = CorrectionPack.objects.filter(status=CorrectionPack.Status.IN_REVIEW).select_related("draft")
    return {
        "in_review": list(in_review[:SHOWN_PACKS]),
        "switched_off": list(PackItem.objects.switched_themselves_off(POLICY)[:SHOWN_PACKS]),
        "suggested": Correction.objects.suggested().count(),
    }


def rates_over_time(days: Sequence[Day]) -> list[Point]:
    """Acceptance, correction and unattended share over a moving window."""
    points = []
    for i, last in enumerate(days):
        window = [one.activity.counts for one in days[max(0, i - WINDOW + 1) : i + 1]]
        sums = ActivityCounts({name: sum(counts[name] for counts in window) for name in Activity.COUNTS})
        points.append(Point(last.date, sums.acceptance_rate, sums.correction_rate, sums.unattended_share))
    return points
