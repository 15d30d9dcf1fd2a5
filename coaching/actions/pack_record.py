"""Whether people found the corrections of packs right: one that is wrong too often is switched off."""

from __future__ import annotations

from django.db.models import F

from .. import events, evidence
from ..afterwards import after_commit
from ..models import Decision, PackItem, PackUse, Session, Suggestion
from .pack_items import switch_off

#: A correction that is used and found wrong is switched off: after so many uses, below this confidence of being right.
USES_BEFORE_JUDGING = 5
SWITCHED_OFF_BELOW = 0.20
TARGET = 0.85


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
    after_commit(switch_off, [item], by=None, reason=reason)
