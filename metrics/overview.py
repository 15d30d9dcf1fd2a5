"""Metrics of a workflow and of the whole site, read from the tallies: their cost does not grow with the decisions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db.models import Count, Sum
from django.utils import timezone

from coaching.models import Level, Session, Step, Workflow

from . import scoring
from .contributions import LATENCY_STEP, MILLIONTHS, day
from .models import Activity, CalibrationBin, DailyTally, LatencyBin, Source, WorkflowLearningMetrics
from .tally import LIFETIME

BINS = 10
DEFAULT_DAYS = 90
MAX_DAYS = 366


@dataclass(frozen=True, slots=True)
class ActivityCounts:
    """Sessions and decisions of a workflow, of a day, or of the site, and what follows from them.

    Rates are 0 to 1, and None when nothing was counted.
    """

    counts: dict[str, int]

    @classmethod
    def read(cls, rows: Any) -> ActivityCounts:
        sums = rows.aggregate(**{name: Sum(name, default=0) for name in Activity.COUNTS})
        return cls(sums)

    @property
    def decisions(self) -> dict[str, int]:
        """People's decisions by kind, with their `total`."""
        by_kind = {name: self.counts[name] for name in LIFETIME}
        return {"total": sum(by_kind.values()), **by_kind}

    @property
    def refused(self) -> int:
        return self.counts["rejected"] + self.counts["corrected"]

    @property
    def acceptance_rate(self) -> float | None:
        return scoring.acceptance_rate(self.counts["accepted"], self.refused)

    @property
    def correction_rate(self) -> float | None:
        return scoring.correction_rate(self.counts["accepted"], self.counts["rejected"], self.counts["corrected"])

    @property
    def unattended_share(self) -> float | None:
        """The share of all decisions that the policy took, no person being asked."""
        return share(self.counts["unattended"], self.counts["unattended"] + self.decisions["total"])

    @property
    def runs(self) -> int:
        """Sessions that have ended."""
        return self.counts["completed"] + self.counts["failed"] + self.counts["abandoned"]

    @property
    def coaching_minutes_per_run(self) -> float | None:
        """How long people thought, in sessions that have ended, per session; a question counts 5 minutes at most."""
        return self.counts["coaching_ms"] / 60_000 / self.runs if self.runs else None


def total_of(counts: Iterable[str]) -> dict[str, Any]:
    """The sum of each count as `sum_<count>`, for `annotate`: a name of the model's own would be in its way."""
    return {f"sum_{name}": Sum(name, default=0) for name in counts}


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def workflow_activity(workflow: Workflow) -> ActivityCounts:
    return ActivityCounts.read(WorkflowLearningMetrics.objects.filter(workflow=workflow))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationTenth:
    """Suggestions whose stated confidence was from `low` up to `high`: how many there were, and were accepted."""

    low: float
    high: float
    count: int
    accepted: int

    @property
    def rate(self) -> float | None:
        return share(self.accepted, self.count)

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """`brier` is the mean of (stated confidence − accepted)², 0 (perfect) to 1; None when nothing was counted.

    Source: Brier, Verification of forecasts expressed in terms of probability, 1950.
    """

    brier: float | None
    bins: Sequence[CalibrationTenth]


def calibration(workflow: Workflow | None = None) -> Calibration:
    """Of one workflow, or of the whole site. Questions about trouble state no confidence and do not count."""
    rows = CalibrationBin.objects.filter(workflow=workflow) if workflow else CalibrationBin.objects.all()
    sums = {
        number: (count, accepted, error)
        for number, count, accepted, error in rows.order_by()
        .values_list("bin")
        .annotate(Sum("count"), Sum("accepted"), Sum("squared_error"))
    }
    total = sum(count for count, _, _ in sums.values())
    error = sum(error for _, _, error in sums.values())
    bins = [
        CalibrationTenth(low=i / BINS, high=(i + 1) / BINS, count=counted[0], accepted=counted[1])
        for i in range(BINS)
        for counted in [sums.get(i, (0, 0, 0))]
    ]
    return Calibration(brier=error / MILLIONTHS / total if total else None, bins=bins)


