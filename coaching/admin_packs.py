"""The reviewer's bench in the admin site: corrections, packs, their versions and back-tests.

As everywhere here, rows are looked at and never edited: the buttons call the verbs, for whoever may review packs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import F, Model, OuterRef, Prefetch, QuerySet, Subquery, Window
from django.db.models.functions import Coalesce, RowNumber
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import ngettext

from .actions.backtests import start_backtest
from .actions.correction_packs import export, publish, retire, rollback, submit
from .admin import LookOnly, ModelAdmin, TabularInline, link, link_to_list, pretty
from .exceptions import BreaksAccepted, DomainError
from .models import (
    BackTest,
    BackTestFinding,
    Correction,
    CorrectionMade,
    CorrectionPack,
    PackChange,
    PackConflict,
    PackEntry,
    PackItem,
    PackUse,
    PackVersion,
)
from .packs import changes_between
from .packs.changes import changes_as_json
from .roles import REVIEW_PACKS

#: How many rows of each kind a page holds; the others are in the lists that it links to.
ON_A_PAGE = 100


def value_in_words(change: Mapping[str, Any], side: str) -> str:
    if side not in change:
        return "nothing"
    value = change[side]
    return f"“{value}”" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def changes_in_words(changes: Iterable[Mapping[str, Any]]) -> SafeString | str:
    """`[{path, old, new}]`, a line for each field: its name, and old → new."""
    lines = (
        (change["path"].strip("/").replace("/", " "), value_in_words(change, "old"), value_in_words(change, "new"))
        for change in changes
    )
    return format_html_join("", "<div><b>{}</b>: {} → {}</div>", lines) or "-"


def right_of(item: PackItem) -> str:
    return f"{item.right} of {item.uses}"


def state_of(entry: PackEntry) -> str:
    """Whether a correction is on, and if not, why."""
    if entry.rejected:
        return f"rejected: {entry.rejected}"
    if not entry.enabled:
        return "left out"
    return off_in_words(entry.item) or "on"


def off_in_words(item: PackItem) -> str:
    if item.off_since is None:
        return ""
    return f"switched off by {item.off_by}{': ' if item.off_reason else ''}{item.off_reason}"


def first_on_page(rows: QuerySet[Any], by: str) -> QuerySet[Any]:
    """As many as a page holds of the rows of each pack, version or item (column `by`), in their own order."""
    order = cast("list[str]", rows.model._meta.ordering)
    place = Window(RowNumber(), partition_by=[F(by)], order_by=order)
    return cast("QuerySet[Any]", rows.annotate(place_on_page=place).filter(place_on_page__lte=ON_A_PAGE))


def shown_entries() -> QuerySet[PackEntry]:
    """The corrections of each pack in the version that is shown first (`CorrectionPack.shown`)."""
    newest = PackVersion.objects.filter(pack=OuterRef("version__pack")).order_by("-number").values("pk")[:1]
    shown = Coalesce("version__pack__draft", "version__pack__active", Subquery(newest))
    return PackEntry.objects.annotate(shown_version=shown).filter(version=F("shown_version"))


class OfAPack(LookOnly):
    """Rows that a pack's page leads to, by way of what they belong to."""

    by_pack: ClassVar[str]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == self.by_pack or super().lookup_allowed(lookup, value, request)  # type: ignore[misc]


