"""What is counted about one step, and how each fact changes it. Pure functions: no database, no clock.

The counting of a fact as it comes and the counting of all facts anew are these same functions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from coaching.policy import Policy

from . import scoring


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Integers about one step.

    Lifetime counts of people's decisions by kind, never reset; `unattended`: what the policy accepted. The epoch since
    the last restart: `epoch_accepted`, and `epoch_refused` (rejected or corrected). Since the step became AUTO:
    `clean_audits` in a row and the scores of the two detectors. `epoch_version` is the first version of the step that
    does what the current one does: decisions about earlier ones count for the lifetime only.
    """

    accepted: int = 0
    rejected: int = 0
    corrected: int = 0
    manual: int = 0
    skipped: int = 0
    unattended: int = 0
    epoch_accepted: int = 0
    epoch_refused: int = 0
    epoch_version: int = 1
    clean_audits: int = 0
    audit_score: int = 0
    execution_score: int = 0
    auto: bool = False

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in NUMBERS}


NUMBERS = tuple(field.name for field in fields(Tally))
LIFETIME = ("accepted", "rejected", "corrected", "manual", "skipped")
#: The counter of each kind of decision.
COUNTERS = {"accept": "accepted", "reject": "rejected", "correct": "corrected", "manual": "manual", "skip": "skipped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision, as far as it is evidence. `version` is the number of the step version that it was about.

    `outdated`: packs propose something else by now than what was decided on.
    """

    kind: str
    version: int
    by_person: bool
    in_trouble: bool = False
    outdated: bool = False


def after_decision(tally: Tally, decided: Decided, policy: Policy) -> Tally:
    """A person's decision adds to the lifetime and, if it is about what the step does now, to the epoch.

    On an AUTO step it is an audit as well, unless the question was about trouble. What the policy decided is no
    evidence.
    """
    if not decided.by_person:
        # Where nobody answered in time, a person was needed after all.
        return replace(tally, unattended=tally.unattended + 1) if decided.kind == "accept" else tally
    counter = COUNTERS[decided.kind]
    tally = replace(tally, **{counter: getattr(tally, counter) + 1})
    # What was accepted with a person's help says nothing about running without one.
    helped = decided.in_trouble and decided.kind == "accept"
    of_another = decided.outdated or decided.version < tally.epoch_version
    if helped or of_another or decided.kind in {"manual", "skip"}:
        return tally
    refused = decided.kind != "accept"
    if tally.auto and not decided.in_trouble:
        tally = replace(
            tally,
            audit_score=scoring.audit_score_after(tally.audit_score, bad=refused),
            clean_audits=scoring.clean_audits_after(tally.clean_audits, bad=refused),
        )
    tally = replace(
        tally, epoch_accepted=tally.epoch_accepted + (not refused), epoch_refused=tally.epoch_refused + refused
    )
    if scoring.needs_fresh_start(tally.epoch_accepted, tally.epoch_refused, policy.target):
        return replace(tally, epoch_accepted=0, epoch_refused=0)
    return tally


def after_outcome(tally: Tally, *, kind: str, version: int, success: bool, outdated: bool = False) -> Tally:
    """The step's own action was performed, or failed. What was done in its place by a correction says nothing of it."""
    if not tally.auto or kind != "accept" or outdated or version < tally.epoch_version:
        return tally
    return replace(tally, execution_score=scoring.execution_score_after(tally.execution_score, failed=not success))


def after_level(tally: Tally, *, to_auto: bool, restarts: bool = False) -> Tally:
    """A promotion starts the detectors; the end of AUTO starts the evidence anew, and so does what `restarts` it."""
    if to_auto == tally.auto and not restarts:
        return tally
    tally = replace(tally, auto=to_auto, clean_audits=0, audit_score=0, execution_score=0)
    return tally if to_auto else replace(tally, epoch_accepted=0, epoch_refused=0)


def after_version(tally: Tally, number: int) -> Tally:
    """The step does something else from version `number` on: its evidence starts anew."""
    return replace(
        tally, epoch_accepted=0, epoch_refused=0, epoch_version=number,
        clean_audits=0, audit_score=0, execution_score=0,
    )  # fmt: skip


def alarm(tally: Tally) -> str:
    """Why the step must not run alone any more, or nothing."""
    if tally.audit_score >= scoring.AUDIT_ALARM:
        return f"The audits alarm: score {tally.audit_score}, at {scoring.AUDIT_ALARM} a step goes back to the coach."
    if tally.execution_score >= scoring.EXECUTION_ALARM:
        return (
            f"It fails too often: score {tally.execution_score}, at {scoring.EXECUTION_ALARM} a step goes back to the "
            "coach."
        )
    return ""
