"""Published packs at work: which corrections change a proposal, and whether people found them right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from .. import events, evidence
from ..models import (
    CorrectionPack,
    Decision,
    PackConflict,
    PackEntry,
    PackItem,
    PackUse,
    PackVersion,
    Session,
    Suggestion,
)
from ..packs import Applied, Rule, Situation, apply_rules, changes_from_json
from .pack_items import switch_off

#: A correction that is used and found wrong is switched off: after so many uses, below this confidence of being right.
USES_BEFORE_JUDGING = 5
SWITCHED_OFF_BELOW = 0.20
TARGET = 0.85


@dataclass(frozen=True, slots=True)
class Proposed:
    """What packs make of an `original` action; `entries` are those that changed it, in the order of `applied.used`."""

    original: dict[str, Any]
    applied: Applied
    entries: tuple[PackEntry, ...] = ()
    conflicting: tuple[tuple[str, tuple[PackEntry, ...]], ...] = ()
    refused: str = ""

    def refuse(self, words: str) -> Proposed:
        """The original action instead, and why."""
        names = " and ".join(_named(entry) for entry in self.entries)
        refused = f"Correction {names} was not applied: {words}"
        return Proposed(self.original, Applied(self.original), conflicting=self.conflicting, refused=refused)

    @property
    def provenance(self) -> dict[str, Any]:
        """`{source, pack, version, correction, changed}` of the contract; of several corrections the first is named."""
        first = self.entries[0]
        return {
            "source": "pack",
            "pack": first.item.pack.name,
            "version": first.version.number,
            "correction": first.item.number,
            "changed": self.applied.patch,
        }

    @property
    def trouble(self) -> str:
        """Why the coach must be asked: corrections that contradict each other, or make no action of it."""
        contradictions = " ".join(
            f"Corrections contradict each other about “{path.strip('/').replace('/', ' ')}”: "
            f"{' and '.join(_named(entry) for entry in entries)}. None of them was applied."
            for path, entries in self.conflicting
        )
        return f"{contradictions} {self.refused}".strip()


def _named(entry: PackEntry) -> str:
    return f"number {entry.item.number} of pack “{entry.item.pack.name}”"


def rule_of(entry: PackEntry) -> Rule:
    """An entry as a rule; its pack must be at hand."""
    pack = entry.item.pack
    return Rule(
        key=(pack.pack_id, entry.item.number),
        workflow_id=entry.workflow_id,
        node_id=entry.node_id,
        action_type=entry.action_type,
        target_key=entry.target_key,
        anywhere=pack.scope == CorrectionPack.Scope.TARGET,
        changes=tuple(changes_from_json(entry.changes)),
    )


def with_packs(action: Mapping[str, Any], situation: Situation) -> Proposed:
    """Applies the corrections of all published packs to an action that is about to be proposed."""
    here = Q(workflow_id=situation.workflow_id, node_id=situation.node_id)
    if situation.target_key:
        here |= Q(target_key=situation.target_key, item__pack__scope=CorrectionPack.Scope.TARGET)
    entries = {
        rule.key: (rule, entry) for entry in PackEntry.objects.applied().filter(here) for rule in [rule_of(entry)]
    }
    applied = apply_rules(action, situation, [rule for rule, _ in entries.values()])
    return Proposed(
        dict(action),
        applied,
        tuple(entries[rule.key][1] for rule in applied.used),
        tuple((c.path, tuple(entries[rule.key][1] for rule in c.rules)) for c in applied.conflicts),
    )


def note_use(suggestion: Suggestion, proposed: Proposed) -> None:
    """Writes down which corrections a suggestion goes back to, and which contradicted each other at its step.

    Must run in the transaction that opens it.
    """
    PackUse.objects.bulk_create(
        PackUse(suggestion=suggestion, item=entry.item, version=entry.version) for entry in proposed.entries
    )
    for path, entries in proposed.conflicting:
        first, *others = entries
        for other in others:
            conflict, created = PackConflict.objects.get_or_create(
                item=first.item,
                other=other.item,
                workflow_id=suggestion.session.workflow_id,
                node_id=suggestion.node_id,
                path=path[:200],
            )
            if not created:
                PackConflict.objects.filter(pk=conflict.pk).update(seen=F("seen") + 1, last_at=timezone.now())


def judge_use(decision: Decision, suggestion: Suggestion) -> None:
    """A person's accept or refusal of a changed suggestion is told to the corrections that changed it.

    One that is wrong too often is switched off. Must run in the deciding transaction.
    """
    if decision.unattended or not decision.kind.counts or suggestion.unchanged_action is None:
        return
    right = decision.decision == Decision.Kind.ACCEPT
    # In the order of their keys: of two decisions at once, one waits for the other.
    for use in suggestion.pack_uses.select_related("item__pack").order_by("item"):
        PackUse.objects.filter(pk=use.pk).update(right=right)
        counter = "right" if right else "wrong"
        PackItem.objects.filter(pk=use.item_id).update(**{counter: F(counter) + 1})
        use.item.refresh_from_db(fields=["right", "wrong", "off_since"])
        if _is_wrong_too_often(use.item):
            _switch_off(use.item, suggestion.session)


def _is_wrong_too_often(item: PackItem) -> bool:
    if item.off_since or item.uses < USES_BEFORE_JUDGING:
        return False
    return evidence.source().confidence(item.right, item.wrong, TARGET) < SWITCHED_OFF_BELOW


def _switch_off(item: PackItem, session: Session) -> None:
    reason = f"Wrong too often: right {item.right} of {item.uses} times."
    switched = events.CorrectionSwitchedOff(pack=item.pack.name, correction=item.number, reason=reason)
    events.record_event(session, switched)
    # After the commit: other steps that it touches are held by nobody who waits for this session.
    transaction.on_commit(lambda: switch_off([item], by=None, reason=reason), robust=True)


def rules_of(entries: Iterable[PackEntry]) -> list[Rule]:
    return [rule_of(entry) for entry in entries]


def published_rules(*, without: CorrectionPack) -> list[Rule]:
    """The rules that are applied now, less those of one pack."""
    return rules_of(PackEntry.objects.applied().exclude(item__pack=without))


def version_entries(version: PackVersion) -> list[PackEntry]:
    """The entries of a version that would be applied if it were published."""
    return list(version.entries.on().select_related("item__pack", "version"))
