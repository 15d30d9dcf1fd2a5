"""The corrections of packs, one by one: switched off and on, edited, rejected."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from ..exceptions import IllegalTransition, InvalidInput
from ..models import (
    Correction,
    CorrectionPack,
    PackChange,
    PackEntry,
    PackItem,
    PackVersion,
)
from ..packs import PackItem as Item
from ..packs import TargetPrint, changes_from_json, digest
from ..packs.changes import Change, changes_as_json
from ..packs.document import content_digest
from ..recordings import unmask
from .naming import name_of
from .pack_effects import propose_anew, touch_steps
from .secrecy import secret_names_of

MAX_TEXT = 10_000


def log(
    pack: CorrectionPack, what: str, *, by: User | None, version: PackVersion | None = None, words: str = ""
) -> None:
    """One line of the pack's change log. Must run in the transaction of the change."""
    number = version.number if version else None
    PackChange.objects.create(pack=pack, what=what, by=name_of(by), user=by, version_number=number, words=words)


def hold_pack(pack: CorrectionPack) -> CorrectionPack:
    """The pack as it is now, locked until the transaction ends. Raises `CorrectionPack.DoesNotExist`."""
    CorrectionPack.objects.filter(pk=pack.pk).update(updated_at=timezone.now())
    return CorrectionPack.objects.select_related("active", "draft").get(pk=pack.pk)


def item_of(entry: PackEntry) -> Item:
    """An entry as a value."""
    return Item(
        number=entry.item.number,
        workflow_id=entry.workflow_id,
        node_id=entry.node_id,
        action_type=entry.action_type,
        target=TargetPrint(**entry.target),
        changes=tuple(changes_from_json(entry.changes)),
        note=entry.note,
        enabled=entry.enabled and not entry.rejected,
    )


def items_of(version: PackVersion | None) -> list[Item]:
    """The corrections of a version that are neither rejected nor missing, by number."""
    if version is None:
        return []
    return [item_of(entry) for entry in version.entries.filter(rejected="").select_related("item")]


def digest_of(version: PackVersion) -> str:
    """Equal for versions that would change suggestions alike, which the pack's scope has a say in; corrections that are
    switched off change nothing.
    """
    on = version.entries.on().select_related("item")
    return digest(version.pack.scope, content_digest(item_of(entry) for entry in on))


def add_entry(version: PackVersion, item: Item, *, correction: Correction | None = None) -> PackEntry:
    """A new correction at the end of a draft; it gets the next number of its pack."""
    pack = version.pack
    last = pack.items.aggregate(last=Max("number"))["last"] or 0
    return PackEntry.objects.create(
        version=version,
        item=PackItem.objects.create(pack=pack, number=last + 1, correction=correction),
        workflow_id=item.workflow_id,
        node_id=item.node_id,
        action_type=item.action_type,
        target=item.target.as_json(),
        target_key=item.target.key(item.action_type),
        changes=changes_as_json(item.changes),
        note=item.note,
        enabled=item.enabled,
    )


def from_correction(correction: Correction) -> Item:
    """A captured correction as it goes into a pack."""
    return Item(
        number=1,
        workflow_id=correction.workflow.workflow_id,
        node_id=correction.node_id,
        action_type=correction.action_type,
        target=TargetPrint(**correction.target),
        changes=tuple(changes_from_json(correction.changes)),
    )


def edit_entry(
    entry: PackEntry, *, new: Mapping[str, Any] | None = None, note: str | None = None, by: User
) -> PackEntry:
    """Changes what a correction of a draft puts in place: `{path: new value}`; and its note.

    `***` where it has a secret means that secret. Another change is another correction, with a number and a record of
    its own. Raises `IllegalTransition` unless the version is a draft, and `InvalidInput` for a field that the
    correction does not change.
    """
    with transaction.atomic():
        _draft_of(entry)
        new = new or {}
        changes = changes_from_json(entry.changes)
        if unknown := sorted(set(new) - {change.path for change in changes}):
            raise InvalidInput(f"This correction does not change “{unknown[0]}”.", field="new")
        secrets = secret_names_of([entry.workflow_id])[entry.workflow_id] if new else frozenset()
        given = {change.path: unmask(new[change.path], change.new, secrets) for change in changes if change.path in new}
        edited = [Change(change.path, change.old, given.get(change.path, change.new)) for change in changes]
        if note is not None:
            entry.note = _text(note, "note")
            entry.save(update_fields=["note"])
        if changes_as_json(edited) != entry.changes:
            entry = _replace(entry, edited)
            log(entry.item.pack, "edited", by=by, version=entry.version, words=f"correction {entry.item.number}")
    return entry


