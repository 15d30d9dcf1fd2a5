"""Merging: another demonstration of the same workflow shows which parts of its steps vary.

Steps are aligned by what they do and to what, not by the values they carry. Where the name or the address of a
step differs, the differing middle becomes a variable. Different typed values are nothing new, they are variables
already. Different steps are only noted: a person decides what the workflow should do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import Any

from coaching.recordings.compiled import CompiledWorkflow, StepSpec, VariableSpec, known_values, shown_values
from coaching.recordings.differences import Variables, merge_action
from coaching.recordings.document import ImportNote
from coaching.recordings.targets import chains
from coaching.recordings.variables import PLACEHOLDER, fill_known
from coaching.recordings.wording import describe

Pair = tuple[int, int]

# How many steps one demonstration may have between two that belong together.
_LOOK_AHEAD = 20


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The merged steps and variables; `changed` names the steps whose action is new."""

    steps: tuple[StepSpec, ...]
    variables: tuple[VariableSpec, ...]
    notes: tuple[ImportNote, ...]
    changed: tuple[str, ...]


@dataclass(slots=True)
class _Alignment:
    pairs: list[Pair] = field(default_factory=list)
    notes: list[ImportNote] = field(default_factory=list)


def merge_demonstration(
    workflow_steps: Sequence[StepSpec], variables: Sequence[VariableSpec], demonstration: CompiledWorkflow
) -> MergeResult:
    """Merge a demonstration into a workflow; merging the same one again changes nothing.

    Node ids, order and number of the steps stay as they are.
    """
    shown = [fill_known(step.action, known_values(demonstration.variables)) for step in demonstration.steps]
    own = [fill_known(step.action, known_values(variables)) for step in workflow_steps]
    aligned = _align(own, shown, workflow_steps, demonstration.steps)
    found = Variables(list(variables))
    for ours, theirs in aligned.pairs:
        found.learn_typed(workflow_steps[ours].action, shown[theirs])
    steps = list(workflow_steps)
    notes = list(aligned.notes)
    for ours, theirs in aligned.pairs:
        merged = merge_action(steps[ours].action, shown[theirs], found)
        steps[ours] = replace(steps[ours], action=merged.action)
        notes.extend(ImportNote(ours, message) for message in merged.messages)
    changed = [index for index, step in enumerate(steps) if step.action != workflow_steps[index].action]
    for index in changed:
        description = describe(steps[index].action, values=shown_values(found.specs))
        steps[index] = replace(steps[index], description=description)
    return MergeResult(
        steps=tuple(steps),
        variables=tuple(found.specs),
        notes=tuple(notes),
        changed=tuple(steps[index].node_id for index in changed),
    )


def _align(
    own: Sequence[dict[str, Any]],
    shown: Sequence[dict[str, Any]],
    own_specs: Sequence[StepSpec],
    shown_specs: Sequence[StepSpec],
) -> _Alignment:
    result = _Alignment()
    exact = SequenceMatcher(
        None, [_signature(step) for step in own], [_signature(step) for step in shown], autojunk=False
    )
    for tag, own_start, own_end, shown_start, shown_end in exact.get_opcodes():
        if tag == "equal":
            result.pairs.extend(zip(range(own_start, own_end), range(shown_start, shown_end), strict=True))
            continue
        similar = list(_similar(own[own_start:own_end], shown[shown_start:shown_end]))
        pairs = [(own_start + ours, shown_start + theirs) for ours, theirs in similar]
        result.pairs.extend(pairs)
        missing = [index for index in range(own_start, own_end) if index not in {ours for ours, _ in pairs}]
        extra = [index for index in range(shown_start, shown_end) if index not in {theirs for _, theirs in pairs}]
        result.notes.extend(
            ImportNote(index, f"The new demonstration does not have this step: {own_specs[index].description}.")
            for index in missing
        )
        result.notes.extend(
            ImportNote(None, f"The new demonstration has one more step: {shown_specs[index].description}.")
            for index in extra
        )
    return result


def _signature(action: dict[str, Any]) -> tuple[object, ...]:
    """What a step does and to what, without the values it carries."""
    selectors = tuple(tuple(chain) for chain in chains(action))
    return (*_shape(action), selectors)


def _shape(action: dict[str, Any]) -> tuple[object, ...]:
    return (
        action["type"],
        action.get("key"),
        tuple(action.get("frame") or ()),
        action.get("name"),
        action.get("button"),
    )


def _similar(own: Sequence[dict[str, Any]], shown: Sequence[dict[str, Any]]) -> Iterator[Pair]:
    """Pairs of steps, in order, that do the same to elements which differ in a part of their name."""
    start = 0
    for ours, action in enumerate(own):
        ahead = range(start, min(start + _LOOK_AHEAD, len(shown)))
        theirs = next((index for index in ahead if _alike(action, shown[index])), None)
        if theirs is not None:
            yield ours, theirs
            start = theirs + 1


def _alike(own: dict[str, Any], shown: dict[str, Any]) -> bool:
    """Whether two steps do the same to what can be one target with a varying part: some alternative says so."""
    if _shape(own) != _shape(shown):
        return False
    if not own.get("selectors") and not shown.get("selectors"):
        return True
    return any(
        len(ours) == len(theirs) and _affix_share(ours[-1], theirs[-1]) >= 0.3
        for ours in chains(own)
        for theirs in chains(shown)
        if ours[-1].partition("/")[0] == theirs[-1].partition("/")[0]
    )


def _affix_share(left: str, right: str) -> float:
    """How much of the longer text the common beginning and end make up, 0 to 1, prefixes and roles not counted."""
    left, right = (PLACEHOLDER.sub("", text).partition("/")[2] or text for text in (left, right))
    length = min(len(left), len(right))
    start = next((index for index in range(length) if left[index] != right[index]), length)
    rest = length - start
    end = next((index for index in range(rest) if left[-1 - index] != right[-1 - index]), rest)
    return (start + end) / max(len(left), len(right), 1)
