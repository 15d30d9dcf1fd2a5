"""One step against the same step of another demonstration: what differs becomes a variable."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from coaching.recordings.compiled import VariableSpec
from coaching.recordings.naming import humanise, slug_name, unique, words
from coaching.recordings.targets import selector_kind, target_of
from coaching.recordings.variables import PLACEHOLDER, placeholder

_TOKEN = re.compile(rf"{PLACEHOLDER.pattern}|\w+|[^\w]", re.DOTALL)
# A number in brackets counts elements; it is a position, not something a person would name.
_POSITION = re.compile(r"[\[(]\d+(?:n[+-]\d+)?[\])]")
_NAMED = {"aria", "text"}


@dataclass(frozen=True, slots=True)
class Difference:
    """Two texts that agree but for their middles: `before + ours + after` and `before + theirs + after`."""

    before: str
    ours: str
    theirs: str
    after: str


@dataclass(slots=True)
class Variables:
    """The workflow's variables, and which differing pair of texts each of the new ones stands for."""

    specs: list[VariableSpec]
    by_pair: dict[tuple[str, str], str] = field(default_factory=dict)

    def learn_typed(self, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
        """A typed value that differs between the demonstrations may show up in names and addresses too."""
        typed = PLACEHOLDER.fullmatch(ours["value"]) if ours["type"] == "change" else None
        spec = next((spec for spec in self.specs if typed and spec.name == typed[1]), None)
        if spec and not spec.secret and spec.default and theirs["value"] and spec.default != theirs["value"]:
            self.by_pair.setdefault((spec.default, theirs["value"]), spec.name)

    def for_pair(self, difference: Difference, label: str) -> str:
        """The name of the variable for a differing pair, made if there is none."""
        pair = (difference.ours, difference.theirs)
        if pair not in self.by_pair:
            name = unique(slug_name(label), {spec.name for spec in self.specs})
            self.specs.append(VariableSpec(name, humanise(label) or "Value", secret=False, default=difference.ours))
            self.by_pair[pair] = name
        return self.by_pair[pair]


@dataclass(slots=True)
class Merged:
    """The merged action, and what the person should know about it."""

    action: dict[str, Any]
    messages: list[str] = field(default_factory=list)


def merge_action(ours: dict[str, Any], theirs: dict[str, Any], variables: Variables) -> Merged:
    """Merge one step: `ours` may hold placeholders, `theirs` has its values filled in."""
    merged = Merged(copy.deepcopy(ours))
    if ours["type"] == "navigate":
        _merge_url(merged, theirs, variables)
    if ours["type"] == "change" and not _fits(ours["value"], theirs["value"]):
        _merge_value(merged, theirs, variables)
    if ours.get("selectors") and theirs.get("selectors"):
        _merge_selectors(merged, theirs, variables)
    _merge_known(merged, theirs, variables)
    return merged


def _merge_url(merged: Merged, theirs: dict[str, Any], variables: Variables) -> None:
    url = merged.action["url"]
    if _fits(url, theirs["url"]):
        return
    difference = _difference(url, theirs["url"])
    # The scheme and the host are where the workflow lives; another host is another workflow.
    if difference is None or "/" not in difference.before.partition("://")[2]:
        merged.messages.append(f"The new demonstration opens another address: {theirs['url']}.")
        return
    name = variables.for_pair(difference, _url_label(difference))
    merged.action["url"] = f"{difference.before}{placeholder(name)}{difference.after}"


def _url_label(difference: Difference) -> str:
    """The query field, or else the path segment before, that the differing part belongs to."""
    parts = urlsplit(difference.before + "\x01")
    field_name = next((key for key, value in parse_qsl(parts.query) if "\x01" in value), "")
    segments = [segment for segment in parts.path.split("/") if segment and "\x01" not in segment]
    return field_name or (" ".join(words(segments[-1])) if segments else "") or "address"


def _merge_value(merged: Merged, theirs: dict[str, Any], variables: Variables) -> None:
    value = merged.action["value"]
    if not value or not theirs["value"] or PLACEHOLDER.search(value):
        merged.messages.append("The new demonstration enters something else here.")
        return
    name = variables.for_pair(Difference("", value, theirs["value"], ""), target_of(merged.action).label)
    merged.action["value"] = placeholder(name)


def _merge_selectors(merged: Merged, theirs: dict[str, Any], variables: Variables) -> None:
    ours = [_chain(entry) for entry in merged.action["selectors"]]
    others = [_chain(entry) for entry in theirs["selectors"]]
    pairs = [(chain, _counterpart(index, chain, ours, others)) for index, chain in enumerate(ours)]
    if all(_chain_fits(chain, other) for chain, other in pairs if other):
        return
    # Names first: they decide which variable the differing part is, ids and paths then follow.
    for chain, other in pairs:
        if other and selector_kind(chain[-1]) in _NAMED and not _chain_fits(chain, other):
            _learn_name(chain[-1], other[-1], merged.action, variables)
    kept: list[str | list[str]] = []
    unexplained = 0
    for entry, (chain, other) in zip(merged.action["selectors"], pairs, strict=True):
        new = _varied(chain, other, merged.action, variables)
        if new is None:
            unexplained += 1
        else:
            kept.append(entry if new == chain else _like(entry, new))
    if all(entry in merged.action["selectors"] for entry in kept):
        merged.messages.append("The new demonstration finds this element at another place in the page.")
        return
    merged.action["selectors"] = kept
    if unexplained:
        merged.messages.append(f"{unexplained} selectors that fit only one demonstration were left out.")


def _learn_name(ours: str, theirs: str, action: dict[str, Any], variables: Variables) -> None:
    difference = _difference(ours, theirs)
    if difference:
        variables.for_pair(difference, _name_label(difference, action))


def _name_label(difference: Difference, action: dict[str, Any]) -> str:
    """“Open claim 17” and “Open claim 18” differ in a claim; a wholly different name is called by its role."""
    before = words(difference.before.partition("/")[2])
    if before:
        return before[-1]
    roles = sorted(target_of(action).roles)
    return f"{roles[0]} name" if roles else "name"


def _varied(
    chain: list[str], other: list[str] | None, action: dict[str, Any], variables: Variables
) -> list[str] | None:
    """The chain with its differing part as a variable; None when it fits only one of the demonstrations."""
    if other is None:
        return chain
    result = []
    for ours, theirs in zip(chain, other, strict=True):
        if _fits(ours, theirs):
            result.append(ours)
            continue
        difference = _difference(ours, theirs)
        if difference is None:
            return None
        known = (difference.ours, difference.theirs) in variables.by_pair
        if not known and (_is_position(difference) or _knows_names(action)):
            return None
        name = variables.for_pair(difference, _name_label(difference, action))
        result.append(f"{difference.before}{placeholder(name)}{difference.after}")
    return result


def _knows_names(action: dict[str, Any]) -> bool:
    """Whether a name says what varies, so that other differences only follow from it."""
    return any(selector_kind(_chain(entry)[-1]) in _NAMED for entry in action["selectors"] if _chain(entry))


def _is_position(difference: Difference) -> bool:
    around = difference.before[-1:] + difference.ours + difference.after[:1]
    return bool(_POSITION.fullmatch(around))


def _merge_known(merged: Merged, theirs: dict[str, Any], variables: Variables) -> None:
    """Expected addresses, titles and conditions follow variables, but never make one: they are results."""
    for holder, other, name in _results(merged.action, theirs):
        if _fits(holder[name], other[name]):
            continue
        difference = _difference(holder[name], other[name])
        variable = variables.by_pair.get((difference.ours, difference.theirs)) if difference else None
        if difference and variable:
            holder[name] = f"{difference.before}{placeholder(variable)}{difference.after}"
        else:
            merged.messages.append(f"The demonstrations differ in the ‘{name}’ expected after this step.")


def _results(ours: dict[str, Any], theirs: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any], str]]:
    events = zip(ours.get("assertedEvents", []), theirs.get("assertedEvents", []), strict=False)
    found = [
        (mine, other, name) for mine, other in events for name in ("url", "title") if name in mine and name in other
    ]
    if ours["type"] == "waitForExpression":
        found.append((ours, theirs, "expression"))
    return found


