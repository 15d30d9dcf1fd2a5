"""Two sets of corrections side by side: for the preview of an import, the difference of versions, and a merge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from coaching.packs.changes import MISSING, canonical
from coaching.packs.document import PackItem


@dataclass(frozen=True, slots=True)
class Comparison:
    """`ours` and `theirs`: corrections that only one side has; `equal`: that both have; `conflicts`: pairs for the same
    fields of the same step that differ, of which only one can hold.
    """

    ours: tuple[PackItem, ...]
    theirs: tuple[PackItem, ...]
    equal: tuple[PackItem, ...]
    conflicts: tuple[tuple[PackItem, PackItem], ...]


def compare(ours: Sequence[PackItem], theirs: Sequence[PackItem]) -> Comparison:
    """Pairs the corrections of two sets: first the equal ones, then those that change the same fields from the same
    values; what is left stands alone.
    """
    contents = {item.content for item in ours} & {item.content for item in theirs}
    by_start: defaultdict[str, list[PackItem]] = defaultdict(list)
    for item in ours:
        if item.content not in contents:
            by_start[_start(item)].append(item)
    conflicts, alone, paired = [], [], set()
    for item in theirs:
        if item.content in contents:
            continue
        others = by_start.get(_start(item))
        if others:
            other = others.pop(0)
            conflicts.append((other, item))
            paired.add(other.number)
        else:
            alone.append(item)
    left = tuple(item for item in ours if item.content not in contents and item.number not in paired)
    return Comparison(left, tuple(alone), tuple(i for i in ours if i.content in contents), tuple(conflicts))


def _start(item: PackItem) -> str:
    """The same for corrections that begin from the same values of the same fields: they contradict when they differ."""
    olds = {change.path: {"old": change.old} if change.old is not MISSING else {} for change in item.changes}
    return f"{item.place} {canonical(olds)}"


def merge_items(
    ours: Sequence[PackItem], theirs: Sequence[PackItem], choices: Mapping[int, str]
) -> tuple[list[PackItem], list[tuple[PackItem, PackItem]]]:
    """`(the merged corrections, the conflicts without a choice)`.

    `choices` say for a conflict, by the number of our correction, which side holds: `ours`, `theirs` or `neither`.
    """
    comparison = compare(ours, theirs)
    undecided = [pair for pair in comparison.conflicts if choices.get(pair[0].number) not in SIDES]
    dropped = _numbers(ours_item for ours_item, _ in comparison.conflicts if choices.get(ours_item.number) != "ours")
    merged = [item for item in ours if item.number not in dropped]
    merged += comparison.theirs
    merged += [item for other, item in comparison.conflicts if choices.get(other.number) == "theirs"]
    return merged, undecided


SIDES: Collection[str] = ("ours", "theirs", "neither")


def _numbers(items: Iterable[PackItem]) -> set[int]:
    return {item.number for item in items}
