"""The life of a correction pack: made, submitted, published, rolled back, retired, exported, imported, merged.

Versions are immutable once published. A pack has at most one version that is worked on (`draft`) and one that is
applied (`active`); its row is the lock of both.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from ..exceptions import BackTestNeeded, BreaksAccepted, IllegalTransition, InvalidInput, UndecidedConflicts
from ..models import BackTest, Correction, CorrectionPack, PackEntry, PackVersion, Suggestion
from ..models.correction_pack import CorrectionQuerySet
from ..packs import PackDocument, PackFileError, compare, export_pack, merge_items, read_pack
from ..packs import PackItem as Item
from ..packs.merging import Comparison
from .audit import What, note
from .naming import free_name, name_of, slug_of
from .pack_effects import propose_anew, touch_steps
from .pack_items import add_entry, digest_of, from_correction, hold_pack, item_of, items_of, log

Status = CorrectionPack.Status
#: How much of an exported file may be pictures: a file of more than 10 MiB could not be imported.
PICTURES_BYTES = 6 * 1024 * 1024
MAX_NAME = 200
PACK_ID = re.compile(r"[-a-zA-Z0-9_]{1,100}")
#: Addresses of pages and of the API that stand where the id of a pack does.
RESERVED = frozenset({"corrections", "import", "suggested"})


def create_pack(
    *,
    name: str,
    pack_id: str | None = None,
    description: str = "",
    scope: str = CorrectionPack.Scope.STEP,
    corrections: Iterable[Correction] = (),
    by: User,
) -> CorrectionPack:
    """A draft with these captured corrections. Raises `InvalidInput`."""
    with transaction.atomic():
        pack = _insert(CorrectionPack(name=name, description=description, scope=scope, created_by=by), pack_id)
        _start_draft(pack)
        log(pack, "created", by=by, version=pack.draft)
        add_corrections(pack, corrections, by=by)
    return pack


def make_pack(chosen: CorrectionQuerySet, *, into: CorrectionPack | None = None, by: User) -> CorrectionPack:
    """Takes captured corrections that are in no pack yet into the draft of `into`, else of a new pack.

    Raises `IllegalTransition` when all of them are in a pack by now: of two who make one at once, one does.
    """
    with transaction.atomic():
        held = [correction.pk for correction in chosen.order_by("pk").select_for_update()]
        corrections = list(Correction.objects.uncovered().filter(pk__in=held).select_related("workflow"))
        if not corrections:
            raise IllegalTransition("These corrections are in a pack already.")
        if into is not None:
            revise(into, by=by)
            add_corrections(into, corrections, by=by)
            return into
        names = sorted({correction.workflow.name for correction in corrections})
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return create_pack(name=f"{names[0][:150]}{others}", corrections=corrections, by=by)


def _insert(pack: CorrectionPack, pack_id: str | None) -> CorrectionPack:
    _check_name(pack.name)
    if pack.scope not in CorrectionPack.Scope.values:
        raise InvalidInput(f"A scope is one of {', '.join(CorrectionPack.Scope.values)}.", field="scope")
    pack.pack_id = pack_id or _free_pack_id(pack.name)
    if not PACK_ID.fullmatch(pack.pack_id):
        raise InvalidInput("The id of a pack is up to 100 letters, digits, “-” and “_”.", field="pack_id")
    if pack.pack_id in RESERVED:
        raise InvalidInput(f"A pack cannot have the id “{pack.pack_id}”.", field="pack_id")
    try:
        with transaction.atomic():
            pack.save(force_insert=True)
    except IntegrityError:
        raise InvalidInput(f"There is already a pack with the id “{pack.pack_id}”.", field="pack_id") from None
    return pack


def _check_name(name: str) -> None:
    if not name.strip():
        raise InvalidInput("A pack needs a name.", field="name")
    if len(name) > MAX_NAME:
        raise InvalidInput(f"A name has at most {MAX_NAME} characters.", field="name")


def _free_pack_id(name: str) -> str:
    base = slug_of(name, otherwise="pack")
    taken = CorrectionPack.objects.filter(pack_id__startswith=base).values_list("pack_id", flat=True)
    return free_name(base, RESERVED.union(taken), joiner="-")


def _start_draft(pack: CorrectionPack) -> PackVersion:
    last = pack.versions.aggregate(last=Max("number"))["last"] or 0
    pack.draft = PackVersion.objects.create(pack=pack, number=last + 1)
    pack.save(update_fields=["draft", "updated_at"])
    return pack.draft


def change_pack(
    pack: CorrectionPack,
    *,
    name: str | None = None,
    description: str | None = None,
    scope: str | None = None,
    by: User,
) -> None:
    """Changes what is given. The scope decides where corrections apply, so only a pack in draft may change it."""
    with transaction.atomic():
        held = hold_pack(pack)
        if scope is not None and scope != held.scope:
            if scope not in CorrectionPack.Scope.values:
                raise InvalidInput(f"A scope is one of {', '.join(CorrectionPack.Scope.values)}.", field="scope")
            if held.active:
                raise IllegalTransition("Where a published pack applies cannot be changed: merge it into another.")
        if name is not None:
            _check_name(name)
        given = {"name": name, "description": description, "scope": scope}
        changes = {field: value for field, value in given.items() if value is not None}
        if changes:
            CorrectionPack.objects.filter(pk=pack.pk).update(**changes)
            log(pack, "changed", by=by, words=", ".join(changes))
    pack.refresh_from_db()


def revise(pack: CorrectionPack, *, by: User) -> PackVersion:
    """The draft to work on: the one there is, else a new version that starts as the applied one.

    A version in review goes back to draft. Raises `IllegalTransition` for a retired pack.
    """
    with transaction.atomic():
        held = hold_pack(pack)
        if held.draft:
            if held.status == Status.IN_REVIEW:
                _set_status(held, Status.PUBLISHED if held.active else Status.DRAFT)
                log(held, "back to draft", by=by, version=held.draft)
            draft = held.draft
        else:
            if held.status == Status.RETIRED:
                raise IllegalTransition("A retired pack stays as it is: import or merge it into another.")
            draft = _start_draft(held)
            _copy_entries(held.active, draft)
            log(held, "revised", by=by, version=draft)
    pack.refresh_from_db()
    return draft


def _copy_entries(source: PackVersion | None, draft: PackVersion) -> None:
    if source is None:
        return
    copied = (
        "item_id", "workflow_id", "node_id", "action_type", "target", "target_key", "changes", "note", "enabled",
    )  # fmt: skip
    PackEntry.objects.bulk_create(
        PackEntry(version=draft, **{name: getattr(entry, name) for name in copied})
        for entry in source.entries.filter(rejected="")
    )


def add_corrections(pack: CorrectionPack, corrections: Iterable[Correction], *, by: User) -> list[PackEntry]:
    """Takes captured corrections into the draft; those that it has already stay as they are."""
    with transaction.atomic():
        draft = _draft(hold_pack(pack))
        there = {item.content for item in items_of(draft)}
        added = []
        for correction in corrections:
            item = from_correction(correction)
            if item.content not in there:
                added.append(add_entry(draft, item, correction=correction))
                there.add(item.content)
        if added:
            numbers = ", ".join(str(entry.item.number) for entry in added)
            log(pack, "added", by=by, version=draft, words=f"corrections {numbers}")
    return added


def _draft(pack: CorrectionPack) -> PackVersion:
    if pack.draft is None:
        raise IllegalTransition("Nothing of this pack is worked on: start a new version first.")
    return pack.draft


def submit(pack: CorrectionPack, *, by: User) -> None:
    """Draft → in review. Raises `IllegalTransition` unless there is a draft with corrections."""
    with transaction.atomic():
        held = hold_pack(pack)
        draft = _draft(held)
        if held.status == Status.IN_REVIEW:
            raise IllegalTransition("This pack is in review already.")
        if not draft.entries.filter(enabled=True, rejected="").exists():
            raise IllegalTransition("There is no correction in this draft that could be reviewed.")
        _set_status(held, Status.IN_REVIEW)
        log(held, "submitted", by=by, version=draft)
    pack.refresh_from_db()


def publish(pack: CorrectionPack, *, confirmed: bool = False, by: User) -> PackVersion:
    """The version in review is applied from now on; the one that was applied stays to go back to.

    Not blind: it must have been back-tested as it is now (`BackTestNeeded`), and one that would have changed accepted
    suggestions must be `confirmed` (`BreaksAccepted`). Of two reviewers at once, one publishes and the other gets
    `IllegalTransition`.
    """
    with transaction.atomic():
        held = hold_pack(pack)
        if held.status != Status.IN_REVIEW or held.draft is None:
            raise IllegalTransition("Only a pack in review can be published: submit it first.")
        version = held.draft
        backtest = finished_backtest(version)
        if backtest is None:
            raise BackTestNeeded("Back-test this version first: it was not replayed yet, or has changed since.")
        if backtest.broken and not confirmed:
            raise BreaksAccepted(backtest)
        PackVersion.objects.filter(pk=version.pk).update(published_at=timezone.now(), published_by=name_of(by))
        applied = {"active": version, "draft": None, "status": Status.PUBLISHED}
        CorrectionPack.objects.filter(pk=held.pk).update(**applied)
        words = f"{backtest.saved} corrections saved, {backtest.broken} accepted suggestions changed"
        log(held, "published", by=by, version=version, words=words)
        note(What.PACK_PUBLISHED, held.pack_id, by=by, version=version.number, backtest=words)
        _touch_difference(held.active, version, by=by, why="was published")
    pack.refresh_from_db()
    version.refresh_from_db()
    return version


def _set_status(pack: CorrectionPack, status: str) -> None:
    CorrectionPack.objects.filter(pk=pack.pk).update(status=status)
    pack.status = status


def finished_backtest(version: PackVersion) -> BackTest | None:
    """The latest finished back-test of a version as it is now; None if there is none."""
    done = version.backtests.filter(status=BackTest.Status.DONE, digest=digest_of(version))
    return done.order_by("-pk").first()


def rollback(pack: CorrectionPack, *, to: int | None = None, by: User) -> PackVersion:
    """Applies an earlier published version again: `to`, else the one before. A draft stays as it is.

    Raises `IllegalTransition` when there is none, or when it is applied already.
    """
    with transaction.atomic():
        held = hold_pack(pack)
        if held.active is None:
            raise IllegalTransition("This pack is not applied: there is nothing to roll back.")
        earlier = held.versions.exclude(published_at=None).exclude(pk=held.active.pk)
        earlier = earlier.filter(number=to) if to is not None else earlier.filter(number__lt=held.active.number)
        version = earlier.order_by("-number").first()
        if version is None:
            raise IllegalTransition("There is no such earlier version." if to else "There is no earlier version.")
        CorrectionPack.objects.filter(pk=held.pk).update(active=version)
        log(held, "rolled back", by=by, version=version, words=f"from version {held.active.number}")
        note(What.PACK_ROLLED_BACK, held.pack_id, by=by, version=version.number, instead_of=held.active.number)
        _touch_difference(held.active, version, by=by, why="was rolled back")
    pack.refresh_from_db()
    return version


def retire(pack: CorrectionPack, *, by: User) -> None:
    """The pack changes nothing any more; its versions and their record stay. Raises `IllegalTransition` if it is."""
    with transaction.atomic():
        held = hold_pack(pack)
        if held.status == Status.RETIRED:
            raise IllegalTransition("This pack is retired already.")
        CorrectionPack.objects.filter(pk=held.pk).update(active=None, draft=None, status=Status.RETIRED)
        log(held, "retired", by=by, version=held.active)
        note(What.PACK_RETIRED, held.pack_id, by=by)
        _touch_difference(held.active, None, by=by, why="was retired")
    pack.refresh_from_db()


def delete_pack(pack: CorrectionPack, *, by: User) -> None:
    """Deletes a pack that was never published. Raises `IllegalTransition` for one that was: retire it."""
    with transaction.atomic():
        held = hold_pack(pack)
        if held.versions.exclude(published_at=None).exists():
            raise IllegalTransition("A pack that was published stays on record: retire it.")
        note(What.PACK_DELETED, held.pack_id, by=by)
        PackEntry.objects.filter(version__pack=held).delete()
        held.delete()


def _touch_difference(before: PackVersion | None, after: PackVersion | None, *, by: User, why: str) -> None:
    """Restarts the evidence of the steps for which the two versions propose different actions."""
    old, new = _by_content(before), _by_content(after)
    touched = [entry for content, entry in {**old, **new}.items() if (content in old) != (content in new)]
    propose_anew(touch_steps(touched, by=by, why=why))


def _by_content(version: PackVersion | None) -> Mapping[str, PackEntry]:
    if version is None:
        return {}
    return {item_of(entry).content: entry for entry in version.entries.on().select_related("item__pack")}


# ---- files


def document_of(version: PackVersion) -> PackDocument:
    pack = version.pack
    return PackDocument(
        pack_id=pack.pack_id,
        name=pack.name,
        description=pack.description,
        scope=pack.scope,
        version=version.number,
        items=tuple(items_of(version)),
    )


def preview_import(data: bytes) -> tuple[PackDocument, CorrectionPack | None, Comparison]:
    """What a file holds, the pack here with its id, and how the two compare. Raises `InvalidInput`; stores nothing."""
    document = _read(data)
    pack = CorrectionPack.objects.select_related("active", "draft").filter(pack_id=document.pack_id).first()
    return document, pack, compare(items_of(pack.shown) if pack else [], document.items)


def _read(data: bytes) -> PackDocument:
    try:
        return read_pack(data)
    except PackFileError as error:
        raise InvalidInput(str(error), field="file") from None


def import_pack(data: bytes, *, choices: Mapping[int, str] | None = None, by: User) -> CorrectionPack:
    """A file becomes a draft: of a new pack, or of the pack here that has its id, merged with what that has.

    Raises `InvalidInput` for a bad file, and `UndecidedConflicts` unless `choices` say for each conflict which side
    holds (by the number of our correction: `ours`, `theirs` or `neither`).
    """
    document = _read(data)
    with transaction.atomic():
        pack = CorrectionPack.objects.filter(pack_id=document.pack_id).first()
        if pack is None:
            new = CorrectionPack(
                name=document.name, description=document.description, scope=document.scope, created_by=by
            )
            pack = _insert(new, document.pack_id)
            _start_draft(pack)
            log(pack, "created", by=by, version=pack.draft)
        _merge_into(pack, document.items, choices or {}, by=by)
        log(pack, "imported", by=by, version=pack.draft, words=f"version {document.version} of “{document.name}”")
        note(What.PACK_IMPORTED, pack.pack_id, by=by)
    return pack


def merge(pack: CorrectionPack, other: CorrectionPack, *, choices: Mapping[int, str] | None = None, by: User) -> None:
    """Takes the corrections of another pack into this one's draft; the other stays as it is.

    Raises `UndecidedConflicts` as `import_pack` does, and `InvalidInput` for a pack and itself.
    """
    if pack.pk == other.pk:
        raise InvalidInput("A pack cannot be merged with itself.", field="other")
    with transaction.atomic():
        _merge_into(pack, items_of(other.shown), choices or {}, by=by)
        log(pack, "merged", by=by, version=pack.draft, words=f"with pack “{other.name}”")


def _merge_into(pack: CorrectionPack, theirs: Sequence[Item], choices: Mapping[int, str], *, by: User) -> None:
    draft = revise(pack, by=by)
    merged, undecided = merge_items(items_of(draft), theirs, choices)
    if undecided:
        raise UndecidedConflicts(undecided)
    kept = {item.content for item in merged}
    there: Collection[str] = [item.content for item in items_of(draft)]
    for entry in draft.entries.filter(rejected="").select_related("item"):
        if item_of(entry).content not in kept:
            entry.delete()
    for item in merged:
        if item.content not in there:
            add_entry(draft, item)


def export(version: PackVersion, *, pictures: bool = False) -> dict[str, object]:
    """The file of a version. Secrets stand in it as placeholders; `pictures` brings the page of each correction along,
    secrets masked, as long as the file stays small enough to be imported.
    """
    document = document_of(version)
    if pictures:
        document = replace(document, items=tuple(_with_pictures(document.items, version)))
    return export_pack(document)


def _with_pictures(items: Iterable[Item], version: PackVersion) -> Iterator[Item]:
    room = PICTURES_BYTES
    corrections = dict(version.entries.values_list("item__number", "item__correction"))
    for item in items:
        shown = Suggestion.objects.filter(
            decision__correction_made__correction=corrections.get(item.number) or 0, screenshot__gt=""
        )
        suggestion = shown.order_by("-pk").first()
        picture = ""
        if suggestion and default_storage.exists(str(suggestion.screenshot.name)):
            with suggestion.screenshot.open("rb") as file:
                picture = base64.b64encode(file.read()).decode()
        room -= len(picture)
        yield replace(item, picture=picture) if room >= 0 else item
