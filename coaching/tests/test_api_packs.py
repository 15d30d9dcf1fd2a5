"""Correction packs over the API: shapes, who may, the whole life of a pack, files, and input that cannot be right."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from coaching.actions.backtests import run_backtest, start_backtest
from coaching.actions.correction_packs import create_pack, publish, revise, submit
from coaching.actions.decisions import Answer, decide
from coaching.actions.pack_items import edit_entry, switch_off
from coaching.actions.pack_use import with_packs
from coaching.actions.sessions import start_session
from coaching.actions.suggestions import Proposal, open_suggestion
from coaching.actions.workflows import set_variable_default
from coaching.models import BackTest, Correction, CorrectionPack, PackConflict, PackItem, Suggestion, Workflow
from coaching.packs import Situation, read_pack

from .test_api_access import PEOPLE, client_of
from .test_api_bad_input import EVIL_JSON, MIB, raw

__all__ = ["client_of"]

TYPE = {"type": "change", "selectors": [["aria/Amount"], ["#amount"]]}
CHANGED = [{"path": "/value", "old": "42.50", "new": "45"}]
STATS = {"right", "wrong", "uses", "success_rate", "wilson_low", "wilson_high"}
SUMMARY = {
    "pack_id", "name", "description", "scope", "status", "active_version", "draft_version", "applied", "reach",
    "open_conflicts", "stats", "created_by", "created_at", "updated_at",
}  # fmt: skip
VERSION = {"number", "active", "draft", "created_at", "published_at", "published_by"}
CORRECTION = {
    "number", "correction_id", "workflow_id", "node_id", "action_type", "target", "changes", "note", "enabled",
    "rejected", "off_since", "off_by", "off_reason", "is_on", "stats",
}  # fmt: skip
CAPTURED = {
    "correction_id", "workflow_id", "node_id", "action_type", "target", "original", "corrected", "changes", "difference",
    "count", "latest", "first_at", "last_at",
}  # fmt: skip
BACKTEST = {
    "backtest_id", "version", "status", "done", "total", "percent", "saved", "broken", "altered", "error", "started_by",
    "started_at", "finished_at",
}  # fmt: skip
FINDING = {"verdict", "session_id", "step_index", "node_id", "decision", "correction", "proposed", "now", "done"}
IN_FILE = {"number", "workflow_id", "node_id", "action_type", "target", "changes", "note", "enabled"}
Decided = Callable[..., Suggestion]


@pytest.fixture
def program(reviewer: User, api: Callable[[User], APIClient]) -> APIClient:
    return api(reviewer)


@pytest.fixture
def decided(browser_workflow: Workflow, ask: Callable[..., Suggestion], coach: User) -> Decided:
    """A suggestion in a session of its own, corrected to this value, or accepted as it is."""

    def done(value: str | None = None, **proposal: Any) -> Suggestion:
        suggestion = ask(start_session(browser_workflow, by=coach), **proposal)
        correction = None if value is None else suggestion.action | {"value": value}
        kind = "accept" if value is None else "correct"
        decide(
            suggestion, Answer(decision=kind, correction=correction, feedback="" if value is None else "Old."), by=coach
        )
        return suggestion

    return done


@pytest.fixture
def pack(decided: Decided, reviewer: User) -> CorrectionPack:
    decided("45")
    return create_pack(name="Amounts", corrections=Correction.objects.all(), by=reviewer)


def back_tested(pack: CorrectionPack, by: User) -> BackTest:
    assert pack.shown
    test = start_backtest(pack.shown, by=by)
    run_backtest(test.pk)
    return test


def published(pack: CorrectionPack, by: User) -> CorrectionPack:
    back_tested(pack, by)
    submit(pack, by=by)
    publish(pack, confirmed=True, by=by)
    return pack


class TestCaptured:
    def test_the_shape(self, program: APIClient, decided: Decided) -> None:
        decided("45")
        last = decided("45")
        (correction,) = program.get("/api/v1/packs/corrections/").json()["results"]
        assert set(correction) == CAPTURED
        assert correction["correction_id"] == str(Correction.objects.get().pk)
        assert (correction["workflow_id"], correction["node_id"]) == ("expense-claim", "change-amount")
        assert (correction["count"], correction["changes"]) == (2, CHANGED)
        assert correction["difference"] == [{"op": "replace", "path": "/value", "value": "45"}]
        assert (correction["original"]["value"], correction["corrected"]["value"]) == ("42.50", "45")
        assert set(correction["target"]) == {"role", "name", "label", "path"}
        assert len(correction["latest"]) == 2
        newest = correction["latest"][0]
        assert newest["session_id"] == last.session.session_id
        assert (newest["decision"], newest["decided_by"], newest["feedback"]) == ("correct", "carl", "Old.")
        assert newest["reason_code"] is None
        assert newest["timestamp"].endswith("Z")

    def test_filters(self, program: APIClient, decided: Decided) -> None:
        decided("45")
        for query, count in (
            ("workflow_id=expense-claim&node_id=change-amount", 1),
            ("workflow_id=other", 0),
            ("node_id=other", 0),
        ):
            assert len(program.get(f"/api/v1/packs/corrections/?{query}").json()["results"]) == count

    def test_suggested_are_those_that_no_pack_covers(self, program: APIClient, decided: Decided) -> None:
        for value in ("45", "46", "46"):
            decided(value)
        (suggested,) = program.get("/api/v1/packs/suggested/").json()["results"]
        assert set(suggested) == CAPTURED
        assert suggested["changes"][0]["new"] == "46"
        body = {"name": "Release 2", "correction_ids": [suggested["correction_id"]]}
        assert program.post("/api/v1/packs/", body).status_code == 201
        assert program.get("/api/v1/packs/suggested/").json() == {"next": None, "results": []}

    def test_the_list_costs_the_same_however_long(
        self, program: APIClient, decided: Decided, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(4):
            decided(str(number))
        # Letting in (4), corrections, when they were made, secrets.
        with django_assert_num_queries(5):
            listed = program.get("/api/v1/packs/corrections/").json()["results"]
        assert [correction["corrected"]["value"] for correction in listed] == ["3", "2", "1", "0"]
        assert through_pages(program, "/api/v1/packs/corrections/?limit=3") == listed


def through_pages(program: APIClient, address: str | None) -> list[Any]:
    seen: list[Any] = []
    while address:
        page = program.get(address).json()
        seen += page["results"]
        address = page["next"]
    return seen


class TestShapes:
    def test_list_and_detail(self, program: APIClient, pack: CorrectionPack, reviewer: User) -> None:
        published(pack, reviewer)
        PackItem.objects.update(right=11, wrong=1)
        (summary,) = program.get("/api/v1/packs/").json()["results"]
        assert set(summary) == SUMMARY
        expected = {
            "pack_id": "amounts", "name": "Amounts", "scope": "step", "status": "published", "active_version": 1,
            "draft_version": None, "applied": 1, "reach": 1, "open_conflicts": 0, "created_by": "rita",
        }  # fmt: skip
        assert summary.items() >= expected.items()
        detail = program.get("/api/v1/packs/amounts/").json()
        assert set(detail) == SUMMARY | {"version", "corrections", "conflicts"}
        assert detail.items() >= summary.items()
        assert set(detail["version"]) == VERSION
        (correction,) = detail["corrections"]
        assert set(correction) == CORRECTION
        assert (correction["number"], correction["changes"], correction["is_on"]) == (1, CHANGED, True)
        assert set(correction["stats"]) == STATS
        assert correction["stats"] == detail["stats"]
        assert correction["stats"]["success_rate"] == pytest.approx(11 / 12)
        assert correction["stats"]["wilson_low"] == pytest.approx(0.646, abs=0.001)
        assert correction["stats"]["wilson_high"] == pytest.approx(0.985, abs=0.001)

    @pytest.mark.usefixtures("pack")
    def test_nothing_is_used_yet(self, program: APIClient) -> None:
        stats = program.get("/api/v1/packs/amounts/").json()["stats"]
        assert stats == dict.fromkeys(STATS) | {"right": 0, "wrong": 0, "uses": 0}

    @pytest.mark.usefixtures("pack")
    def test_filters(self, program: APIClient, reviewer: User) -> None:
        create_pack(name="Empty", by=reviewer)
        for query, names in (
            ("", ["Empty", "Amounts"]),
            ("?status=draft", ["Empty", "Amounts"]),
            ("?status=published", []),
            ("?workflow_id=expense-claim", ["Amounts"]),
            ("?workflow_id=other", []),
        ):
            listed = program.get(f"/api/v1/packs/{query}").json()["results"]
            assert [one["name"] for one in listed] == names

    @pytest.mark.usefixtures("pack")
    def test_the_list_costs_the_same_however_long(
        self,
        program: APIClient,
        reviewer: User,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        for number in range(4):
            create_pack(name=f"Pack {number}", corrections=Correction.objects.all(), by=reviewer)
        # Letting in (4), packs.
        with django_assert_num_queries(3):
            listed = program.get("/api/v1/packs/").json()["results"]
        assert [one["pack_id"] for one in listed] == ["pack-3", "pack-2", "pack-1", "pack-0", "amounts"]
        assert through_pages(program, "/api/v1/packs/?limit=2") == listed

    def test_the_page_of_one_costs_the_same_however_much_is_in_it(
        self, program: APIClient, decided: Decided, reviewer: User, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(6):
            decided(str(number))
        create_pack(name="Few", corrections=Correction.objects.all()[:2], by=reviewer)
        create_pack(name="Many", corrections=Correction.objects.all(), by=reviewer)
        for pack_id, count in (("few", 2), ("many", 6)):
            # Letting in (4), pack, pack of the version, corrections, secrets, conflicts.
            with django_assert_num_queries(7):
                assert len(program.get(f"/api/v1/packs/{pack_id}/").json()["corrections"]) == count

    def test_conflicts_are_shown_with_both_packs_until_one_gives_way(
        self, program: APIClient, pack: CorrectionPack, browser_workflow: Workflow, coach: User, reviewer: User
    ) -> None:
        other = create_pack(name="Other", corrections=Correction.objects.all(), by=reviewer)
        assert other.draft
        edit_entry(other.draft.entries.get(), new={"/value": "46"}, by=reviewer)
        for one in (pack, other):
            published(one, reviewer)
        situation = Situation(workflow_id="expense-claim", node_id="change-amount", action_type="change")
        packs = with_packs(TYPE | {"value": "42.50"}, situation)
        proposal = Proposal(
            step_index=0, node_id="change-amount", action_type="change", action=packs.applied.action, description="Type",
            packs=packs,
        )  # fmt: skip
        open_suggestion(start_session(browser_workflow, by=coach), proposal)
        assert PackConflict.objects.count() == 1
        expected = {
            "pack_id": "amounts", "correction": 1, "other_pack_id": "other", "other_correction": 2, "path": "/value",
            "workflow_id": "expense-claim", "node_id": "change-amount", "seen": 1,
        }  # fmt: skip
        for pack_id in ("amounts", "other"):
            shown = program.get(f"/api/v1/packs/{pack_id}/").json()
            assert shown["open_conflicts"] == 1
            (conflict,) = shown["conflicts"]
            assert conflict.items() >= expected.items()
        switch_off(other.items.all(), by=reviewer)
        assert program.get("/api/v1/packs/amounts/").json()["conflicts"] == []
        assert program.get("/api/v1/packs/").json()["results"][0]["open_conflicts"] == 0


def test_the_whole_life(program: APIClient, decided: Decided) -> None:
    decided("45")
    decided("45")
    accepted = decided()

    def call(method: str, address: str, body: object = None, status: int = 200) -> Any:
        answer = getattr(program, method)(f"/api/v1/packs/{address}", body)
        assert answer.status_code == status, answer.content
        return answer.json()

    (suggested,) = call("get", "suggested/")["results"]
    made = call("post", "", {"name": "Release 2", "correction_ids": [suggested["correction_id"]]}, 201)
    assert (made["pack_id"], made["status"], made["draft_version"]) == ("release-2", "draft", 1)
    changed = call("patch", "release-2/", {"name": "The second", "description": "Why", "scope": "target"})
    assert (changed["name"], changed["description"], changed["scope"]) == ("The second", "Why", "target")

    assert call("post", "release-2/publish/", {}, 409)["errors"][0]["code"] == "illegal_transition"
    assert call("post", "release-2/submit/")["status"] == "in_review"
    assert call("post", "release-2/publish/", {}, 409)["errors"][0]["code"] == "backtest_needed"
    assert call("get", "release-2/backtest/", status=404)
    asked = call("post", "release-2/backtest/", status=202)
    assert set(asked) == BACKTEST
    assert (asked["status"], asked["percent"], asked["version"]) == ("running", 0, 1)
    assert call("post", "release-2/backtest/", status=202) == asked
    run_backtest(int(asked["backtest_id"]))

    test = call("get", "release-2/backtest/")
    assert set(test) == BACKTEST | {"current", "findings"}
    assert (test["status"], test["percent"], test["saved"], test["broken"]) == ("done", 100, 2, 1)
    assert test["current"] is True
    assert {finding["verdict"] for finding in test["findings"]["results"]} == {"saved", "broken"}
    (broken,) = call("get", "release-2/backtest/?verdict=broken")["findings"]["results"]
    assert set(broken) == FINDING
    assert broken["session_id"] == accepted.session.session_id
    assert (broken["proposed"]["value"], broken["now"]["value"], broken["done"]) == ("42.50", "45", None)
    assert (broken["decision"], broken["correction"], broken["node_id"]) == ("accept", 1, "change-amount")
    first = call("get", "release-2/backtest/?limit=2")["findings"]
    assert len(first["results"]) == 2
    assert len(program.get(first["next"]).json()["findings"]["results"]) == 1

    refused = call("post", "release-2/publish/", {}, 409)
    assert refused["errors"][0]["code"] == "breaks_accepted"
    assert set(refused["backtest"]) == BACKTEST
    assert refused["backtest"]["broken"] == 1
    now = call("post", "release-2/publish/", {"confirm": True})
    assert (now["status"], now["active_version"], now["draft_version"], now["applied"]) == ("published", 1, None, 1)

    assert call("post", "release-2/rollback/", {}, 409)["errors"][0]["detail"] == "There is no earlier version."
    assert call("post", "release-2/revise/")["draft_version"] == 2
    edited = call("patch", "release-2/corrections/1/", {"new": {"/value": "47"}, "note": "Rounded."})
    assert (edited["number"], edited["changes"][0]["new"], edited["note"]) == (2, "47", "Rounded.")
    assert call("get", "release-2/backtest/")["current"] is False
    call("post", "release-2/submit/")
    run_backtest(int(call("post", "release-2/backtest/", status=202)["backtest_id"]))
    assert call("post", "release-2/publish/", {"confirm": True})["active_version"] == 2
    versions = call("get", "release-2/versions/")["results"]
    assert [(one["number"], one["active"], one["draft"]) for one in versions] == [(2, True, False), (1, False, False)]
    assert set(versions[0]) == VERSION
    assert call("post", "release-2/rollback/", {"version": 1})["active_version"] == 1
    assert call("post", "release-2/rollback/", {"version": 7}, 409)
    assert call("delete", "release-2/", status=409)["errors"][0]["code"] == "illegal_transition"
    assert call("post", "release-2/retire/")["status"] == "retired"
    assert call("post", "release-2/retire/", status=409)
    assert call("post", "release-2/revise/", status=409)

    log = call("get", "release-2/changes/")["results"]
    assert set(log[0]) == {"at", "by", "what", "version", "words"}
    assert {change["by"] for change in log} == {"rita"}
    assert [change["what"] for change in reversed(log)] == [
        "created", "added", "changed", "submitted", "published", "revised", "edited", "submitted", "published",
        "rolled back", "retired",
    ]  # fmt: skip


def test_another_scope_needs_another_back_test(program: APIClient, pack: CorrectionPack, reviewer: User) -> None:
    back_tested(pack, reviewer)
    submit(pack, by=reviewer)
    assert program.patch("/api/v1/packs/amounts/", {"scope": "target"}).status_code == 200
    assert program.get("/api/v1/packs/amounts/backtest/").json()["current"] is False
    refused = program.post("/api/v1/packs/amounts/publish/", {"confirm": True})
    assert refused.json()["errors"][0]["code"] == "backtest_needed"


def test_a_draft_can_be_deleted(program: APIClient, pack: CorrectionPack) -> None:
    assert program.delete("/api/v1/packs/amounts/").status_code == 204
    assert program.get("/api/v1/packs/amounts/").status_code == 404
    assert Correction.objects.count() == 1


class TestCorrections:
    def test_more_are_taken_in(
        self, program: APIClient, pack: CorrectionPack, decided: Decided, reviewer: User
    ) -> None:
        decided("46")
        ids = [str(pk) for pk in Correction.objects.values_list("pk", flat=True)]
        shown = program.post("/api/v1/packs/amounts/corrections/", {"correction_ids": ids}).json()
        assert [one["number"] for one in shown["corrections"]] == [1, 2]
        published(pack, reviewer)
        answer = program.post("/api/v1/packs/amounts/corrections/", {"correction_ids": ids})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "illegal_transition")

    @pytest.mark.usefixtures("pack")
    def test_left_out_taken_in_rejected(self, program: APIClient) -> None:
        address = "/api/v1/packs/amounts/corrections/1/"
        out = program.patch(address, {"enabled": False}).json()
        assert (out["enabled"], out["is_on"]) == (False, False)
        rejected = program.patch(address, {"rejected": "Not ours."}).json()
        assert (rejected["rejected"], rejected["is_on"]) == ("Not ours.", False)
        back = program.patch(address, {"enabled": True}).json()
        assert (back["enabled"], back["rejected"], back["is_on"]) == (True, None, True)

    def test_switched_off_and_on_though_published(
        self, program: APIClient, pack: CorrectionPack, reviewer: User
    ) -> None:
        published(pack, reviewer)
        PackItem.objects.update(right=3, wrong=4)
        address = "/api/v1/packs/amounts/corrections/1/"
        off = program.patch(address, {"off": True, "reason": "It is gone."}).json()
        assert (off["off_by"], off["off_reason"], off["is_on"]) == ("rita", "It is gone.", False)
        assert off["off_since"].endswith("Z")
        on = program.patch(address, {"off": False}).json()
        assert (on["off_since"], on["off_by"], on["is_on"], on["stats"]["uses"]) == (None, None, True, 0)
        refused = program.patch(address, {"new": {"/value": "1"}})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "illegal_transition")

    def test_all_that_is_given_or_nothing(self, program: APIClient, pack: CorrectionPack, reviewer: User) -> None:
        before = program.get("/api/v1/packs/amounts/").json()
        address = "/api/v1/packs/amounts/corrections/1/"
        bad = {"new": {"/value": "1", "/url": "2"}, "note": "Half", "off": True}
        assert program.patch(address, bad).json()["errors"][0]["attr"] == "new"
        published(pack, reviewer)
        assert program.patch(address, {"off": True, "reason": "x", "enabled": False}).status_code == 409
        after = program.get("/api/v1/packs/amounts/").json()
        assert after["corrections"] == before["corrections"]

    @pytest.mark.usefixtures("pack")
    def test_one_that_is_not_shown_is_a_404(self, program: APIClient) -> None:
        for number in ("2", "0", "9" * 40):
            assert program.patch(f"/api/v1/packs/amounts/corrections/{number}/", {}).status_code == 404
        assert program.patch("/api/v1/packs/amounts/corrections/1/", {}).status_code == 200


class TestSecrets:
    @pytest.fixture
    def secret(self, browser_workflow: Workflow, decided: Decided, reviewer: User) -> CorrectionPack:
        """A pack that puts a field for the password in another's place, and a secret in place of more than that."""
        set_variable_default(
            browser_workflow.variables.create(name="password", label="P", secret=True), "swordfish-4711"
        )
        typing = TYPE | {"value": "{{ password }}"}
        suggestion = decided(action=TYPE | {"value": "{{ password }} old"})
        start = start_session(browser_workflow, by=suggestion.decision.user or reviewer)
        proposal = Proposal(
            step_index=0,
            node_id="change-amount",
            action_type="change",
            action=TYPE | {"value": "{{ password }} old"},
            description="x",
        )
        answer = Answer(decision="correct", correction=typing)
        decide(open_suggestion(start, proposal), answer, by=reviewer)
        pack = create_pack(name="Secret", corrections=Correction.objects.all(), by=reviewer)
        back_tested(pack, reviewer)
        return pack

    @pytest.mark.usefixtures("secret")
    def test_read_as_stars_everywhere(self, program: APIClient) -> None:
        addresses = ("packs/corrections/", "packs/secret/", "packs/secret/backtest/")
        answers = [program.get(f"/api/v1/{address}") for address in addresses]
        file = program.get("/api/v1/packs/secret/export/")
        preview = program.post("/api/v1/packs/import/?preview=true", file.json())
        assert preview.status_code == 200
        for answer in (*answers, preview):
            assert b"***" in answer.content
            assert b"{{ password }}" not in answer.content
        for answer in (*answers, preview, file):
            assert b"swordfish" not in answer.content
        assert file.json()["corrections"][0]["changes"][0]["new"] == "{{ password }}"

    @pytest.mark.usefixtures("secret")
    def test_stars_sent_back_leave_it(self, program: APIClient) -> None:
        address = "/api/v1/packs/secret/corrections/1/"
        assert program.patch(address, {"new": {"/value": "***"}}).json()["number"] == 1
        assert program.get("/api/v1/packs/secret/export/").json()["corrections"][0]["changes"][0]["new"] == (
            "{{ password }}"
        )


