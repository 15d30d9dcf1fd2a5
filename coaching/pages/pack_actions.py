"""What reviewers do to a pack: its corrections one by one and in bulk, its moves, publishing, merging, importing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render

from .. import roles
from ..actions.backtests import start_backtest
from ..actions.correction_packs import (
    change_pack,
    delete_pack,
    finished_backtest,
    publish,
    retire,
    revise,
    rollback,
    submit,
)
from ..actions.pack_items import edit_entry, reject_entry, set_enabled, switch_off, switch_on
from ..exceptions import BreaksAccepted, DomainError, IllegalTransition, InvalidInput
from ..models import CorrectionPack, PackEntry, PackItem
from ..packs import changes_from_json
from .doors import page, person
from .pack_backtests import SHOWN_BROKEN, findings
from .pack_inputs import read_new
from .pack_views import kept_query, pack_problem, the_pack

MAX_REASON = 2000
MAX_CHOSEN = 1000


def _back(request: HttpRequest, pack: CorrectionPack, words: str, *, anchor: str = "") -> HttpResponseBase:
    """To the pack's page with its filters as they were, saying what was done."""
    messages.success(request, words)
    query = kept_query(request)
    return redirect(f"{pack.get_absolute_url()}{'?' + query if query else ''}{'#' + anchor if anchor else ''}")


def _reason(request: HttpRequest) -> str:
    reason = request.POST.get("reason", "").strip()
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"A reason has at most {MAX_REASON} characters.", field="reason")
    return reason


# ---- its moves


@page(roles.REVIEW_PACKS, methods=["POST"], problem=pack_problem)
def pack_change(request: HttpRequest, pack_id: str) -> HttpResponseBase:
    pack = the_pack(pack_id)
    change_pack(
        pack,
        name=request.POST.get("name", "").strip(),
        description=request.POST.get("description", "").strip(),
        scope=request.POST.get("scope"),
        by=person(request),
    )
    return _back(request, pack, "Saved.")


@page(roles.REVIEW_PACKS, methods=["POST"], problem=pack_problem)
def pack_revise(request: HttpRequest, pack_id: str) -> HttpResponseBase:
    pack = the_pack(pack_id)
    version = revise(pack, by=person(request))
    return redirect_saying(request, pack, f"Version {version.number} is a draft now: change it, then submit it.")


@page(roles.REVIEW_PACKS, methods=["POST"], problem=pack_problem)
def pack_submit(request: HttpRequest, pack_id: str) -> HttpResponseBase:
    pack = the_pack(pack_id)
    submit(pack, by=person(request))
    return redirect_saying(request, pack, "It is in review. Back-test it, then publish it.")


@page(roles.REVIEW_PACKS, methods=["POST"], problem=pack_problem)
def pack_retire(request: HttpRequest, pack_id: str) -> HttpResponseBase:
    pack = the_pack(pack_id)
    retire(pack, by=person(request))
    return redirect_saying(request, pack, f"‘{pack.name}’ is retired: it changes nothing any more.")


@page(roles.REVIEW_PACKS, methods=["POST"], problem=pack_problem)
def pack_rollback(request: HttpRequest, pack_id: str) -> HttpResponseBase:
    pack = the_pack(pack_id)
    to = request.POST.get("to", "")
    if to and not (to.isdecimal() and len(to) < 9):
        raise InvalidInput("This is no version.", field="to")
    version = rollback(pack, to=int(to) if to else None, by=person(request))
    return redirect_saying(request, pack, f"Version {version.number} is applied again.")


@page(roles.REVIEW_PACKS, methods=["POST"], problem=pack_problem)
def pack_delete(request: HttpRequest, pack_id: str) -> HttpResponseBase:
    pack = the_pack(pack_id)
    delete_pack(pack, by=person(request))
    messages.success(request, f"‘{pack.name}’ was deleted. What coaches corrected is still there.")
    return redirect("pack-list")


def redirect_saying(request: HttpRequest, pack: CorrectionPack, words: str) -> HttpResponseBase:
    """To the pack's page as it is first shown: after a move it shows another version."""
    messages.success(request, words)
    return redirect(pack)


# ---- back-test and publishing


@page(roles.REVIEW_PACKS, methods=["POST"], problem=pack_problem)
def pack_backtest_start(request: HttpRequest, pack_id: str) -> HttpResponseBase:
    pack = the_pack(pack_id)
    version = pack.shown
    if version is None:
        raise IllegalTransition("This pack has no version that could be tested.")
    start_backtest(version, by=person(request))
    return redirect(f"{pack.get_absolute_url()}#backtest")


def publish_problem(request: HttpRequest, problem: DomainError, pack_id: str) -> HttpResponse:
    if isinstance(problem, BreaksAccepted):
        return _publish_page(request, the_pack(pack_id), problem=problem)
    return pack_problem(request, problem, pack_id)