def median_decision_ms() -> int | None:
    """The median of people's times to decide, in milliseconds, right to about 5 %; None when there is none."""
    counts: list[tuple[int, int]] = list(LatencyBin.objects.order_by("bin").values_list("bin").annotate(Sum("count")))
    half, seen = sum(count for _, count in counts) / 2, 0
    for number, count in counts:
        seen += count
        if count and seen >= half:
            return int(LATENCY_STEP ** (number + 0.5) + 0.5)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    date: date
    activity: ActivityCounts


def per_day(days: int = DEFAULT_DAYS, *, workflow: Workflow | None = None) -> list[Day]:
    """The last `days` days up to today in UTC, from the first on which anything happened; quiet days are all zeros."""
    today = day(timezone.now())
    rows: Any = DailyTally.objects.filter(date__gt=today - timedelta(days=days), date__lte=today)
    if workflow:
        rows = rows.filter(workflow=workflow)
    sums = {row.pop("date"): row for row in rows.order_by("date").values("date").annotate(**total_of(Activity.COUNTS))}
    if not sums:
        return []
    first = min(sums)
    nothing = {f"sum_{name}": 0 for name in Activity.COUNTS}
    return [
        Day(date=date, activity=ActivityCounts({name: row[f"sum_{name}"] for name in Activity.COUNTS}))
        for date in (first + timedelta(days=n) for n in range((today - first).days + 1))
        for row in [sums.get(date, nothing)]
    ]


def workflows_by_level() -> dict[str, int]:
    """How many workflows stand at each level, which is that of their weakest step."""
    steps = Step.objects.filter(step_index__isnull=False).order_by()
    levels: defaultdict[int, list[str]] = defaultdict(list)
    for workflow, level in steps.values_list("workflow_id", "level").distinct():
        levels[workflow].append(level)
    counts = Counter(Level.weakest(levels[pk]) for pk in Workflow.objects.order_by().values_list("pk", flat=True))
    return {level.value: counts[level] for level in Level}


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalCoachingMetrics:
    """The whole site. `sessions` are `{total, by_status}`; those that were deleted after they ended stay counted."""

    sessions: dict[str, Any]
    activity: ActivityCounts
    workflows_by_level: dict[str, int]
    median_decision_ms: int | None
    calibration: Calibration
    per_day: Sequence[Day]

    @classmethod
    def read(cls, days: int = DEFAULT_DAYS) -> GlobalCoachingMetrics:
        activity = ActivityCounts.read(WorkflowLearningMetrics.objects.all())
        return cls(
            sessions=_sessions(activity),
            activity=activity,
            workflows_by_level=workflows_by_level(),
            median_decision_ms=median_decision_ms(),
            calibration=calibration(),
            per_day=per_day(days),
        )


def statistics(workflow: Workflow | None = None) -> dict[str, Any]:
    """Overall statistics of the sessions that are kept, in the contract's shape; of one workflow, or of the site.

    Both rates are over all decisions, the policy's among them, 0.0 when there are none.
    """
    rows = WorkflowLearningMetrics.objects.filter(source=Source.LIVE)
    activity = ActivityCounts.read(rows.filter(workflow=workflow) if workflow else rows)
    counts = activity.counts
    total = activity.decisions["total"] + counts["unattended"] + counts["unanswered"]
    accepted, corrected = counts["accepted"] + counts["unattended"], counts["corrected"]
    sessions = _sessions(activity, workflow)
    return {
        "total_sessions": sessions["total"],
        "by_status": sessions["by_status"],
        "total_decisions": total,
        "total_accepted": accepted,
        "total_corrected": corrected,
        "overall_acceptance_rate": share(accepted, total) or 0.0,
        "overall_correction_rate": share(corrected, total) or 0.0,
    }


def _sessions(activity: ActivityCounts, workflow: Workflow | None = None) -> dict[str, Any]:
    going_on = Session.objects.ongoing().filter(workflow=workflow) if workflow else Session.objects.ongoing()
    ongoing = dict(going_on.order_by().values_list("status").annotate(Count("pk")))
    by_status = {
        status: ongoing.get(status, 0) if status in Session.ONGOING else activity.counts[status]
        for status in Session.Status.values
    }
    return {"total": sum(by_status.values()), "by_status": by_status}
