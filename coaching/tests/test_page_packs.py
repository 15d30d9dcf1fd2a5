"""Packs as pages: the list, a pack with everything that can be done to it, sharing, and where else they show."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from coaching.actions.backtests import run_backtest, start_backtest
from coaching.actions.correction_packs import create_pack, export, publish, retire, revise, submit
from coaching.actions.decisions import Answer, decide
from coaching.actions.pack_items import edit_entry, reject_entry, set_enabled, switch_off
from coaching.actions.pack_use import with_packs
from coaching.actions.sessions import start_session
from coaching.models import (
    BackTest,
    Correction,
    CorrectionPack,
    PackConflict,
    PackItem,
    PackUse,
    PackVersion,
    Session,
    Suggestion,
    Workflow,
)
from coaching.packs import Situation
from conftest import TYPE

SignIn = Callable[[User], Client]
Ask = Callable[..., Suggestion]
Correct = Callable[..., None]

LIST = reverse("pack-list")
IMPORT = reverse("pack-import")
SUGGESTED = TYPE | {"value": "42.50"}
BOX = {"found": True, "box": [400, 300, 120, 30]}


@pytest.fixture
def correct(ask: Ask, coach: User) -> Correct:
    """Has the coach correct the amount in this session, as often as wanted."""

    def corrected(session: Session, value: str = "<b>45</b>", times: int = 1, **answer: Any) -> None:
        for _ in range(times):
            suggestion = ask(session, screenshot=b"\x89PNG", target=BOX)
            decide(suggestion, Answer(decision="correct", correction=SUGGESTED | {"value": value}, **answer), by=coach)

    return corrected


@pytest.fixture
def pack(session: Session, correct: Correct, reviewer: User) -> CorrectionPack:
    """A draft with one correction, which was made twice."""
    correct(session, times=2, reason_code="wrong_value", feedback="Tax <i>included</i>")
    return create_pack(name="Amounts", corrections=Correction.objects.all(), by=reviewer)


@pytest.fixture
def visitor(reviewer: User, sign_in: SignIn) -> Client:
    return sign_in(reviewer)


def at(name: str, pack: CorrectionPack, *more: object) -> str:
    return reverse(name, args=[pack.pack_id, *more])


def replayed(pack: CorrectionPack, by: User) -> BackTest:
    pack.refresh_from_db()
    assert pack.shown
    run_backtest(start_backtest(pack.shown, by=by).pk)
    return BackTest.objects.latest("pk")


def published(pack: CorrectionPack, by: User) -> PackVersion:
    replayed(pack, by)
    if pack.status != CorrectionPack.Status.IN_REVIEW:
        submit(pack, by=by)
    return publish(pack, confirmed=True, by=by)


def proposed_by_packs(ask: Ask, session: Session, action: dict[str, Any] | None = None) -> Suggestion:
    """What a runner would ask, with published packs applied."""
    situation = Situation(workflow_id=session.workflow.workflow_id, node_id="change-amount", action_type="change")
    packs = with_packs(action or SUGGESTED, situation)
    return ask(session, action=packs.applied.action, packs=packs, provenance=packs.provenance)


def queries(visitor: Client, address: str) -> int:
    visitor.get(address)
    with CaptureQueriesContext(connection) as captured:
        assert visitor.get(address).status_code == 200
    return len(captured)


# ---- who may


def forms(pack: CorrectionPack) -> list[str]:
    names = ("change", "revise", "submit", "publish", "rollback", "retire", "delete", "merge", "backtest-start")
    numbered = [at("pack-correction-edit", pack, 1), at("pack-correction-reject", pack, 1)]
    return [LIST, IMPORT, at("pack-corrections", pack), *numbered, *(at(f"pack-{name}", pack) for name in names)]


def test_who_may_see_and_who_may_act(
    pack: CorrectionPack, stranger: User, viewer: User, coach: User, *, owner: User, sign_in: SignIn, client: Client
) -> None:
    pages = [LIST, at("pack-detail", pack), at("pack-export", pack)]
    review_pages = [IMPORT, at("pack-publish", pack), at("pack-merge", pack)]
    for address in [*pages, *review_pages]:
        assert client.get(address).status_code == 302, address
        assert sign_in(stranger).get(address).status_code == 403, address
    for user in (viewer, coach):
        for address in pages:
            answer = sign_in(user).get(address)
            assert answer.status_code == 200, address
            text = answer.content.decode().replace('<button class="quiet">Sign out</button>', "")
            assert "<button" not in text.replace('<button class="small quiet">Filter</button>', ""), address
            assert 'type="checkbox"' not in text, address
        for address in review_pages:
            assert sign_in(user).get(address).status_code == 403, address
    for user in (stranger, viewer, coach):
        for address in forms(pack):
            assert sign_in(user).post(address).status_code == 403, address
    for address in [*pages, *review_pages]:
        assert sign_in(owner).get(address).status_code == 200, address
    pack.refresh_from_db()
    assert (pack.status, pack.changes.count()) == ("draft", 2)


def test_what_is_not_there(visitor: Client, pack: CorrectionPack) -> None:
    for name in ("pack-detail", "pack-export", "pack-publish", "pack-merge", "pack-backtest"):
        assert visitor.get(reverse(name, args=["none"])).status_code == 404, name
    assert visitor.post(reverse("pack-submit", args=["none"])).status_code == 404
    assert visitor.get(at("pack-submit", pack)).status_code == 405
    assert visitor.get(at("pack-export", pack), {"version": "9"}).status_code == 409


@pytest.mark.parametrize("nonsense", ["a\0b", "x" * 20_000, "-1", "9" * 400, "\ufffd", "<script>"])
def test_nonsense_is_answered_in_words(visitor: Client, pack: CorrectionPack, nonsense: str) -> None:
    names = ("name", "scope", "to", "do", "number", "reason", "new-0", "note", "other", "correction", "pack", "seen")
    form = dict.fromkeys((*names, "kept", "choice-1"), nonsense)
    # A note and a reason may say anything, and these need no form at all.
    fine = {at(f"pack-{name}", pack) for name in ("revise", "backtest-start")}
    fine |= {at("pack-correction-edit", pack, 1), at("pack-correction-reject", pack, 1)}
    for address in forms(pack):
        if address not in {at("pack-retire", pack), at("pack-delete", pack), at("pack-submit", pack)}:
            answer = visitor.post(address, form)
            assert answer.status_code in ({302, 400, 409} if address in fine else {400, 409}), address
    query = dict.fromkeys(("workflow", "state", "text", "version", "from", "to", "page"), nonsense)
    for address in (at("pack-detail", pack), at("pack-backtest", pack), at("pack-merge", pack)):
        assert visitor.get(address, query).status_code in {200, 302, 400}, address


# ---- the list


class TestTheList:
    def test_says_what_comes_while_there_is_nothing(self, visitor: Client, viewer: User, sign_in: SignIn) -> None:
        assertContains(visitor.get(LIST), "Once a coach has made the same correction twice")
        assertContains(visitor.get(LIST), "import a pack")
        assertNotContains(sign_in(viewer).get(LIST), "import a pack")

    def test_suggests_what_was_corrected_twice(
        self, visitor: Client, viewer: User, sign_in: SignIn, session: Session, correct: Correct
    ) -> None:
        correct(session)
        assertNotContains(visitor.get(LIST), "made at least twice, and")
        correct(session)
        correct(session, "46")
        shown = visitor.get(LIST)
        assertContains(shown, "<strong>1 correction</strong> of ‘")
        assertContains(shown, "Type “42.50” into “Amount”")
        assertContains(shown, "Type “&lt;b&gt;45&lt;/b&gt;” into “Amount”")
        assertContains(shown, "2 times")
        assertContains(shown, "Make a pack")
        assertNotContains(sign_in(viewer).get(LIST), "Make a pack")

    def test_one_press_makes_one_pack(self, visitor: Client, session: Session, correct: Correct) -> None:
        correct(session, times=2)
        form = {"correction": [str(Correction.objects.get().pk)]}
        answer = visitor.post(LIST, form, follow=True)
        assertContains(answer, "The corrections are in the draft of ‘Expense claim’.")
        assertContains(visitor.post(LIST, form), "in a pack already", status_code=409)
        assert CorrectionPack.objects.count() == 1
        assertNotContains(visitor.get(LIST), "made at least twice, and")

    def test_with_scripts_it_goes_there_and_says_what_is_wrong(
        self, visitor: Client, session: Session, correct: Correct
    ) -> None:
        correct(session, times=2)
        form = {"correction": [str(Correction.objects.get().pk)]}
        made = visitor.post(LIST, form, headers={"HX-Request": "true"})
        assert made["HX-Redirect"] == CorrectionPack.objects.get().get_absolute_url()
        again = visitor.post(LIST, form, headers={"HX-Request": "true"})
        assert (again.status_code, again["HX-Retarget"]) == (409, "#notice")
        assert "<html" not in again.content.decode()

    def test_takes_them_into_another_packs_draft(
        self, visitor: Client, pack: CorrectionPack, session: Session, correct: Correct, reviewer: User
    ) -> None:
        published(pack, reviewer)
        correct(session, "46", times=2)
        new = Correction.objects.uncovered().get()
        assertContains(visitor.get(LIST), "the draft of “Amounts”")
        assertRedirects(visitor.post(LIST, {"correction": [new.pk], "pack": pack.pack_id}), pack.get_absolute_url())
        pack.refresh_from_db()
        assert pack.draft
        assert pack.draft.entries.count() == 2
        assert visitor.post(LIST, {"correction": [new.pk], "pack": "none"}).status_code == 400

    def test_shows_how_each_does(
        self, visitor: Client, pack: CorrectionPack, reviewer: User, browser_workflow: Workflow
    ) -> None:
        published(pack, reviewer)
        item = pack.items.get()
        PackItem.objects.update(right=41, wrong=3)
        PackConflict.objects.create(
            item=item, other=item, workflow=browser_workflow, node_id="change-amount", path="/value"
        )
        shown = visitor.get(LIST)
        for words in ("v1 applies", "1 step of 1 workflow", "41 of 44 = 93 %", "82 % to 98 %", "1 conflict"):
            assertContains(shown, words)
        switch_off([item], by=None, reason="Wrong too often: right 1 of 9 times.")
        assertContains(visitor.get(LIST), "switched itself off")
        assertContains(visitor.get(LIST), "right 1 of 9 times")

    def test_draws_what_was_saved_and_made(
        self, visitor: Client, pack: CorrectionPack, reviewer: User, *, session: Session, ask: Ask, coach: User
    ) -> None:
        published(pack, reviewer)
        decide(proposed_by_packs(ask, session), Answer(decision="accept"), by=coach)
        day = PackUse.objects.get().at.date().isoformat()
        assertContains(visitor.get(LIST), f'<th scope="row">{day}</th><td>1</td><td>2</td>')

    def test_takes_the_same_queries_for_2_packs_and_for_20(
        self, visitor: Client, pack: CorrectionPack, reviewer: User, session: Session, correct: Correct
    ) -> None:
        published(pack, reviewer)
        switch_off(pack.items.all(), by=None)
        correct(session, "46", times=2)
        create_pack(name="Other", by=reviewer)
        few = queries(visitor, LIST)
        for number in range(20):
            other = create_pack(name=f"P{number}", corrections=Correction.objects.all(), by=reviewer)
            switch_off(other.items.all(), by=None)
            correct(session, f"v{number}", times=2)
        assert queries(visitor, LIST) == few <= 16


# ---- a pack


class TestAPack:
    def test_shows_corrections_in_words_with_picture_and_what_coaches_said(
        self, visitor: Client, pack: CorrectionPack, session: Session
    ) -> None:
        PackItem.objects.update(right=11, wrong=1)
        shown = visitor.get(pack.get_absolute_url())
        for words in (
            "Type “42.50” into “Amount”", "Type “&lt;b&gt;45&lt;/b&gt;” into “Amount”", "step 2 change-amount",
            "made 2 times in 1 session", "right 11 of 12 times", "65 % to 99 %", "wrong value",
            "“Tax &lt;i&gt;included&lt;/i&gt;”", "nothing of it applies", "Not tested yet.",
            "Submit version 1 for review",
        ):  # fmt: skip
            assertContains(shown, words)
        picture = reverse("suggestion-screenshot", args=[session.session_id, 2])
        assertContains(shown, f'<image href="{picture}" width="1280" height="720"/>')
        assertContains(shown, 'viewBox="250 239 420 151"')
        assertContains(shown, f'href="{session.get_absolute_url()}"')

    def test_says_how_each_correction_stands_and_why(
        self, visitor: Client, pack: CorrectionPack, reviewer: User
    ) -> None:
        published(pack, reviewer)
        here = pack.get_absolute_url()
        assertContains(visitor.get(here), '<span class="tag auto">applies</span>')
        switch_off(pack.items.all(), by=reviewer, reason="Not this month")
        assertContains(visitor.get(here), "Not this month")
        switched = PackItem.objects.get()
        entry = revise(pack, by=reviewer).entries.get()
        set_enabled([entry], enabled=False, by=reviewer)
        assertContains(visitor.get(here), '<span class="tag">left out</span>')
        reject_entry(entry, reason="Not <i>ours</i>", by=reviewer)
        assertContains(visitor.get(here), "Not &lt;i&gt;ours&lt;/i&gt;")
        PackItem.objects.filter(pk=switched.pk).update(off_by="policy")
        assertContains(visitor.get(here, {"version": "1"}), "switched itself off")

    @pytest.mark.parametrize(
        ("query", "is_found"),
        [
            ({"workflow": "expense-claim"}, True), ({"workflow": "other"}, False), ({"state": "on"}, True),
            ({"state": "off"}, False), ({"state": "left_out"}, False), ({"state": "rejected"}, False),
            ({"state": "wrong"}, True), ({"state": "nonsense"}, False), ({"text": "change-am"}, True),
            ({"text": "<b>45"}, True), ({"text": "AMOUNT"}, True), ({"text": "é"}, False), ({"text": "%"}, False),
            ({"page": "99"}, True), ({"page": "x"}, True),
        ],
    )  # fmt: skip
    def test_filters(self, visitor: Client, pack: CorrectionPack, query: dict[str, str], *, is_found: bool) -> None:
        PackItem.objects.update(right=4, wrong=1)
        shown = visitor.get(pack.get_absolute_url(), query)
        assert ('id="c1"' in shown.content.decode()) == is_found
        if not is_found:
            assertContains(shown, "No correction is like that.")

    def test_finds_letters_that_databases_keep_escaped(
        self, visitor: Client, session: Session, correct: Correct, reviewer: User
    ) -> None:
        correct(session, "fünf")
        pack = create_pack(name="Amounts", corrections=Correction.objects.all(), by=reviewer)
        assertContains(visitor.get(pack.get_absolute_url(), {"text": "fün"}), 'id="c1"')

    def test_takes_the_same_queries_for_2_corrections_and_for_20(
        self, visitor: Client, session: Session, correct: Correct, reviewer: User
    ) -> None:
        for number in range(20):
            correct(session, f"v{number}", times=2)
        two = create_pack(name="Two", corrections=Correction.objects.all()[:2], by=reviewer)
        all_of_them = create_pack(name="All", corrections=Correction.objects.all(), by=reviewer)
        for pack in (two, all_of_them):
            replayed(pack, reviewer)
        assert queries(visitor, all_of_them.get_absolute_url()) == queries(visitor, two.get_absolute_url()) <= 26

    def test_a_correction_from_a_file_needs_nothing_here(self, visitor: Client, pack: CorrectionPack) -> None:
        assert pack.draft
        text = json.dumps(export(pack.draft)).replace("expense-claim", "elsewhere").replace("amounts", "from-there")
        elsewhere = json.loads(text)
        answer = visitor.post(IMPORT, upload(signed(elsewhere)) | {"do": "import"}, follow=True)
        for words in ("(not here)", "from a file", "no picture", "42.50"):
            assertContains(answer, words)


class TestEditing:
    def test_puts_another_value_in_place(self, visitor: Client, pack: CorrectionPack) -> None:
        assertContains(visitor.get(pack.get_absolute_url()), 'name="new-0" value="&lt;b&gt;45&lt;/b&gt;"')
        answer = visitor.post(
            at("pack-correction-edit", pack, 1) + "?state=on", {"new-0": "46", "note": "See\r\nthere"}, follow=True
        )
        assertContains(answer, "Correction 1 is correction 2 now.")
        assert answer.redirect_chain[-1][0] == f"{pack.get_absolute_url()}?state=on#c2"
        assertContains(answer, "See<br>there")
        entry = pack.draft.entries.get() if pack.draft else None
        assert entry
        assert (entry.changes, entry.note) == ([{"path": "/value", "old": "42.50", "new": "46"}], "See\nthere")

    def test_saved_as_it_is_it_stays_the_same(self, visitor: Client, pack: CorrectionPack) -> None:
        answer = visitor.post(at("pack-correction-edit", pack, 1), {"new-0": "<b>45</b>", "note": ""}, follow=True)
        assertContains(answer, "Correction 1 is saved.")
        assert pack.items.get().number == 1

    def test_of_two_who_edit_one_is_told(self, visitor: Client, pack: CorrectionPack) -> None:
        address = at("pack-correction-edit", pack, 1)
        assert visitor.post(address, {"new-0": "46"}).status_code == 302
        assertContains(visitor.post(address, {"new-0": "47"}), "somebody was faster", status_code=409)

    def test_what_was_typed_stays_when_it_cannot_be_taken(
        self, visitor: Client, session: Session, ask: Ask, coach: User, reviewer: User
    ) -> None:
        correction = SUGGESTED | {"selectors": [["aria/Sum"]], "timeout": 5}
        decide(ask(session), Answer(decision="correct", correction=correction), by=coach)
        pack = create_pack(name="Amounts", corrections=Correction.objects.all(), by=reviewer)
        assert pack.draft
        paths = [change["path"] for change in pack.draft.entries.get().changes]
        selectors, timeout = (f"new-{paths.index(path)}" for path in ("/selectors", "/timeout"))
        address = at("pack-correction-edit", pack, 1)
        for name, text in ((timeout, "{5"), (timeout, "NaN"), (selectors, "  "), (timeout, "[" * 50_000)):
            answer = visitor.post(address, {name: text, "note": "typed"})
            assert answer.status_code == 400, text
            assertContains(answer, "typed", status_code=400)
        assertContains(visitor.post(address, {timeout: "{5"}), "\n{5</textarea>", status_code=400)
        assert visitor.post(address, {selectors: "aria/Total\r\n#total", timeout: "6"}).status_code == 302
        new = {change["path"]: change["new"] for change in pack.draft.entries.get().changes}
        assert new == {"/selectors": [["aria/Total"], ["#total"]], "/timeout": 6}

    def test_a_published_version_is_not_edited(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        published(pack, reviewer)
        assertNotContains(visitor.get(pack.get_absolute_url()), "new-0")
        for name in ("pack-correction-edit", "pack-correction-reject"):
            answer = visitor.post(at(name, pack, 1), {"new-0": "46", "reason": "x"})
            assertContains(answer, "in no draft any more", status_code=409)

    def test_rejects_with_a_reason_only(self, visitor: Client, pack: CorrectionPack) -> None:
        address = at("pack-correction-reject", pack, 1)
        assertContains(visitor.post(address, {"reason": " "}), "Say why", status_code=400)
        assertContains(visitor.post(address, {"reason": "Only once a year"}, follow=True), "Only once a year")

    def test_leaves_out_and_takes_in_what_is_ticked(
        self, visitor: Client, session: Session, correct: Correct, reviewer: User
    ) -> None:
        for value in ("45", "46", "47"):
            correct(session, value)
        pack = create_pack(name="Amounts", corrections=Correction.objects.all(), by=reviewer)
        address = at("pack-corrections", pack)
        assertContains(
            visitor.post(address, {"do": "leave_out", "number": ["1", "3", "99", "x"]}, follow=True),
            "2 corrections left out of this draft.",
        )
        again = visitor.post(address, {"do": "leave_out", "number": ["1", "3"]}, follow=True)
        assertContains(again, "They were so already.")
        assert pack.draft
        assert list(pack.draft.entries.filter(enabled=True).values_list("item__number", flat=True)) == [2]
        assertContains(visitor.post(address, {"do": "take_in", "number": ["3"]}, follow=True), "1 correction taken in")
        assertContains(visitor.post(address, {"do": "take_in"}), "Tick at least one", status_code=400)
        assertContains(visitor.post(address, {"do": "off!", "number": "1"}), "one of the buttons", status_code=400)

    def test_switches_off_and_on_what_applies(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        assertNotContains(visitor.get(pack.get_absolute_url()), "Switch off now")
        published(pack, reviewer)
        assertNotContains(visitor.get(pack.get_absolute_url()), "Leave out")
        address = at("pack-corrections", pack)
        off = visitor.post(address, {"do": "off", "number": "1", "reason": "A new form"}, follow=True)
        assertContains(off, "1 correction switched off")
        assert (item := pack.items.get()).off_by == "rita"
        assert item.off_reason == "A new form"
        assert visitor.post(address, {"do": "leave_out", "number": "1"}).status_code == 409
        assertContains(visitor.post(address, {"do": "on", "number": "1"}, follow=True), "switched on again")
        assert pack.items.get().off_since is None

    def test_changes_name_description_and_scope(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        address = at("pack-change", pack)
        assert visitor.post(address, {"name": "Sums", "description": "d", "scope": "target"}).status_code == 302
        pack.refresh_from_db()
        assert (pack.name, pack.description, pack.scope) == ("Sums", "d", "target")
        for form in ({"name": " "}, {"name": "x" * 201}, {"name": "Sums", "scope": "everything"}):
            assert visitor.post(address, form).status_code == 400
        published(pack, reviewer)
        assert visitor.post(address, {"name": "Sums", "scope": "step"}).status_code == 409
        assert visitor.post(address, {"name": "Sums again"}).status_code == 302


class TestItsLife:
    def test_from_draft_to_retired(self, visitor: Client, pack: CorrectionPack) -> None:
        def press(name: str, words: str, status: int = 200, **form: str) -> HttpResponse:
            answer: Any = visitor.post(at(f"pack-{name}", pack), form, follow=True)
            assertContains(answer, words, status_code=status)
            pack.refresh_from_db()
            return answer  # type: ignore[no-any-return]

        press("publish", "submit it first", 409)
        press("submit", "It is in review.")
        press("submit", "in review already", 409)
        press("publish", "Back-test this version first", 409)
        running = press("backtest-start", "Waiting for a worker")
        assertContains(running, 'hx-trigger="every 1s"')
        assertContains(running, "look again")
        assert press("backtest-start", "Waiting")
        run_backtest(BackTest.objects.get().pk)
        done = visitor.get(pack.get_absolute_url())
        assertContains(done, "<b>2</b> corrections saved")
        assertNotContains(done, "every 1s")
        press("publish", "Version 1 is published")
        press("publish", "submit it first", 409)
        press("rollback", "no earlier version", 409)
        press("delete", "stays on record", 409)
        press("revise", "Version 2 is a draft now")
        press("retire", "is retired")
        press("retire", "retired already", 409)
        press("revise", "stays as it is", 409)
        shown = visitor.get(pack.get_absolute_url()).content.decode()
        for button in ("Submit", "Start a new version", "Merge …", "More …", "Publish version"):
            assert button not in shown
        log = list(pack.changes.order_by("pk").values_list("what", flat=True))
        assert log == ["created", "added", "submitted", "published", "revised", "retired"]
        assertContains(visitor.get(pack.get_absolute_url()), "2 corrections saved, 0 accepted suggestions changed")

    def test_what_was_never_published_is_deleted(self, visitor: Client, pack: CorrectionPack) -> None:
        assertContains(visitor.post(at("pack-delete", pack), follow=True), "‘Amounts’ was deleted.")
        assert not CorrectionPack.objects.exists()
        assert visitor.post(at("pack-delete", pack)).status_code == 404
        assert Correction.objects.count() == 1

    def test_the_back_tests_part_comes_by_itself(
        self, visitor: Client, viewer: User, sign_in: SignIn, pack: CorrectionPack, reviewer: User
    ) -> None:
        assert pack.shown
        backtest = start_backtest(pack.shown, by=reviewer)
        BackTest.objects.filter(pk=backtest.pk).update(done=30, total=120)
        address = at("pack-backtest", pack)
        part = sign_in(viewer).get(address, headers={"HX-Request": "true"})
        assertContains(part, '<progress class="test" value="25" max="100"')
        assertNotContains(part, "<html")
        assertRedirects(visitor.get(address), f"{pack.get_absolute_url()}#backtest", fetch_redirect_response=False)
        run_backtest(backtest.pk)
        part = sign_in(viewer).get(address, headers={"HX-Request": "true"})
        assertContains(part, "corrections saved")
        assertNotContains(part, "<button")

    def test_a_back_test_that_broke_off_or_is_outdated_says_so(
        self, visitor: Client, pack: CorrectionPack, reviewer: User
    ) -> None:
        backtest = replayed(pack, reviewer)
        submit(pack, by=reviewer)
        assertContains(visitor.get(pack.get_absolute_url()), "Publish version 1")
        assert pack.draft
        edit_entry(pack.draft.entries.get(), new={"/value": "46"}, by=reviewer)
        shown = visitor.get(pack.get_absolute_url())
        assertContains(shown, "have changed since: test it again")
        assertNotContains(shown, "Publish version 1")
        BackTest.objects.filter(pk=backtest.pk).update(status="failed", error="The back-test broke off: X.")
        assertContains(visitor.get(pack.get_absolute_url()), "The back-test broke off: X. Start it again.")

    def test_one_that_breaks_what_was_accepted_is_confirmed_with_the_list_in_view(
        self, visitor: Client, pack: CorrectionPack, reviewer: User, *, session: Session, ask: Ask, coach: User
    ) -> None:
        decide(ask(session), Answer(decision="accept"), by=coach)
        submit(pack, by=reviewer)
        backtest = replayed(pack, reviewer)
        address = at("pack-publish", pack)
        shown = visitor.get(pack.get_absolute_url())
        assertContains(shown, "<b>1</b> accepted suggestion broken")
        assertContains(shown, f'href="{address}"')
        for answer in (visitor.post(address), visitor.post(address, {"seen": str(backtest.pk + 1)})):
            assertContains(answer, "1 suggestion that people accepted", status_code=409)
            assertContains(answer, f'href="{session.get_absolute_url()}"', status_code=409)
            assertContains(answer, "I have seen them: publish", status_code=409)
        pack.refresh_from_db()
        assert pack.active is None
        assertContains(visitor.get(address), "Type “&lt;b&gt;45&lt;/b&gt;” into “Amount”")
        assertContains(visitor.post(address, {"seen": str(backtest.pk)}, follow=True), "Version 1 is published")

    def test_a_list_that_has_grown_since_is_shown_again(
        self, visitor: Client, pack: CorrectionPack, reviewer: User, *, session: Session, ask: Ask, coach: User
    ) -> None:
        decide(ask(session), Answer(decision="accept"), by=coach)
        submit(pack, by=reviewer)
        seen = replayed(pack, reviewer)
        decide(ask(session), Answer(decision="accept"), by=coach)
        replayed(pack, reviewer)
        answer = visitor.post(at("pack-publish", pack), {"seen": str(seen.pk)})
        assertContains(answer, "2 suggestions that people accepted", status_code=409)

    def test_publishing_asks_in_words_while_it_cannot(self, visitor: Client, pack: CorrectionPack) -> None:
        assertContains(visitor.get(at("pack-publish", pack)), "Only a pack in review can be published.")
        visitor.post(at("pack-submit", pack))
        assertContains(visitor.get(at("pack-publish", pack)), "Do that first.")

    def test_goes_back_and_shows_what_differs(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        published(pack, reviewer)
        edit_entry(revise(pack, by=reviewer).entries.get(), new={"/value": "46"}, by=reviewer)
        published(pack, reviewer)
        here = pack.get_absolute_url()
        shown = visitor.get(here, {"from": "1", "to": "2"})
        assertContains(shown, "What version 2 changes in version 1")
        assertContains(shown, "</span>46</ins>")
        assertContains(shown, "0 corrections are the same in both.")
        assertContains(visitor.get(here, {"from": "1", "to": "1"}), "1 correction is the same in both.")
        for query in ({"from": "1", "to": "7"}, {"from": "x", "to": "2"}, {"from": "1"}):
            assertContains(visitor.get(here, query), "There are no such two versions to compare.")
        assertContains(visitor.post(at("pack-rollback", pack), follow=True), "Version 1 is applied again.")
        assertContains(visitor.post(at("pack-rollback", pack), {"to": "2"}, follow=True), "Version 2 is applied again.")
        assert visitor.post(at("pack-rollback", pack), {"to": "x"}).status_code == 400
        assert visitor.post(at("pack-rollback", pack), {"to": "9"}).status_code == 409

    def test_shows_its_conflicts_with_what_each_says(
        self, visitor: Client, pack: CorrectionPack, reviewer: User, *, session: Session, correct: Correct, ask: Ask
    ) -> None:
        correct(session, "46")
        other = create_pack(name="Others", corrections=Correction.objects.filter(count=1), by=reviewer)
        for one in (pack, other):
            published(one, reviewer)
        ask_with = with_packs(
            SUGGESTED, Situation(workflow_id="expense-claim", node_id="change-amount", action_type="change")
        )
        assert ask_with.conflicting
        ask(session, packs=ask_with)
        for one in (pack, other):
            shown = visitor.get(one.get_absolute_url())
            assertContains(shown, 'id="conflicts"')
            assertContains(shown, "</span>46</ins>")
            assertContains(shown, "&lt;b&gt;45&lt;/b&gt;</ins>")
        assertContains(visitor.get(LIST), "1 conflict")


# ---- sharing


def signed(document: dict[str, Any]) -> bytes:
    from coaching.packs import digest  # noqa: PLC0415

    body = {key: value for key, value in document.items() if key != "sha256"}
    return json.dumps(body | {"sha256": digest(body)}).encode()


def upload(data: bytes) -> dict[str, Any]:
    return {"file": SimpleUploadedFile("pack.json", data, content_type="application/json")}


def exported(visitor: Client, pack: CorrectionPack) -> bytes:
    answer = visitor.get(at("pack-export", pack))
    assert answer["Content-Disposition"] == 'attachment; filename="amounts-v1.json"'
    return answer.content


class TestSharing:
    def test_a_preview_stores_nothing_and_an_import_makes_a_draft(self, visitor: Client, pack: CorrectionPack) -> None:
        data = exported(visitor, pack)
        visitor.post(at("pack-delete", pack))
        preview = visitor.post(IMPORT, upload(data) | {"do": "preview"})
        assertContains(preview, "It becomes a new pack")
        assertContains(preview, "<strong>1</strong> new")
        assertContains(preview, "</span>&lt;b&gt;45&lt;/b&gt;</ins>")
        assert not CorrectionPack.objects.exists()
        kept = preview.content.decode().split('name="kept" value="')[1].split('"')[0]
        assert "&quot;sha256&quot;" in kept
        answer = visitor.post(IMPORT, {"kept": data.decode(), "do": "import"}, follow=True)
        assertContains(answer, "‘Amounts’ is imported as a draft.")
        again = visitor.post(IMPORT, upload(data))
        assertContains(again, "All of it is here already.")

    def test_a_conflict_asks_for_a_choice(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        data = exported(visitor, pack)
        assert pack.draft
        edit_entry(pack.draft.entries.get(), new={"/value": "46"}, by=reviewer)
        preview = visitor.post(IMPORT, upload(data))
        assertContains(preview, 'name="choice-2"', count=3)
        for form in ({}, {"choice-2": "both"}, {"choice-x": "ours"}):
            answer = visitor.post(IMPORT, {"kept": data.decode(), "do": "import"} | form)
            assertContains(answer, "Nothing was imported.", status_code=409)
            assertContains(answer, 'name="choice-2"', count=3, status_code=409)
        assertContains(visitor.post(IMPORT, upload(data) | {"do": "import"}), "choice-2", status_code=409)
        assert visitor.post(IMPORT, {"kept": data.decode(), "do": "import", "choice-2": "theirs"}).status_code == 302
        assert pack.draft.entries.get().changes[0]["new"] == "<b>45</b>"

    def test_a_large_file_is_chosen_again(
        self, visitor: Client, pack: CorrectionPack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("coaching.pages.pack_sharing.KEPT_LENGTH", 10)
        preview = visitor.post(IMPORT, upload(exported(visitor, pack)))
        assertContains(preview, "too large to be carried along")
        assertNotContains(preview, 'name="kept"')

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "not JSON"), (b"\xff\xfe", "not JSON"), (b"[]", "not a correction pack"), (b"{", "not JSON"),
            (b"[" * 100_000, "not JSON"), (b'{"format": "coachsite-correction-pack", "format_version": 9}', "format version 9"),
        ],
    )  # fmt: skip
    def test_what_is_no_pack_is_refused(self, visitor: Client, *, data: bytes, words: str) -> None:
        for button in ("preview", "import"):
            assertContains(visitor.post(IMPORT, upload(data) | {"do": button}), words, status_code=400)
        assert visitor.post(IMPORT, {"do": "import"}).status_code == 400
        assert not CorrectionPack.objects.exists()

    def test_a_tampered_file_is_refused(self, visitor: Client, pack: CorrectionPack) -> None:
        data = exported(visitor, pack).replace(b"45", b"99")
        assertContains(visitor.post(IMPORT, upload(data)), "changed after it was exported", status_code=400)

    def test_merges_with_a_choice_for_each_conflict(
        self, visitor: Client, pack: CorrectionPack, reviewer: User, session: Session, correct: Correct
    ) -> None:
        correct(session, "46")
        other = create_pack(name="Others", corrections=Correction.objects.filter(count=1), by=reviewer)
        address = at("pack-merge", pack)
        assertContains(visitor.get(address), "Others")
        preview = visitor.get(address, {"other": other.pack_id})
        assertContains(preview, 'name="choice-1"', count=3)
        assertContains(visitor.post(address, {"other": other.pack_id}), "Nothing was changed.", status_code=409)
        assert visitor.post(address, {"other": other.pack_id, "choice-1": "theirs"}).status_code == 302
        assert pack.draft
        assert [entry.changes[0]["new"] for entry in pack.draft.entries.all()] == ["46"]
        assertContains(visitor.get(address, {"other": "none"}), "There is no such pack to take from.")
        assert visitor.post(address, {"other": pack.pack_id}).status_code == 400
        retire(other, by=reviewer)
        assertContains(visitor.post(address, {"other": other.pack_id}), "A retired pack", status_code=409)
        assertContains(visitor.get(address), "There is no other pack.")


# ---- elsewhere


class TestOnTheWorkflowsPage:
    def test_lists_corrections_and_makes_a_pack(
        self, visitor: Client, viewer: User, sign_in: SignIn, session: Session, correct: Correct
    ) -> None:
        here = session.workflow.get_absolute_url()
        assertContains(visitor.get(here), "None yet.")
        correct(session)
        shown = visitor.get(here)
        assertContains(shown, "Type “&lt;b&gt;45&lt;/b&gt;” into “Amount”")
        assertContains(shown, "Make a pack of the ticked ones")
        assertNotContains(sign_in(viewer).get(here), "Make a pack")
        visitor.post(LIST, {"correction": [Correction.objects.get().pk]})
        shown = visitor.get(here)
        assertContains(shown, CorrectionPack.objects.get().get_absolute_url())
        assertNotContains(shown, "Make a pack")

    def test_why_not_auto_says_what_to_fix_until_a_pack_does(
        self, visitor: Client, session: Session, correct: Correct, reviewer: User
    ) -> None:
        here = session.workflow.get_absolute_url()
        correct(session, times=3, reason_code="wrong_value")
        correct(session, "46")
        assertContains(visitor.get(here), "or fix: “wrong value” 3 times")
        pack = create_pack(name="Amounts", corrections=Correction.objects.filter(count=3), by=reviewer)
        assertContains(visitor.get(here), "or fix: “wrong value” 3 times")
        published(pack, reviewer)
        assertContains(visitor.get(here), "or fix: corrected 1 time →")

    def test_takes_the_same_queries_for_1_correction_and_for_20(
        self, visitor: Client, session: Session, correct: Correct
    ) -> None:
        correct(session)
        few = queries(visitor, session.workflow.get_absolute_url())
        for number in range(20):
            correct(session, f"v{number}")
        assert queries(visitor, session.workflow.get_absolute_url()) == few


class TestInThePanel:
    def test_says_what_a_pack_has_changed(
        self, pack: CorrectionPack, reviewer: User, session: Session, ask: Ask, visitor: Client
    ) -> None:
        published(pack, reviewer)
        PackItem.objects.update(right=11, wrong=1)
        proposed_by_packs(ask, session)
        shown = visitor.get(session.get_absolute_url())
        assertContains(shown, "Amounts</a>” v1, correction 1, right 11 of 12 times")
        assertContains(shown, "</span>42.50</del>")
        assertContains(shown, "</span>&lt;b&gt;45&lt;/b&gt;</ins>")

    def test_shows_no_secret(
        self, browser_workflow: Workflow, reviewer: User, coach: User, ask: Ask, visitor: Client
    ) -> None:
        browser_workflow.variables.create(name="pin", label="PIN", secret=True)
        session = start_session(browser_workflow, by=coach, variables={"pin": "s3cret"})
        original = TYPE | {"value": "{{ pin }}"}
        decide(
            ask(session, action=original),
            Answer(decision="correct", correction=original | {"selectors": [["aria/PIN"]]}),
            by=coach,
        )
        pack = create_pack(name="Pins", corrections=Correction.objects.all(), by=reviewer)
        published(pack, reviewer)
        proposed_by_packs(ask, session, original)
        shown = visitor.get(session.get_absolute_url())
        assertContains(shown, "correction 1, not judged yet")
        assertContains(shown, "</span>aria/PIN</ins>")
        for address in (session.get_absolute_url(), pack.get_absolute_url(), LIST):
            assertNotContains(visitor.get(address), "s3cret")

    def test_says_nothing_of_packs_where_none_was(self, session: Session, ask: Ask, visitor: Client) -> None:
        ask(session)
        assertNotContains(visitor.get(session.get_absolute_url()), "from-pack")


def test_the_dashboard_tells_reviewers_what_waits(
    visitor: Client, coach: User, sign_in: SignIn, *, session: Session, correct: Correct, reviewer: User
) -> None:
    dashboard = reverse("dashboard")
    assertContains(visitor.get(dashboard), "Nothing waits for a reviewer.")
    correct(session, times=2)
    assertContains(visitor.get(dashboard), "1 correction</a>")
    pack = create_pack(name="Amounts", corrections=Correction.objects.all(), by=reviewer)
    submit(pack, by=reviewer)
    assertContains(visitor.get(dashboard), "version 1 is in review")
    switch_off(pack.items.all(), by=None, reason="Wrong too often")
    assertContains(visitor.get(dashboard), "Wrong too often")
    assertNotContains(sign_in(coach).get(dashboard), "Packs to review")