def _publish_page(request: HttpRequest, pack: CorrectionPack, problem: DomainError | None = None) -> HttpResponse:
    """The list of what it breaks, and the button that says yes to it."""
    backtest = finished_backtest(pack.draft) if pack.draft else None
    context = {
        "pack": pack,
        "version": pack.draft,
        "backtest": backtest,
        "group": findings(backtest, "broken", limit=SHOWN_BROKEN) if backtest else None,
        "in_review": pack.status == CorrectionPack.Status.IN_REVIEW,
        "problem": problem,
    }
    return render(request, "coaching/pack_publish.html", context, status=problem.status if problem else 200)


@page(roles.REVIEW_PACKS, methods=["GET", "POST"], problem=publish_problem)
def pack_publish(request: HttpRequest, pack_id: str) -> HttpResponseBase:
    """Asked to confirm, a person has the list of one back-test in view: it is that one which is confirmed."""
    pack = the_pack(pack_id)
    if request.method != "POST":
        return _publish_page(request, pack)
    seen = request.POST.get("seen", "")
    latest = finished_backtest(pack.draft) if pack.draft else None
    confirmed = latest is not None and seen == str(latest.pk)
    version = publish(pack, confirmed=confirmed, by=person(request))
    return redirect_saying(request, pack, f"Version {version.number} is published: it changes suggestions from now on.")


# ---- corrections


def _entry(pack: CorrectionPack, number: int) -> PackEntry:
    """A correction of the draft. Raises `IllegalTransition` where it is no longer."""
    entry = PackEntry.objects.select_related("item__pack", "version__pack").filter(
        version=pack.draft_id, item__number=number
    ).first() if pack.draft_id else None  # fmt: skip
    if entry is None:
        raise IllegalTransition(f"Correction {number} is in no draft any more: somebody was faster.")
    return entry


@page(roles.REVIEW_PACKS, methods=["POST"], problem=pack_problem)
def correction_edit(request: HttpRequest, pack_id: str, number: int) -> HttpResponseBase:
    pack = the_pack(pack_id)
    entry = _entry(pack, number)
    new = read_new(changes_from_json(entry.changes), entry.action_type, request.POST.dict())
    note = request.POST.get("note", "").replace("\r\n", "\n").strip()
    edited = edit_entry(entry, new=new, note=note, by=person(request))
    now = edited.item.number
    words = f"Correction {number} is saved." if now == number else f"Correction {number} is correction {now} now."
    return _back(request, pack, words, anchor=f"c{now}")


@page(roles.REVIEW_PACKS, methods=["POST"], problem=pack_problem)
def correction_reject(request: HttpRequest, pack_id: str, number: int) -> HttpResponseBase:
    pack = the_pack(pack_id)
    reject_entry(_entry(pack, number), reason=_reason(request), by=person(request))
    return _back(request, pack, f"Correction {number} is rejected.", anchor=f"c{number}")


Bulk = Callable[[CorrectionPack, Sequence[int], str, User], int]


def _off(pack: CorrectionPack, numbers: Sequence[int], reason: str, by: User) -> int:
    items = list(PackItem.objects.filter(pack=pack, number__in=numbers, off_since=None))
    switch_off(items, by=by, reason=reason)
    return len(items)


def _on(pack: CorrectionPack, numbers: Sequence[int], _reason: str, by: User) -> int:
    items = list(PackItem.objects.filter(pack=pack, number__in=numbers, off_since__isnull=False))
    switch_on(items, by=by)
    return len(items)


def _take(*, enabled: bool) -> Bulk:
    def taken(pack: CorrectionPack, numbers: Sequence[int], _reason: str, by: User) -> int:
        if not pack.draft_id:
            raise IllegalTransition("Only a draft can be changed: start a new version first.")
        entries = PackEntry.objects.select_related("item__pack").filter(version=pack.draft_id, item__number__in=numbers)
        changing = [entry for entry in entries if entry.enabled != enabled or (enabled and entry.rejected)]
        set_enabled(changing, enabled=enabled, by=by)
        return len(changing)

    return taken


#: By the value of the button: what it does, and how it is said.
BULK: dict[str, tuple[Bulk, str]] = {
    "off": (_off, "switched off: nothing of it applies any more"),
    "on": (_on, "switched on again; how often it was right is counted anew"),
    "leave_out": (_take(enabled=False), "left out of this draft"),
    "take_in": (_take(enabled=True), "taken into this draft"),
}


@page(roles.REVIEW_PACKS, methods=["POST"], problem=pack_problem)
def corrections_bulk(request: HttpRequest, pack_id: str) -> HttpResponseBase:
    """Several corrections at once, as they were ticked."""
    pack = the_pack(pack_id)
    chosen = [text for text in request.POST.getlist("number") if text.isdecimal() and len(text) < 9]
    verb: Any = BULK.get(request.POST.get("do", ""))
    if verb is None:
        raise InvalidInput("Choose one of the buttons.", field="do")
    if not chosen:
        raise InvalidInput("Tick at least one correction first.", field="number")
    act, words = verb
    count = act(pack, [int(text) for text in chosen[:MAX_CHOSEN]], _reason(request), person(request))
    said = f"{count} {'correction' if count == 1 else 'corrections'} {words}."
    return _back(request, pack, said if count else "They were so already.", anchor="corrections")
