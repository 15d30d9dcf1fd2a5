"""What a step must show before it may run alone, and how closely it is watched afterwards. Pure Python: no Django."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any, Self

#: Far beyond any use; keeps a slip of the keyboard from becoming a number that nothing can show or count up to.
MOST = 1_000_000
#: Closer to 0 or 1 than this, arithmetic and any number of decisions end.
LOWEST, HIGHEST = 1e-9, 1 - 1e-9


class InvalidPolicy(ValueError):
    """A policy that makes no sense. `field` names the part at fault; the message is a sentence for people."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When a step may run alone.

    `target`: the acceptance rate that is asked for, between 0 and 1.
    `min_decisions`: how many decisions must count.
    `confidence`, `confidence_irreversible`: how probable it must be that the true rate reaches the target, at least 0
    and below 1; 0 asks for nothing beyond the rate itself.
    `min_demonstrations`: how many demonstrations end OBSERVATION.
    `audit_rates`: the shares of an AUTO step's actions that are still put to a coach, never rising.
    `audit_clean_runs`: after how many clean audits in a row the second and the third of these shares apply.
    `auto_promote`: whether a reversible step that is ready needs no owner's word.

    Raises `InvalidPolicy` for values out of range, however it is made.
    """

    target: float = 0.85
    min_decisions: int = 20
    confidence: float = 0.95
    confidence_irreversible: float = 0.99
    min_demonstrations: int = 1
    audit_rates: tuple[float, float, float] = (0.20, 0.10, 0.05)
    audit_clean_runs: tuple[int, int] = (20, 40)
    auto_promote: bool = False

    def __post_init__(self) -> None:
        for name, (is_right, rule) in _RULES.items():
            if not is_right(getattr(self, name)):
                raise InvalidPolicy(name, f"{name} must be {rule}.")

    @classmethod
    def of(cls, overrides: Mapping[str, Any], default: Policy | None = None) -> Self:
        """The default policy with these values in place of its own, as they come from JSON (lists for tuples).

        Raises `InvalidPolicy` for an unknown field, a value of the wrong type or one out of range. A boolean is no
        number, and a whole number is welcome where a fraction is asked for.
        """
        known = [field.name for field in fields(cls)]
        for name in overrides:
            if name not in known:
                raise InvalidPolicy(str(name), f"A policy has no “{name}”; it has {', '.join(known)}.")
        default = default or Policy()
        return cls(
            **{
                name: _READERS[name](name, overrides[name]) if name in overrides else getattr(default, name)
                for name in known
            }
        )

    @property
    def target_fraction(self) -> Fraction:
        """The target as it is written in decimals: 0.85 is exactly 17/20."""
        return exact(self.target)

    def needed_confidence(self, irreversible: bool) -> float:
        """How probable it must be that the true rate reaches the target, 0 to below 1."""
        return self.confidence_irreversible if irreversible else self.confidence

    def as_json(self) -> dict[str, Any]:
        """All fields by name, tuples as lists. `Policy.of` reads it back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@lru_cache(maxsize=256)
def exact(number: float) -> Fraction:
    """The fraction that the shortest decimal text of a number means: 0.85 → 17/20, not the nearest binary fraction."""
    return Fraction(str(number))


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidPolicy(name, f"{name} must be a number.")
    try:
        return float(value)
    except OverflowError:
        raise InvalidPolicy(name, f"{name} is beyond all bounds.") from None


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidPolicy(name, f"{name} must be a whole number.")
    return value


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidPolicy(name, f"{name} must be true or false.")
    return value


def _several(read: Callable[[str, Any], Any], what: str) -> Callable[[str, Any], tuple[Any, ...]]:
    def read_all(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise InvalidPolicy(name, f"{name} must be a list of {what}.")
        return tuple(read(name, one) for one in value)

    return read_all


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "target": _number,
    "min_decisions": _whole,
    "confidence": _number,
    "confidence_irreversible": _number,
    "min_demonstrations": _whole,
    "audit_rates": _several(_number, "three numbers"),
    "audit_clean_runs": _several(_whole, "two whole numbers"),
    "auto_promote": _switch,
}


def _is_confidence(value: float) -> bool:
    return 0 <= value < 1


def _are_rates(rates: tuple[float, ...]) -> bool:
    return len(rates) == 3 and all(0 <= rate <= 1 for rate in rates) and all(a >= b for a, b in pairwise(rates))


def _are_runs(runs: tuple[int, ...]) -> bool:
    return len(runs) == 2 and 0 < runs[0] < runs[1] <= MOST


#: What a value must satisfy (NaN satisfies nothing), and the same in words.
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "target": (lambda target: LOWEST <= target <= HIGHEST, "above 0 and below 1"),
    "min_decisions": (lambda count: 1 <= count <= MOST, f"from 1 to {MOST:,}"),
    "confidence": (_is_confidence, "at least 0 and below 1"),
    "confidence_irreversible": (_is_confidence, "at least 0 and below 1"),
    "min_demonstrations": (lambda count: 0 <= count <= MOST, f"from 0 to {MOST:,}"),
    "audit_rates": (_are_rates, "three shares from 0 to 1, none above the one before it"),
    "audit_clean_runs": (_are_runs, f"two whole numbers from 1 to {MOST:,}, the second above the first"),
}
