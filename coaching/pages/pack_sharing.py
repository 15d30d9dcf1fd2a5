"""Importing a pack's file, and merging two packs: a preview that stores nothing, choices, and then the deed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render

from .. import roles
from ..actions.correction_packs import import_pack, merge, preview_import
from ..actions.pack_items import items_of
from ..exceptions import DomainError, IllegalTransition, InvalidInput, UndecidedConflicts
from ..models import CorrectionPack
from ..packs import Comparison, PackItem, compare
from ..packs.document import MAX_BYTES
from .doors import page, person
from .pack_views import the_pack
from .pack_words import Line, lines_of

#: A file up to this size, in characters, is carried from the preview to the import in the form; a larger one is chosen
#: again.
KEPT_LENGTH = 512 * 1024
SHOWN_ITEMS = 200
SIDES = (("ours", "keep ours"), ("theirs", "take theirs"), ("neither", "neither"))


@dataclass(frozen=True, slots=True)
class Shown:
    """One correction in words."""

    item: PackItem
    lines: Sequence[Line]

    @classmethod
    def of(cls, item: PackItem) -> Shown:
        return cls(item, lines_of(item.changes, item.action_type))


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two corrections of which only one can hold. `name` is that of the choice in the form, `chosen` what it is."""

    ours: Shown
    theirs: Shown
    name: str
    chosen: str


def _comparison(found: Comparison, typed: Mapping[str, str]) -> dict[str, Any]:
    conflicts = []
    for ours, theirs in found.conflicts:
        name = f"choice-{ours.number}"
        conflicts.append(Conflict(Shown.of(ours), Shown.of(theirs), name, typed.get(name, "")))
    return {
        "new": [Shown.of(item) for item in found.theirs[:SHOWN_ITEMS]],
        "new_count": len(found.theirs),
        "equal_count": len(found.equal),
        "only_ours_count": len(found.ours),
        "conflicts": conflicts,
        "sides": SIDES,
    }


def _choices(request: HttpRequest) -> dict[int, str]:
    """`{number of our correction: side}`; what makes no sense is no choice."""
    prefix, sides = "choice-", {side for side, _ in SIDES}
    chosen = {name.removeprefix(prefix): side for name, side in request.POST.items() if name.startswith(prefix)}
    return {int(n): str(side) for n, side in chosen.items() if n.isdecimal() and len(n) < 9 and side in sides}


# ---- import


def import_problem(request: HttpRequest, problem: DomainError) -> HttpResponse:
    if isinstance(problem, UndecidedConflicts):
        return _preview_page(request, _data(request), problem=problem)
    return _import_page(request, {"problem": problem})


def _import_page(request: HttpRequest, context: Mapping[str, Any]) -> HttpResponse:
    problem = context.get("problem")
    return render(request, "coaching/pack_import.html", dict(context), status=problem.status if problem else 200)


def _preview_page(request: HttpRequest, data: bytes, *, problem: DomainError | None = None) -> HttpResponse:
    document, pack, found = preview_import(data)
    text = data.decode()
    context = {
        "document": document,
        "pack": pack,
        "kept": text if len(text) <= KEPT_LENGTH else "",
        "problem": problem,
        **_comparison(found, request.POST.dict()),
    }
    return _import_page(request, context)


def _data(request: HttpRequest) -> bytes:
    """The file as it was chosen, or as the preview carried it along."""
    file = request.FILES.get("file")
    if isinstance(file, UploadedFile):
        if (file.size or 0) > MAX_BYTES:
            raise InvalidInput(f"The file is larger than {MAX_BYTES // 1024 // 1024} MiB.", field="file")
        # A second look, at what was undecided, reads it again.
        file.seek(0)
        return bytes(file.read())
    if kept := request.POST.get("kept", ""):
        try:
            return kept.encode()
        except UnicodeEncodeError:
            raise InvalidInput("The file is not UTF-8 text.", field="file") from None
    raise InvalidInput("Choose the file of a pack first.", field="file")


@page(roles.REVIEW_PACKS, methods=["GET", "POST"], uploads=True, problem=import_problem)
def pack_import(request: HttpRequest) -> HttpResponseBase:
    if request.method != "POST":
        return _import_page(request, {})
    data = _data(request)
    if request.POST.get("do") != "import":
        return _preview_page(request, data)
    pack = import_pack(data, choices=_choices(request), by=person(request))
    messages.success(request, f"‘{pack.name}’ is imported as a draft. Nothing of it applies before it is published.")
    return redirect(pack)


# ---- merge


def merge_problem(request: HttpRequest, problem: DomainError, pack_id: str) -> HttpResponse:
    return _merge_page(request, the_pack(pack_id), problem=problem)


def _merge_page(request: HttpRequest, pack: CorrectionPack, *, problem: DomainError | None = None) -> HttpResponse:
    chosen = request.POST.get("other") or request.GET.get("other", "")
    others = CorrectionPack.objects.exclude(pk=pack.pk).exclude(status=CorrectionPack.Status.RETIRED)
    other = others.select_related("active", "draft").filter(pack_id=chosen).first() if chosen else None
    context: dict[str, Any] = {
        "pack": pack,
        "others": others.only("pack_id", "name"),
        "other": other,
        "is_unknown": bool(chosen) and other is None,
        "problem": problem,
    }
    if other is not None:
        context |= _comparison(compare(items_of(pack.shown), items_of(other.shown)), request.POST.dict())
    return render(request, "coaching/pack_merge.html", context, status=problem.status if problem else 200)


@page(roles.REVIEW_PACKS, methods=["GET", "POST"], problem=merge_problem)
def pack_merge(request: HttpRequest, pack_id: str) -> HttpResponseBase:
    pack = the_pack(pack_id)
    if request.method != "POST":
        return _merge_page(request, pack)
    other = CorrectionPack.objects.filter(pack_id=request.POST.get("other", "")).first()
    if other is None:
        raise InvalidInput("Choose the pack whose corrections are to be taken.", field="other")
    if other.status == CorrectionPack.Status.RETIRED:
        raise IllegalTransition("A retired pack stays as it is: there is nothing to take from it.")
    merge(pack, other, choices=_choices(request), by=person(request))
    messages.success(request, f"The corrections of ‘{other.name}’ are in the draft now.")
    return redirect(pack)
