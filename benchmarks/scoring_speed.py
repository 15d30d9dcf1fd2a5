"""How long each function of `metrics.scoring` takes, beside the plain sum of the same terms with `lgamma`.

    python benchmarks/scoring_speed.py [--rounds 7]

Prints Markdown. The contestants take turns, round by round, so that whatever else the machine does hits all of them;
a figure is the median of its rounds, a ratio the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from math import exp, fsum, lgamma, log, log1p
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from coaching.policy import Policy, exact
from metrics import scoring

SIZES = (20, 100, 1000, 100_000)
POLICY = Policy()
#: How long one contestant runs in one round, in seconds.
TURN = 0.02

Call = Callable[[], object]


def plain_confidence(accepted: int, refused: int, target: float = 0.85) -> float:
    """1 − Σ_{j=0..f} C(n+1, j) (1−θ)^j θ^(n+1−j), term by term as it is written down."""
    trials = accepted + refused + 1
    good, bad, all_ways = log(target), log1p(-target), lgamma(trials + 1)
    return 1 - fsum(
        exp(all_ways - lgamma(j + 1) - lgamma(trials - j + 1) + j * bad + (trials - j) * good)
        for j in range(refused + 1)
    )


def plain_accepts_needed(accepted: int, refused: int, needed: float) -> int:
    """One accept more and one more until it is enough, each time with the plain sum."""
    more = 0
    while not (
        accepted + more + refused >= POLICY.min_decisions
        and scoring.rate_is_enough(accepted + more, refused, POLICY.target)
        and plain_confidence(accepted + more, refused, POLICY.target) >= needed
    ):
        more += 1
    return more


def forget() -> None:
    """Empties the caches, as in a process that has just started."""
    scoring._enough_accepted.cache_clear()  # noqa: SLF001 - that is what is measured
    exact.cache_clear()


def turn(call: Call, prepare: Call | None = None) -> float:
    """Median time of one call in µs, over as many calls as fit in a turn, three at least."""
    taken: list[float] = []
    started = time.perf_counter()
    while len(taken) < 3 or time.perf_counter() - started < TURN:
        if prepare:
            prepare()
        before = time.perf_counter_ns()
        call()
        taken.append((time.perf_counter_ns() - before) / 1000)
    return median(taken)


def race(contestants: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """Times of each contestant, one per round; A B, A B, …"""
    found: list[list[float]] = [[] for _ in contestants]
    for _ in range(rounds):
        for times, contestant in zip(found, contestants, strict=True):
            times.append(contestant())
    return found


def ratio(ours: Sequence[float], others: Sequence[float]) -> float:
    return median(other / our for our, other in zip(ours, others, strict=True))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def functions(accepted: int, refused: int) -> dict[str, Call]:
    """A call of each function about these counts."""
    return {
        "acceptance_rate": lambda: scoring.acceptance_rate(accepted, refused),
        "correction_rate": lambda: scoring.correction_rate(accepted, refused, 0),
        "confidence": lambda: scoring.confidence(accepted, refused, POLICY.target),
        "wilson_interval": lambda: scoring.wilson_interval(accepted, refused),
        "rate_is_enough": lambda: scoring.rate_is_enough(accepted, refused, POLICY.target),
        "unmet": lambda: scoring.unmet(accepted, refused, POLICY, irreversible=False),
        "is_ready": lambda: scoring.is_ready(accepted, refused, POLICY, irreversible=False),
        "accepts_needed": lambda: scoring.accepts_needed(accepted, refused, POLICY, irreversible=False),
        "needs_fresh_start": lambda: scoring.needs_fresh_start(accepted, refused, POLICY.target),
        "audit_score_after": lambda: scoring.audit_score_after(accepted, bad=True),
        "execution_score_after": lambda: scoring.execution_score_after(accepted, failed=True),
        "clean_audits_after": lambda: scoring.clean_audits_after(accepted, bad=False),
        "audit_rate": lambda: scoring.audit_rate(accepted, POLICY),
        "stated_confidence": lambda: scoring.stated_confidence(accepted, refused, 1, 0.9),
    }


def speed_table(rounds: int) -> str:
    """Each function by size of the epoch, one in ten refused: with warm caches / with empty ones."""
    cells: dict[str, list[str]] = {name: [] for name in functions(0, 0)}
    for counted in SIZES:
        for name, call in functions(counted - counted // 10, counted // 10).items():
            warm, cold = race(
                [lambda call=call: turn(call), lambda call=call: turn(call, forget)],  # type: ignore[misc]
                rounds,
            )
            cells[name].append(f"{median(warm):.2f} / {median(cold):.2f}")
    rows = [[f"`{name}`", *by_size] for name, by_size in cells.items()]
    return table(["µs per call, warm / cold", *(f"n = {counted:,}" for counted in SIZES)], rows)


def confidence_table(rounds: int) -> str:
    """Ours against the plain sum, by size and share of refused ones."""
    rows = []
    for counted in SIZES:
        for percent in (0, 5, 15, 40):
            refused = counted * percent // 100
            ours, plain = race(
                [
                    lambda a=counted - refused, r=refused: turn(lambda: scoring.confidence(a, r)),  # type: ignore[misc]
                    lambda a=counted - refused, r=refused: turn(lambda: plain_confidence(a, r)),  # type: ignore[misc]
                ],
                rounds,
            )
            apart = abs(scoring.confidence(counted - refused, refused) - plain_confidence(counted - refused, refused))
            figures = [f"{median(ours):.2f}", f"{median(plain):.2f}", f"{ratio(ours, plain):.2f}", f"{apart:.0e}"]
            rows.append([f"{counted:,}", f"{refused:,}", *figures])
    return table(["`confidence`: n", "refused", "ours, µs", "plain sum, µs", "plain / ours", "apart by"], rows)


def search_table(rounds: int) -> str:
    """`accepts_needed` against going up one by one. Beyond a thousand, one by one takes minutes."""
    rows = []
    for counted in SIZES[:-1]:
        refused = counted * 15 // 100
        accepted = counted - refused
        call = functions(accepted, refused)["accepts_needed"]
        warm, cold, plain = race(
            [
                lambda call=call: turn(call),  # type: ignore[misc]
                lambda call=call: turn(call, forget),  # type: ignore[misc]
                lambda a=accepted, r=refused: turn(lambda: plain_accepts_needed(a, r, 0.95)),  # type: ignore[misc]
            ],
            rounds,
        )
        times = [f"{median(each):.1f}" for each in (warm, cold, plain)]
        rows.append([f"{counted:,}", f"{refused:,}", *times, f"{ratio(cold, plain):.0f}", f"{ratio(warm, plain):.0f}"])
    head = ["`accepts_needed`: n", "refused", "warm, µs", "cold, µs", "one by one, µs", "one by one / cold"]
    return table([*head, "one by one / warm"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the functions of metrics.scoring.")
    parser.add_argument("--rounds", type=int, default=7, help="how often the contestants take turns (7)")
    rounds = max(1, parser.parse_args().rounds)
    print(f"Medians of {rounds} rounds, contestants in turns.\n")
    for each in (speed_table, confidence_table, search_table):
        print(each(rounds), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
