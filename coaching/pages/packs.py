"""The list of packs: what is suggested, how each does, and what packs have saved so far; live over a socket."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Sum
from django.db.models.functions import TruncDate
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django_htmx.http import HttpResponseClientRedirect

from .. import evidence, roles
from ..actions.correction_packs import make_pack
from ..actions.naming import POLICY
from ..exceptions import InvalidInput
from ..models import Correction, CorrectionMade, CorrectionPack, PackEntry, PackItem, PackUse, Workflow
from ..packs import changes_from_json
from .doors import by_htmx, page, person
from .pack_words import Line, Sentences, lines_of, sentences_of

FRAGMENTS = ("suggested", "list", "saved")
SHOWN_PACKS = 200
SHOWN_SUGGESTED = 200
CHART_DAYS = 90


@dataclass(frozen=True, slots=True)
class Captured:
    """A correction as it was captured, in words."""

    correction: Correction
    sentences: Sentences
    lines: Sequence[Line]

    @classmethod
    def of(cls, correction: Correction, workflow: Workflow) -> Captured:
        changes = changes_from_json(correction.changes)
        original = correction.original if workflow.is_browser else None
        return cls(correction, sentences_of(original, changes), lines_of(changes, correction.action_type))


@dataclass(frozen=True, slots=True)
class Suggested:
    """The corrections of one workflow that were made often enough to be worth a pack."""

    workflow: Workflow
    captured: Sequence[Captured]


def suggested_packs() -> list[Suggested]:
    """By workflow, those with most corrections first."""
    found: defaultdict[Workflow, list[Captured]] = defaultdict(list)
    corrections = Correction.objects.suggested().annotate(session_count=sessions_of_corrections())
    for correction in corrections.order_by("workflow__name", "node_id", "pk")[:SHOWN_SUGGESTED]:
        found[correction.workflow].append(Captured.of(correction, correction.workflow))
    return sorted(
        (Suggested(workflow, captured) for workflow, captured in found.items()), key=lambda one: -len(one.captured)
    )


def sessions_of_corrections() -> Count:
    return Count("made__decision__session", distinct=True)


@dataclass(frozen=True, slots=True)
class Row:
    """A pack as the list shows it. `switched_off` are the corrections that switched themselves off."""

    pack: Any
    reach: dict[str, int]
    record: Record
    switched_off: Sequence[PackItem]


@dataclass(frozen=True, slots=True)
class Record:
    """How often people found corrections right, and the 95 % interval of the true rate."""

    right: int
    wrong: int

    @property
    def uses(self) -> int:
        return self.right + self.wrong

    @property
    def rate(self) -> float | None:
        return self.right / self.uses if self.uses else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return evidence.source().interval(self.right, self.wrong)


NO_REACH = {"corrections": 0, "steps": 0, "workflows": 0}


def pack_rows() -> list[Row]:
    """All packs, those that wait for a reviewer first, in a fixed number of queries."""
    packs = list(CorrectionPack.objects.with_overview()[: SHOWN_PACKS + 1])
    reach = _reach(pack.draft_id or pack.active_id for pack in packs)
    numbers = PackItem.objects.filter(pack__in=packs).order_by().values("pack")
    records: dict[int, Record] = {
        row["pack"]: Record(row["all_right"], row["all_wrong"])
        for row in cast("Any", numbers.annotate(all_right=Sum("right"), all_wrong=Sum("wrong")))
    }
    off: defaultdict[int, list[PackItem]] = defaultdict(list)
    for item in PackItem.objects.switched_themselves_off(POLICY).filter(pack__in=packs):
        off[item.pack_id].append(item)
    rows = [
        Row(
            pack,
            reach=reach.get(pack.draft_id or pack.active_id, NO_REACH),
            record=records.get(pack.pk, Record(0, 0)),
            switched_off=off[pack.pk],
        )
        for pack in packs
    ]
    return sorted(rows, key=lambda row: _ORDER[row.pack.status])


_ORDER = {
    CorrectionPack.Status.IN_REVIEW: 0,
    CorrectionPack.Status.PUBLISHED: 1,
    CorrectionPack.Status.DRAFT: 1,
    CorrectionPack.Status.RETIRED: 2,
}


def _reach(version_ids: Iterable[int | None]) -> dict[int | None, dict[str, int]]:
    """How many corrections of each version may apply, to how many steps of how many workflows."""
    entries = PackEntry.objects.on().filter(version__in={pk for pk in version_ids if pk})
    counts = entries.order_by().values("version", "workflow_id", "node_id").annotate(found=Count("pk"))
    reach: defaultdict[int | None, dict[str, Any]] = defaultdict(lambda: {"corrections": 0, "steps": 0, "in": set()})
    for row in counts:
        one = reach[row["version"]]
        one["corrections"] += row["found"]
        one["steps"] += 1
        one["in"].add(row["workflow_id"])
    return {
        version: {"corrections": one["corrections"], "steps": one["steps"], "workflows": len(one["in"])}
        for version, one in reach.items()
    }


@dataclass(frozen=True, slots=True)
class Day:
    """What happened on one day, in UTC: corrections that packs saved, and corrections that coaches made."""

    date: date
    saved: int
    made: int


def saved_over_time() -> list[Day]:
    """One entry for each day from the first on which anything happened, at most the last `CHART_DAYS`."""
    since = timezone.now() - timedelta(days=CHART_DAYS)
    uses = PackUse.objects.filter(right=True, at__gte=since).order_by()
    made = CorrectionMade.objects.filter(decision__timestamp__gte=since).order_by()
    saved_on, made_on = _per_day(uses, "at"), _per_day(made, "decision__timestamp")
    days = sorted({*saved_on, *made_on})
    if not days:
        return []
    last = max(days[-1], datetime.now(UTC).date())
    every = [days[0] + timedelta(days=i) for i in range((last - days[0]).days + 1)]
    return [Day(one, saved_on.get(one, 0), made_on.get(one, 0)) for one in every]


def _per_day(rows: Any, column: str) -> dict[date, int]:
    return dict(rows.annotate(day=TruncDate(column, tzinfo=UTC)).values_list("day").annotate(Count("pk")))


def packs_context(user: User) -> dict[str, Any]:
    rows = pack_rows()
    suggested = suggested_packs()
    return {
        "rows": rows[:SHOWN_PACKS],
        "are_more": len(rows) > SHOWN_PACKS,
        "suggested": suggested,
        "open_packs": [row.pack for row in rows if row.pack.status != CorrectionPack.Status.RETIRED],
        "suggested_version": "-".join(f"{c.correction.pk}.{c.correction.count}" for s in suggested for c in s.captured),
        "days": saved_over_time(),
        "reviews": user.has_perm(roles.REVIEW_PACKS),
    }


def pack_fragments(user: User) -> dict[str, str]:
    context = packs_context(user)
    return {name: render_to_string(f"coaching/packs.html#{name}", context) for name in FRAGMENTS}


def packs_changed() -> Any:
    """Another value after each change of a pack, which no session's event tells of."""
    return CorrectionPack.objects.aggregate(last=Max("updated_at"), packs=Count("pk"))


@page(roles.VIEW, methods=["GET", "POST"])
def pack_list(request: HttpRequest) -> HttpResponseBase:
    """Everybody who may look sees the packs; who may review makes one of captured corrections."""
    user = person(request)
    if request.method != "POST":
        return render(request, "coaching/packs.html", packs_context(user))
    if not user.has_perm(roles.REVIEW_PACKS):
        raise PermissionDenied
    pack = _make(request)
    said = f"The corrections are in the draft of ‘{pack.name}’. Nothing applies before it is published."
    messages.success(request, said)
    return HttpResponseClientRedirect(pack.get_absolute_url()) if by_htmx(request) else redirect(pack)


def _make(request: HttpRequest) -> CorrectionPack:
    numbers = [int(text) for text in request.POST.getlist("correction") if text.isdecimal() and len(text) < 18]
    corrections = Correction.objects.filter(pk__in=numbers)
    if not numbers:
        raise InvalidInput("Choose at least one correction.", field="correction")
    into = request.POST.get("pack", "")
    pack = CorrectionPack.objects.filter(pack_id=into).first() if into else None
    if into and pack is None:
        raise InvalidInput("The pack you chose does not exist any more.", field="pack")
    return make_pack(corrections, into=pack, by=person(request))
