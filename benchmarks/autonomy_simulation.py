"""What the policy of autonomy does to steps whose true rates are known, in numbers and in a picture.

    python benchmarks/autonomy_simulation.py

Writes `docs/autonomy-simulation.md` and `docs/autonomy-simulation.svg`. Takes about a minute on one core, needs
nothing but the standard library, and always writes the same, because every draw is seeded. `--histories` draws fewer
histories for a quick look; `--into` writes elsewhere.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.autonomy import (
    BARE,
    BARE_20,
    HISTORY,
    IRREVERSIBLE,
    OURS,
    Detection,
    Drop,
    Rule,
    detections,
    promotions,
    recoveries,
    shares_promoted,
    steady,
)
from benchmarks.picture import Line, Panel, draw
from coaching.policy import Policy
from metrics import scoring

DOCS = Path(__file__).resolve().parents[1] / "docs"
SEED = "coachsite"
RATES = (0.80, 0.85, 0.90, 0.95, 0.97)
RULES: dict[str, Rule] = {
    "the policy": OURS,
    "the policy, irreversible": IRREVERSIBLE,
    "bare 85 %": BARE,
    "bare 85 % of at least 20": BARE_20,
}
#: (suggestions right, actions that work)
STEADY = ((0.97, 0.99), (0.95, 0.99), (0.97, 0.999), (0.97, 0.97), (0.97, 0.95))
#: For how many actions a step runs alone before it gets worse: not at all, and until audits are rare.
SINCE = {"just promoted": 0, "long watched": 1000}
RIGHT_DROPS = (0.85, 0.70, 0.50, 0.0)
WORKS_DROPS = (0.90, 0.80, 0.50, 0.0)
#: The goals: steps of 80 % promoted in less than this share, steps of 95 % in more than that, by this median.
SELDOM, NEARLY_ALWAYS, SOON = 0.05, 0.99, 35


def percent(share: float, digits: int = 1) -> str:
    """Nearly all is not all: what merely rounds to 100 % is shown as more than 99.9 %."""
    shown = f"{share * 100:.{digits}f}"
    if share < 1 and float(shown) == 100:
        return f"> {100 - 10**-digits:.{digits}f} %"
    return f"{shown} %"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def half_promoted(shares: Sequence[float]) -> int | None:
    """By which decision half of all steps are promoted."""
    return next((number for number, share in enumerate(shares, start=1) if share >= 0.5), None)


def median_of_all(when: Sequence[int | None]) -> str:
    """The median over all histories, where never counts as later than any."""
    middle = median([HISTORY + 1 if number is None else number for number in when])
    return f"> {HISTORY}" if middle > HISTORY else f"{middle:g}"


def promotion_section(exact: dict[tuple[str, float], tuple[float, ...]], histories: int) -> str:
    rows = []
    for rate in RATES:
        found = promotions(list(RULES.values()), rate, histories=histories, seed=SEED)
        row = [f"{rate:.2f}"]
        for name, when in zip(RULES, found, strict=True):
            share = sum(number is not None for number in when) / histories
            row.append(f"{percent(share)} ({percent(exact[name, rate][-1])}), {median_of_all(when)}")
        rows.append(row)
    return f"""## Promotion

The share of steps that are promoted within {HISTORY} decisions: simulated with {histories:,} histories each, in
brackets computed exactly; then the median number of decisions until promotion, over all steps. All rules see the same
histories.

{table(["true rate", *RULES], rows)}

The bare rule is the customer’s 85 % on its own, looked at after each decision; the last column waits for twenty
decisions first. A step that is right four times in five begins with an accept four times in five, and the bare rule
promotes it there and then. The policy wants to be sure, so it is slower, and slowest for steps close to 85 %: it cannot
tell on which side these are, and leaves most of them with the coach."""


def goals_section(exact: dict[tuple[str, float], tuple[float, ...]]) -> str:
    low, high = exact["the policy", 0.80][-1], exact["the policy", 0.95]
    soon = half_promoted(high)

    def verdict(met: bool) -> str:
        return "met" if met else "**missed**"

    rows = [
        [f"rate 0.80 promoted in less than {percent(SELDOM, 0)}", percent(low, 2), verdict(low < SELDOM)],
        [
            f"rate 0.95 promoted in more than {percent(NEARLY_ALWAYS, 0)}",
            percent(high[-1], 2),
            verdict(high[-1] > NEARLY_ALWAYS),
        ],
        [f"rate 0.95: median of at most {SOON} decisions", str(soon), verdict(soon is not None and soon <= SOON)],
    ]
    return f"## Goals\n\n{table(['goal', f'exact, within {HISTORY} decisions', ''], rows)}"


def fresh_start_section(histories: int) -> str:
    rows = []
    for restart_below in (None, 0.0001, 0.001):
        rule = Rule(policy=Policy(), restart_below=restart_below)
        row = ["never" if restart_below is None else f"confidence below {restart_below}"]
        row.append(percent(shares_promoted(rule, 0.80)[-1], 2))
        for wrong, at_first in ((15, 0.3), (30, 0.3), (50, 0.6)):
            when = recoveries(rule, wrong=wrong, at_first=at_first, later=0.97, histories=histories, seed=SEED)
            row.append(median_of_all(when))
        rows.append(row)
    head = ["fresh start when", "rate 0.80 promoted", "15 decisions at 0.3", "30 at 0.3", "50 at 0.6"]
    return f"""## What a fresh start costs and gives

