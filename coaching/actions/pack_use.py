"""Published packs at work: which corrections change a proposal, and what contradicts what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q
from django.utils import timezone

from ..models import (
    CorrectionPack,
    PackConflict,
    PackEntry,
    PackUse,
    PackVersion,
    Session,
    Suggestion,
)
from ..packs import Applied, Rule, Situation, apply_rules, changes_from_json
from .corrections import why_not_to_perform
from .secrecy import secret_names


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


def with_packs_in(session: Session, action: Mapping[str, Any], situation: Situation) -> Proposed:
    """What packs make of an action that is to be proposed in a session.

    Where coachsite performs it, it must come to an action that can be performed: else it stays as it is.
    """
    packs = with_packs(action, situation)
    if not packs.entries or not session.workflow.is_browser:
        return packs
    wrong = why_not_to_perform(
        packs.applied.action, packs.original, variables=session.variables, secrets=secret_names(session)
    )
    return packs.refuse(wrong) if wrong else packs


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


def rules_of(entries: Iterable[PackEntry]) -> list[Rule]:
    return [rule_of(entry) for entry in entries]


def published_rules(*, without: CorrectionPack) -> list[Rule]:
    """The rules that are applied now, less those of one pack."""
    return rules_of(PackEntry.objects.applied().exclude(item__pack=without))


def version_entries(version: PackVersion) -> list[PackEntry]:
    """The entries of a version that would be applied if it were published."""
    return list(version.entries.on().select_related("item__pack", "version"))
