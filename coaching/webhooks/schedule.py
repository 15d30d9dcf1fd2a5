"""When a delivery that failed is tried again."""

from __future__ import annotations

import random
from collections.abc import Sequence

#: How far a delay strays from the schedule, so that what failed together does not come back together.
JITTER = 0.2


def delay_before(retry: int, schedule: Sequence[float], *, chance: float | None = None) -> float | None:
    """Seconds to wait before retry number `retry` (1 for the first); None when the schedule has no more.

    `chance`, from 0 to 1, says where within the jitter it falls; by default it is drawn.
    """
    if retry > len(schedule):
        return None
    drawn = random.random() if chance is None else chance  # noqa: S311 - nobody gains by guessing it
    return schedule[retry - 1] * (1 + JITTER * (2 * drawn - 1))
