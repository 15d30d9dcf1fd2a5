"""What all benchmarks share: sizes, turns A B A B, medians, percentiles, and the rows of the table.

Machines are noisy, so nothing here compares figures of two runs: contestants take turns, and a ratio is the median of
the ratios within each round.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")

#: Every random choice of the benchmarks follows from it.
SEED = 20_260_101


@dataclass(frozen=True, slots=True)
class Run:
    """How a benchmark is run: its own empty `folder`, and how large everything is."""

    folder: Path
    quick: bool

    @property
    def rounds(self) -> int:
        return 5 if self.quick else 7

    def size(self, full: T, quick: T) -> T:
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn of one contestant: the seconds that each unit took, and the CPU seconds of all of them together."""

    seconds: Sequence[float]
    cpu: float = 0.0
    wall: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def p50(self) -> float:
        return percentile(self.seconds, 50)

    @property
    def p99(self) -> float:
        return percentile(self.seconds, 99)

    @property
    def rate(self) -> float:
        """Units per second of the turn."""
        return len(self.seconds) / self.wall

    @property
    def cpu_each(self) -> float:
        return self.cpu / len(self.seconds)


Samples = Mapping[str, Sequence[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table. `met` is None where no goal was set."""

    what: str
    against: str = "–"
    ours: str
    theirs: str = "–"
    ratio: str = "–"
    goal: str = "–"
    met: bool | None = None
    rounds: int = 1
    remarks: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


HEAD = ("what", "against", "ours", "theirs", "ratio", "goal", "met", "rounds", "remarks")


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` % of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def timed(acts: Sequence[Callable[[], object]], *, cpu: Callable[[], float] = time.process_time) -> Sample:
    """Calls `acts` one after the other."""
    seconds: list[float] = []
    cpu_before, began = cpu(), time.perf_counter()
    for act in acts:
        before = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - before)
    return Sample(seconds, cpu() - cpu_before, time.perf_counter() - began)


def race(contestants: Mapping[str, Callable[[], Sample]], rounds: int) -> dict[str, list[Sample]]:
    """The samples of each contestant, one per round; A B, A B, …"""
    found: dict[str, list[Sample]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            found[name].append(contestant())
    return found


def ratio(tops: Sequence[float], bottoms: Sequence[float]) -> float:
    """The median of the rounds' ratios `top / bottom`."""
    return median(top / bottom for top, bottom in zip(tops, bottoms, strict=True))


def spread(tops: Sequence[float], bottoms: Sequence[float]) -> str:
    """The smallest and the largest ratio of the rounds."""
    ratios = sorted(top / bottom for top, bottom in zip(tops, bottoms, strict=True))
    return f"{ratios[0]:.2f} to {ratios[-1]:.2f}"


def p50s(samples: Sequence[Sample]) -> list[float]:
    return [sample.p50 for sample in samples]


def p99s(samples: Sequence[Sample]) -> list[float]:
    return [sample.p99 for sample in samples]


def rates(samples: Sequence[Sample]) -> list[float]:
    return [sample.rate for sample in samples]


def cpus(samples: Sequence[Sample]) -> list[float]:
    return [sample.cpu_each for sample in samples]


def ms(seconds: float) -> str:
    milliseconds = seconds * 1000
    return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:,.0f} ms"


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [HEAD, ["---"] * len(HEAD)]
    for row in rows:
        met = {True: "yes", False: "**no**", None: "–"}[row.met]
        lines.append(
            [row.what, row.against, row.ours, row.theirs, row.ratio, row.goal, met, str(row.rounds), row.remarks]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
