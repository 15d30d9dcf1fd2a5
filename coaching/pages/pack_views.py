"""A pack's page: its corrections, its back-test, its versions and how they differ, its conflicts and its change log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render

from .. import roles
from ..actions.correction_packs import export
from ..actions.pack_items import items_of
from ..exceptions import DomainError, IllegalTransition
from ..models import CorrectionPack, PackConflict, PackEntry, PackVersion
from ..packs import PackItem, compare
from ..packs.changes import changes_from_json
from .doors import by_htmx, page, person
from .pack_backtests import backtest_context
from .pack_corrections import correction_page
from .pack_inputs import inputs_of
from .pack_words import Line, lines_of, path_in_words
from .packs import Record

SHOWN_CHANGES = 50
SHOWN_CONFLICTS = 100
SHOWN_VERSIONS = 100
SHOWN_DIFFERENCES = 200


def the_pack(pack_id: str) -> CorrectionPack:
    return get_object_or_404(CorrectionPack.objects.select_related("active", "draft", "created_by"), pack_id=pack_id)


@page(roles.VIEW)
def pack_detail(request: HttpRequest, pack_id: str) -> HttpResponse:
    return _detail_page(request, the_pack(pack_id))


def pack_problem(request: HttpRequest, problem: DomainError, pack_id: str, number: int | None = None) -> HttpResponse:
    """What went wrong, said on the pack's page as it is now; what was typed about correction `number` stays."""
    return _detail_page(request, the_pack(pack_id), problem=problem, typed_for=number)


def _detail_page(
    request: HttpRequest, pack: CorrectionPack, *, problem: DomainError | None = None, typed_for: int | None = None
) -> HttpResponse:
    version = version_of(pack, request.GET.get("version", "")) or pack.shown
    reviews = person(request).has_perm(roles.REVIEW_PACKS)
    versions = list(pack.versions.all()[:SHOWN_VERSIONS])
    published = [one for one in versions if one.is_published]
    context = {
        "pack": pack,
        "version": version,
        "is_draft": version is not None and version.pk == pack.draft_id,
        "reviews": reviews,
        "scopes": CorrectionPack.Scope.choices,
        "record": _record(pack),
        "problem": problem,
        "versions": versions,
        "was_published": bool(published),
        "has_earlier": bool(pack.active and any(one.number < pack.active.number for one in published)),
        "log": pack.changes.all()[:SHOWN_CHANGES],
        "conflicts": _conflicts(pack),
        **difference_of(pack, request.GET),
    }
    if version is not None:
        context |= _corrections(request, version, typed_for, editable=reviews and bool(context["is_draft"]))
        context |= backtest_context(pack, version, reviews=reviews)
    return render(request, "coaching/pack_detail.html", context, status=problem.status if problem else 200)


def _corrections(
    request: HttpRequest, version: PackVersion, typed_for: int | None, *, editable: bool
) -> dict[str, Any]:
    found = correction_page(version, request.GET)
    rows = [
        {
            "row": row,
            "typed": request.POST if row.entry.item.number == typed_for else {},
            "inputs": inputs_of(
                row.changes, row.entry.action_type, request.POST if row.entry.item.number == typed_for else None
            )
            if editable
            else [],
        }
        for row in found["rows"]
    ]
    return found | {"rows": rows, "here": kept_query(request)}


def kept_query(request: HttpRequest) -> str:
    """The filters of the page as a query, for links and forms that lead back to it."""
    names = ("workflow", "state", "text", "version")
    return urlencode({name: request.GET[name] for name in names if request.GET.get(name)})


def version_of(pack: CorrectionPack, number: str) -> PackVersion | None:
    """A version by its number as it stands in an address; None where there is no such one."""
    return pack.versions.filter(number=int(number)).first() if number.isdecimal() and len(number) < 9 else None


def _record(pack: CorrectionPack) -> Record:
    sums = pack.items.aggregate(all_right=Sum("right"), all_wrong=Sum("wrong"))
    return Record(sums["all_right"] or 0, sums["all_wrong"] or 0)


