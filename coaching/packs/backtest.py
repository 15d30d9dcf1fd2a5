"""What a pack would have done to a decision of the past."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from coaching.packs.changes import canonical


class Verdict(StrEnum):
    """`SAVED`: the coach would not have had to correct. `BROKEN`: an accepted action would have been another.
    `ALTERED`: what was refused, corrected otherwise or done by hand would have been another action. `SAME`: nothing.
    """

    SAVED = "saved"
    BROKEN = "broken"
    ALTERED = "altered"
    SAME = "same"


def judge(kind: str, *, proposed: Mapping[str, Any], now: Mapping[str, Any], done: Mapping[str, Any] | None) -> Verdict:
    """`kind` of decision on `proposed`, in whose place the pack proposes `now`; `done` is the correction, if any."""
    unchanged = canonical(proposed) == canonical(now)
    if done is not None and canonical(now) == canonical(done):
        # A correction of what this pack would propose alike was made for nothing only if it was not proposed then.
        return Verdict.SAME if unchanged else Verdict.SAVED
    if unchanged:
        return Verdict.SAME
    return Verdict.BROKEN if kind == "accept" else Verdict.ALTERED