class TestFiles:
    @pytest.fixture
    def file(self, program: APIClient, pack: CorrectionPack) -> dict[str, Any]:
        answer = program.get(f"/api/v1/packs/{pack.pack_id}/export/")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="amounts-v1.json"'
        assert answer.headers["Content-Type"] == "application/json"
        exported: dict[str, Any] = answer.json()
        assert read_pack(answer.content).pack_id == "amounts"
        return exported

    def test_any_version_is_exported(self, program: APIClient, pack: CorrectionPack, reviewer: User) -> None:
        published(pack, reviewer)
        edit_entry(revise(pack, by=reviewer).entries.get(), new={"/value": "46"}, by=reviewer)
        for query, version, new in (("", 1, "45"), ("?version=1", 1, "45"), ("?version=2", 2, "46")):
            exported = program.get(f"/api/v1/packs/amounts/export/{query}").json()
            assert (exported["version"], exported["corrections"][0]["changes"][0]["new"]) == (version, new)
        assert program.get("/api/v1/packs/amounts/export/?version=3").status_code == 404

    @pytest.mark.usefixtures("pack")
    def test_a_form_and_a_body_are_imported_alike(self, program: APIClient, file: dict[str, Any]) -> None:
        for send in (as_body, as_form):
            assert program.delete("/api/v1/packs/amounts/").status_code == 204
            answer = send(program, "", file)
            assert answer.status_code == 201, answer.content
            imported = answer.json()
            assert (imported["pack_id"], imported["status"], imported["draft_version"]) == ("amounts", "draft", 1)
            assert imported["corrections"][0]["changes"] == CHANGED
            assert program.get("/api/v1/packs/amounts/export/").json() == file

    def test_a_preview_stores_nothing(
        self, program: APIClient, pack: CorrectionPack, file: dict[str, Any], reviewer: User
    ) -> None:
        def preview() -> Any:
            answers = [send(program, "?preview=true", file) for send in (as_body, as_form)]
            assert [answer.status_code for answer in answers] == [200, 200]
            assert answers[0].json() == answers[1].json()
            return answers[0].json()

        equal = preview()
        assert set(equal) == {"pack_id", "name", "version", "exists", "new", "conflicts", "equal"}
        assert (len(equal["equal"]), equal["new"], equal["conflicts"], equal["exists"]) == (1, [], [], True)
        assert set(equal["equal"][0]) == IN_FILE
        assert pack.draft
        edit_entry(pack.draft.entries.get(), new={"/value": "46"}, by=reviewer)
        (conflict,) = preview()["conflicts"]
        assert [conflict[side]["changes"][0]["new"] for side in ("ours", "theirs")] == ["46", "45"]
        program.delete("/api/v1/packs/amounts/")
        new = preview()
        assert (len(new["new"]), new["exists"]) == (1, False)
        assert not CorrectionPack.objects.exists()

    @pytest.mark.parametrize(("side", "values"), [("ours", ["46"]), ("theirs", ["45"]), ("neither", [])])
    def test_conflicts_need_a_choice(  # noqa: PLR0917 - fixtures and a table's columns
        self,
        program: APIClient,
        pack: CorrectionPack,
        file: dict[str, Any],
        reviewer: User,
        side: str,
        values: list[str],
    ) -> None:
        assert pack.draft
        edit_entry(pack.draft.entries.get(), new={"/value": "46"}, by=reviewer)
        for send in (as_body, as_form):
            refused = send(program, "", file)
            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "undecided_conflicts")
            (conflict,) = refused.json()["conflicts"]
            assert set(conflict) == {"ours", "theirs"}
            assert set(conflict["ours"]) == IN_FILE
        choices = json.dumps({str(conflict["ours"]["number"]): side})
        imported = as_form(program, "", file, choices=choices)
        assert imported.status_code == 201, imported.content
        assert [one["changes"][0]["new"] for one in imported.json()["corrections"]] == values

    def test_choices_go_into_the_address_of_a_body(
        self, program: APIClient, pack: CorrectionPack, file: dict[str, Any], reviewer: User
    ) -> None:
        assert pack.draft
        edit_entry(pack.draft.entries.get(), new={"/value": "46"}, by=reviewer)
        imported = as_body(program, '?choices={"2":"theirs"}', file).json()
        assert [one["changes"][0]["new"] for one in imported["corrections"]] == ["45"]

    def test_what_was_tampered_with_is_refused(self, program: APIClient, file: dict[str, Any]) -> None:
        for changes in ({"name": "Other"}, {"sha256": "0" * 64}, {"format_version": 2}, {"format": "x"}, {"more": 1}):
            answer = as_body(program, "?preview=true", file | changes)
            assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "file")

    @pytest.mark.usefixtures("pack")
    def test_merging(self, program: APIClient, decided: Decided, reviewer: User) -> None:
        decided("46", action=TYPE | {"value": "1"})
        other = create_pack(name="Other", corrections=Correction.objects.all(), by=reviewer)
        merged = program.post("/api/v1/packs/amounts/merge/", {"other": "other"})
        assert merged.status_code == 200, merged.content
        assert len(merged.json()["corrections"]) == 2
        assert other.draft
        edit_entry(other.draft.entries.get(item__number=1), new={"/value": "47"}, by=reviewer)
        refused = program.post("/api/v1/packs/amounts/merge/", {"other": "other"})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "undecided_conflicts")
        number = str(refused.json()["conflicts"][0]["ours"]["number"])
        body = {"other": "other", "choices": {number: "theirs"}}
        now = program.post("/api/v1/packs/amounts/merge/", body).json()["corrections"]
        assert sorted(one["changes"][0]["new"] for one in now) == ["45", "47"]
        assert program.post("/api/v1/packs/amounts/merge/", {"other": "nowhere"}).status_code == 404
        itself = program.post("/api/v1/packs/amounts/merge/", {"other": "amounts"})
        assert (itself.status_code, itself.json()["errors"][0]["attr"]) == (400, "other")


