"""What each fact does to the counts of a step, one fact after the other; no database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coaching.policy import Policy
from metrics.tally import (
    COUNTERS,
    LIFETIME,
    Decided,
    Tally,
    after_decision,
    after_level,
    after_outcome,
    after_version,
    alarm,
)

POLICY = Policy()
AUTO = after_level(Tally(epoch_accepted=20, accepted=20), to_auto=True)
KINDS = {"A": "accept", "R": "reject", "C": "correct", "M": "manual", "S": "skip"}
EPOCH = ("epoch_accepted", "epoch_refused")
DETECTORS = ("clean_audits", "audit_score", "execution_score")
DECISIONS = st.builds(
    Decided,
    kind=st.sampled_from(list(KINDS.values())),
    version=st.integers(1, 3),
    by_person=st.booleans(),
    in_trouble=st.booleans(),
)
TALLIES = st.builds(
    Tally,
    accepted=st.integers(0, 50),
    rejected=st.integers(0, 50),
    epoch_accepted=st.integers(0, 40),
    epoch_refused=st.integers(0, 40),
    epoch_version=st.integers(1, 3),
    clean_audits=st.integers(0, 60),
    audit_score=st.integers(0, 60),
    execution_score=st.integers(0, 30),
    auto=st.booleans(),
)


def decide(tally: Tally, letters: str, *, policy: Policy = POLICY, **what: Any) -> Tally:
    """The tally after people's decisions, a letter each; `what` changes all of them."""
    for letter in letters:
        decided: dict[str, Any] = {"kind": KINDS[letter], "version": 1, "by_person": True} | what
        tally = after_decision(tally, Decided(**decided), policy)
    return tally


def perform(tally: Tally, letters: str, **what: Any) -> Tally:
    """The tally after accepted actions that succeeded (S) or failed (F)."""
    for letter in letters:
        outcome: dict[str, Any] = {"kind": "accept", "version": 1, "success": letter == "S"} | what
        tally = after_outcome(tally, **outcome)
    return tally


def only(tally: Tally, *names: str) -> dict[str, Any]:
    return {name: getattr(tally, name) for name in names}


def changed(before: Tally, after: Tally) -> dict[str, Any]:
    """What is another number now."""
    return {name: value for name, value in after.as_json().items() if getattr(before, name) != value}


# ---- counting


@pytest.mark.parametrize(
    ("letter", "adds"),
    [
        ("A", {"accepted": 1, "epoch_accepted": 1}),
        ("R", {"rejected": 1, "epoch_refused": 1}),
        ("C", {"corrected": 1, "epoch_refused": 1}),
        ("M", {"manual": 1}),
        ("S", {"skipped": 1}),
    ],
)
def test_each_kind_of_decision_adds_to_its_own_count(letter: str, adds: dict[str, int]) -> None:
    assert changed(Tally(), decide(Tally(), letter)) == adds


def test_a_history_is_added_up() -> None:
    tally = decide(Tally(), "AACRMSSAAA")
    assert only(tally, *LIFETIME) == {"accepted": 5, "rejected": 1, "corrected": 1, "manual": 1, "skipped": 2}
    assert only(tally, *EPOCH) == {"epoch_accepted": 5, "epoch_refused": 2}
    assert tally.unattended == 0


@pytest.mark.parametrize("kind", KINDS.values())
@pytest.mark.parametrize("tally", [Tally(), AUTO])
def test_what_the_policy_decided_is_no_evidence(tally: Tally, kind: str) -> None:
    decided = Decided(kind=kind, version=1, by_person=False)
    # Only an accept needed nobody: the rest is what happens when nobody answers in time.
    expected = {"unattended": 1} if kind == "accept" else {}
    assert changed(tally, after_decision(tally, decided, POLICY)) == expected


def test_a_decision_on_an_earlier_version_counts_for_the_lifetime_only() -> None:
    tally = replace(AUTO, epoch_version=3)
    assert changed(tally, decide(tally, "RAC", version=2)) == {"accepted": 21, "rejected": 1, "corrected": 1}
    for version in (3, 4):
        assert changed(tally, decide(tally, "R", version=version)) == {
            "rejected": 1, "epoch_refused": 1, "audit_score": 17
        }  # fmt: skip