def _counterpart(
    index: int, chain: list[str], ours: Sequence[list[str]], others: Sequence[list[str]]
) -> list[str] | None:
    """The other demonstration's alternative of the same kind, counted within its kind."""
    kinds = [[selector_kind(part) for part in one] for one in ours]
    rank = kinds[:index].count(kinds[index])
    same = [other for other in others if [selector_kind(part) for part in other] == kinds[index]]
    if chain in same:
        return chain
    return same[rank] if rank < len(same) else None


def _chain(entry: str | list[str]) -> list[str]:
    return [entry] if isinstance(entry, str) else entry


def _like(entry: str | list[str], chain: list[str]) -> str | list[str]:
    return chain[0] if isinstance(entry, str) else chain


def _chain_fits(chain: list[str], other: list[str]) -> bool:
    return all(_fits(ours, theirs) for ours, theirs in zip(chain, other, strict=True))


def _fits(ours: str, theirs: str) -> bool:
    """Whether some values of the placeholders in `ours` make it `theirs`."""
    first, *middle = PLACEHOLDER.split(ours)[::2]
    if not middle:
        return ours == theirs
    last = middle.pop()
    if not theirs.startswith(first) or not theirs.endswith(last):
        return False
    # The leftmost place for each piece leaves the most room for the next; a pattern could backtrack for ever.
    at, end = len(first), len(theirs) - len(last)
    for piece in middle:
        at = theirs.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return at <= end


def _difference(ours: str, theirs: str) -> Difference | None:
    """The differing middles in whole words; None when ours holds a placeholder or one of them is empty."""
    left, right = ([match[0] for match in _TOKEN.finditer(text)] for text in (ours, theirs))
    shorter = min(len(left), len(right))
    start = next((index for index in range(shorter) if left[index] != right[index]), shorter)
    rest = shorter - start
    end = next((index for index in range(rest) if left[-1 - index] != right[-1 - index]), rest)
    before, after = "".join(left[:start]), "".join(left[len(left) - end :])
    middle, other = "".join(left[start : len(left) - end]), "".join(right[start : len(right) - end])
    if not middle or not other or PLACEHOLDER.search(middle):
        return None
    return Difference(before, middle, other, after)
