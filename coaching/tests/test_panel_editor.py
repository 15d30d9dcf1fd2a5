"""The correction editor, the picture's geometry and the timeline's words: pure functions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coaching.exceptions import InvalidInput
from coaching.models import Suggestion
from coaching.pages.changes import changes_in
from coaching.pages.correction_editor import KINDS, corrected, fields_of, raw_of
from coaching.pages.picture import picture_of
from coaching.pages.timeline import duration

CLICK: dict[str, Any] = {
    "type": "click",
    "selectors": ["#plain", ["#host", "#inner"], ["aria/Save"]],
    "offsetX": 20.609375,
    "offsetY": 5,
    "assertedEvents": [{"type": "navigation", "url": "http://example.test/"}],
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "change": {"type": "change", "value": "42.50", "selectors": [["#amount"]]},
    "click": CLICK,
    "doubleClick": CLICK | {"type": "doubleClick"},
    "hover": {"type": "hover", "selectors": [["#menu"]]},
    "keyDown": {"type": "keyDown", "key": "Enter"},
    "keyUp": {"type": "keyUp", "key": "Enter"},
    "navigate": {"type": "navigate", "url": "http://example.test/"},
    "scroll": {"type": "scroll", "x": 0, "y": 1200.5},
    "setViewport": {"type": "setViewport", "width": 1280, "height": 720, "deviceScaleFactor": 1},
    "waitForElement": {"type": "waitForElement", "selectors": [["#a"]], "operator": "==", "count": 2, "visible": True},
    "waitForExpression": {"type": "waitForExpression", "expression": "window.ready"},
    "emulateNetworkConditions": {"type": "emulateNetworkConditions", "download": 1, "upload": 2, "latency": 3},
}


def _untouched(action: dict[str, Any]) -> dict[str, str]:
    return {field.name: field.value for field in fields_of(action)} | {"raw": raw_of(action)}


def test_each_kind_has_an_example() -> None:
    assert set(EXAMPLES) == set(KINDS)


@pytest.mark.parametrize("action", EXAMPLES.values(), ids=EXAMPLES)
def test_an_untouched_form_changes_nothing(action: dict[str, Any]) -> None:
    crlf = {name: value.replace("\n", "\r\n") for name, value in _untouched(action).items()}
    for typed in (_untouched(action), crlf, {}):
        with pytest.raises(InvalidInput, match="Nothing is changed yet"):
            corrected(action, typed)


@pytest.mark.parametrize(
    ("kind", "key", "text", "value"),
    [
        ("change", "value", " 57.20 ", " 57.20 "),
        ("change", "value", "", ""),
        ("click", "offsetX", "7", 7),
        ("click", "offsetX", "7.5", 7.5),
        (
            "click",
            "selectors",
            "#plain\r\n#host >>> #inner\r\n#new >>> b",
            ["#plain", ["#host", "#inner"], ["#new", "b"]],
        ),
        ("keyDown", "key", "Tab", "Tab"),
        ("navigate", "url", " https://example.test/a ", "https://example.test/a"),
        ("scroll", "y", "0", 0),
        ("setViewport", "width", "900", 900),
        ("waitForElement", "operator", ">=", ">="),
        ("waitForElement", "count", "3", 3),
        ("waitForElement", "visible", "no", False),
        ("waitForExpression", "expression", "a\r\nb", "a\nb"),
    ],
)
def test_one_field_changes_one_key(kind: str, key: str, text: str, value: Any) -> None:
    action = EXAMPLES[kind]
    assert corrected(action, _untouched(action) | {f"field-{key}": text}) == action | {key: value}


def test_an_emptied_optional_field_goes() -> None:
    action = EXAMPLES["waitForElement"]
    result = corrected(action, _untouched(action) | {"field-visible": "", "field-count": "", "field-operator": ""})
    assert result == {"type": "waitForElement", "selectors": [["#a"]]}


@pytest.mark.parametrize("text", ["x", "1e999", "nan", "-inf", "1,5"])
def test_what_is_not_a_number_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"Offset from the left, px: .* must be a number"):
        corrected(CLICK, {"field-offsetX": text})


def test_raw_json_counts_only_when_changed() -> None:
    assert corrected(CLICK, _untouched(CLICK) | {"raw": '{"type": "close"}'}) == {"type": "close"}
    with pytest.raises(InvalidInput, match="undo one"):
        corrected(CLICK, {"field-offsetY": "9", "raw": '{"type": "close"}'})
    for bad in ("[]", "3", "{", '{"a": NaN}', "[" * 100_000):
        with pytest.raises(InvalidInput, match=r"not valid JSON|must be a JSON object"):
            corrected(CLICK, {"raw": bad})


def test_a_candidate_and_changed_selectors_contradict() -> None:
    candidates = [{"selector": "#one"}]
    assert corrected(CLICK, {"candidate": "1"}, candidates=candidates)["selectors"] == [["#one"]]
    with pytest.raises(InvalidInput, match="undo one"):
        corrected(CLICK, {"candidate": "1", "field-selectors": "#x"}, candidates=candidates)
    for number in ("0", "2", "-1", "²"):
        with pytest.raises(InvalidInput, match="no element"):
            corrected(CLICK, {"candidate": number}, candidates=candidates)


def test_an_outside_program_s_action_is_edited_raw() -> None:
    assert fields_of({"amount": 5}) == []
    assert corrected({"amount": 5}, {"raw": '{"amount": 7}'}) == {"amount": 7}


@given(
    st.text(max_size=60),
    st.dictionaries(st.sampled_from(["raw", "candidate", "field-offsetX", "field-selectors"]), st.text()),
)
def test_whatever_is_typed_gives_an_action_or_words(value: str, typed: dict[str, str]) -> None:
    try:
        result = corrected(CLICK, typed | {"field-offsetY": value}, candidates=[{"selector": "#one"}])
    except InvalidInput:
        return
    assert isinstance(result, dict)


# ---- picture


def _suggestion(target: Any, page: Any = None) -> Suggestion:
    return Suggestion(target=target, page={"viewport": [1000, 500]} if page is None else page)


@pytest.mark.parametrize("box", [[10, 20, 30, 40], {"x": 10, "y": 20, "width": 30, "height": 40}])
def test_a_box_is_outlined_a_little_outside(box: Any) -> None:
    picture = picture_of(_suggestion({"found": True, "box": box}), description="Click")
    (mark,) = picture.marks
    assert (mark.x, mark.y, mark.width, mark.height) == (7, 17, 36, 46)
    assert picture.dim == "M0 0H1000V500H0ZM7 17h36v46h-36Z"


def test_what_is_out_of_sight_is_counted_not_drawn() -> None:
    candidates = [
        {"selector": "a", "box": [0, 9000, 10, 10]},
        {"selector": "b", "box": None},
        {"selector": "c", "box": [1, 1, 9, 9]},
    ]
    picture = picture_of(_suggestion({"found": False, "candidates": candidates}), description="Click")
    assert [mark.number for mark in picture.marks] == [3]
    assert picture.unseen == 2


@given(st.lists(st.floats(-5000, 5000), min_size=4, max_size=4))
def test_numbers_always_stand_inside_the_picture(box: list[float]) -> None:
    for mark in picture_of(_suggestion({"found": True, "box": box}), description="x").marks:
        assert 0 <= mark.label_x <= 1000 - 22
        assert 0 <= mark.label_y <= 500 - 22
        assert mark.x >= 0
        assert mark.x + mark.width <= 1000.1


@pytest.mark.parametrize(
    "target", [None, {}, {"found": True}, {"found": True, "box": "x"}, {"found": False, "candidates": None}]
)
@pytest.mark.parametrize("page", [{}, {"viewport": None}, {"viewport": [0, 0]}, {"viewport": ["a", "b"]}])
def test_without_geometry_there_is_just_the_picture(target: Any, page: Any) -> None:
    picture = picture_of(_suggestion(target, page), description="Click")
    assert picture.marks == []
    assert (picture.width, picture.height) == (1280, 720)


# ---- words


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (None, ""),
        (0, "0.1 s"),
        (400, "0.4 s"),
        (3000, "3 s"),
        (125_000, "2 min 5 s"),
        (4_800_000, "1 h 20 min"),
        (200_000_000, "2 d 7 h"),
    ],
)
def test_durations(milliseconds: float | None, words: str) -> None:
    assert duration(milliseconds) == words


def test_a_patch_in_words() -> None:
    before = {"value": "a", "selectors": [["#x"]]}
    patch: list[dict[str, Any]] = [
        {"op": "replace", "path": "/value", "value": "b"},
        {"op": "remove", "path": "/selectors/0"},
        {"op": "add", "path": "/timeout", "value": 5},
    ]
    assert changes_in(before, patch) == [("value", "a", "b"), ("selectors 1", '["#x"]', ""), ("timeout", "", "5")]


class TestOutsideProgram:
    """What a program proposes has no known type: its plain values get inputs by what they are."""

    ACTION = {
        "type": "change", "supplier": "Müller", "number": 2031, "rate": 0.5, "paid": False, "due": None,
        "lines": [{"net": 1}], "a key with spaces": "x", "big": 9007199254740993,
    }  # fmt: skip

    def untouched(self) -> dict[str, str]:
        fields = fields_of(self.ACTION, in_browser=False)
        return {field.name: field.value for field in fields} | {"raw": raw_of(self.ACTION)}

    def change(self, **typed: str) -> Any:
        return corrected(self.ACTION, self.untouched() | typed, in_browser=False)

    def test_its_plain_values_have_inputs(self) -> None:
        kinds = {field.key: field.kind for field in fields_of(self.ACTION, in_browser=False)}
        assert kinds == {
            "type": "value", "supplier": "value", "number": "number", "rate": "number", "paid": "choice",
            "big": "number",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("key", "text", "value"),
        [
            ("supplier", "Meier & Co", "Meier & Co"), ("supplier", "12", "12"), ("number", "2032", 2032),
            ("rate", "0.25", 0.25), ("rate", "1", 1), ("paid", "yes", True),
            ("big", "9007199254740995", 9007199254740995),
        ],
    )  # fmt: skip
    def test_a_value_keeps_its_kind(self, key: str, text: str, value: Any) -> None:
        result = self.change(**{f"field-{key}": text})
        assert result == self.ACTION | {key: value}
        assert type(result[key]) is type(value)

    def test_the_rest_is_edited_as_json(self) -> None:
        raw = raw_of(self.ACTION | {"lines": []})
        assert self.change(raw=raw)["lines"] == []

    @pytest.mark.parametrize(("key", "text"), [("number", "many"), ("rate", "nan"), ("paid", "perhaps")])
    def test_what_is_none(self, key: str, text: str) -> None:
        with pytest.raises(InvalidInput, match=key):
            self.change(**{f"field-{key}": text})

    @pytest.mark.parametrize("key", ["number", "paid"])
    def test_emptied_is_not_left_out(self, key: str) -> None:
        with pytest.raises(InvalidInput, match="raw JSON"):
            self.change(**{f"field-{key}": ""})

    def test_of_a_great_many_the_first_have_inputs(self) -> None:
        assert len(fields_of({f"key{n}": n for n in range(100)}, in_browser=False)) == 20
