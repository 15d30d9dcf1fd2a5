"""When a step may run alone, as pure functions of small integers: no Django, no state, no clock.

`accepted` and `refused` count the decisions of a step's epoch that are evidence; refused means rejected or corrected.
Manual and skipped ones do not count. Counts below zero raise `ValueError` everywhere.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, isqrt, lgamma, log, sqrt

from coaching.policy import Policy, exact

#: At these scores, or above, an AUTO step goes back to the coach.
AUDIT_ALARM = 50
EXECUTION_ALARM = 25

#: With so many decisions, and less confidence than this, an epoch is beyond hope.
FRESH_START_DECISIONS = 10
FRESH_START_CONFIDENCE = 0.001

#: The 97.5 % quantile of the normal distribution: two-sided 95 %.
_Z = 1.959963984540054
#: A term below this share of a sum changes none of its digits.
_NEGLIGIBLE = 1e-17


def acceptance_rate(accepted: int, refused: int) -> float | None:
    """accepted / (accepted + refused), 0 to 1. None when nothing counts."""
    _check(accepted, refused)
    counted = accepted + refused
    return accepted / counted if counted else None


def correction_rate(accepted: int, rejected: int, corrected: int) -> float | None:
    """corrected / (accepted + rejected + corrected), 0 to 1. None when nothing counts."""
    _check(accepted, rejected, corrected)
    counted = accepted + rejected + corrected
    return corrected / counted if counted else None


def confidence(accepted: int, refused: int, target: float = 0.85) -> float:
    """How probable it is, after these decisions, that the true acceptance rate is at least `target`; 0 to 1.

    The prior of the rate is uniform (Bayes 1763, Laplace 1774), so this is the upper tail of Beta(s + 1, f + 1) at the
    target θ, with s accepted and f refused. That equals P(Bin(n + 1, θ) ≤ s) with n = s + f, or

        1 − Σ_{j=0..f} C(n+1, j) (1−θ)^j θ^(n+1−j).

    Right to 1e-9 up to n = 100 000. With a target of 0 or less the answer is 1, with one of 1 or more it is 0.
    """
    _check(accepted, refused)
    if not 0 < target < 1:
        return 1.0 if target <= 0 else 0.0
    trials = accepted + refused + 1
    # Of the two tails that add up to 1, the one without the mode: it is short, and its terms fall from the first on.
    if accepted + 1 >= (trials + 1) * target:
        return 1 - _upper_tail(trials, accepted + 1, target, 1 - target)
    return _upper_tail(trials, refused + 1, 1 - target, target)


def _upper_tail(trials: int, start: int, chance: float, rest: float) -> float:
    """P(Bin(trials, chance) ≥ start) for a start above the mode; `rest` is 1 − chance.

    The first term by logarithms, each further one from the one before, until they no longer change the sum.
    """
    ways = lgamma(trials + 1) - lgamma(start + 1) - lgamma(trials - start + 1)
    term = exp(ways + start * log(chance) + (trials - start) * log(rest))
    total, odds = term, chance / rest
    for count in range(start, trials):
        term *= (trials - count) * odds / (count + 1)
        if term <= total * _NEGLIGIBLE:
            break
        total += term
    return total


def wilson_interval(accepted: int, refused: int) -> tuple[float, float] | None:
    """The two-sided 95 % score interval of the true rate: low and high, 0 to 1. None when nothing counts.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n) with p = accepted/n (Wilson 1927). It always contains p.
    """
    _check(accepted, refused)
    counted = accepted + refused
    if not counted:
        return None
    share = _Z * _Z / counted
    centre = accepted / counted + share / 2
    reach = _Z / counted * sqrt(accepted * refused / counted + _Z * _Z / 4)
    # At the ends it is 0 or 1 exactly; rounding must not say otherwise.
    low = (centre - reach) / (1 + share) if accepted else 0.0
    high = (centre + reach) / (1 + share) if refused else 1.0
    return low, high


def rate_is_enough(accepted: int, refused: int, target: float) -> bool:
    """Whether the rate reaches the target: 100·accepted ≥ 85·n for 0.85, in whole numbers. No decision is no rate."""
    _check(accepted, refused)
    part, whole = exact(target).as_integer_ratio()
    counted = accepted + refused
    return counted > 0 and whole * accepted >= part * counted


def unmet(accepted: int, refused: int, policy: Policy, irreversible: bool) -> tuple[str, ...]:
    """Which of `min_decisions`, `acceptance_rate`, `confidence` the evidence does not meet, in this order."""
    missing = []
    if accepted + refused < policy.min_decisions:
        missing.append("min_decisions")
    if not rate_is_enough(accepted, refused, policy.target):
        missing.append("acceptance_rate")
    if confidence(accepted, refused, policy.target) < policy.needed_confidence(irreversible):
        missing.append("confidence")
    return tuple(missing)


def is_ready(accepted: int, refused: int, policy: Policy, irreversible: bool) -> bool:
    """Whether the evidence suffices for running alone. Whether somebody must confirm it is not asked here."""
    return not unmet(accepted, refused, policy, irreversible)


def accepts_needed(accepted: int, refused: int, policy: Policy, irreversible: bool) -> int:
    """The smallest number of further accepts in a row that makes the step ready; 0 when it is."""
    _check(accepted, refused)
    enough = _enough_accepted(refused, policy.target, policy.needed_confidence(irreversible))
    return max(0, enough - accepted, policy.min_decisions - refused - accepted)


@lru_cache(maxsize=4096)
def _enough_accepted(refused: int, target: float, needed: float) -> int:
    """The smallest count of accepted ones that meets rate and confidence beside so many refused ones.

    It does not depend on how many were accepted already. Both conditions rise with accepts: leap ahead, then halve.
    """
    part, whole = exact(target).as_integer_ratio()
    # accepted / (accepted + refused) ≥ part / whole, solved for accepted and rounded up.
    low = max(1, -(-refused * part // (whole - part)))
    if confidence(low, refused, target) >= needed:
        return low
    # About one standard deviation of how many accepts come before so many refusals and one more.
    leap = 1 + isqrt(low * whole // (whole - part))
    while confidence(low + leap, refused, target) < needed:
        low, leap = low + leap, leap * 2
    high = low + leap
    while high - low > 1:
        middle = (low + high) // 2
        if confidence(middle, refused, target) < needed:
            low = middle
        else:
            high = middle
    return high


def needs_fresh_start(accepted: int, refused: int, target: float) -> bool:
    """Whether the epoch is beyond hope and restarts: at least ten decisions, and a confidence below 0.001."""
    _check(accepted, refused)
    if accepted + refused < FRESH_START_DECISIONS:
        return False
    return confidence(accepted, refused, target) < FRESH_START_CONFIDENCE


def audit_score_after(score: int, bad: bool) -> int:
    """The score of the audits after one more; `AUDIT_ALARM` demotes.

    A cumulative sum (CUSUM, Page 1954): up 17 for a refused one, down 3 for an accepted one, never below 0. It drifts
    upwards once more than 3 of 20 (15 %) are refused.
    """
    _check(score)
    return max(0, score + 17 if bad else score - 3)


def execution_score_after(score: int, failed: bool) -> int:
    """The score of performed actions after one more; `EXECUTION_ALARM` demotes.

    A cumulative sum (CUSUM, Page 1954): up 9 for a failed one, down 1 for one that worked, never below 0. It drifts
    upwards once more than 1 of 10 fails.
    """
    _check(score)
    return max(0, score + 9 if failed else score - 1)


def clean_audits_after(clean: int, bad: bool) -> int:
    """How many audits in a row were clean, after one more."""
    _check(clean)
    return 0 if bad else clean + 1


def audit_rate(clean_audits: int, policy: Policy) -> float:
    """The share of an AUTO step's actions that is put to a coach, 0 to 1, after so many clean audits in a row."""
    _check(clean_audits)
    first, second = policy.audit_clean_runs
    return policy.audit_rates[(clean_audits >= first) + (clean_audits >= second)]


def stated_confidence(accepted: int, refused: int, demonstrations: int, certainty: float) -> float:
    """How probable it is that the next suggestion will be accepted, 0 to 1.

    certainty · (accepted + demonstrations + 1) / (accepted + refused + demonstrations + 2): the rule of succession
    (Laplace 1774), under a uniform prior in which each demonstration counts as one accept, times `certainty`, how
    surely the target was located. Raises `ValueError` for a certainty outside 0 to 1.
    """
    _check(accepted, refused, demonstrations)
    if not 0 <= certainty <= 1:
        raise ValueError(f"certainty must be from 0 to 1, not {certainty}")
    return certainty * (accepted + demonstrations + 1) / (accepted + refused + demonstrations + 2)


def _check(*counts: int) -> None:
    if min(counts) < 0:
        raise ValueError(f"counts cannot be negative: {', '.join(map(str, counts))}")