Every fresh start is another chance to be promoted by luck; without one, a step pays for long-gone mistakes. The second
column is exact; the others tell the median number of further decisions until promotion, for a step that was bad for a
while and is right 97 times in 100 from then on ({histories:,} histories each).
In use: below {scoring.FRESH_START_CONFIDENCE}.

{table(head, rows)}"""


def steady_section(actions: int) -> str:
    rows = []
    for right, works in STEADY:
        seen = steady(right, works, actions=actions, seed=SEED)
        per_thousand = [count * 1000 / actions for count in (seen.by_audits, seen.by_failures)]
        figures = [f"{figure:.3f}" for figure in (*per_thousand, sum(per_thousand))]
        rows.append([f"{right:g}", f"{works:g}", percent(seen.audits / actions), *figures])
    head = ["suggestions right", "actions that work", "audited", "by audits", "by failures", "together"]
    return f"""## After promotion: false alarms

A step that is as good as ever, watched for {actions:,} actions and promoted again at once after each demotion. The last
three columns count demotions per 1000 actions.

{table(head, rows)}

The audits speak up against less than 85 % right, the failures against less than 90 % that work: below these rates an
alarm is what they are for."""


def delay_section(repeats: int) -> tuple[str, dict[str, list[Detection]]]:
    rows, shown = [], {}
    drops = [(f"right {0.97:g} → {to:g}", Drop(right=(0.97, to))) for to in RIGHT_DROPS]
    drops += [(f"works {0.99:g} → {to:g}", Drop(works=(0.99, to))) for to in WORKS_DROPS]
    for name, drop in drops:
        for since, watched in SINCE.items():
            found = detections(Drop(right=drop.right, works=drop.works, watched=watched), repeats=repeats, seed=SEED)
            shown[f"{name}, {since}"] = found
            actions, audits, wrong = (
                [getattr(one, part) for one in found] for part in ("actions", "audits", "wrong_performed")
            )
            figures = [f"{median(each):g} / {quantiles(each, n=10)[-1]:.0f}" for each in (actions, audits, wrong)]
            rows.append([name, since, *figures])
    head = ["what gets worse", "when", "actions", "audits", "wrong ones performed"]
    text = f"""## After promotion: how soon it is noticed

From the moment that a step gets worse until it is back with the coach: median / 90th percentile of {repeats:,} repeats.
“Long watched” means after {SINCE["long watched"]:,} actions, when audits have become rare. The last column counts wrong
actions that were performed because no audit fell on them.

{table(head, rows)}

Wrong suggestions are seen only where somebody looks, so most of their delay is waiting for audits; the first bad one
brings back one audit in five actions. Failures are seen at every action."""
    return text, shown


def share_noticed(found: Sequence[Detection], most: int) -> list[float]:
    """The share that is demoted within 1, 2, 3 … actions."""
    return [sum(bool(one.by) and one.actions <= count for one in found) / len(found) for count in range(1, most + 1)]


def picture(exact: dict[tuple[str, float], tuple[float, ...]], noticed: dict[str, list[Detection]]) -> str:
    by_rate = {
        name: [Line(f"true rate {rate:.2f}", exact[name, rate]) for rate in RATES]
        for name in ("the policy", "bare 85 %")
    }
    most = 250
    lines = [
        Line("right 97 → 70 %, long watched", share_noticed(noticed["right 0.97 → 0.7, long watched"], most)),
        Line("right 97 → 70 %, just promoted", share_noticed(noticed["right 0.97 → 0.7, just promoted"], most)),
        Line("right 97 → 50 %, long watched", share_noticed(noticed["right 0.97 → 0.5, long watched"], most)),
        Line("works 99 → 50 %, long watched", share_noticed(noticed["works 0.99 → 0.5, long watched"], most)),
    ]
    return draw(
        [
            Panel("Promoted by the policy", "decisions", HISTORY, by_rate["the policy"], (0.58, 0.8)),
            Panel("Promoted by the bare 85 % rule", "decisions", HISTORY, by_rate["bare 85 %"], (0.58, 0.6)),
            Panel("Demoted after it got worse", "actions since then", most, lines, (0.33, 0.33)),
        ],
        description="Shares of steps promoted within a number of decisions, and demoted within a number of actions",
    )


INTRO = """# The policy of autonomy, simulated

What becomes of steps whose true rates we know: how many are let alone, how soon, and how soon they are taken back.
`python benchmarks/autonomy_simulation.py` writes this page and its picture; every draw is seeded. Decisions are drawn
independently, which real ones are not quite: a step whose page has changed fails in runs.

![Steps promoted by the policy, by the bare 85 % rule, and demoted after they got worse](autonomy-simulation.svg)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulates the policy of autonomy and writes what came of it.")
    parser.add_argument("--histories", type=int, default=20_000, help="histories per true rate (20000)")
    parser.add_argument("--into", type=Path, default=DOCS, help="the folder to write into (docs)")
    given = parser.parse_args()
    histories = max(100, given.histories)
    exact = {(name, rate): shares_promoted(rule, rate) for name, rule in RULES.items() for rate in RATES}
    delays, noticed = delay_section(repeats=histories // 4)
    sections = [
        INTRO,
        goals_section(exact),
        promotion_section(exact, histories),
        fresh_start_section(histories // 4),
        steady_section(actions=histories * 250),
        delays,
    ]
    text = "\n\n".join(section.strip() for section in sections) + "\n"
    (given.into / "autonomy-simulation.md").write_text(text, encoding="utf-8")
    (given.into / "autonomy-simulation.svg").write_text(picture(exact, noticed), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