def as_body(program: APIClient, query: str, file: dict[str, Any]) -> Any:
    return program.post(f"/api/v1/packs/import/{query}", file)


def as_form(program: APIClient, query: str, file: dict[str, Any], **fields: str) -> Any:
    part = SimpleUploadedFile("pack.json", json.dumps(file).encode(), content_type="application/json")
    return program.post(f"/api/v1/packs/import/{query}", {"file": part, **fields}, format="multipart")


READ = (401, 403, 200, 200, 200, 200)


def review(status: int) -> tuple[int, ...]:
    return (401, 403, 403, 403, status, status)


CASES: list[tuple[str, str, object, tuple[int, ...]]] = [
    ("get", "", None, READ),
    ("post", "", {"name": "New"}, review(201)),
    ("get", "suggested/", None, READ),
    ("get", "corrections/", None, READ),
    ("post", "import/", {}, review(400)),
    ("get", "amounts/", None, READ),
    ("patch", "amounts/", {"name": "New"}, review(200)),
    ("delete", "amounts/", None, review(204)),
    ("post", "amounts/corrections/", {"correction_ids": []}, review(200)),
    ("patch", "amounts/corrections/1/", {"enabled": False}, review(200)),
    ("post", "amounts/revise/", None, review(200)),
    ("post", "amounts/submit/", None, review(200)),
    ("get", "amounts/backtest/", None, READ),
    ("post", "amounts/backtest/", None, review(202)),
    ("post", "amounts/publish/", None, review(409)),
    ("post", "amounts/retire/", None, review(200)),
    ("post", "amounts/rollback/", None, review(409)),
    ("get", "amounts/versions/", None, READ),
    ("get", "amounts/changes/", None, READ),
    ("get", "amounts/export/", None, READ),
    ("post", "amounts/merge/", {"other": "amounts"}, review(400)),
]