# ---- versions


@dataclass(frozen=True, slots=True)
class Difference:
    """What a version has that another has not. `was` and `now` are None for a correction that is new or gone."""

    item: PackItem
    was: list[Line] | None
    now: list[Line] | None


def difference_of(pack: CorrectionPack, query: Mapping[str, str]) -> dict[str, Any]:
    """How the versions `?from=` and `?to=` differ; nothing unless both are there."""
    older, newer = version_of(pack, query.get("from", "")), version_of(pack, query.get("to", ""))
    if older is None or newer is None:
        return {"differences": None, "asked_difference": bool(query.get("from") or query.get("to"))}
    found = compare(items_of(older), items_of(newer))
    differences = [Difference(item, _lines(old), _lines(item)) for old, item in found.conflicts]
    differences += [Difference(item, None, _lines(item)) for item in found.theirs]
    differences += [Difference(item, _lines(item), None) for item in found.ours]
    return {
        "older": older,
        "newer": newer,
        "differences": differences[:SHOWN_DIFFERENCES],
        "difference_count": len(differences),
        "equal_count": len(found.equal),
    }


def _lines(item: PackItem) -> list[Line]:
    return lines_of(item.changes, item.action_type)


# ---- conflicts


@dataclass(frozen=True, slots=True)
class Side:
    """One of two corrections that contradict each other, and what it puts in place."""

    item: Any
    lines: list[Line]


def _conflicts(pack: CorrectionPack) -> list[dict[str, Any]]:
    """The corrections of this pack and of others that contradict each other, with what each would put in place."""
    related = ("item__pack__active", "other__pack__active", "workflow")
    found = list(
        PackConflict.objects.filter(Q(item__pack=pack) | Q(other__pack=pack)).select_related(*related)[:SHOWN_CONFLICTS]
    )
    items = {pk for conflict in found for pk in (conflict.item_id, conflict.other_id)}
    entries = {entry.item_id: entry for entry in PackEntry.objects.applied().filter(item__in=items)}

    def side(item: Any, path: str) -> Side:
        entry = entries.get(item.pk)
        if entry is None:
            return Side(item, [])
        changes = changes_from_json(entry.changes)
        return Side(item, lines_of([c for c in changes if c.path == path] or changes, entry.action_type))

    return [
        {
            "conflict": conflict,
            "place": path_in_words(conflict.path),
            "sides": [side(conflict.item, conflict.path), side(conflict.other, conflict.path)],
        }
        for conflict in found
    ]


# ---- its file, and how its back-test gets on


@page(roles.VIEW)
def pack_export(request: HttpRequest, pack_id: str) -> HttpResponse:
    """The file of one version: `?version=`, else of the applied one, else of the one that is worked on; with
    `?pictures` the page of each correction comes along.
    """
    pack = the_pack(pack_id)
    asked = request.GET.get("version", "")
    version = version_of(pack, asked) if asked else pack.active or pack.shown
    if version is None:
        raise IllegalTransition("This pack has no such version.")
    response = HttpResponse(
        json.dumps(export(version, pictures="pictures" in request.GET), ensure_ascii=False, indent=2),
        content_type="application/json; charset=utf-8",
    )
    response["Content-Disposition"] = f'attachment; filename="{pack.pack_id}-v{version.number}.json"'
    return response


@page(roles.VIEW)
def pack_backtest(request: HttpRequest, pack_id: str) -> HttpResponseBase:
    """The back-test's part of the page, asked for again and again while it runs."""
    pack = the_pack(pack_id)
    version = version_of(pack, request.GET.get("version", "")) or pack.shown
    if not by_htmx(request) or version is None:
        return redirect(f"{pack.get_absolute_url()}#backtest")
    reviews = person(request).has_perm(roles.REVIEW_PACKS)
    context = {"pack": pack, "version": version, "reviews": reviews} | backtest_context(pack, version, reviews=reviews)
    return render(request, "coaching/_backtest.html", context)