@admin.register(Correction)
class CorrectionAdmin(LookOnly, ModelAdmin):
    list_display = ["node_id", "workflow", "in_words", "count", "first_at", "last_at"]
    list_filter = ["action_type"]
    list_select_related = ["workflow"]
    search_fields = ["node_id", "workflow__workflow_id"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = [
        "node_id", "workflow", "action_type", "in_words", "count", "first_at", "last_at", "see", "shown_original",
        "shown_corrected", "shown_difference", "shown_target", "action_fingerprint", "target_key", "digest",
    ]  # fmt: skip

    @admin.display(description="correction")
    def in_words(self, correction: Correction) -> SafeString | str:
        return changes_in_words(correction.changes)

    @admin.display(description="see")
    def see(self, correction: Correction) -> SafeString:
        lists = ((CorrectionMade, "when it was made"), (PackItem, "packs with it"))
        links = [(link_to_list(model, text, correction__id__exact=correction.pk),) for model, text in lists]
        return format_html_join(" · ", "{}", links)

    @admin.display(description="proposed")
    def shown_original(self, correction: Correction) -> SafeString:
        return pretty(correction.original)

    @admin.display(description="corrected")
    def shown_corrected(self, correction: Correction) -> SafeString:
        return pretty(correction.corrected)

    @admin.display(description="difference")
    def shown_difference(self, correction: Correction) -> SafeString:
        return pretty(correction.difference)

    @admin.display(description="target")
    def shown_target(self, correction: Correction) -> SafeString:
        return pretty(correction.target)


@admin.register(CorrectionMade)
class CorrectionMadeAdmin(LookOnly, ModelAdmin):
    list_display = ["correction", "session_link", "decision_link", "decided_by", "reason_code", "feedback", "timestamp"]
    list_select_related = ["correction", "decision__session"]
    search_fields = ["correction__node_id", "=decision__session__session_id", "=decision__decided_by"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = ["correction", "session_link", "decision_link", "decided_by", "reason_code", "feedback", "timestamp"]

    @admin.display(description="session", ordering="decision__session__session_id")
    def session_link(self, made: CorrectionMade) -> SafeString | str:
        return link(made.decision.session)

    @admin.display(description="decision")
    def decision_link(self, made: CorrectionMade) -> SafeString | str:
        return link(made.decision)

    @admin.display(description="decided by", ordering="decision__decided_by")
    def decided_by(self, made: CorrectionMade) -> str:
        return made.decision.decided_by

    @admin.display(description="reason", ordering="decision__reason_code")
    def reason_code(self, made: CorrectionMade) -> str:
        return made.decision.get_reason_code_display()

    @admin.display(description="feedback")
    def feedback(self, made: CorrectionMade) -> str:
        return made.decision.feedback

    @admin.display(description="timestamp", ordering="decision__timestamp")
    def timestamp(self, made: CorrectionMade) -> Any:
        return made.decision.timestamp


class CorrectionInline(LookOnly, TabularInline):
    """The corrections of the version that is shown first."""

    model = PackItem
    verbose_name_plural = "corrections of the version shown"
    readonly_fields = ("number", "workflow", "node", "in_words", "note", "state", "right_of_uses")
    fields = readonly_fields
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[PackItem]:
        entries = shown_entries()
        items = super().get_queryset(request).filter(pk__in=entries.values("item")).select_related("pack")
        shown = Prefetch("entries", entries.select_related("item"), to_attr="shown")
        return first_on_page(items, "pack").prefetch_related(shown)

    def entry(self, item: PackItem) -> PackEntry:
        return cast("PackEntry", item.shown[0])  # type: ignore[attr-defined]

    @admin.display(description="workflow")
    def workflow(self, item: PackItem) -> str:
        return self.entry(item).workflow_id

    @admin.display(description="step")
    def node(self, item: PackItem) -> str:
        return self.entry(item).node_id

    @admin.display(description="old → new")
    def in_words(self, item: PackItem) -> SafeString | str:
        return changes_in_words(self.entry(item).changes)

    @admin.display(description="note")
    def note(self, item: PackItem) -> str:
        return self.entry(item).note

    @admin.display(description="state")
    def state(self, item: PackItem) -> str:
        return state_of(self.entry(item))

    @admin.display(description="right")
    def right_of_uses(self, item: PackItem) -> str:
        return right_of(item)


class VersionInline(LookOnly, TabularInline):
    model = PackVersion
    readonly_fields = ("number", "created_at", "published_at", "published_by")
    fields = readonly_fields
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[PackVersion]:
        return first_on_page(super().get_queryset(request).select_related("pack"), "pack")


class ChangeInline(LookOnly, TabularInline):
    model = PackChange
    verbose_name_plural = "change log"
    readonly_fields = ("at", "by", "what", "version_number", "words")
    fields = readonly_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[PackChange]:
        return first_on_page(super().get_queryset(request), "pack")


@admin.register(CorrectionPack)
class CorrectionPackAdmin(LookOnly, ModelAdmin):
    list_display = [
        "name", "pack_id", "status", "active_version", "draft_version", "applied_now", "right", "wrong", "updated_at",
    ]  # fmt: skip
    list_filter = ["status", "scope"]
    search_fields = ["name", "pack_id", "description"]
    ordering = ["-updated_at", "-pk"]
    show_full_result_count = False
    actions = ["submit", "backtest", "publish", "retire", "roll_back", "export"]
    inlines = [CorrectionInline, VersionInline, ChangeInline]
    fields = [
        "name", "pack_id", "description", "scope", "status", "active_version", "draft_version", "applied_now", "right",
        "wrong", "conflicts", "created_by", "created_at", "updated_at", "backtests", "see",
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[CorrectionPack]:
        packs = cast("Any", super().get_queryset(request)).with_overview()
        return cast("QuerySet[CorrectionPack]", packs)

    def has_review_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(REVIEW_PACKS)

    @admin.display(description="applied", ordering="active__number")
    def active_version(self, pack: CorrectionPack) -> str:
        return f"v{pack.active.number}" if pack.active else "-"

    @admin.display(description="worked on", ordering="draft__number")
    def draft_version(self, pack: CorrectionPack) -> str:
        return f"v{pack.draft.number}" if pack.draft else "-"

    @admin.display(description="corrections applied", ordering="applied")
    def applied_now(self, pack: CorrectionPack) -> int:
        return cast("int", pack.applied)  # type: ignore[attr-defined]

    @admin.display(description="right", ordering="right_uses")
    def right(self, pack: CorrectionPack) -> int:
        return cast("int", pack.right_uses)  # type: ignore[attr-defined]

    @admin.display(description="wrong", ordering="wrong_uses")
    def wrong(self, pack: CorrectionPack) -> int:
        return cast("int", pack.wrong_uses)  # type: ignore[attr-defined]

    @admin.display(description="open conflicts")
    def conflicts(self, pack: CorrectionPack) -> SafeString:
        return link_to_list(PackConflict, str(pack.open_conflicts), item__pack__id__exact=pack.pk)  # type: ignore[attr-defined]

    @admin.display(description="back-tests")
    def backtests(self, pack: CorrectionPack) -> SafeString | str:
        tests = BackTest.objects.filter(version__pack=pack).select_related("version__pack")[:10]
        lines = ((link(test), test.get_status_display(), f"{test.percent} %", findings_of(test)) for test in tests)
        return format_html_join("", "<div>{} ({}, {}): {}</div>", lines) or "-"

    @admin.display(description="see")
    def see(self, pack: CorrectionPack) -> SafeString:
        lists: tuple[tuple[type[Model], str, str], ...] = (
            (PackItem, "all corrections", "pack__id__exact"),
            (PackVersion, "versions", "pack__id__exact"),
            (BackTest, "back-tests", "version__pack__id__exact"),
            (PackUse, "uses", "item__pack__id__exact"),
            (PackChange, "change log", "pack__id__exact"),
        )
        links = [(link_to_list(model, text, **{column: pack.pk}),) for model, text, column in lists]
        return format_html_join(" · ", "{}", links)

    @admin.action(description="Submit for review", permissions=["review"])
    def submit(self, request: HttpRequest, queryset: QuerySet[CorrectionPack]) -> None:
        self._each(request, queryset, submit)

    @admin.action(description="Back-test", permissions=["review"])
    def backtest(self, request: HttpRequest, queryset: QuerySet[CorrectionPack]) -> None:
        def test(pack: CorrectionPack, *, by: User) -> None:
            if pack.shown:
                start_backtest(pack.shown, by=by)

        self._each(request, queryset, test)

    @admin.action(description="Publish", permissions=["review"])
    def publish(self, request: HttpRequest, queryset: QuerySet[CorrectionPack]) -> HttpResponse | None:
        """What breaks accepted suggestions is published by a second press, with these in view."""
        seen = set(request.POST.getlist("seen"))
        unseen: list[BackTest] = []

        def publish_or_ask(pack: CorrectionPack, *, by: User) -> bool:
            try:
                publish(pack, by=by)
            except BreaksAccepted as error:
                if str(error.backtest.pk) not in seen:
                    unseen.append(error.backtest)
                    return False
                publish(pack, confirmed=True, by=by)
            return True

        self._each(request, queryset, publish_or_ask)
        return self._ask(request, unseen) if unseen else None

    def _ask(self, request: HttpRequest, backtests: list[BackTest]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Publish what would have changed accepted suggestions?",
            "opts": self.opts,
            "tests": [(test, *broken_by(test)) for test in backtests],
        }
        return TemplateResponse(request, "admin/coaching/confirm_publish.html", context)

    @admin.action(description="Retire", permissions=["review"])
    def retire(self, request: HttpRequest, queryset: QuerySet[CorrectionPack]) -> None:
        self._each(request, queryset, retire)

    @admin.action(description="Roll back to the version before", permissions=["review"])
    def roll_back(self, request: HttpRequest, queryset: QuerySet[CorrectionPack]) -> None:
        self._each(request, queryset, rollback)

    @admin.action(description="Export", permissions=["review"])
    def export(self, request: HttpRequest, queryset: QuerySet[CorrectionPack]) -> HttpResponse | None:
        """The file of the version that is applied, else of the one that is shown."""
        pack, *others = queryset[:2]
        version = pack.active or pack.shown
        if others or version is None:
            self.message_user(request, "Choose one pack: each is a file of its own.", messages.ERROR)
            return None
        attachment = f'attachment; filename="{pack.pack_id}-v{version.number}.json"'
        as_text = {"indent": 2, "ensure_ascii": False}
        return JsonResponse(
            export(version), json_dumps_params=as_text, headers={"Content-Disposition": attachment}
        )  # fmt: skip

    def _each(self, request: HttpRequest, packs: QuerySet[CorrectionPack], do: Callable[..., Any]) -> None:
        """Does it to each pack; one that refuses is named, and holds up none of the others."""
        changed = 0
        for pack in packs:
            try:
                changed += do(pack, by=cast("User", request.user)) is not False
            except DomainError as error:
                self.message_user(request, f"{pack}: {error}", messages.ERROR)
        if changed:
            done = ngettext("Done for %d pack.", "Done for %d packs.", changed) % changed
            self.message_user(request, done, messages.SUCCESS)


def findings_of(test: BackTest) -> SafeString:
    """How many of each kind, each a link to the list of them."""
    counts = (("saved", test.saved), ("broken", test.broken), ("altered", test.altered))
    links = (
        (link_to_list(BackTestFinding, f"{count} {verdict}", backtest__id__exact=test.pk, verdict__exact=verdict),)
        for verdict, count in counts
    )
    return format_html_join(" · ", "{}", links)


def broken_by(test: BackTest) -> tuple[list[tuple[BackTestFinding, SafeString | str]], SafeString]:
    """The accepted suggestions that it would have changed, as many as a page holds, and a link to all of them."""
    broken = test.findings.filter(verdict="broken").select_related("decision__session", "decision__suggestion")
    everything = link_to_list(
        BackTestFinding, f"All {test.broken} of them", backtest__id__exact=test.pk, verdict__exact="broken"
    )
    return [(finding, finding_in_words(finding)) for finding in broken[:ON_A_PAGE]], everything


def finding_in_words(finding: BackTestFinding) -> SafeString | str:
    """What was proposed → what would be."""
    suggestion = finding.decision.suggestion
    return changes_in_words(changes_as_json(changes_between(suggestion.action if suggestion else {}, finding.now)))


class EntryInline(LookOnly, TabularInline):
    model = PackEntry
    readonly_fields = ("item", "version", "workflow_id", "node_id", "in_words", "note", "state", "right_of_uses")
    show_change_link = True

    @admin.display(description="old → new")
    def in_words(self, entry: PackEntry) -> SafeString | str:
        return changes_in_words(entry.changes)

    @admin.display(description="state")
    def state(self, entry: PackEntry) -> str:
        return state_of(entry)

    @admin.display(description="right")
    def right_of_uses(self, entry: PackEntry) -> str:
        return right_of(entry.item)


class EntryOfVersionInline(EntryInline):
    fields = ("item", "workflow_id", "node_id", "in_words", "note", "state", "right_of_uses")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PackEntry]:
        return first_on_page(super().get_queryset(request).select_related("item__pack"), "version")


class EntryOfItemInline(EntryInline):
    fields = ("version", "workflow_id", "node_id", "in_words", "note", "state")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PackEntry]:
        return first_on_page(super().get_queryset(request).select_related("item", "version__pack"), "item")


@admin.register(PackVersion)
class PackVersionAdmin(LookOnly, ModelAdmin):
    list_display = ["__str__", "pack", "number", "created_at", "published_at", "published_by"]
    list_select_related = ["pack"]
    search_fields = ["pack__name", "=pack__pack_id", "=published_by"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = ["pack", "number", "created_at", "published_at", "published_by", "see"]
    inlines = [EntryOfVersionInline]

    @admin.display(description="see")
    def see(self, version: PackVersion) -> SafeString:
        lists = ((PackEntry, "all corrections"), (BackTest, "back-tests"))
        links = [(link_to_list(model, text, version__id__exact=version.pk),) for model, text in lists]
        return format_html_join(" · ", "{}", links)


@admin.register(PackItem)
class PackItemAdmin(LookOnly, ModelAdmin):
    list_display = ["__str__", "pack", "number", "correction", "right", "wrong", "off_since", "off_by", "off_reason"]
    list_select_related = ["pack", "correction"]
    search_fields = ["pack__name", "=pack__pack_id", "entries__workflow_id", "entries__node_id"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = [
        "pack", "number", "correction", "right", "wrong", "off_since", "off_by", "off_reason", "see",
    ]  # fmt: skip
    inlines = [EntryOfItemInline]

    @admin.display(description="see")
    def see(self, item: PackItem) -> SafeString:
        lists = ((PackUse, "uses"), (PackConflict, "conflicts"))
        links = [(link_to_list(model, text, item__id__exact=item.pk),) for model, text in lists]
        return format_html_join(" · ", "{}", links)


@admin.register(PackEntry)
class PackEntryAdmin(LookOnly, ModelAdmin):
    list_display = ["item", "version", "workflow_id", "node_id", "in_words", "note", "state"]
    list_filter = ["enabled"]
    list_select_related = ["item__pack", "version__pack"]
    search_fields = ["=workflow_id", "node_id", "note", "version__pack__name"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = [
        "item", "version", "workflow_id", "node_id", "action_type", "in_words", "note", "state", "shown_target",
        "target_key",
    ]  # fmt: skip

    @admin.display(description="old → new")
    def in_words(self, entry: PackEntry) -> SafeString | str:
        return changes_in_words(entry.changes)

    @admin.display(description="state")
    def state(self, entry: PackEntry) -> str:
        return state_of(entry)

    @admin.display(description="target")
    def shown_target(self, entry: PackEntry) -> SafeString:
        return pretty(entry.target)


@admin.register(PackUse)
class PackUseAdmin(OfAPack, ModelAdmin):
    by_pack = "item__pack__id__exact"
    list_display = ["item", "version", "session_link", "suggestion_link", "right", "at"]
    list_filter = ["right"]
    list_select_related = ["item__pack", "version__pack", "suggestion__session"]
    search_fields = ["item__pack__name", "=suggestion__session__session_id", "suggestion__node_id"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = ["item", "version", "session_link", "suggestion_link", "right", "at"]

    @admin.display(description="session", ordering="suggestion__session__session_id")
    def session_link(self, use: PackUse) -> SafeString | str:
        return link(use.suggestion.session)

    @admin.display(description="suggestion")
    def suggestion_link(self, use: PackUse) -> SafeString | str:
        return link(use.suggestion)


@admin.register(PackConflict)
class PackConflictAdmin(OfAPack, ModelAdmin):
    by_pack = "item__pack__id__exact"
    list_display = ["item", "other", "workflow", "node_id", "path", "seen", "last_at"]
    list_select_related = ["item__pack", "other__pack", "workflow"]
    search_fields = ["item__pack__name", "other__pack__name", "workflow__workflow_id", "node_id"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = ["item", "other", "workflow", "node_id", "path", "seen", "last_at"]


@admin.register(PackChange)
class PackChangeAdmin(LookOnly, ModelAdmin):
    list_display = ["what", "pack", "version_number", "by", "at", "words"]
    list_filter = ["what"]
    list_select_related = ["pack"]
    search_fields = ["pack__name", "=pack__pack_id", "=by", "words"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = ["what", "pack", "version_number", "by", "at", "words"]


@admin.register(BackTest)
class BackTestAdmin(OfAPack, ModelAdmin):
    by_pack = "version__pack__id__exact"
    list_display = ["__str__", "status", "progress", "saved", "broken", "altered", "started_by", "started_at"]
    list_filter = ["status"]
    list_select_related = ["version__pack"]
    search_fields = ["version__pack__name", "=version__pack__pack_id", "=started_by"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = [
        "version", "status", "progress", "findings", "error", "started_by", "started_at", "progress_at", "finished_at",
        "digest",
    ]  # fmt: skip

    @admin.display(description="progress")
    def progress(self, test: BackTest) -> str:
        return f"{test.percent} %"

    @admin.display(description="findings")
    def findings(self, test: BackTest) -> SafeString:
        return findings_of(test)


@admin.register(BackTestFinding)
class BackTestFindingAdmin(LookOnly, ModelAdmin):
    list_display = ["verdict", "version", "correction", "session_link", "decision_link", "in_words"]
    list_filter = ["verdict"]
    list_select_related = ["backtest__version__pack", "decision__session", "decision__suggestion"]
    search_fields = ["=decision__session__session_id", "decision__node_id", "=backtest__version__pack__pack_id"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = [
        "verdict", "backtest", "correction", "session_link", "decision_link", "in_words", "shown_now",
    ]  # fmt: skip

    @admin.display(description="version")
    def version(self, finding: BackTestFinding) -> SafeString | str:
        return link(finding.backtest.version)

    @admin.display(description="correction", ordering="item_number")
    def correction(self, finding: BackTestFinding) -> str:
        return f"number {finding.item_number}"

    @admin.display(description="session", ordering="decision__session__session_id")
    def session_link(self, finding: BackTestFinding) -> SafeString | str:
        return link(finding.decision.session)

    @admin.display(description="decision")
    def decision_link(self, finding: BackTestFinding) -> SafeString | str:
        return link(finding.decision)

    @admin.display(description="proposed → now")
    def in_words(self, finding: BackTestFinding) -> SafeString | str:
        return finding_in_words(finding)

    @admin.display(description="would be proposed")
    def shown_now(self, finding: BackTestFinding) -> SafeString:
        return format_html("{}", pretty(finding.now))
