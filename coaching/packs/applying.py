"""Which corrections change an action: deterministic, whatever the order in which they are given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from coaching.packs.changes import Change, canonical, changed, changes_as_json, fits, patch_between


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Where an action is proposed: which step of which workflow, on which target (see `TargetPrint.key`)."""

    workflow_id: str
    node_id: str
    action_type: str
    target_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A correction of a pack, ready to be applied.

    `key` tells it from all others and gives the order among equals: `(pack, number of the correction)`. One that is
    `anywhere` serves the same target in other workflows too.
    """

    key: tuple[str, int]
    workflow_id: str
    node_id: str
    action_type: str
    target_key: str = ""
    anywhere: bool = False
    changes: tuple[Change, ...] = field(default=())

    def is_for(self, situation: Situation) -> bool:
        return (self.workflow_id, self.node_id) == (situation.workflow_id, situation.node_id)

    def serves(self, situation: Situation) -> bool:
        """Whether it is for another step with the same target."""
        return (
            self.anywhere
            and bool(self.target_key)
            and (self.target_key, self.action_type) == (situation.target_key, situation.action_type)
        )


@dataclass(frozen=True, slots=True)
class Conflict:
    """Rules that would change the field at `path` in different ways; none of them is applied."""

    path: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """`action` with the changes of `used`; `patch` says the same as RFC 6902 (empty when nothing was changed)."""

    action: dict[str, Any]
    used: tuple[Rule, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    patch: list[dict[str, Any]] = field(default_factory=list)


def apply_rules(action: Mapping[str, Any], situation: Situation, rules: Iterable[Rule]) -> Applied:
    """Changes an action by the rules that fit it.

    A rule fits when every field that it changes still is as it was when the rule was made. Rules for this very step go
    before those for the same target elsewhere. At most one rule changes a field: where two of the same rank differ,
    neither does, and both stand in `conflicts`.
    """
    ordered = sorted(rules, key=lambda rule: rule.key)
    own = [rule for rule in ordered if rule.is_for(situation)]
    elsewhere = [rule for rule in ordered if rule not in own and rule.serves(situation)]
    used: list[Rule] = []
    conflicts: list[Conflict] = []
    taken: set[str] = set()
    for rank in (own, elsewhere):
        fitting = [rule for rule in rank if rule.changes and fits(action, rule.changes) and not _touches(rule, taken)]
        clashes = _clashes(fitting)
        conflicts.extend(clashes)
        out = {rule.key for conflict in clashes for rule in conflict.rules}
        # What is in dispute is decided neither by a copy of one side nor by rules of a lower rank.
        taken.update(conflict.path for conflict in clashes)
        for rule in fitting:
            if rule.key not in out and not _touches(rule, taken):
                used.append(rule)
                taken.update(change.path for change in rule.changes)
    if not used:
        return Applied(dict(action), conflicts=tuple(conflicts))
    result = changed(action, (change for rule in used for change in rule.changes))
    return Applied(result, tuple(used), tuple(conflicts), patch_between(action, result))


def _touches(rule: Rule, taken: set[str]) -> bool:
    return any(_overlap(change.path, path) for change in rule.changes for path in taken)


def _overlap(one: str, other: str) -> bool:
    """Whether two fields are the same, or one lies within the other."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _clashes(rules: Sequence[Rule]) -> list[Conflict]:
    """Fields that several rules would change, unless these are the same rule in all but their key."""
    by_content = {_content(rule): rule for rule in reversed(rules)}
    distinct = [rule for rule in rules if by_content[_content(rule)] is rule]
    touching: defaultdict[str, list[Rule]] = defaultdict(list)
    for rule in distinct:
        for other in distinct:
            if rule is not other:
                for change in rule.changes:
                    if _touches(other, {change.path}) and not _agree(change, other):
                        touching[change.path].append(rule)
                        touching[change.path].append(other)
    return [
        Conflict(path, tuple(sorted({rule.key: rule for rule in found}.values(), key=lambda rule: rule.key)))
        for path, found in sorted(touching.items())
    ]


def _agree(change: Change, other: Rule) -> bool:
    """Whether another rule makes exactly this change as well."""
    return any(change.path == theirs.path and _same_change(change, theirs) for theirs in other.changes)


def _same_change(one: Change, other: Change) -> bool:
    return canonical(one.as_json()) == canonical(other.as_json())


def _content(rule: Rule) -> str:
    return canonical(changes_as_json(rule.changes))
