"""The evidence as numbers: every expected value was computed with exact fractions, none with the code under test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coaching.policy import Policy
from metrics import scoring

DEFAULT = Policy()
#: The customer's rule alone: 85 % of what was decided, however little that is.
BARE = Policy(min_decisions=1, confidence=0.0, confidence_irreversible=0.0)

COUNTS = st.integers(0, 400)
SMALL = st.integers(0, 60)
TARGETS = st.sampled_from([0.5, 0.8, 0.85, 0.9, 0.95, 0.99])


class Row(NamedTuple):
    """What must be said of `accepted/rejected/corrected` under the default policy."""

    counts: str
    irreversible: bool
    rate: float | None
    confidence: float
    ready: bool
    needed: int
    unmet: str

    @property
    def split(self) -> tuple[int, int]:
        """Accepted and refused ones."""
        accepted, rejected, corrected = map(int, self.counts.split("/"))
        return accepted, rejected + corrected


TABLE = [
    # For a reversible step.
    Row("0/0/0", False, None, 0.1500000000, False, 20, "min_decisions acceptance_rate confidence"),
    Row("1/0/0", False, 1.0, 0.2775000000, False, 19, "min_decisions confidence"),
    Row("0/1/0", False, 0.0, 0.0225000000, False, 28, "min_decisions acceptance_rate confidence"),
    Row("0/0/1", False, 0.0, 0.0225000000, False, 28, "min_decisions acceptance_rate confidence"),
    Row("2/0/0", False, 1.0, 0.3858750000, False, 18, "min_decisions confidence"),
    Row("1/1/0", False, 0.5, 0.0607500000, False, 27, "min_decisions acceptance_rate confidence"),
    Row("3/0/0", False, 1.0, 0.4779937500, False, 17, "min_decisions confidence"),
    Row("5/0/0", False, 1.0, 0.6228504844, False, 15, "min_decisions confidence"),
    Row("6/1/0", False, 0.8571428571428571, 0.3428169690, False, 22, "min_decisions confidence"),
    Row("9/1/0", False, 0.9, 0.5078139891, False, 19, "min_decisions confidence"),
    Row("10/0/0", False, 1.0, 0.8326567563, False, 10, "min_decisions confidence"),
    Row("5/3/2", False, 0.5, 0.0026568636, False, 57, "min_decisions acceptance_rate confidence"),
    Row("3/7/0", False, 0.3, 0.0000275524, False, 74, "min_decisions acceptance_rate confidence"),
    Row("0/10/0", False, 0.0, 0.0000000009, False, 99, "min_decisions acceptance_rate confidence"),
    Row("12/0/0", False, 1.0, 0.8790945064, False, 8, "min_decisions confidence"),
    Row("15/0/0", False, 1.0, 0.9257489138, False, 5, "min_decisions confidence"),
    Row("17/0/0", False, 1.0, 0.9463535902, False, 3, "min_decisions confidence"),
    Row("18/0/0", False, 1.0, 0.9544005517, False, 2, "min_decisions"),
    Row("19/0/0", False, 1.0, 0.9612404689, False, 1, "min_decisions"),
    Row("20/0/0", False, 1.0, 0.9670543986, True, 0, ""),
    Row("21/0/0", False, 1.0, 0.9719962388, True, 0, ""),
    Row("27/0/0", False, 1.0, 0.9894383950, True, 0, ""),
    Row("28/0/0", False, 1.0, 0.9910226358, True, 0, ""),
    Row("17/2/1", False, 0.85, 0.3886991603, False, 29, "confidence"),
    Row("17/3/0", False, 0.85, 0.3886991603, False, 29, "confidence"),
    Row("17/0/3", False, 0.85, 0.3886991603, False, 29, "confidence"),
    Row("16/4/0", False, 0.8, 0.1974714045, False, 38, "acceptance_rate confidence"),
    Row("16/2/2", False, 0.8, 0.1974714045, False, 38, "acceptance_rate confidence"),
    Row("18/1/1", False, 0.9, 0.6295044823, False, 19, "confidence"),
    Row("18/2/0", False, 0.9, 0.6295044823, False, 19, "confidence"),
    Row("19/1/0", False, 0.95, 0.8449618757, False, 9, "confidence"),
    Row("19/0/1", False, 0.95, 0.8449618757, False, 9, "confidence"),
    Row("20/1/0", False, 0.9523809523809523, 0.8632757541, False, 8, "confidence"),
    Row("25/1/0", False, 0.9615384615384616, 0.9283711220, False, 3, "confidence"),
    Row("28/1/0", False, 0.9655172413793104, 0.9519711014, True, 0, ""),
    Row("29/1/0", False, 0.9666666666666667, 0.9580308222, True, 0, ""),
    Row("30/1/0", False, 0.967741935483871, 0.9633532770, True, 0, ""),
    Row("37/1/0", False, 0.9736842105263158, 0.9860686251, True, 0, ""),
    Row("38/1/0", False, 0.9743589743589743, 0.9878932193, True, 0, ""),
    Row("39/2/0", False, 0.9512195121951219, 0.9617664332, True, 0, ""),
    Row("40/1/1", False, 0.9523809523809523, 0.9661319328, True, 0, ""),
    Row("41/3/0", False, 0.9318181818181818, 0.9215072986, False, 5, "confidence"),
    Row("45/5/0", False, 0.9, 0.7967338837, False, 17, "confidence"),
    Row("46/2/2", False, 0.92, 0.8978035863, False, 8, "confidence"),
    Row("50/3/2", False, 0.9090909090909091, 0.8637869158, False, 12, "confidence"),
    Row("57/3/0", False, 0.95, 0.9868077206, True, 0, ""),
    Row("60/10/5", False, 0.8, 0.0975258456, False, 74, "acceptance_rate confidence"),
    Row("64/4/2", False, 0.9142857142857143, 0.9230106456, False, 5, "confidence"),
    Row("68/6/6", False, 0.85, 0.4423868784, False, 45, "confidence"),
    Row("68/7/5", False, 0.85, 0.4423868784, False, 45, "confidence"),
    Row("85/10/5", False, 0.85, 0.4483484788, False, 49, "confidence"),
    Row("84/10/6", False, 0.84, 0.3431592266, False, 57, "acceptance_rate confidence"),
    Row("86/10/4", False, 0.86, 0.5592456748, False, 41, "confidence"),
    Row("90/5/5", False, 0.9, 0.9072055148, False, 9, "confidence"),
    Row("91/4/5", False, 0.91, 0.9490482094, False, 1, "confidence"),
    Row("95/3/2", False, 0.95, 0.9986164186, True, 0, ""),
    Row("99/1/0", False, 0.99, 0.9999986004, True, 0, ""),
    Row("99/5/5", False, 0.908256880733945, 0.9519179163, True, 0, ""),
    Row("100/0/0", False, 1.0, 0.9999999256, True, 0, ""),
    Row("100/12/8", False, 0.8333333333333334, 0.2685378971, False, 69, "acceptance_rate confidence"),
    Row("170/20/10", False, 0.85, 0.4633051396, False, 65, "confidence"),
    Row("180/10/10", False, 0.9, 0.9761155392, True, 0, ""),
    Row("183/9/8", False, 0.915, 0.9960045218, True, 0, ""),
    Row("200/10/10", False, 0.9090909090909091, 0.9939763620, True, 0, ""),
    Row("425/40/35", False, 0.85, 0.4767266094, False, 97, "confidence"),
    Row("440/30/30", False, 0.88, 0.9693617683, True, 0, ""),
    Row("850/75/75", False, 0.85, 0.4835277422, False, 133, "confidence"),
    Row("875/60/65", False, 0.875, 0.9869370197, True, 0, ""),
    Row("900/50/50", False, 0.9, 0.9999980778, True, 0, ""),
    Row("0/50/50", False, 0.0, 0.0000000000, False, 677, "acceptance_rate confidence"),
    Row("10/90/0", False, 0.1, 0.0000000000, False, 605, "acceptance_rate confidence"),
    Row("19/181/0", False, 0.095, 0.0000000000, False, 1152, "acceptance_rate confidence"),
    # For an irreversible step.
    Row("0/0/0", True, None, 0.1500000000, False, 28, "min_decisions acceptance_rate confidence"),
    Row("20/0/0", True, 1.0, 0.9670543986, False, 8, "confidence"),
    Row("19/0/0", True, 1.0, 0.9612404689, False, 9, "min_decisions confidence"),
    Row("27/0/0", True, 1.0, 0.9894383950, False, 1, "confidence"),
    Row("28/0/0", True, 1.0, 0.9910226358, True, 0, ""),
    Row("35/1/0", True, 0.9722222222222222, 0.9815812014, False, 5, "confidence"),
    Row("41/1/0", True, 0.9761904761904762, 0.9920764876, True, 0, ""),
    Row("42/1/0", True, 0.9767441860465116, 0.9931266244, True, 0, ""),
    Row("17/2/1", True, 0.85, 0.3886991603, False, 43, "confidence"),
    Row("40/1/1", True, 0.9523809523809523, 0.9661319328, False, 10, "confidence"),
    Row("52/2/0", True, 0.9629629629629629, 0.9925261132, True, 0, ""),
    Row("55/2/0", True, 0.9649122807017544, 0.9949457828, True, 0, ""),
    Row("90/5/5", True, 0.9, 0.9072055148, False, 29, "confidence"),
    Row("95/3/2", True, 0.95, 0.9986164186, True, 0, ""),
    Row("119/5/5", True, 0.9224806201550387, 0.9907948241, True, 0, ""),
    Row("118/5/5", True, 0.921875, 0.9899463664, False, 1, "confidence"),
    Row("180/10/10", True, 0.9, 0.9761155392, False, 13, "confidence"),
    Row("900/50/50", True, 0.9, 0.9999980778, True, 0, ""),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.counts}{' irreversible' * row.irreversible}")
def test_the_table(row: Row) -> None:
    accepted, refused = row.split
    assert scoring.acceptance_rate(accepted, refused) == row.rate
    assert scoring.confidence(accepted, refused) == pytest.approx(row.confidence, rel=0, abs=1e-9)
    assert scoring.is_ready(accepted, refused, DEFAULT, row.irreversible) is row.ready
    assert scoring.accepts_needed(accepted, refused, DEFAULT, row.irreversible) == row.needed
    assert scoring.unmet(accepted, refused, DEFAULT, row.irreversible) == tuple(row.unmet.split())


@pytest.mark.parametrize(
    ("accepted", "rejected", "corrected", "expected"),
    [(0, 0, 0, None), (4, 0, 0, 0.0), (0, 0, 3, 1.0), (6, 1, 1, 0.125), (0, 5, 0, 0.0), (90, 5, 5, 0.05)],
)
def test_the_correction_rate(accepted: int, rejected: int, corrected: int, expected: float | None) -> None:
    assert scoring.correction_rate(accepted, rejected, corrected) == expected


# Confidence, against whole numbers of any length.


def exact_confidences(counted: int, part: int, whole: int, most_refused: int) -> Iterator[float]:
    """For 0, 1, … refused of `counted`: 1 − Σ C(n+1, j) (1−θ)^j θ^(n+1−j), with θ = part/whole and no rounding."""
    trials = counted + 1
    everything, term, total = whole**trials, part**trials, 0
    for refused in range(most_refused + 1):
        total += term
        yield (everything - total) / everything
        term = term * (trials - refused) * (whole - part) // ((refused + 1) * part)


def test_confidence_is_exact_for_all_small_counts() -> None:
    for counted in range(101):
        for refused, exact in enumerate(exact_confidences(counted, 17, 20, counted)):
            assert abs(scoring.confidence(counted - refused, refused) - exact) <= 1e-12


@pytest.mark.parametrize(
    ("part", "whole"), [(17, 20), (1, 2), (4, 5), (9, 10), (99, 100), (1, 100), (999_999, 1_000_000)]
)
def test_confidence_is_exact_for_other_targets(part: int, whole: int) -> None:
    for counted in (1, 19, 20, 333, 1000):
        for refused, exact in enumerate(exact_confidences(counted, part, whole, counted)):
            assert abs(scoring.confidence(counted - refused, refused, part / whole) - exact) <= 1e-12


def test_confidence_is_exact_for_a_hundred_thousand_decisions() -> None:
    counted, seen = 100_000, {0, 1, 10, 1000, 14_500, 14_800, 14_900, 14_999, 15_000, 15_001, 15_100, 15_200}
    for refused, exact in enumerate(exact_confidences(counted, 17, 20, max(seen))):
        if refused in seen:
            assert abs(scoring.confidence(counted - refused, refused) - exact) <= 1e-9


def test_confidence_of_very_one_sided_counts() -> None:
    assert scoring.confidence(100_000, 0) == 1.0
    assert scoring.confidence(0, 100_000) == 0.0
    assert scoring.confidence(3, 0, 1e-12) == pytest.approx(1.0)
    assert scoring.confidence(0, 0, 0.9999999999) == pytest.approx(1e-10)


@pytest.mark.parametrize(("target", "expected"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (2.0, 0.0), (5e-324, 1.0)])
@pytest.mark.parametrize("refused", [0, 7])
def test_confidence_for_targets_at_the_edge(target: float, expected: float, refused: int) -> None:
    assert scoring.confidence(20, refused, target) == expected


# Rate and range.


@pytest.mark.parametrize(
    ("accepted", "refused", "expected"),
    [
        (17, 3, True),
        (84, 16, False),
        (85, 15, True),
        (850_000, 150_000, True),
        (849_999, 150_001, False),
        (0, 0, False),
    ],
)
def test_the_rate_is_compared_without_rounding(accepted: int, refused: int, expected: bool) -> None:
    assert scoring.rate_is_enough(accepted, refused, 0.85) is expected


@pytest.mark.parametrize(
    ("accepted", "refused", "target"), [(29, 71, 0.29), (57, 43, 0.57), (7, 93, 0.07), (1, 2, 1 / 3)]
)
def test_a_target_means_its_decimals(accepted: int, refused: int, target: float) -> None:
    """0.29 · 100 is 28.999999999999996 in binary fractions, and 1/3 as a number is a little less than a third."""
    assert scoring.rate_is_enough(accepted, refused, target)


@pytest.mark.parametrize(
    ("accepted", "refused", "low", "high"),
    [
        # (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), computed with 50 decimals.
        (0, 1, 0.0, 0.7934506856227626),
        (1, 0, 0.20654931437723742, 1.0),
        (1, 1, 0.09453120573423072, 0.9054687942657693),
        (20, 0, 0.8388748419471806, 1.0),
        (17, 3, 0.6395811352592431, 0.9476312541037833),
        (90, 10, 0.8256343384950865, 0.9447708629393249),
        (850, 150, 0.8265313415731997, 0.8707899274869118),
    ],
)
def test_the_wilson_interval(accepted: int, refused: int, low: float, high: float) -> None:
    assert scoring.wilson_interval(accepted, refused) == pytest.approx((low, high), rel=0, abs=1e-12)


@pytest.mark.parametrize("counted", [1, 3, 7, 20, 49, 1000, 99_999])
def test_the_range_of_all_and_of_none_ends_there_exactly(counted: int) -> None:
    none, every = scoring.wilson_interval(0, counted), scoring.wilson_interval(counted, 0)
    assert none is not None
    assert every is not None
    assert (none[0], every[1]) == (0.0, 1.0)


def test_no_decision_has_no_range() -> None:
    assert scoring.wilson_interval(0, 0) is None


@pytest.mark.parametrize(
    ("accepted", "refused", "demonstrations", "certainty", "expected"),
    [
        (0, 0, 0, 1.0, 1 / 2),
        (0, 0, 1, 1.0, 2 / 3),
        (0, 0, 2, 1.0, 3 / 4),
        (3, 0, 1, 1.0, 5 / 6),
        (3, 1, 1, 1.0, 5 / 7),
        (17, 3, 1, 0.5, 19 / 46),
        (20, 0, 1, 0.0, 0.0),
    ],
)
def test_the_stated_confidence(
    accepted: int, refused: int, demonstrations: int, certainty: float, expected: float
) -> None:
    stated = scoring.stated_confidence(accepted, refused, demonstrations, certainty)
    assert stated == pytest.approx(expected, rel=1e-15)


# What happens after each decision.


def scores(letters: str, bad: str, after: Callable[[int, bool], int]) -> list[int]:
    return list(accumulate((letter == bad for letter in letters), after, initial=0))[1:]


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("RRR", [17, 34, 51]),
        ("RRAARAR", [17, 34, 31, 28, 45, 42, 59]),
        ("RRAAAAAAR", [17, 34, 31, 28, 25, 22, 19, 16, 33]),
        ("AAAR", [0, 0, 0, 17]),
    ],
)
def test_the_score_of_audits(letters: str, expected: list[int]) -> None:
    assert scores(letters, "R", scoring.audit_score_after) == expected


@pytest.mark.parametrize(
    ("letters", "expected"),
    [("FFF", [9, 18, 27]), ("FSSFF", [9, 8, 7, 16, 25]), ("FSSSSSSSSSF", [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 9])],
)
def test_the_score_of_actions(letters: str, expected: list[int]) -> None:
    assert scores(letters, "F", scoring.execution_score_after) == expected


def first_at(reached: list[int], alarm: int) -> int | None:
    """The first place, counted from 1, at which a score alarms."""
    return next((place for place, score in enumerate(reached, start=1) if score >= alarm), None)


@pytest.mark.parametrize(("letters", "demoted_at"), [("RRR", 3), ("RRAARAR", 7), ("RRAAAAAAR", None), ("RR", None)])
def test_audits_demote(letters: str, demoted_at: int | None) -> None:
    assert first_at(scores(letters, "R", scoring.audit_score_after), scoring.AUDIT_ALARM) == demoted_at


@pytest.mark.parametrize(("letters", "demoted_at"), [("FFF", 3), ("FSSFF", 5), ("FSSSFF", None), ("FF", None)])
def test_failures_demote(letters: str, demoted_at: int | None) -> None:
    assert first_at(scores(letters, "F", scoring.execution_score_after), scoring.EXECUTION_ALARM) == demoted_at


@pytest.mark.parametrize(
    ("letters", "restarts_at"),
    [
        ("AAARRRRRRR", 10),
        ("AAAAARRRRR", None),
        ("RRRRRRRRRR", 10),
        ("RRRRRRRRR", None),
        ("AAAAAAAAAA", None),
        ("AAAAARRRRRRRR", 11),
    ],
)
def test_a_fresh_start(letters: str, restarts_at: int | None) -> None:
    taken = [letters[:length] for length in range(1, len(letters) + 1)]
    beyond_hope = [scoring.needs_fresh_start(part.count("A"), part.count("R"), 0.85) for part in taken]
    assert (beyond_hope.index(True) + 1 if True in beyond_hope else None) == restarts_at


@pytest.mark.parametrize(
    ("clean", "rate"), [(0, 0.20), (19, 0.20), (20, 0.10), (39, 0.10), (40, 0.05), (41, 0.05), (10_000, 0.05)]
)
def test_audits_become_rarer(clean: int, rate: float) -> None:
    assert scoring.audit_rate(clean, DEFAULT) == rate


def test_audits_follow_the_policy() -> None:
    policy = Policy(audit_rates=(1.0, 0.5, 0.0), audit_clean_runs=(1, 3))
    assert [scoring.audit_rate(clean, policy) for clean in range(5)] == [1.0, 0.5, 0.5, 0.0, 0.0]


def test_a_bad_audit_starts_the_count_of_clean_ones_anew() -> None:
    clean = 0
    for bad in [False] * 25:
        clean = scoring.clean_audits_after(clean, bad)
    assert (clean, scoring.audit_rate(clean, DEFAULT)) == (25, 0.10)
    clean = scoring.clean_audits_after(clean, True)
    assert (clean, scoring.audit_rate(clean, DEFAULT)) == (0, 0.20)


@pytest.mark.parametrize(
    "call",
    [
        lambda: scoring.acceptance_rate(-1, 2),
        lambda: scoring.acceptance_rate(1, -1),
        lambda: scoring.correction_rate(1, 1, -1),
        lambda: scoring.confidence(-1, 0),
        lambda: scoring.confidence(0, -1, 0.0),
        lambda: scoring.wilson_interval(-1, 1),
        lambda: scoring.rate_is_enough(-1, 0, 0.85),
        lambda: scoring.unmet(30, -1, DEFAULT, False),
        lambda: scoring.is_ready(-1, 40, DEFAULT, False),
        lambda: scoring.accepts_needed(-1, 0, DEFAULT, False),
        lambda: scoring.accepts_needed(0, -1, DEFAULT, True),
        lambda: scoring.needs_fresh_start(-1, 2, 0.85),
        lambda: scoring.audit_score_after(-1, True),
        lambda: scoring.execution_score_after(-1, False),
        lambda: scoring.clean_audits_after(-1, True),
        lambda: scoring.audit_rate(-1, DEFAULT),
        lambda: scoring.stated_confidence(0, 0, -1, 1.0),
        lambda: scoring.stated_confidence(0, 0, 0, 1.5),
        lambda: scoring.stated_confidence(0, 0, 0, float("nan")),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"cannot be negative|from 0 to 1"):
        call()


# Whatever the counts.


@given(COUNTS, COUNTS, COUNTS)
def test_rejected_and_corrected_count_the_same(accepted: int, rejected: int, corrected: int) -> None:
    assert judged("A" * accepted + "R" * rejected + "C" * corrected) == judged(
        "A" * accepted + "R" * corrected + "C" * rejected
    )


@given(st.text("ARC", max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_decisions_does_not_matter(letters: str, shuffle: Any) -> None:
    other = list(letters)
    shuffle.shuffle(other)
    assert judged("".join(other)) == judged(letters)


def judged(letters: str) -> tuple[Any, ...]:
    """All that is said of an epoch with these decisions."""
    accepted, refused = letters.count("A"), letters.count("R") + letters.count("C")
    return (
        scoring.acceptance_rate(accepted, refused),
        scoring.confidence(accepted, refused),
        scoring.wilson_interval(accepted, refused),
        scoring.unmet(accepted, refused, DEFAULT, True),
        scoring.accepts_needed(accepted, refused, DEFAULT, True),
        scoring.needs_fresh_start(accepted, refused, DEFAULT.target),
    )


@given(SMALL, SMALL, TARGETS)
def test_confidence_rises_with_accepts_and_falls_with_refusals(accepted: int, refused: int, target: float) -> None:
    here = scoring.confidence(accepted, refused, target)
    assert 0 <= here <= 1
    # So close to the ends that rounding shows, it may stand still.
    assert scoring.confidence(accepted + 1, refused, target) > here or not 1e-12 < here < 1 - 1e-12
    assert scoring.confidence(accepted, refused + 1, target) < here or not 1e-12 < here < 1 - 1e-12


@given(COUNTS, COUNTS, TARGETS)
def test_confidence_falls_with_the_target(accepted: int, refused: int, target: float) -> None:
    assert scoring.confidence(accepted, refused, target) >= scoring.confidence(accepted, refused, target + 0.005)


@given(SMALL, SMALL, st.floats(0.01, 0.99))
def test_confidence_has_a_mirror(accepted: int, refused: int, target: float) -> None:
    """The rate of accepts is at least θ just when the rate of refusals is at most 1 − θ."""
    mirrored = 1 - scoring.confidence(refused, accepted, 1 - target)
    assert scoring.confidence(accepted, refused, target) == pytest.approx(mirrored, rel=0, abs=1e-9)


@given(COUNTS, COUNTS)
def test_the_range_contains_the_rate(accepted: int, refused: int) -> None:
    rate, interval = scoring.acceptance_rate(accepted, refused), scoring.wilson_interval(accepted, refused)
    assert (rate is None) is (interval is None) is (accepted + refused == 0)
    if rate is not None and interval is not None:
        assert 0 <= interval[0] <= rate <= interval[1] <= 1


POLICIES = st.builds(
    Policy,
    target=st.sampled_from([0.5, 0.7, 0.85, 0.9, 0.97]),
    min_decisions=st.sampled_from([1, 5, 20, 200]),
    confidence=st.sampled_from([0.0, 0.5, 0.95, 0.999]),
    confidence_irreversible=st.sampled_from([0.0, 0.9, 0.99, 0.9999]),
)


@given(COUNTS, SMALL, POLICIES, st.booleans())
def test_accepts_needed_is_the_smallest_number(accepted: int, refused: int, policy: Policy, irreversible: bool) -> None:
    needed = scoring.accepts_needed(accepted, refused, policy, irreversible)
    assert scoring.is_ready(accepted + needed, refused, policy, irreversible)
    if needed:
        assert not scoring.is_ready(accepted + needed - 1, refused, policy, irreversible)


@given(COUNTS, SMALL, st.booleans())
def test_ready_is_when_nothing_is_unmet_and_no_accept_is_needed(
    accepted: int, refused: int, irreversible: bool
) -> None:
    ready = scoring.is_ready(accepted, refused, DEFAULT, irreversible)
    assert ready is (not scoring.unmet(accepted, refused, DEFAULT, irreversible))
    assert ready is (scoring.accepts_needed(accepted, refused, DEFAULT, irreversible) == 0)


@given(COUNTS, COUNTS, st.booleans())
def test_without_minimum_and_confidence_it_is_the_bare_rule(accepted: int, refused: int, irreversible: bool) -> None:
    counted = accepted + refused
    assert scoring.is_ready(accepted, refused, BARE, irreversible) is (counted > 0 and 100 * accepted >= 85 * counted)


@given(COUNTS, COUNTS)
def test_what_is_ready_when_irreversible_is_ready_when_reversible(accepted: int, refused: int) -> None:
    if scoring.is_ready(accepted, refused, DEFAULT, irreversible=True):
        assert scoring.is_ready(accepted, refused, DEFAULT, irreversible=False)


@given(COUNTS, COUNTS)
def test_what_is_ready_needs_no_fresh_start(accepted: int, refused: int) -> None:
    assert not (
        scoring.is_ready(accepted, refused, BARE, irreversible=False)
        and scoring.needs_fresh_start(accepted, refused, BARE.target)
    )


@pytest.mark.parametrize(
    ("target", "needed"), [(0.999999, 0.999999), (1 - 1e-9, 0.95), (1e-9, 0.95), (0.85, 1 - 1e-12)]
)
def test_accepts_needed_for_extreme_policies(target: float, needed: float) -> None:
    policy = Policy(target=target, confidence=needed, min_decisions=1)
    more = scoring.accepts_needed(3, 2, policy, irreversible=False)
    assert scoring.is_ready(3 + more, 2, policy, irreversible=False)
    assert not (more and scoring.is_ready(2 + more, 2, policy, irreversible=False))


# Speed.


def microseconds(call: Callable[[int], Any], batches: int = 15) -> float:
    """Per call, about counts from 20 to 1000; the best of several batches, so that other work does not count."""
    sizes = range(20, 1001, 35)
    found = []
    for _ in range(batches):
        start = time.perf_counter()
        for counted in sizes:
            call(counted)
        found.append((time.perf_counter() - start) / len(sizes) * 1e6)
    return min(found)


@pytest.mark.parametrize("refused_of_hundred", [0, 5, 15, 40])
def test_a_call_takes_less_than_50_microseconds(refused_of_hundred: int) -> None:
    def split(counted: int) -> tuple[int, int]:
        refused = counted * refused_of_hundred // 100
        return counted - refused, refused

    assert microseconds(lambda counted: scoring.confidence(*split(counted))) < 50
    assert microseconds(lambda counted: scoring.unmet(*split(counted), DEFAULT, True)) < 50
    assert microseconds(lambda counted: scoring.accepts_needed(*split(counted), DEFAULT, True)) < 50
    assert microseconds(lambda counted: scoring.wilson_interval(*split(counted))) < 50
