"""`export/sessions/` and `export/decisions/`: all of them in one answer, as CSV or JSON Lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import Throttled
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from ..exports.flow import gone_of
from ..exports.formats import CSV, JSON_LINES, MEDIA_TYPES, Row, as_csv, as_json_lines
from ..exports.reading import in_bites, with_decisions
from ..exports.rows import (
    DECISION_COLUMNS,
    SESSION_COLUMNS,
    flat_session_row,
    placed_decision_row,
    session_row,
)
from ..exports.streams import AT_ONCE, NoPlace, Stream
from ..models import Session
from ..roles import VIEW
from .schema import error_example
from .serializers import ErrorSerializer, Moment, QuerySerializer
from .views import ApiView

TAGS = ["Export"]
TOO_MANY = OpenApiResponse(ErrorSerializer, f"{AT_ONCE} exports are being read already.")
RETRY_AFTER = 10


class OnlyJSON(BaseContentNegotiation):
    """Errors are JSON whatever is asked for; `format` is a parameter like others here, and no choice of renderers."""

    def select_parser(self, _request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self, _request: Request, renderers: Iterable[BaseRenderer], _format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type


class FormatQuery(QuerySerializer):
    format = serializers.ChoiceField(
        choices=[CSV, JSON_LINES], default=CSV, help_text="`csv`, or `jsonl` for JSON Lines."
    )
    workflow_id = serializers.CharField(required=False, help_text="Only of this workflow.")

    def to_internal_value(self, data: Any) -> Any:
        # Somebody who waits would be answered by a door that keeps the whole answer in memory.
        if "wait" in data:
            raise serializers.ValidationError({"wait": ["An export does not wait for news."]})
        return super().to_internal_value(data)


class SessionExportQuery(FormatQuery):
    status = serializers.ChoiceField(choices=Session.Status.choices, required=False, help_text="Of the session.")
    mode = serializers.ChoiceField(choices=Session.Mode.choices, required=False, help_text="Of the session.")
    resumable = serializers.BooleanField(
        required=False, help_text="true: only active and paused sessions; false: only ended ones."
    )
    mine = serializers.BooleanField(default=False, help_text="Only sessions that you have started.")
    since = Moment(required=False, help_text="Only what began at this time or later.")
    until = Moment(required=False, help_text="Only what began before this time.")


class DecisionExportQuery(SessionExportQuery):
    session_id = serializers.CharField(required=False, help_text="Only of this session.")
    since = Moment(required=False, help_text="Only what was decided at this time or later.")
    until = Moment(required=False, help_text="Only what was decided before this time.")


def chosen_sessions(asked: dict[str, Any], request: Request) -> QuerySet[Session]:
    """The sessions that the parameters ask for, `since` and `until` aside."""
    columns = {"workflow_id": "workflow__workflow_id", "status": "status", "mode": "mode", "session_id": "session_id"}
    sessions = Session.objects.filter(**{column: asked[name] for name, column in columns.items() if name in asked})
    if "resumable" in asked:
        sessions = sessions.resumable() if asked["resumable"] else sessions.exclude(status__in=Session.ONGOING)
    return sessions.filter(started_by_id=request.user.pk) if asked["mine"] else sessions


def within(asked: dict[str, Any], column: str) -> Q:
    bounds = {"since": f"{column}__gte", "until": f"{column}__lt"}
    return Q(**{lookup: asked[name] for name, lookup in bounds.items() if name in asked})


def download(request: Request, name: str, pieces: Iterator[bytes], *, format: str) -> StreamingHttpResponse:  # noqa: A002
    """The pieces as a file of this name. Raises `Throttled` when too many are being read."""
    try:
        stream = Stream(pieces, gone=gone_of(request.META))
    except NoPlace:
        raise Throttled(
            wait=RETRY_AFTER, detail=f"{AT_ONCE} exports are being read already: try again when one is done."
        ) from None
    charset = "; charset=utf-8" if format == CSV else ""
    return StreamingHttpResponse(
        stream,
        content_type=MEDIA_TYPES[format] + charset,
        headers={
            "Content-Disposition": f'attachment; filename="{name}.{format}"',
            "Cache-Control": "private, no-store",
        },
    )


def documented(columns: Sequence[str], line: str) -> dict[Any, Any]:
    """The answers of an export for the OpenAPI document: `line` is what a line of JSON Lines is."""
    text = {"type": "string"}
    return {
        (200, MEDIA_TYPES[CSV]): OpenApiResponse(text, f"Columns: {', '.join(f'`{name}`' for name in columns)}."),
        (200, MEDIA_TYPES[JSON_LINES]): OpenApiResponse(text, f"{line} per line."),
        429: TOO_MANY,
    }


BUSY_EXAMPLE = error_example(
    "Too many at once", "throttled", "2 exports are being read already: try again when one is done.", status=429
)
HOW = (
    "Sent piece by piece as it is read from the database. CSV is UTF-8 by RFC 4180, a header first; a text that a "
    "spreadsheet would take for a formula has an apostrophe before it. Secrets read `***`. An answer that breaks off "
    "in the middle is not complete: ask again."
)


def sample(media_type: str, name: str, value: str) -> OpenApiExample:
    return OpenApiExample(name, value=value, media_type=media_type, response_only=True, status_codes=["200"])


class ExportSessions(ApiView):
    content_negotiation_class = OnlyJSON
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="export_sessions",
        summary="Export sessions",
        description=(
            "All sessions that fit, in the order in which they came here. A line of JSON Lines is the session with its "
            "decisions, as in the files of `manage.py export_sessions`; a row of CSV leaves the decisions out. " + HOW
        ),
        tags=TAGS,
        parameters=[SessionExportQuery],
        responses=documented(SESSION_COLUMNS, "One session with its decisions"),
        examples=[
            BUSY_EXAMPLE,
            sample(
                MEDIA_TYPES[CSV],
                "Two columns of it",
                "session_id,workflow_id\r\ncoaching_20310504_093000_1a2b3c4d,expense-claim\r\n",
            ),
        ],
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        asked = SessionExportQuery.read(request)
        sessions = chosen_sessions(asked, request).filter(within(asked, "started_at"))
        if asked["format"] == CSV:
            summaries = sessions.select_related("workflow").defer("plan", "browser")
            pieces = as_csv(SESSION_COLUMNS, rows_of(in_bites(summaries), flat_session_row))
        else:
            pieces = as_json_lines(
                [session_row(session, decisions) for session, decisions in group] for group in with_decisions(sessions)
            )
        return download(request, "sessions", pieces, format=asked["format"])


class ExportDecisions(ApiView):
    content_negotiation_class = OnlyJSON
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="export_decisions",
        summary="Export decisions",
        description=(
            "All decisions that fit, session by session, each with `session_id`, `workflow_id`, `execution_id` and the "
            "number `n` of the suggestion that it answers (null where it was made elsewhere). " + HOW
        ),
        tags=TAGS,
        parameters=[DecisionExportQuery],
        responses=documented(DECISION_COLUMNS, "One decision with these beside it"),
        examples=[
            BUSY_EXAMPLE,
            sample(MEDIA_TYPES[CSV], "Two columns of it", "node_id,decision\r\nclick-save,accept\r\n"),
        ],
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        asked = DecisionExportQuery.read(request)
        groups = with_decisions(chosen_sessions(asked, request), decided=within(asked, "timestamp"))
        chunks = rows_of(([one for _, made in group for one in made] for group in groups), placed_decision_row)
        pieces = as_csv(DECISION_COLUMNS, chunks) if asked["format"] == CSV else as_json_lines(chunks)
        return download(request, "decisions", pieces, format=asked["format"])


def rows_of(chunks: Iterable[Sequence[Any]], row: Callable[[Any], Row]) -> Iterator[list[Row]]:
    for chunk in chunks:
        yield [row(one) for one in chunk]
