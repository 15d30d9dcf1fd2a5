"""`export/metrics/`: where every step of every workflow stands, in one answer, as CSV or JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from coaching.api.exports import BUSY_EXAMPLE, HOW, TAGS, FormatQuery, OnlyJSON, documented, download, sample
from coaching.api.views import ApiView
from coaching.exports.formats import CSV, MEDIA_TYPES, as_csv, as_json_lines
from coaching.exports.reading import BITE
from coaching.models import LevelChange, Step
from coaching.roles import VIEW

from .readiness import standings
from .serializers import StepMetricsSerializer
from .tally import LIFETIME

#: The fields of a step's metrics that hold fields of their own; in a table each is a column.
NESTED = {
    "lifetime": LIFETIME,
    "epoch": ("accepted", "refused"),
    "audit": ("rate", "clean", "score"),
    "last_change": ("from", "to", "at", "by", "reason"),
}
COLUMNS = (
    "workflow_id", "node_id", "version", "level", "risk", *(f"lifetime_{name}" for name in NESTED["lifetime"]),
    *(f"epoch_{name}" for name in NESTED["epoch"]), "acceptance_rate", "wilson_low", "wilson_high", "confidence",
    "ready", "accepts_needed", "unmet", *(f"audit_{name}" for name in NESTED["audit"]), "execution_score",
    *(f"last_change_{name}" for name in NESTED["last_change"]),
)  # fmt: skip

Row = dict[str, Any]


def metrics_rows(steps: QuerySet[Step], *, size: int = BITE) -> Iterator[list[Row]]:
    """`workflow_id` and the metrics of each of these steps, by workflow and in order, `size` at a time."""
    for bite in _in_bites(steps.filter(step_index__isnull=False), size):
        context = {"last_changes": LevelChange.objects.latest_of(bite)}
        metrics_of: Any = StepMetricsSerializer(many=True, context=context)
        yield [
            {"workflow_id": step.workflow.workflow_id, **metrics}
            for step, metrics in zip(bite, metrics_of.to_representation(standings(bite)), strict=True)
        ]


def _in_bites(steps: QuerySet[Step], size: int) -> Iterator[list[Step]]:
    rows = steps.select_related("workflow", "current").order_by("workflow_id", "step_index")
    further = Q()
    while bite := list(rows.filter(further)[:size]):
        yield bite
        last = bite[-1]
        further = Q(workflow_id__gte=last.workflow_id) & (
            Q(workflow_id__gt=last.workflow_id) | Q(step_index__gt=last.step_index)
        )


def flat(row: Mapping[str, Any]) -> Row:
    """A row of the table: `unmet` as words with spaces between them."""
    table = {key: value for key, value in row.items() if key not in NESTED}
    for key, names in NESTED.items():
        inner = row[key] or {}
        table |= {f"{key}_{name}": inner.get(name) for name in names}
    return table | {"unmet": " ".join(row["unmet"])}


class ExportMetrics(ApiView):
    content_negotiation_class = OnlyJSON
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="export_metrics",
        summary="Export the metrics of all steps",
        description=(
            "One row per step, workflow by workflow: `workflow_id`, and the step as in "
            "`workflows/{workflow_id}/metrics/`; in CSV what is nested there has columns such as `lifetime_accepted`. "
            + HOW
        ),
        tags=TAGS,
        parameters=[FormatQuery],
        responses=documented(COLUMNS, "One step with `workflow_id` beside it"),
        examples=[
            BUSY_EXAMPLE,
            sample(MEDIA_TYPES[CSV], "Three columns of it", "workflow_id,node_id,ready\r\nexpense-claim,open,true\r\n"),
        ],
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        asked = FormatQuery.read(request)
        steps = Step.objects.all()
        if "workflow_id" in asked:
            steps = steps.filter(workflow__workflow_id=asked["workflow_id"])
        chunks = metrics_rows(steps)
        if asked["format"] == CSV:
            pieces = as_csv(COLUMNS, ([flat(row) for row in rows] for rows in chunks))
        else:
            pieces = as_json_lines(chunks)
        return download(request, "metrics", pieces, format=asked["format"])
