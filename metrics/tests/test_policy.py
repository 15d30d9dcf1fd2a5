"""The policy of autonomy: what it is by default, what overrides it, and what is refused in words."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coaching.policy import InvalidPolicy, Policy

DEFAULT = {
    "target": 0.85,
    "min_decisions": 20,
    "confidence": 0.95,
    "confidence_irreversible": 0.99,
    "min_demonstrations": 1,
    "audit_rates": [0.20, 0.10, 0.05],
    "audit_clean_runs": [20, 40],
    "auto_promote": False,
}


def test_the_default() -> None:
    assert Policy().as_json() == DEFAULT
    assert Policy.of({}) == Policy()
    assert Policy.of(DEFAULT) == Policy()


def test_an_override_leaves_the_rest() -> None:
    policy = Policy.of({"min_decisions": 5, "audit_rates": [0.5, 0.5, 0]})
    assert policy == Policy(min_decisions=5, audit_rates=(0.5, 0.5, 0.0))
    assert policy.as_json() == {**DEFAULT, "min_decisions": 5, "audit_rates": [0.5, 0.5, 0.0]}


def test_overrides_of_another_default() -> None:
    site = Policy(target=0.9, auto_promote=True)
    assert Policy.of({"target": 0.8}, site) == Policy(target=0.8, auto_promote=True)


def test_the_customers_bare_rule() -> None:
    policy = Policy.of({"min_decisions": 1, "confidence": 0, "confidence_irreversible": 0})
    assert policy.needed_confidence(irreversible=False) == policy.needed_confidence(irreversible=True) == 0.0


def test_what_confidence_is_needed() -> None:
    assert Policy().needed_confidence(irreversible=False) == 0.95
    assert Policy().needed_confidence(irreversible=True) == 0.99


@pytest.mark.parametrize(
    ("target", "fraction"),
    [
        (0.85, Fraction(17, 20)),
        (0.9, Fraction(9, 10)),
        (0.29, Fraction(29, 100)),
        (0.999, Fraction(999, 1000)),
        (1e-7, Fraction(1, 10**7)),
    ],
)
def test_the_target_is_what_is_written(target: float, fraction: Fraction) -> None:
    assert Policy(target=target).target_fraction == fraction


def test_it_cannot_be_changed() -> None:
    policy = Policy()
    with pytest.raises(FrozenInstanceError):
        policy.target = 0.5  # type: ignore[misc]
    assert len({policy, Policy()}) == 1
    assert not hasattr(policy, "__dict__")


def test_whole_numbers_become_fractions_where_those_are_meant() -> None:
    policy = Policy.of({"confidence": 0, "audit_rates": (1, 1, 0)})
    assert json.dumps([policy.confidence, policy.audit_rates]) == "[0.0, [1.0, 1.0, 0.0]]"


NUMBERS: list[Any] = [True, False, "0.9", None, [0.9], {}, float("nan"), float("inf"), -float("inf"), 10**400]
WRONG: dict[str, list[Any]] = {
    "target": [*NUMBERS, 0, 1, 0.0, 1.0, -0.1, 1.1, 85],
    "confidence": [*NUMBERS, 1, 1.0, -0.01, 95],
    "confidence_irreversible": [*NUMBERS, 1, 1.0, -0.01, 99],
    "min_decisions": [True, "20", None, 20.0, 20.5, [20], 0, -1, 10**9, 10**400],
    "min_demonstrations": [False, "1", None, 1.0, [1], -1, 10**9],
    "audit_rates": [
        *[None, 0.2, "abc", {}, {0.1}, [], [0.2], [0.2, 0.1], [0.2, 0.1, 0.05, 0.01], [0.1, 0.2, 0.05]],
        *[[0.2, 0.05, 0.1], [1.1, 0.1, 0.05], [0.2, 0.1, -0.1], [0.2, 0.1, True], [0.2, "0.1", 0.05]],
        *[[0.2, 0.1, None], [0.2, 0.1, float("nan")], [[0.2], 0.1, 0.05]],
    ],
    "audit_clean_runs": [
        *[None, 20, "20, 40", [], [20], [20, 40, 60], [40, 20], [20, 20], [0, 20], [-1, 20], [20.0, 40]],
        *[[20, "40"], [True, 40], [20, None], [20, 10**9]],
    ],
    "auto_promote": [0, 1, "true", "", None, [], [True]],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_what_makes_no_sense_is_refused_in_a_sentence(field: str, value: Any) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        Policy.of({field: value})
    assert refused.value.field == field
    sentence = str(refused.value)
    assert field in sentence
    assert sentence.endswith(".")
    assert isinstance(refused.value, ValueError)


def test_all_fields_have_wrong_values_above() -> None:
    assert set(WRONG) == set(DEFAULT)


@pytest.mark.parametrize("field", ["targets", "", "as_json", "__class__", "Target", 3])
def test_an_unknown_field_is_refused(field: Any) -> None:
    with pytest.raises(InvalidPolicy, match="A policy has no") as refused:
        Policy.of({field: 1})
    assert refused.value.field == str(field)
    assert "min_decisions" in str(refused.value)


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("target", "target must be above 0 and below 1."),
        ("min_decisions", "min_decisions must be from 1 to 1,000,000."),
        ("confidence", "confidence must be at least 0 and below 1."),
        ("audit_rates", "audit_rates must be three shares from 0 to 1, none above the one before it."),
    ],
)
def test_the_sentence_says_what_would_be_right(field: str, sentence: str) -> None:
    value = {"audit_rates": [0.1, 0.2, 0.3]}.get(field, -1)
    with pytest.raises(InvalidPolicy) as refused:
        Policy.of({field: value})
    assert str(refused.value) == sentence


def test_a_policy_made_in_python_is_checked_too() -> None:
    with pytest.raises(InvalidPolicy, match=r"target must be above 0 and below 1\."):
        Policy(target=1.5)


SHARES = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(lambda rates: sorted(rates, reverse=True))
RUNS = st.lists(st.integers(1, 1000), min_size=2, max_size=2, unique=True).map(sorted)
CONFIDENCE = st.floats(0, 1, exclude_max=True)
OVERRIDES = st.fixed_dictionaries(
    {},
    optional={
        "target": st.floats(1e-6, 1 - 1e-6),
        "min_decisions": st.integers(1, 1000),
        "confidence": CONFIDENCE,
        "confidence_irreversible": CONFIDENCE,
        "min_demonstrations": st.integers(0, 1000),
        "audit_rates": SHARES,
        "audit_clean_runs": RUNS,
        "auto_promote": st.booleans(),
    },
)


@given(OVERRIDES)
def test_what_is_right_comes_back_from_json(overrides: dict[str, Any]) -> None:
    policy = Policy.of(overrides)
    written = json.loads(json.dumps(policy.as_json()))
    assert written == {**DEFAULT, **overrides}
    assert Policy.of(written) == policy
    assert 0 < policy.target_fraction < 1


@given(
    st.dictionaries(
        st.sampled_from(list(DEFAULT)),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
            max_leaves=6,
        ),
    )
)
def test_whatever_is_given_it_is_a_policy_or_refused(overrides: dict[str, Any]) -> None:
    at_fault = None
    try:
        policy = Policy.of(overrides)
    except InvalidPolicy as refused:
        at_fault = refused.field
    if at_fault is None:
        assert Policy.of(policy.as_json()) == policy
    else:
        assert at_fault in overrides