@given(TALLIES, st.lists(DECISIONS, max_size=30))
def test_the_lifetime_counts_every_decision_of_people_once_whatever_else_happens(
    tally: Tally, decisions: list[Decided]
) -> None:
    after = tally
    for decided in decisions:
        after = after_decision(after, decided, POLICY)
    for kind, counter in COUNTERS.items():
        made = sum(decided.by_person and decided.kind == kind for decided in decisions)
        assert getattr(after, counter) - getattr(tally, counter) == made
    assert after.unattended - tally.unattended == sum(not one.by_person and one.kind == "accept" for one in decisions)
    assert (after.auto, after.epoch_version) == (tally.auto, tally.epoch_version)


@given(TALLIES, st.booleans())
def test_rejected_and_corrected_are_the_same_evidence(tally: Tally, in_trouble: bool) -> None:
    rejected = decide(tally, "R", version=3, in_trouble=in_trouble)
    corrected = decide(tally, "C", version=3, in_trouble=in_trouble)
    assert only(rejected, *EPOCH, *DETECTORS) == only(corrected, *EPOCH, *DETECTORS)


@given(TALLIES)
def test_a_tally_is_read_back_as_it_was_kept(tally: Tally) -> None:
    assert Tally(**tally.as_json()) == tally


# ---- the fresh start


@pytest.mark.parametrize(
    ("letters", "epoch"),
    [
        ("AAARRRRRRR", (0, 0)),
        ("AAARRRRRR", (3, 6)),
        ("AAAAARRRRR", (5, 5)),
        ("RRRRRRRRR", (0, 9)),
        ("RRRRRRRRRR", (0, 0)),
        ("AAACCCCRRR", (0, 0)),
        ("AAARRRRRRRAAR", (2, 1)),
        ("AAAMSMSRRRRRR", (3, 6)),
    ],
)
def test_an_epoch_beyond_hope_restarts_at_its_tenth_decision(letters: str, epoch: tuple[int, int]) -> None:
    tally = decide(Tally(), letters)
    assert (tally.epoch_accepted, tally.epoch_refused) == epoch
    assert (tally.accepted, tally.rejected + tally.corrected) == (
        letters.count("A"), letters.count("R") + letters.count("C")
    ), "the history is kept"  # fmt: skip


def test_a_long_epoch_restarts_when_hope_is_lost_late() -> None:
    tally = decide(Tally(), "A" * 30 + "R" * 14)
    assert only(tally, *EPOCH) == {"epoch_accepted": 30, "epoch_refused": 14}
    assert only(decide(tally, "R"), *EPOCH) == {"epoch_accepted": 0, "epoch_refused": 0}


def test_whether_there_is_hope_depends_on_the_policys_target() -> None:
    modest = Policy(target=0.3)
    assert only(decide(Tally(), "AAARRRRRRR", policy=modest), *EPOCH) == {"epoch_accepted": 3, "epoch_refused": 7}


def test_a_fresh_start_leaves_the_detectors_alone() -> None:
    tally = decide(replace(AUTO, epoch_accepted=3, epoch_refused=6, execution_score=9), "R")
    assert only(tally, *EPOCH, *DETECTORS) == {
        "epoch_accepted": 0, "epoch_refused": 0, "clean_audits": 0, "audit_score": 17, "execution_score": 9
    }  # fmt: skip


# ---- the audits


@pytest.mark.parametrize(
    ("letters", "alarms_at"),
    [
        ("RRR", 3),
        ("CRC", 3),
        ("RRAARAR", 7),
        ("RRAAAAAAR", None),
        ("RMSRMSR", 7),
        ("AAAARRR", 7),
        ("RRAR", None),
        ("RRARR", 5),
        ("RAAAAAARAAAAAAR", None),
    ],
)
def test_the_audits_alarm(letters: str, alarms_at: int | None) -> None:
    alarmed = [number for number in range(1, len(letters) + 1) if alarm(decide(AUTO, letters[:number]))]
    assert alarmed == ([] if alarms_at is None else [alarms_at])


def test_the_score_of_the_audits() -> None:
    scores = [decide(AUTO, "RRAARAR"[:number]).audit_score for number in range(8)]
    assert scores == [0, 17, 34, 31, 28, 45, 42, 59]
    assert decide(AUTO, "RAAAAAAA").audit_score == 0, "never below 0"


def test_clean_audits_are_counted_in_a_row() -> None:
    assert [decide(AUTO, "AARAAA"[:number]).clean_audits for number in range(7)] == [0, 1, 2, 0, 1, 2, 3]
    assert decide(AUTO, "AAMS").clean_audits == 2


