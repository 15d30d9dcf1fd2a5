"""The corrections of a pack's version as its page lists them: in words, with picture, record and what coaches said."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.paginator import Page, Paginator
from django.db.models import Count, F, Q, TextField, Window
from django.db.models.functions import Cast, RowNumber
from django.urls import reverse

from ..models import CorrectionMade, PackEntry, PackVersion, Step, Suggestion, Workflow
from ..packs import Change, changes_from_json
from .pack_words import Line, Sentences, lines_of, sentences_of
from .packs import Record
from .picture import Mark, picture_of

PAGE_LENGTH = 50
#: Of how many times that a correction was made the page says who, why and where.
SHOWN_MADE = 5
#: What is cut out of a screenshot around a target, in CSS pixels: so wide at least, and that much around a wide one.
CUT_WIDTH, CUT_MARGIN = 420, 60
CUT_SHAPE = 0.36

STATES = (
    ("", "any state"), ("on", "on"), ("off", "switched off"), ("left_out", "left out"), ("rejected", "rejected"),
    ("wrong", "wrong often"),
)  # fmt: skip


class Filters(forms.Form):
    workflow = forms.CharField(required=False, max_length=100)
    state = forms.ChoiceField(choices=STATES, required=False)
    text = forms.CharField(required=False, max_length=200)


@dataclass(frozen=True, slots=True)
class Shot:
    """A part of a screenshot with the target of a correction in its middle. `view` is an SVG view box."""

    address: str
    width: int
    height: int
    view: str
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class Row:
    """One correction. `state` is `on`, `off`, `left_out` or `rejected`; `inputs` are its fields as a form has them."""

    entry: PackEntry
    workflow: Workflow | None
    step: Step | None
    changes: Sequence[Change]
    sentences: Sentences
    lines: Sequence[Line]
    made: Sequence[CorrectionMade]
    sessions: int
    shot: Shot | None

    @property
    def record(self) -> Record:
        return Record(self.entry.item.right, self.entry.item.wrong)

    @property
    def state(self) -> str:
        if self.entry.rejected:
            return "rejected"
        if not self.entry.enabled:
            return "left_out"
        return "on" if self.entry.item.off_since is None else "off"

    @property
    def target(self) -> str:
        """The target in words, where the file or the capture tells it."""
        name, path = self.entry.target.get("name") or self.entry.target.get("label"), self.entry.target.get("path")
        return " on ".join([*([f"“{name}”"] if name else []), *([str(path)] if path else [])])


def correction_page(version: PackVersion, query: Mapping[str, str]) -> dict[str, Any]:
    """One page of the corrections that the filters find. A filter that makes no sense finds nothing."""
    filters = Filters(query)
    entries = PackEntry.objects.filter(version=version).select_related("item__pack", "item__correction__workflow")
    found = _filtered(entries, filters.cleaned_data) if filters.is_valid() else entries.none()
    page = Paginator(found.order_by("item__number"), PAGE_LENGTH).get_page(query.get("page"))
    return {
        "filters": filters,
        "kept": {name: value for name, value in query.items() if name in filters.fields and value},
        "workflows": version.entries.order_by("workflow_id").values_list("workflow_id", flat=True).distinct(),
        "page": page,
        "rows": rows_of(page),
    }


def _filtered(entries: Any, wanted: Mapping[str, Any]) -> Any:
    states = {
        "on": Q(enabled=True, rejected="", item__off_since=None),
        "off": Q(item__off_since__isnull=False),
        "left_out": Q(enabled=False, rejected=""),
        "rejected": ~Q(rejected=""),
        # Right less than 85 times of 100.
        "wrong": Q(item__wrong__gt=F("item__right") * 15 / 85),
    }
    if wanted["workflow"]:
        entries = entries.filter(workflow_id=wanted["workflow"])
    if wanted["state"]:
        entries = entries.filter(states[wanted["state"]])
    text = wanted["text"].strip()
    if not text:
        return entries
    # SQLite keeps JSON with its letters escaped, PostgreSQL as they are.
    escaped = json.dumps(text)[1:-1]
    inside = Q(node_id__icontains=text) | Q(workflow_id__icontains=text) | Q(note__icontains=text)
    for column in ("all_changes", "all_target"):
        inside |= Q(**{f"{column}__icontains": text}) | Q(**{f"{column}__icontains": escaped})
    as_text = {"all_changes": Cast("changes", TextField()), "all_target": Cast("target", TextField())}
    return entries.annotate(**as_text).filter(inside)


def rows_of(entries: Page[PackEntry] | Iterable[PackEntry]) -> list[Row]:
    """The rows of a page, in a fixed number of queries."""
    listed = list(entries)
    named = Workflow.objects.filter(workflow_id__in={entry.workflow_id for entry in listed})
    workflows = {workflow.workflow_id: workflow for workflow in named}
    steps = _steps(listed)
    corrections = [entry.item.correction_id for entry in listed if entry.item.correction_id]
    made = _made(corrections)
    counts = CorrectionMade.objects.filter(correction__in=corrections).order_by().values_list("correction")
    sessions = dict(counts.annotate(Count("decision__session", distinct=True)))
    return [
        _row(
            entry,
            workflow=workflows.get(entry.workflow_id),
            step=steps.get((entry.workflow_id, entry.node_id)),
            made=made.get(entry.item.correction_id or 0, []),
            sessions=sessions.get(entry.item.correction_id or 0, 0),
        )
        for entry in listed
    ]


def _steps(entries: Iterable[PackEntry]) -> dict[tuple[str, str], Step]:
    places = {(entry.workflow_id, entry.node_id) for entry in entries}
    found = Step.objects.filter(
        workflow__workflow_id__in={workflow for workflow, _ in places}, node_id__in={node for _, node in places}
    )
    return {(step.workflow.workflow_id, step.node_id): step for step in found.select_related("workflow", "current")}


def _made(corrections: Iterable[int]) -> dict[int, list[CorrectionMade]]:
    """The last times that each correction was made."""
    latest = Window(RowNumber(), partition_by=[F("correction")], order_by=F("pk").desc())
    made = CorrectionMade.objects.filter(correction__in=corrections).annotate(latest=latest)
    found: defaultdict[int, list[CorrectionMade]] = defaultdict(list)
    chosen = made.filter(latest__lte=SHOWN_MADE).select_related("decision__session", "decision__suggestion__session")
    for one in chosen.order_by("-pk"):
        found[one.correction_id].append(one)
    return found


def _row(
    entry: PackEntry, *, workflow: Workflow | None, step: Step | None, made: Sequence[CorrectionMade], sessions: int
) -> Row:
    changes = changes_from_json(entry.changes)
    correction = entry.item.correction
    original = correction.original if correction and correction.workflow.is_browser else None
    seen = (one.decision.suggestion for one in made)
    return Row(
        entry=entry,
        workflow=workflow,
        step=step,
        changes=changes,
        sentences=sentences_of(original, changes),
        lines=lines_of(changes, entry.action_type),
        made=made,
        sessions=sessions,
        shot=next((shot_of(suggestion) for suggestion in seen if suggestion and suggestion.screenshot), None),
    )


def shot_of(suggestion: Suggestion) -> Shot:
    """What the coach saw: the surroundings of the target, or the whole page where it was not found."""
    picture = picture_of(suggestion, description="")
    mark = picture.marks[0] if picture.marks else None
    address = reverse("suggestion-screenshot", args=[suggestion.session.session_id, suggestion.n])
    if mark is None:
        return Shot(address, picture.width, picture.height, f"0 0 {picture.width} {picture.height}", None)
    width = min(max(CUT_WIDTH, mark.width + 2 * CUT_MARGIN, (mark.height + CUT_MARGIN) / CUT_SHAPE), picture.width)
    height = min(width * CUT_SHAPE, picture.height)
    x = min(max(mark.x + mark.width / 2 - width / 2, 0), picture.width - width)
    y = min(max(mark.y + mark.height / 2 - height / 2, 0), picture.height - height)
    return Shot(address, picture.width, picture.height, f"{x:.0f} {y:.0f} {width:.0f} {height:.0f}", mark)
