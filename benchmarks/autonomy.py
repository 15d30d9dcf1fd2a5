"""What the policy of autonomy does to steps whose true rates are known: simulated, and computed exactly where possible.

Decisions are drawn independently, each an accept with the step's true rate. Everything is seeded, and only the standard
library is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from coaching.policy import Policy
from metrics import scoring

#: How many decisions a history has at most.
HISTORY = 500
#: States less probable than this are left out of exact computations: less than 1e-6 of all steps together.
_NEGLIGIBLE = 1e-11


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a step is promoted. `restart_below`: the confidence of a fresh start, None for none at all."""

    policy: Policy
    irreversible: bool = False
    restart_below: float | None = scoring.FRESH_START_CONFIDENCE


OURS = Rule(policy=Policy())
IRREVERSIBLE = Rule(policy=Policy(), irreversible=True)
_BARE = Policy(min_decisions=1, confidence=0.0, confidence_irreversible=0.0)
#: 85 % of all decisions so far, looked at after each of them.
BARE = Rule(policy=_BARE, restart_below=None)
#: The same, but not before the twentieth decision.
BARE_20 = Rule(policy=Policy(min_decisions=20, confidence=0.0, confidence_irreversible=0.0), restart_below=None)


@lru_cache(maxsize=64)
def bounds(rule: Rule) -> tuple[list[int], list[int]]:
    """By number of refused ones: the fewest accepted ones that promote, and the most that are beyond hope (or −1)."""
    enough, hopeless, most = [], [], -1
    for refused in range(HISTORY + 1):
        enough.append(scoring.accepts_needed(0, refused, rule.policy, rule.irreversible))
        if rule.restart_below is not None:
            while scoring.confidence(most + 1, refused, rule.policy.target) < rule.restart_below:
                most += 1
        hopeless.append(most)
    return enough, hopeless


def promoted_after(decisions: Iterable[bool], rule: Rule) -> int | None:
    """After how many of these decisions (true: accepted) the step is promoted; None if it is not."""
    enough, hopeless = bounds(rule)
    accepted = refused = 0
    for number, good in enumerate(decisions, start=1):
        if good:
            accepted += 1
        else:
            refused += 1
        if accepted <= hopeless[refused] and accepted + refused >= scoring.FRESH_START_DECISIONS:
            accepted = refused = 0
        elif accepted >= enough[refused]:
            return number
    return None


def promotions(rules: Sequence[Rule], rate: float, *, histories: int, seed: str) -> list[list[int | None]]:
    """For each rule, when each history is promoted. All rules see the same histories."""
    draw = Random(f"{seed} promotions {rate}").random
    found: list[list[int | None]] = [[] for _ in rules]
    for _ in range(histories):
        history = [draw() < rate for _ in range(HISTORY)]
        for rule, when in zip(rules, found, strict=True):
            when.append(promoted_after(history, rule))
    return found


def recoveries(rule: Rule, *, wrong: int, at_first: float, later: float, histories: int, seed: str) -> list[int | None]:
    """When steps are promoted, counted from their change, that went wrong for so many decisions and then work."""
    draw = Random(f"{seed} recoveries {wrong} {at_first} {later}").random
    found: list[int | None] = []
    for _ in range(histories):
        history = [draw() < (at_first if number < wrong else later) for number in range(HISTORY)]
        when = promoted_after(history, rule)
        found.append(None if when is None else max(0, when - wrong))
    return found


@lru_cache(maxsize=64)
def shares_promoted(rule: Rule, rate: float) -> tuple[float, ...]:
    """The exact share of steps that are promoted by each decision, from the first on: no simulation, no chance.

    Follows the probability of every pair of counts from decision to decision.
    """
    enough, hopeless = bounds(rule)
    shares, promoted = [], 0.0
    states = {(0, 0): 1.0}
    for _ in range(HISTORY):
        following: dict[tuple[int, int], float] = {}
        for (accepted, refused), weight in states.items():
            for s, f, chance in ((accepted + 1, refused, rate), (accepted, refused + 1, 1 - rate)):
                moved = weight * chance
                if s <= hopeless[f] and s + f >= scoring.FRESH_START_DECISIONS:
                    following[0, 0] = following.get((0, 0), 0.0) + moved
                elif s >= enough[f]:
                    promoted += moved
                elif moved > _NEGLIGIBLE:
                    following[s, f] = following.get((s, f), 0.0) + moved
        states = following
        shares.append(promoted)
    return tuple(shares)


class AutoStep:
    """A step that runs alone, under watch.

    A share of its actions is audited. A wrong one that is audited is refused and not performed; every other one is
    performed and works or fails, whether it was right or not. `demoted` says which detector alarmed, once one has.
    """

    def __init__(self, policy: Policy, random: Random) -> None:
        self.policy = policy
        self._draw = random.random
        self.actions = self.audits = self.wrong_performed = 0
        self.promote()

    def promote(self) -> None:
        """Detectors start from nothing; the counts of what happened go on."""
        self.clean_audits = self.audit_score = self.execution_score = 0
        self.demoted = ""

    def act(self, right: float, works: float) -> None:
        """One action that is right and that works with these probabilities."""
        self.actions += 1
        bad = self._draw() >= right
        if self._draw() < scoring.audit_rate(self.clean_audits, self.policy):
            self.audits += 1
            self.clean_audits = scoring.clean_audits_after(self.clean_audits, bad)
            self.audit_score = scoring.audit_score_after(self.audit_score, bad)
            if self.audit_score >= scoring.AUDIT_ALARM:
                self.demoted = "audits"
            if bad:
                return
        self.wrong_performed += bad
        self.execution_score = scoring.execution_score_after(self.execution_score, self._draw() >= works)
        if self.execution_score >= scoring.EXECUTION_ALARM:
            self.demoted = "failures"


@dataclass(frozen=True, slots=True)
class Steady:
    """What happened to a step whose rates never changed."""

    actions: int
    audits: int
    by_audits: int
    by_failures: int


def steady(right: float, works: float, *, actions: int, seed: str) -> Steady:
    """A step that is promoted again at once whenever it is demoted, for so many actions."""
    step = AutoStep(Policy(), Random(f"{seed} steady {right} {works}"))
    demotions = {"audits": 0, "failures": 0}
    for _ in range(actions):
        step.act(right, works)
        if step.demoted:
            demotions[step.demoted] += 1
            step.promote()
    return Steady(actions, step.audits, demotions["audits"], demotions["failures"])


@dataclass(frozen=True, slots=True)
class Detection:
    """From a drop to the demotion: how many actions, audits, and wrong actions that nobody looked at."""

    actions: int
    audits: int
    wrong_performed: int
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A step gets worse. `watched`: for how many actions it had run alone before."""

    right: tuple[float, float] = (0.97, 0.97)
    works: tuple[float, float] = (0.99, 0.99)
    watched: int = 0


def detections(drop: Drop, *, repeats: int, seed: str, most: int = 5000) -> list[Detection]:
    """What each of so many drops costs until the step is demoted, or until `most` actions are done (`by` is empty)."""
    random = Random(f"{seed} {drop}")
    found = []
    for _ in range(repeats):
        step = AutoStep(Policy(), random)
        before = 0
        while before < drop.watched:
            step.act(drop.right[0], drop.works[0])
            before += 1
            if step.demoted:  # a false alarm: it is watched anew
                step.promote()
                before = 0
        step.actions = step.audits = step.wrong_performed = 0
        while not step.demoted and step.actions < most:
            step.act(drop.right[1], drop.works[1])
        found.append(Detection(step.actions, step.audits, step.wrong_performed, step.demoted))
    return found