def _replace(entry: PackEntry, changes: Sequence[Change]) -> PackEntry:
    replaced = item_of(entry)
    new = Item(
        number=1, workflow_id=replaced.workflow_id, node_id=replaced.node_id, action_type=replaced.action_type,
        target=replaced.target, changes=tuple(changes), note=entry.note, enabled=entry.enabled,
    )  # fmt: skip
    correction = entry.item.correction
    entry.delete()
    return add_entry(entry.version, new, correction=correction)


def _draft_of(entry: PackEntry) -> CorrectionPack:
    pack = hold_pack(entry.item.pack)
    if pack.draft_id != entry.version_id:
        raise IllegalTransition("Only a draft can be changed: start a new version first.")
    return pack


def _text(text: str, field: str) -> str:
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"A {field} has at most {MAX_TEXT} characters.", field=field)
    return text


def reject_entry(entry: PackEntry, *, reason: str, by: User) -> None:
    """A reviewer will not have this correction in the draft. Raises `InvalidInput` without a reason."""
    if not reason.strip():
        raise InvalidInput("Say why this correction is rejected.", field="reason")
    with transaction.atomic():
        pack = _draft_of(entry)
        entry.rejected = _text(reason.strip(), "reason")
        entry.save(update_fields=["rejected"])
        words = f"correction {entry.item.number}: {entry.rejected}"
        log(pack, "rejected", by=by, version=entry.version, words=words)


def set_enabled(entries: Collection[PackEntry], *, enabled: bool, by: User) -> None:
    """Leaves corrections of a draft out of what will be published, or takes them in again."""
    with transaction.atomic():
        for entry in entries:
            pack = _draft_of(entry)
            PackEntry.objects.filter(pk=entry.pk).update(enabled=enabled, **({"rejected": ""} if enabled else {}))
            what = "taken in" if enabled else "left out"
            log(pack, what, by=by, version=entry.version, words=f"correction {entry.item.number}")


def change_correction(
    pack: CorrectionPack,
    number: int,
    *,
    new: Mapping[str, Any] | None = None,
    note: str | None = None,
    enabled: bool | None = None,
    rejected: str | None = None,
    off: bool | None = None,
    reason: str = "",
    by: User,
) -> PackEntry:
    """Does all that is given to a correction of the version that is shown, or nothing: see the verbs below and above.

    Raises what they raise, and `PackEntry.DoesNotExist` for a number that this version does not have.
    """
    with transaction.atomic():
        version = hold_pack(pack).shown
        entry = PackEntry.objects.select_related("item__pack", "version__pack").get(
            version=version, item__number=number
        )
        if new or note is not None:
            entry = edit_entry(entry, new=new, note=note, by=by)
        if enabled is not None:
            set_enabled([entry], enabled=enabled, by=by)
        if rejected is not None:
            reject_entry(entry, reason=rejected, by=by)
        if off is not None:
            switch_off([entry.item], by=by, reason=reason) if off else switch_on([entry.item], by=by)
    return PackEntry.objects.select_related("item__pack", "version__pack").get(pk=entry.pk)


def switch_off(items: Iterable[PackItem], *, by: User | None, reason: str = "") -> None:
    """Takes corrections out of use at once, in whatever version they stand."""
    _switch(items, on=False, by=by, reason=reason)


def switch_on(items: Iterable[PackItem], *, by: User | None) -> None:
    """Puts corrections to use again; how often they were right is counted anew."""
    _switch(items, on=True, by=by, reason="")


def _switch(items: Iterable[PackItem], *, on: bool, by: User | None, reason: str) -> None:
    wanted = [item.pk for item in items]
    with transaction.atomic():
        for pack in CorrectionPack.objects.filter(items__in=wanted).distinct().order_by("pk"):
            hold_pack(pack)
        # Of two who switch at once, the second finds nothing left to do.
        found = PackItem.objects.filter(pk__in=wanted, off_since__isnull=not on).order_by("pk")
        changing = list(found.select_related("pack__active"))
        active = PackEntry.objects.filter(item__in=changing, version=F("version__pack__active"))
        in_use = active.filter(enabled=True, rejected="")
        why = "was switched on" if on else "was switched off"
        # Sessions and steps are held before the corrections, as by whoever decides.
        touched = touch_steps(list(in_use.select_related("item__pack")), by=by, why=why)
        state: dict[str, Any] = (
            {"off_since": None, "off_by": "", "off_reason": "", "right": 0, "wrong": 0}
            if on
            else {"off_since": timezone.now(), "off_by": name_of(by), "off_reason": reason}
        )
        for item in changing:
            PackItem.objects.filter(pk=item.pk).update(**state)
            words = f"correction {item.number}{': ' if reason else ''}{reason}"
            log(item.pack, why.removeprefix("was "), by=by, version=item.pack.active, words=words)
        propose_anew(touched)
