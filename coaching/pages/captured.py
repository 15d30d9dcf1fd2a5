"""What was captured from coaches, as the pages of a workflow and of a session show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef

from ..actions.secrecy import masked_action
from ..models import (
    Correction,
    CorrectionMade,
    CorrectionPack,
    Decision,
    PackEntry,
    PackItem,
    PackUse,
    Suggestion,
    Workflow,
)
from .pack_words import Line, difference
from .packs import Captured, sessions_of_corrections

SHOWN_CORRECTIONS = 50
_REASONS: dict[str, str] = dict(Decision.Reason.choices)


@dataclass(frozen=True, slots=True)
class Kept:
    """A captured correction; `packs` are those that have it and are not retired."""

    captured: Captured
    packs: Sequence[CorrectionPack]


def corrections_of(workflow: Workflow) -> dict[str, Any]:
    """The corrections of a workflow, the latest first, and the packs that they are in."""
    found = Correction.objects.filter(workflow=workflow).annotate(session_count=sessions_of_corrections())
    corrections = list(found[: SHOWN_CORRECTIONS + 1])
    shown = corrections[:SHOWN_CORRECTIONS]
    items = PackItem.objects.filter(correction__in=shown).exclude(pack__status=CorrectionPack.Status.RETIRED)
    packs: dict[int, dict[int, CorrectionPack]] = {}
    for item in items.select_related("pack"):
        packs.setdefault(item.correction_id or 0, {})[item.pack_id] = item.pack
    kept = [Kept(Captured.of(one, workflow), list(packs.get(one.pk, {}).values())) for one in shown]
    return {
        "corrections": kept,
        "corrections_are_more": len(corrections) > SHOWN_CORRECTIONS,
        "has_uncovered": any(not one.packs for one in kept),
    }


def fixes_of(workflow: Workflow) -> dict[str, str]:
    """By `node_id` what coaches corrected there that no published pack corrects yet: `“wrong value” 3 times`."""
    applied = PackEntry.objects.applied().filter(item__correction=OuterRef("correction")).order_by()
    made = CorrectionMade.objects.filter(~Exists(applied), correction__workflow=workflow).order_by()
    counts = made.values_list("correction__node_id", "decision__reason_code").annotate(Count("pk"))
    by_step: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for node_id, reason, count in counts:
        by_step[node_id][reason] = count
    return {node_id: _in_words(reasons) for node_id, reasons in by_step.items()}


def _in_words(reasons: Mapping[str, int]) -> str:
    """The reason that was given most often; where none was given, that it was corrected."""
    total = sum(reasons.values())
    reason = max((one for one in reasons if one), key=lambda one: reasons[one], default="")
    count, words = (reasons[reason], f"“{_REASONS.get(reason, reason)}”") if reason else (total, "corrected")
    return f"{words} {count} {'time' if count == 1 else 'times'}"


@dataclass(frozen=True, slots=True)
class FromPack:
    """What packs have changed of a suggestion: by which corrections, and old and new of each field."""

    uses: Sequence[PackUse]
    lines: Sequence[Line]


def from_pack(suggestion: Suggestion) -> FromPack | None:
    """None for a suggestion that no pack has changed."""
    if suggestion.unchanged_action is None:
        return None
    uses = list(suggestion.pack_uses.select_related("item__pack", "version").order_by("pk"))
    session = suggestion.session
    before, after = masked_action(suggestion.original_action, session), masked_action(suggestion.action, session)
    return FromPack(uses, difference(before, after))
