"""Corrections as values: what differs, where it applies, what contradicts, and the file that carries it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from itertools import permutations
from typing import Any

import jsonpatch
import jsonschema
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from coaching.packs import (
    Change,
    PackDocument,
    PackFileError,
    PackItem,
    Rule,
    Situation,
    TargetPrint,
    Verdict,
    apply_rules,
    changes_between,
    changes_from_json,
    compare,
    digest,
    export_pack,
    judge,
    merge_items,
    read_pack,
    target_print,
)
from coaching.packs.changes import MISSING, canonical, changed, changes_as_json, fits, patch_between, same
from coaching.packs.document import MAX_BYTES, SCHEMA, content_digest

# Only characters that JSON files and databases can hold.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)
KEY = st.one_of(st.sampled_from(["", "a", "b", "a/b", "~", "~1", "a~0/", "ä", "0"]), TEXT)
NUMBER = st.one_of(
    st.sampled_from([0, -0.0, 0.0, 1, 1.0, 2**53 + 1, 10**30, 1e300, 5e-324]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
LEAF = st.one_of(st.none(), st.booleans(), NUMBER, TEXT)
ANY_JSON = st.recursive(
    LEAF,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEY, inner, max_size=3)),
    max_leaves=8,
)
OBJECT = st.dictionaries(KEY, ANY_JSON, max_size=4)

HERE = Situation(workflow_id="claims", node_id="amount", action_type="change", target_key="t")
ACTION = {"type": "change", "value": "old", "selectors": [["aria/Amount"]], "frame": [0]}


class TestCanonical:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (1.0, "1"), (-0.0, "0"), (0.1, "0.1"), (True, "true"), (None, "null"), (1e16, "10000000000000000"),
            (2**53 + 1, "9007199254740993"), ("ä😀\u2028", '"ä😀\u2028"'), ({"b": 1, "a": [2.0]}, '{"a":[2],"b":1}'),
            ({"": 0, "a/b": 1, "~": 2}, '{"":0,"a/b":1,"~":2}'), (("x",), '["x"]'),
        ],
    )  # fmt: skip
    def test_one_text_for_each_value(self, value: Any, text: str) -> None:
        assert canonical(value) == text

    @pytest.mark.parametrize(
        ("one", "other"),
        [(1, True), (0, False), (0, None), (1, "1"), ("", None), ([], {}), (2**53, 2**53 + 1), ("é", "e\u0301")],
    )
    def test_other_values_are_not_the_same(self, one: Any, other: Any) -> None:
        assert not same(one, other)
        assert digest(one) != digest(other)

    def test_what_is_missing_is_only_the_same_as_itself(self) -> None:
        assert same(MISSING, MISSING)
        assert not same(MISSING, None)
        assert not same("", MISSING)

    def test_several_values_are_not_one_that_is_joined(self) -> None:
        assert digest("ab", "c") != digest("a", "bc")

    @given(ANY_JSON)
    def test_survives_a_file_and_a_database(self, value: Any) -> None:
        assert canonical(json.loads(json.dumps(value))) == canonical(value)
        assert canonical(json.loads(canonical(value))) == canonical(value)


class TestChanges:
    def test_objects_are_looked_into_and_lists_are_not(self) -> None:
        old = {"type": "click", "at": {"x": 1, "y": 2}, "selectors": [["#a"], ["#b"]], "gone": None}
        new = {"type": "click", "at": {"x": 1.0, "y": 3}, "selectors": [["#a"]], "came": False}
        assert changes_as_json(changes_between(old, new)) == [
            {"path": "/at/y", "old": 2, "new": 3},
            {"path": "/came", "new": False},
            {"path": "/gone", "old": None},
            {"path": "/selectors", "old": [["#a"], ["#b"]], "new": [["#a"]]},
        ]

    def test_keys_with_slashes_tildes_and_without_a_letter(self) -> None:
        old = {"a/b": {"~1": 1}, "": {"": 1}}
        changes = changes_between(old, {"a/b": {"~1": 2}, "": {"": 2}})
        assert [change.path for change in changes] == ["//", "/a~1b/~01"]
        assert changed(old, changes) == {"a/b": {"~1": 2}, "": {"": 2}}

    @given(OBJECT, OBJECT)
    @example({"a": {}}, {"a": {"b": {}}})
    @example({"a": {"b": 1}}, {"a": {}})
    @example({"a": 1}, {"a": True})
    @example({"a": {"b": 1}}, {"a": None})
    @example({"": {"": None}}, {"": {"": []}})
    def test_making_the_changes_gives_the_corrected_action(
        self, original: dict[str, Any], corrected: dict[str, Any]
    ) -> None:
        before = canonical(original)
        changes = changes_between(original, corrected)
        assert fits(original, changes)
        assert canonical(changed(original, changes)) == canonical(corrected)
        assert canonical(original) == before, "nothing is changed in place"
        assert not changes_between(corrected, changed(original, changes))
        assert bool(changes) == (canonical(original) != canonical(corrected))

    @given(OBJECT, OBJECT)
    def test_they_survive_as_json(self, original: dict[str, Any], corrected: dict[str, Any]) -> None:
        changes = changes_between(original, corrected)
        stored = json.loads(json.dumps(changes_as_json(changes)))
        assert canonical(changed(original, changes_from_json(stored))) == canonical(corrected)

    @given(OBJECT, OBJECT, OBJECT)
    def test_what_they_do_not_name_stays(
        self, old: dict[str, Any], new: dict[str, Any], beside: dict[str, Any]
    ) -> None:
        action = {"corrected": old, "untouched": beside}
        changes = changes_between(action, {"corrected": new, "untouched": beside})
        elsewhere = {"corrected": old, "untouched": {"another": "run"}}
        assert canonical(changed(elsewhere, changes)) == canonical({"corrected": new, "untouched": {"another": "run"}})

    @pytest.mark.parametrize("action", [{}, {"a": "text"}, {"a": [1]}, {"a": None}, {"a": {"b": "here"}}, {"a": 1}])
    def test_a_new_field_needs_its_place_to_be_there_and_free(self, action: dict[str, Any]) -> None:
        changes = changes_between({"a": {}}, {"a": {"b": 2}})
        assert fits({"a": {"c": 1}}, changes)
        assert not fits(action, changes)


class TestTarget:
    def test_what_a_person_would_call_it_and_the_path_of_the_page(self) -> None:
        target = target_print({"selectors": [["aria/Amount"], ["#amount"]]}, "https://a.example/claims/new?x=1#y")
        assert (target.name, target.path) == ("Amount", "/claims/new")
        assert target.key("change")
        assert target.key("change") != target.key("click")
        assert target.key("change") == replace(target).key("change")
        for field in ("role", "name", "label", "path"):
            assert replace(target, **{field: "another"}).key("change") != target.key("change")

    @pytest.mark.parametrize(
        ("action", "url"),
        [
            ({"type": "navigate", "url": "https://a.example/"}, "https://a.example/"),
            ({"selectors": [["#amount"]]}, "https://a.example/"),
            ({"selectors": [["aria/Amount"]]}, ""),
            ({"selectors": [["aria/Amount"]]}, "https://[half/"),
            ({"selectors": []}, "https://a.example/"),
        ],
    )
    def test_what_would_fit_anything_has_no_key(self, action: dict[str, Any], url: str) -> None:
        assert target_print(action, url).key("click") == ""


def rule(number: int, *changes: Change, pack: str = "p", **rest: Any) -> Rule:
    place: dict[str, Any] = {"workflow_id": "claims", "node_id": "amount", "action_type": "change"}
    return Rule(key=(pack, number), changes=changes, **(place | rest))


def elsewhere(number: int, *changes: Change, **rest: Any) -> Rule:
    place: dict[str, Any] = {"workflow_id": "other", "target_key": "t", "anywhere": True}
    return rule(number, *changes, **(place | rest))


def to(new: Any, path: str = "/value", old: Any = "old") -> Change:
    return Change(path, old, new)


class TestApplying:
    def test_a_fitting_rule_changes_the_action(self) -> None:
        applied = apply_rules(ACTION, HERE, [rule(1, to("new"))])
        assert applied.action == ACTION | {"value": "new"}
        assert [used.key for used in applied.used] == [("p", 1)]
        assert applied.patch == [{"op": "replace", "path": "/value", "value": "new"}]
        assert not applied.conflicts

    @pytest.mark.parametrize(
        "unfit",
        [
            rule(1, to("new", old="older")),
            rule(1, to("new"), to([1], "/frame", old=[1])),
            rule(1, to("new", path="/missing")),
            rule(1, to("new", old=MISSING)),
            rule(1, to("new"), node_id="another"),
            rule(1, to("new"), workflow_id="another"),
            rule(1),
            elsewhere(1, to("new"), anywhere=False),
            elsewhere(1, to("new"), target_key=""),
            elsewhere(1, to("new"), target_key="another"),
            elsewhere(1, to("new"), action_type="click"),
        ],
    )
    def test_one_that_does_not_fit_changes_nothing(self, unfit: Rule) -> None:
        applied = apply_rules(ACTION, HERE, [unfit])
        assert (applied.action, applied.used, applied.conflicts, applied.patch) == (ACTION, (), (), [])

    def test_without_a_target_nothing_from_elsewhere_applies(self) -> None:
        nowhere = replace(HERE, target_key="")
        assert not apply_rules(ACTION, nowhere, [elsewhere(1, to("new"), target_key="")]).used

    def test_the_own_step_goes_before_the_same_target_elsewhere(self) -> None:
        rules = [elsewhere(1, to("theirs"), pack="a"), rule(2, to("ours"), pack="b")]
        applied = apply_rules(ACTION, HERE, rules)
        assert applied.action["value"] == "ours"
        assert not applied.conflicts

    def test_elsewhere_serves_the_fields_that_the_own_step_leaves_alone(self) -> None:
        rules = [rule(1, to("ours")), elsewhere(2, to([1], "/frame", old=[0]))]
        assert apply_rules(ACTION, HERE, rules).action == ACTION | {"value": "ours", "frame": [1]}

    def test_a_contradiction_changes_nothing_not_even_by_a_third(self) -> None:
        rules = [rule(1, to("a")), rule(2, to("b")), elsewhere(3, to("c")), rule(4, to([1], "/frame", old=[0]))]
        applied = apply_rules(ACTION, HERE, rules)
        assert applied.action == ACTION | {"frame": [1]}
        (conflict,) = applied.conflicts
        assert (conflict.path, [r.key[1] for r in conflict.rules]) == ("/value", [1, 2])

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    def test_a_copy_of_one_side_does_not_settle_a_contradiction(self, order: tuple[int, ...]) -> None:
        rules = [rule(1, to("a")), rule(2, to("b")), rule(3, to("a"))]
        applied = apply_rules(ACTION, HERE, [rules[place] for place in order])
        assert applied.action == ACTION
        assert not applied.used

    def test_equal_rules_of_two_packs_agree(self) -> None:
        applied = apply_rules(ACTION, HERE, [rule(1, to("new"), pack="b"), rule(9, to("new"), pack="a")])
        assert [used.key for used in applied.used] == [("a", 9)]
        assert not applied.conflicts

    def test_a_field_within_a_field_is_the_same_field(self) -> None:
        action = {"at": {"x": 1}, "beside": 1}
        whole, part = Change("/at", {"x": 1}, {"x": 5}), Change("/at/x", 1, 6)
        applied = apply_rules(action, HERE, [rule(1, whole), rule(2, part)])
        assert applied.action == action
        assert {conflict.path for conflict in applied.conflicts} == {"/at", "/at/x"}
        # One that only begins alike is another.
        action = {"at": 1, "atlas": 1}
        assert apply_rules(action, HERE, [rule(1, to(2, "/at", old=1)), rule(2, to(2, "/atlas", old=1))]).action == {
            "at": 2, "atlas": 2,
        }  # fmt: skip

    @given(st.data())
    def test_at_most_one_rule_a_field_whatever_the_order(self, data: st.DataObject) -> None:
        action = {"a": 1, "b": 1, "c": {"d": 1, "e": 1}}
        change = st.builds(
            Change, st.sampled_from(["/a", "/b", "/c/d", "/c/e", "/f"]), st.sampled_from([1, 2, MISSING]),
            st.sampled_from([2, 3, MISSING]),
        )  # fmt: skip
        changes = st.lists(change, min_size=1, max_size=3, unique_by=lambda one: one.path)
        kinds = st.sampled_from([rule, elsewhere])
        drawn = data.draw(st.lists(st.tuples(kinds, changes, st.sampled_from("pq")), max_size=6))
        rules = [make(n, *some, pack=pack) for n, (make, some, pack) in enumerate(drawn)]
        applied = apply_rules(action, HERE, rules)
        again = apply_rules(action, HERE, data.draw(st.permutations(rules)))
        assert again == applied
        paths = [one.path for used in applied.used for one in used.changes]
        assert len(paths) == len(set(paths))
        assert all(fits(action, used.changes) for used in applied.used)
        assert applied.action == changed(action, [one for used in applied.used for one in used.changes])
        for conflict in applied.conflicts:
            assert conflict.path not in paths
            assert len(conflict.rules) > 1
            assert not {r.key for r in conflict.rules} & {r.key for r in applied.used}

    @given(OBJECT, OBJECT, OBJECT)
    def test_a_captured_correction_makes_of_the_original_what_was_corrected(
        self, original: dict[str, Any], corrected: dict[str, Any], other: dict[str, Any]
    ) -> None:
        changes = changes_between(original, corrected)
        assume(changes)
        applied = apply_rules(original, HERE, [rule(1, *changes)])
        assert canonical(applied.action) == canonical(corrected)
        once_more = apply_rules(applied.action, HERE, [rule(1, *changes)])
        assert canonical(once_more.action) == canonical(corrected), "what is right already stays right"
        untouched = apply_rules(other, HERE, [rule(1, *changes)])
        assert bool(untouched.used) == fits(other, changes)


class TestJudging:
    OLD, NEW, THIRD = {"value": "a"}, {"value": "b"}, {"value": "c"}

    @pytest.mark.parametrize(
        ("kind", "now", "done", "verdict"),
        [
            ("correct", NEW, NEW, Verdict.SAVED),
            ("manual", NEW, NEW, Verdict.SAVED),
            ("correct", NEW, THIRD, Verdict.ALTERED),
            ("correct", OLD, NEW, Verdict.SAME),
            ("accept", NEW, None, Verdict.BROKEN),
            ("accept", OLD, None, Verdict.SAME),
            ("reject", NEW, None, Verdict.ALTERED),
            ("manual", NEW, None, Verdict.ALTERED),
            ("skip", NEW, None, Verdict.ALTERED),
            ("skip", OLD, None, Verdict.SAME),
        ],
    )
    def test_what_a_pack_would_have_done(self, kind: str, now: Any, done: Any, verdict: Verdict) -> None:
        assert judge(kind, proposed=self.OLD, now=now, done=done) == verdict

    def test_numbers_are_compared_as_json(self) -> None:
        assert judge("correct", proposed={"x": 1}, now={"x": 2}, done={"x": 2.0}) == Verdict.SAVED
        assert judge("accept", proposed={"x": 1}, now={"x": 1.0}, done=None) == Verdict.SAME
        assert judge("accept", proposed={"x": 1}, now={"x": True}, done=None) == Verdict.BROKEN


# ---- the file

SLUG = st.text("abcXYZ019-_", min_size=1, max_size=12)
PRINT = st.builds(TargetPrint, role=TEXT, name=TEXT, label=TEXT, path=TEXT)
CHANGE = st.builds(
    Change, KEY.map(lambda key: "/" + key.replace("~", "~0").replace("/", "~1")), st.one_of(st.just(MISSING), ANY_JSON), ANY_JSON
) | st.builds(Change, st.just("/gone"), ANY_JSON, st.just(MISSING))  # fmt: skip
ITEM = st.builds(
    PackItem,
    number=st.integers(1, 1_000_000),
    workflow_id=SLUG,
    node_id=TEXT.filter(bool),
    action_type=TEXT,
    target=PRINT,
    changes=st.lists(CHANGE, min_size=1, max_size=3, unique_by=lambda change: change.path).map(tuple),
    note=TEXT,
    enabled=st.booleans(),
    picture=st.sampled_from(["", "iVBORw0KGgo="]),
)
DOCUMENT = st.builds(
    PackDocument,
    pack_id=SLUG,
    name=TEXT.filter(bool),
    description=TEXT,
    scope=st.sampled_from(["step", "target"]),
    version=st.integers(1, 1_000_000),
    items=st.lists(ITEM, max_size=3, unique_by=lambda item: item.number).map(tuple),
)


def item(number: int = 1, new: Any = "45", **rest: Any) -> PackItem:
    place: dict[str, Any] = {"workflow_id": "claims", "node_id": "amount", "action_type": "change"}
    return PackItem(number=number, **(place | {"changes": (to(new),)} | rest))


def pack(*items: PackItem, **rest: Any) -> PackDocument:
    about: dict[str, Any] = {"pack_id": "p", "name": "P", "description": "", "scope": "step", "version": 2}
    return PackDocument(items=items or (item(), item(2, "46", node_id="b")), **(about | rest))


def file_of(document: PackDocument | dict[str, Any], **changes: Any) -> bytes:
    """A file that somebody made with care: its hash fits, whatever it says."""
    body = document if isinstance(document, dict) else export_pack(document)
    body = {key: value for key, value in body.items() if key != "sha256"} | changes
    return json.dumps(body | {"sha256": digest(body)}).encode()


def with_item(**changes: Any) -> bytes:
    return file_of(pack(), corrections=[item().as_json() | changes])


class TestFile:
    @given(DOCUMENT)
    def test_what_is_exported_is_what_is_read(self, document: PackDocument) -> None:
        exported = export_pack(document)
        jsonschema.validate(exported, json.loads(SCHEMA.read_text()), cls=jsonschema.Draft202012Validator)
        read = read_pack(json.dumps(exported).encode())
        assert read == document
        assert export_pack(read) == exported
        # However it is printed.
        assert read_pack(json.dumps(exported, indent=3, ensure_ascii=False, sort_keys=True).encode()) == document

    def test_the_schema_is_one(self) -> None:
        jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))

    @given(DOCUMENT, st.data())
    def test_a_changed_byte_is_noticed(self, document: PackDocument, data: st.DataObject) -> None:
        content = bytearray(json.dumps(export_pack(document), ensure_ascii=False).encode())
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        try:
            read = read_pack(bytes(content))
        except PackFileError:
            return
        # White space between, or the same value written otherwise.
        assert read == document

    def test_every_letter_of_a_pack_counts(self) -> None:
        content = json.dumps(export_pack(pack(item(1, "45")))).encode()
        for place, byte in enumerate(content):
            if chr(byte).isalnum():
                other = b"1" if byte != ord("1") else b"2"
                with pytest.raises(PackFileError):
                    read_pack(content[:place] + other + content[place + 1 :])

    def test_a_number_or_a_text_put_in_by_hand_is_refused(self) -> None:
        exported = export_pack(pack())
        changes: list[dict[str, Any]] = [
            {"name": "Q"}, {"version": 3}, {"scope": "target"}, {"corrections": []}, {"description": " "}
        ]  # fmt: skip
        for change in changes:
            with pytest.raises(PackFileError, match="was changed after it was exported"):
                read_pack(json.dumps(exported | change).encode())

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "not JSON"),
            (b"\x89PNG\r\n", "not JSON"),
            (b"{", "not JSON"),
            (b"[" * 100_000, "not JSON"),
            (b'{"format": NaN}', "NaN"),
            (b'{"format": -Infinity}', "Infinity"),
            (b'{"format": 1e999}', "not finite"),
            (b'{"x": ' + b"9" * 5000 + b"}", "not JSON"),
            (b'{"format": "\\ud800"}', "half a character"),
            (b'{"format": "\\u0000"}', "NUL"),
            (b"null", "not a correction pack"),
            (b"[]", "not a correction pack"),
            (b'{"title": "A recording", "steps": []}', "not a correction pack"),
            (b'{"a":' * 60 + b"1" + b"}" * 60, "nests deeper"),
            (file_of(pack(), format="another"), "not a correction pack"),
            (file_of(pack(), format=["coachsite-correction-pack"]), "not a correction pack"),
            (file_of(pack(), format_version=2), "format version 2"),
            (file_of(pack(), format_version="1"), "format version 1; 1 is read|format version"),
            (file_of(pack(), format_version=True), "format_version|format version"),
            (file_of({"format": "coachsite-correction-pack"}), "format version None"),
            (file_of({"format": "coachsite-correction-pack", "format_version": 1}), "not as it should be, at the file"),
            (file_of(pack(), more=1), "Additional properties"),
            (file_of(pack(), version=0), "at version"),
            (file_of(pack(), scope="everything"), "at scope"),
            (file_of(pack(), pack_id="a b"), "at pack_id"),
            (file_of(pack(), pack_id="p\n"), "at pack_id"),
            (file_of(pack(), pack_id="import/"), "at pack_id"),
            (file_of(pack(), name="x" * 201), "at name"),
            (file_of(pack(), corrections={}), "at corrections"),
            (file_of(pack(item(1), item(1, "46"))), "the same number"),
            (with_item(changes=[]), "at corrections/0/changes"),
            (with_item(changes=[{"path": "/value"}]), "at corrections/0/changes/0"),
            (with_item(changes=[{"path": "value", "new": 1}]), "at corrections/0/changes/0/path"),
            (with_item(workflow_id="a\n"), "at corrections/0/workflow_id"),
            (with_item(target={"role": ""}), "at corrections/0/target"),
            (with_item(number=True), "at corrections/0/number"),
            (with_item(number=1.5), "at corrections/0/number"),
            (with_item(enabled="yes"), "at corrections/0/enabled"),
            (with_item(changes=[to(1).as_json(), to(2).as_json()]), "same field"),
            (with_item(changes=[to(1, "/a").as_json(), to(2, "/a/b").as_json()]), "same field"),
        ],
    )  # fmt: skip
    def test_what_is_no_pack_is_refused_in_words(self, content: bytes, words: str) -> None:
        with pytest.raises(PackFileError, match=words) as refused:
            read_pack(content)
        assert len(str(refused.value)) < 500

    def test_a_message_does_not_repeat_the_file(self) -> None:
        with pytest.raises(PackFileError) as refused:
            read_pack(file_of(pack(), format_version="x" * 100_000))
        assert len(str(refused.value)) < 500

    def test_ten_mebibytes_and_no_more(self) -> None:
        content = file_of(pack())
        assert read_pack(content + b" " * (MAX_BYTES - len(content))) == pack()
        with pytest.raises(PackFileError, match="larger than 10 MiB"):
            read_pack(content + b" " * (MAX_BYTES - len(content) + 1))

    def test_a_field_that_stands_twice_is_refused(self) -> None:
        content = file_of(pack()).replace(b'"name": "P"', b'"name": "Q", "name": "P"')
        with pytest.raises(PackFileError, match="twice"):
            read_pack(content)

    def test_what_counts_for_behaviour(self) -> None:
        assert content_digest([item(1), item(2, "46")]) == content_digest([item(2, "46"), item(1)])
        assert content_digest([item()]) == content_digest([item(picture="iVBORw0KGgo=")])
        assert content_digest([item()]) != content_digest([item(new="46")])
        assert content_digest([item()]) != content_digest([item(node_id="another")])
        assert item(1).content == item(7, note="why").content


class TestMerging:
    def test_equal_alone_and_contradicting(self) -> None:
        ours = [item(1), item(2, "a", node_id="b"), item(3, "x", node_id="c")]
        theirs = [item(8, "y", node_id="c"), item(9), item(7, "z", node_id="d")]
        found = compare(ours, theirs)
        assert (found.ours, found.theirs, found.equal) == ((ours[1],), (theirs[2],), (ours[0],))
        assert found.conflicts == ((ours[2], theirs[0]),)

    def test_from_other_values_they_do_not_contradict(self) -> None:
        ours, theirs = item(1), item(1, changes=(to("46", old="older"),))
        assert not compare([ours], [theirs]).conflicts
        assert merge_items([ours], [theirs], {}) == ([ours, theirs], [])

    @pytest.mark.parametrize(
        ("choice", "kept", "undecided"),
        [("ours", {"x"}, 0), ("theirs", {"y"}, 0), ("neither", set(), 0), ("whatever", None, 1), (None, None, 1)],
    )
    def test_each_choice(self, choice: str | None, kept: set[str] | None, undecided: int) -> None:
        ours, theirs = [item(3, "x"), item(4, "b", node_id="b")], [item(3, "y")]
        merged, left = merge_items(ours, theirs, {} if choice is None else {3: choice})
        assert len(left) == undecided
        if kept is not None:
            assert {one.changes[0].new for one in merged} == kept | {"b"}

    @given(st.data())
    def test_nothing_is_lost_and_nothing_stands_twice(self, data: st.DataObject) -> None:
        one = st.builds(item, st.just(1), st.sampled_from("xyz"), node_id=st.sampled_from("abc"))
        some = st.lists(one, max_size=5, unique_by=lambda i: i.content)
        sides = [[replace(i, number=n) for n, i in enumerate(data.draw(some), start=1)] for _ in "ab"]
        ours, theirs = sides
        found = compare(ours, theirs)
        mine = [*found.ours, *found.equal, *(pair[0] for pair in found.conflicts)]
        assert sorted(i.number for i in mine) == [i.number for i in ours]
        given_ = [*found.theirs, *(pair[1] for pair in found.conflicts)]
        assert {i.content for i in given_} | {i.content for i in found.equal} >= {i.content for i in theirs}
        assert all(a.place == b.place and a.content != b.content for a, b in found.conflicts)
        assert compare(ours, ours).equal == tuple(ours)
        choices = {a.number: data.draw(st.sampled_from(["ours", "theirs", "neither"])) for a, _ in found.conflicts}
        merged, undecided = merge_items(ours, theirs, choices)
        assert not undecided
        contents = [i.content for i in merged]
        assert len(contents) == len(set(contents))
        for a, b in found.conflicts:
            choice = choices[a.number]
            assert ((a.content in contents), (b.content in contents)) == (choice == "ours", choice == "theirs")
        assert {i.content for i in (*found.ours, *found.equal, *found.theirs)} <= set(contents)


class TestPatches:
    """A difference as RFC 6902, in time that does not grow with the square of what is compared."""

    @given(OBJECT, OBJECT)
    def test_applied_it_makes_the_one_of_the_other(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        assert jsonpatch.apply_patch(before, patch_between(before, after)) == after

    def test_long_lists_are_one_value(self) -> None:
        before, after = {"a": 1, "rows": [*range(20_000)]}, {"rows": [*range(1, 20_000, 2)], "b/c": 2}
        started = time.perf_counter()
        patch = patch_between(before, after)
        assert time.perf_counter() - started < 10
        assert jsonpatch.apply_patch(before, patch) == after
        assert {operation["op"] for operation in patch} == {"add", "remove", "replace"}