def test_only_an_auto_step_is_audited() -> None:
    tally = decide(Tally(), "RRRAAA")
    assert only(tally, *DETECTORS) == {"clean_audits": 0, "audit_score": 0, "execution_score": 0}
    assert not alarm(tally)


def test_an_answer_in_trouble_is_no_audit_and_counts_only_against_the_step() -> None:
    tally = decide(AUTO, "RRRA", in_trouble=True)
    assert changed(AUTO, tally) == {"accepted": 21, "rejected": 3, "epoch_refused": 3}
    assert not alarm(tally)


def test_the_alarm_names_the_score_and_its_limit() -> None:
    assert "score 51" in alarm(decide(AUTO, "RRR"))
    assert "50" in alarm(decide(AUTO, "RRR"))
    assert "score 27" in alarm(perform(AUTO, "FFF"))
    assert "25" in alarm(perform(AUTO, "FFF"))
    for calm in (Tally(audit_score=49), Tally(execution_score=24)):
        assert alarm(calm) == ""
    for loud in (Tally(audit_score=50), Tally(execution_score=25)):
        assert alarm(loud)


# ---- outcomes


@pytest.mark.parametrize(
    ("letters", "alarms_at"), [("FFF", 3), ("FSSFF", 5), ("FF", None), ("FSSSSSSSSSFSSSSSSSSSF", None), ("SSSFFF", 6)]
)
def test_the_executions_alarm(letters: str, alarms_at: int | None) -> None:
    alarmed = [number for number in range(1, len(letters) + 1) if alarm(perform(AUTO, letters[:number]))]
    assert alarmed == ([] if alarms_at is None else [alarms_at])


def test_the_score_of_the_executions_and_nothing_else() -> None:
    assert [perform(AUTO, "FSSFF"[:number]).execution_score for number in range(6)] == [0, 9, 8, 7, 16, 25]
    assert changed(AUTO, perform(AUTO, "F")) == {"execution_score": 9}
    assert perform(AUTO, "SSS") == AUTO, "never below 0"


@pytest.mark.parametrize("kind", ["correct", "manual", "reject", "skip"])
@pytest.mark.parametrize("letter", ["S", "F"])
def test_what_was_not_the_steps_own_action_says_nothing(kind: str, letter: str) -> None:
    tally = replace(AUTO, execution_score=10)
    assert perform(tally, letter, kind=kind) == tally


@pytest.mark.parametrize("letter", ["S", "F"])
def test_the_outcome_of_a_step_that_is_not_auto_or_of_an_earlier_version_says_nothing(letter: str) -> None:
    coached = Tally(execution_score=10)
    assert perform(coached, letter) == coached
    newer = replace(AUTO, execution_score=10, epoch_version=2)
    assert perform(newer, letter) == newer
    assert perform(newer, letter, version=2) != newer


# ---- levels and versions


def test_a_promotion_starts_the_detectors_and_keeps_the_evidence() -> None:
    tally = Tally(accepted=30, rejected=1, epoch_accepted=20, epoch_refused=1, audit_score=5, clean_audits=3)
    assert after_level(tally, to_auto=True) == Tally(
        accepted=30, rejected=1, epoch_accepted=20, epoch_refused=1, auto=True
    )


def test_the_end_of_auto_starts_the_evidence_anew_and_keeps_the_lifetime() -> None:
    tally = perform(decide(AUTO, "RRRM"), "F")
    after = after_level(replace(tally, unattended=7), to_auto=False)
    assert after == Tally(accepted=20, rejected=3, manual=1, unattended=7)


@given(TALLIES)
def test_a_change_between_the_lower_levels_changes_no_number(tally: Tally) -> None:
    assert after_level(tally, to_auto=tally.auto) == tally


@given(TALLIES)
def test_a_new_version_starts_everything_anew_but_the_lifetime(tally: Tally) -> None:
    after = after_version(tally, 4)
    assert only(after, *EPOCH, *DETECTORS) == dict.fromkeys((*EPOCH, *DETECTORS), 0)
    assert after.epoch_version == 4
    assert only(after, *LIFETIME, "unattended", "auto") == only(tally, *LIFETIME, "unattended", "auto")
    assert changed(after, decide(after, "A", version=3)) == {"accepted": tally.accepted + 1}