@pytest.mark.parametrize(
    ("call", "person", "status"),
    [
        pytest.param((method, address, body), person, status, id=f"{method} {address} {person}")
        for method, address, body, answers in CASES
        for person, status in zip(PEOPLE, answers, strict=True)
    ],
)
def test_access(  # noqa: PLR0917 - fixtures and a table's columns
    call: tuple[str, str, object],
    person: str,
    status: int,
    pack: CorrectionPack,
    reviewer: User,
    client_of: Callable[[str], APIClient],
) -> None:
    back_tested(pack, reviewer)
    before = pack.changes.count()
    method, address, body = call
    answer = getattr(client_of(person), method)(f"/api/v1/packs/{address}", body, format="json")
    assert answer.status_code == status, answer.content
    if status in {401, 403}:
        assert pack.changes.count() == before


class TestBadInput:
    @pytest.mark.parametrize("body", EVIL_JSON.values(), ids=EVIL_JSON.keys())
    @pytest.mark.parametrize(
        ("method", "address"),
        [
            ("POST", "packs/"),
            ("PATCH", "packs/amounts/"),
            ("POST", "packs/import/"),
            ("POST", "packs/amounts/corrections/"),
            ("PATCH", "packs/amounts/corrections/1/"),
            ("POST", "packs/amounts/publish/"),
            ("POST", "packs/amounts/merge/"),
            ("POST", "packs/amounts/retire/"),
        ],
    )
    def test_evil_json(self, program: APIClient, pack: CorrectionPack, method: str, address: str, body: bytes) -> None:
        before = pack.changes.count()
        assert raw(program, method, address, body.replace(b'"metadata"', b'"new"'))[0] == 400
        assert (CorrectionPack.objects.count(), pack.changes.count()) == (1, before)

    @pytest.mark.parametrize(
        ("method", "address", "body", "attr"),
        [
            ("post", "", {}, "name"),
            ("post", "", {"name": " "}, "name"),
            ("post", "", {"name": "x" * 201}, "name"),
            ("post", "", {"name": ["x"]}, "name"),
            ("post", "", {"name": "x", "status": "published"}, "status"),
            ("post", "", {"name": "x", "scope": "world"}, "scope"),
            ("post", "", {"name": "x", "pack_id": "a b"}, "pack_id"),
            ("post", "", {"name": "x", "pack_id": "amounts"}, "pack_id"),
            ("post", "", {"name": "x", "pack_id": "import"}, "pack_id"),
            ("post", "", {"name": "x", "pack_id": "suggested"}, "pack_id"),
            ("post", "", {"name": "x", "pack_id": "corrections"}, "pack_id"),
            ("post", "", {"name": "x", "description": "x" * 10_001}, "description"),
            ("post", "", {"name": "x", "correction_ids": "12"}, "correction_ids"),
            ("post", "", {"name": "x", "correction_ids": {"a": 1}}, "correction_ids"),
            ("post", "", {"name": "x", "correction_ids": ["999999"]}, "correction_ids"),
            ("post", "", {"name": "x", "correction_ids": ["9" * 30]}, "correction_ids.0"),
            ("post", "", {"name": "x", "correction_ids": [10**40]}, "correction_ids.0"),
            ("post", "", {"name": "x", "correction_ids": [True]}, "correction_ids.0"),
            ("post", "", {"name": "x", "correction_ids": [["1"]]}, "correction_ids.0"),
            ("patch", "amounts/", {"active": 1}, "active"),
            ("patch", "amounts/", {"name": None}, "name"),
            ("post", "amounts/corrections/", {}, "correction_ids"),
            ("post", "amounts/corrections/", {"ids": []}, "ids"),
            ("patch", "amounts/corrections/1/", {"right": 9}, "right"),
            ("patch", "amounts/corrections/1/", {"new": {"/nothing": 1}}, "new"),
            ("patch", "amounts/corrections/1/", {"new": []}, "new"),
            ("patch", "amounts/corrections/1/", {"new": "x"}, "new"),
            ("patch", "amounts/corrections/1/", {"note": "x" * 10_001}, "note"),
            ("patch", "amounts/corrections/1/", {"rejected": ""}, "rejected"),
            ("patch", "amounts/corrections/1/", {"rejected": "x", "enabled": True}, "rejected"),
            ("patch", "amounts/corrections/1/", {"reason": "x"}, "reason"),
            ("patch", "amounts/corrections/1/", {"off": "perhaps"}, "off"),
            ("post", "amounts/submit/", {"because": "x"}, "because"),
            ("post", "amounts/revise/", {"because": "x"}, "because"),
            ("post", "amounts/backtest/", {"because": "x"}, "because"),
            ("post", "amounts/retire/", {"because": "x"}, "because"),
            ("post", "amounts/publish/", {"confirmed": True}, "confirmed"),
            ("post", "amounts/publish/", {"confirm": "perhaps"}, "confirm"),
            ("post", "amounts/rollback/", {"version": 0}, "version"),
            ("post", "amounts/rollback/", {"version": 10**30}, "version"),
            ("post", "amounts/rollback/", {"to": 1}, "to"),
            ("post", "amounts/merge/", {}, "other"),
            ("post", "amounts/merge/", {"other": "amounts", "choices": {"x": "ours"}}, "choices"),
            ("post", "amounts/merge/", {"other": "amounts", "choices": {"1": "both"}}, "choices"),
            ("post", "amounts/merge/", {"other": "amounts", "choices": {"9" * 5000: "ours"}}, "choices"),
            ("post", "amounts/merge/", {"other": "amounts", "choices": []}, "choices"),
            ("post", "import/", {"format": "coachsite-correction-pack"}, "file"),
            ("post", "import/", [], "file"),
            ("post", "import/?priview=true", {}, "priview"),
            ("post", "import/?preview=perhaps", {}, "preview"),
            ("post", "import/?choices=x", {}, "choices"),
            ("post", "import/?choices=" + "[" * 4000, {}, "choices"),
            ("post", 'import/?choices={"1":"both"}', {}, "choices"),
            ("post", "import/?choices=[]", {}, "choices"),
        ],
    )
    def test_names_the_field(  # noqa: PLR0917 - fixtures and a table's columns
        self, program: APIClient, pack: CorrectionPack, method: str, address: str, body: object, attr: str
    ) -> None:
        before = pack.changes.count()
        answer = getattr(program, method)(f"/api/v1/packs/{address}", body)
        assert answer.status_code == 400, answer.content
        assert answer.json()["type"] == "validation_error"
        assert answer.json()["errors"][0]["attr"].startswith(attr)
        assert (CorrectionPack.objects.count(), pack.changes.count()) == (1, before)

    @pytest.mark.parametrize(
        "address",
        [
            "packs/?limit=0",
            "packs/?status=done",
            "packs/?workflow_id=%00",
            "packs/?cursor=nonsense",
            "packs/?cursor=WyJ4IiwgMV0=",
            "packs/suggested/?limit=x",
            "packs/corrections/?node_id=%00",
            "packs/amounts/backtest/?verdict=same",
            "packs/amounts/backtest/?cursor=WzEsIDFd",
            "packs/amounts/versions/?limit=501",
            "packs/amounts/changes/?cursor=x",
            "packs/amounts/export/?version=0",
            "packs/amounts/export/?version=99999999999999999999",
        ],
    )
    def test_bad_query_parameters(self, program: APIClient, pack: CorrectionPack, reviewer: User, address: str) -> None:
        back_tested(pack, reviewer)
        assert raw(program, "GET", address, b"")[0] == 400

    @pytest.mark.usefixtures("pack")
    @pytest.mark.parametrize(
        "address", ["nowhere/", "nowhere/backtest/", "nowhere/export/", "n%C3%B6/", "%00/", "x" * 3000 + "/"]
    )
    def test_what_does_not_exist_is_a_404(self, program: APIClient, address: str) -> None:
        assert raw(program, "GET", f"packs/{address}", b"") == (404, "not_found")

    @pytest.mark.usefixtures("pack")
    @pytest.mark.parametrize(
        ("address", "size"), [("packs/", MIB), ("packs/amounts/merge/", MIB), ("packs/import/", 10 * MIB)]
    )
    def test_bodies_that_are_too_large(self, program: APIClient, address: str, size: int) -> None:
        assert raw(program, "POST", address, b'{"a": "' + b"x" * size + b'"}') == (413, "too_large")
        assert raw(program, "POST", address, b'{"a": "' + b"x" * (size - 9) + b'"}')[0] == 400

    def test_forms_that_are_none(self, program: APIClient) -> None:
        assert raw(program, "POST", "packs/import/", b"")[0] == 400
        assert raw(program, "POST", "packs/import/", b"x", "multipart/form-data; boundary=b")[0] == 400
        assert raw(program, "POST", "packs/import/", b"a=b", "application/x-www-form-urlencoded")[0] == 415
        large = program.post(
            "/api/v1/packs/import/", {"file": SimpleUploadedFile("p.json", b" " * (10 * MIB + 1))}, format="multipart"
        )
        assert (large.status_code, large.json()["errors"][0]["code"]) == (413, "too_large")
        more = as_form(program, "", {}, nmae="x")
        assert (more.status_code, more.json()["errors"][0]["attr"]) == (400, "nmae")
