"""Placeholders: filling, masking and unmasking obey their laws."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coaching.recordings import MissingVariable, fill, fill_known, mask, names_in, unmask

NAMES = st.sampled_from(["amount", "password", "claim_2", "token"])
TEXTS = st.lists(st.one_of(st.text(max_size=6), NAMES.map(lambda name: f"{{{{ {name} }}}}")), max_size=4).map("".join)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
VALUES = st.fixed_dictionaries(dict.fromkeys(["amount", "password", "claim_2", "token"], st.text(max_size=6)))


def test_fill_replaces_every_string_value_and_no_field_name() -> None:
    action = {"{{ a }}": ["x{{ a }}y", {"deep": "{{a}} {{ b_2 }}"}], "n": 5, "none": None}
    assert names_in(action) == {"a", "b_2"}
    assert fill(action, {"a": "1", "b_2": "2"}) == {"{{ a }}": ["x1y", {"deep": "1 2"}], "n": 5, "none": None}


@pytest.mark.parametrize("text", ["{{ Amount }}", "{{ 1a }}", "{{ a b }}", "{ a }", "{{}}", "{{ a", "{{ a\n}}", "${a}"])
def test_other_braces_are_plain_text(text: str) -> None:
    assert names_in(text) == set()
    assert fill(text, {}) == text


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(MissingVariable) as caught:
        fill({"value": "{{ amount }}"}, {"other": "1"})
    assert caught.value.name == "amount"
    assert str(caught.value) == "The variable “amount” has no value."


def test_a_value_never_pulls_in_another_variable() -> None:
    assert fill("{{ amount }}", {"amount": "{{ password }}", "password": "hunter2"}) == "{{ password }}"


def test_mask_hides_only_secrets() -> None:
    action = {"value": "Bearer {{ token }}", "url": "https://x/{{ claim_2 }}"}
    assert mask(action, {"token"}) == {"value": "Bearer ***", "url": "https://x/{{ claim_2 }}"}


def test_unmask_restores_what_was_not_touched_and_keeps_what_was() -> None:
    stored = {"selectors": [["aria/Password"]], "value": "{{ password }}", "note": "{{ token }}"}
    given_back = {"selectors": [["aria/PIN"]], "value": "***", "note": "typed anew", "extra": "***"}
    assert unmask(given_back, stored, {"password", "token"}) == {
        "selectors": [["aria/PIN"]], "value": "{{ password }}", "note": "typed anew", "extra": "***",
    }  # fmt: skip


@given(JSON, VALUES)
def test_filling_everything_leaves_no_unfilled_name(value: Any, values: dict[str, str]) -> None:
    assert fill(value, values) == fill_known(value, values)
    assert fill_known(value, {}) == value
    assert names_in(fill(value, dict.fromkeys(values, "x"))) <= names_in(value)


@given(JSON, st.sets(NAMES))
def test_unmask_of_mask_is_the_stored_action(value: Any, secrets: set[str]) -> None:
    masked = mask(value, secrets)
    assert not names_in(masked) & secrets
    assert unmask(masked, value, secrets) == value
    assert unmask(value, value, secrets) == value


@given(JSON, JSON)
def test_without_secrets_mask_and_unmask_change_nothing(given_value: Any, stored: Any) -> None:
    assert mask(stored, set()) == stored
    assert unmask(given_value, stored, set()) == given_value
