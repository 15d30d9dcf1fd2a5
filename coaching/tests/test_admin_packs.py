"""The reviewer's bench: who may press what, and that each button is a verb."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from coaching.actions.backtests import run_backtest, start_backtest
from coaching.actions.correction_packs import create_pack, publish, revise, submit
from coaching.actions.decisions import Answer, decide
from coaching.actions.pack_items import edit_entry, reject_entry, set_enabled, switch_off
from coaching.actions.sessions import start_session
from coaching.admin_packs import ON_A_PAGE
from coaching.models import BackTest, BackTestFinding, CorrectionPack, PackItem, Session, Suggestion, Workflow
from coaching.packs import read_pack

LIST = reverse("admin:coaching_correctionpack_changelist")
SUGGESTED = {"type": "change", "selectors": [["aria/Amount"], ["#amount"]], "value": "42.50"}
CORRECTED = SUGGESTED | {"value": "<b>45</b>"}


def page_of(pack: CorrectionPack) -> str:
    return reverse("admin:coaching_correctionpack_change", args=[pack.pk])


@pytest.fixture
def corrected(session: Session, ask: Callable[..., Suggestion], coach: User) -> Session:
    decide(ask(session), Answer(decision="correct", correction=CORRECTED), by=coach)
    return session


@pytest.fixture
def accepted(browser_workflow: Workflow, ask: Callable[..., Suggestion], coach: User) -> Session:
    """Another session, in which the same suggestion was right."""
    session = start_session(browser_workflow, by=coach)
    decide(ask(session), Answer(decision="accept"), by=coach)
    return session


@pytest.fixture
def pack(corrected: Session, reviewer: User) -> CorrectionPack:
    return create_pack(name="Amounts", corrections=corrected.workflow.corrections.all(), by=reviewer)


def backtested(pack: CorrectionPack, by: User) -> None:
    assert pack.shown
    run_backtest(start_backtest(pack.shown, by=by).pk)


@pytest.fixture
def visitor(reviewer: User, sign_in: Callable[[User], Client]) -> Client:
    reviewer.is_staff = True
    reviewer.save()
    return sign_in(reviewer)


def press(visitor: Client, action: str, *packs: CorrectionPack, **more: Any) -> Any:
    # What it said before, and nobody has read.
    visitor.cookies.pop("messages", None)
    form = {"action": action, "_selected_action": [pack.pk for pack in packs]} | more
    return visitor.post(LIST, form)


def said(answer: HttpResponse) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]  # type: ignore[attr-defined]


class TestTheList:
    def test_shows_what_a_reviewer_asks_first(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        backtested(pack, reviewer)
        submit(pack, by=reviewer)
        publish(pack, by=reviewer)
        revise(pack, by=reviewer)
        PackItem.objects.update(right=11, wrong=1)
        shown = visitor.get(LIST, {"q": "amou", "status__exact": "published", "scope__exact": "step"})
        for column, value in (
            ("pack_id", "amounts"), ("status", "Published"), ("active_version", "v1"), ("draft_version", "v2"),
            ("applied_now", "1"), ("right", "11"), ("wrong", "1"),
        ):  # fmt: skip
            assertContains(shown, f'<td class="field-{column}">{value}</td>', html=True)
        assertNotContains(visitor.get(LIST, {"status__exact": "retired"}), "amounts")

    def test_counts_only_what_is_applied(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        applied = '<td class="field-applied_now">{}</td>'
        assertContains(visitor.get(LIST), applied.format(0), html=True)
        backtested(pack, reviewer)
        submit(pack, by=reviewer)
        publish(pack, by=reviewer)
        assertContains(visitor.get(LIST), applied.format(1), html=True)
        switch_off(pack.items.all(), by=reviewer)
        assertContains(visitor.get(LIST), applied.format(0), html=True)


class TestThePage:
    def test_shows_corrections_in_words(self, visitor: Client, pack: CorrectionPack) -> None:
        shown = visitor.get(page_of(pack))
        assertContains(shown, "<b>value</b>: “42.50” → “&lt;b&gt;45&lt;/b&gt;”")
        for text in ("expense-claim", "change-amount", "0 of 0", "created", "rita"):
            assertContains(shown, text)

    def test_shows_why_one_is_off(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        assert pack.draft
        entry = pack.draft.entries.get()
        set_enabled([entry], enabled=False, by=reviewer)
        assertContains(visitor.get(page_of(pack)), "left out")
        set_enabled([entry], enabled=True, by=reviewer)
        switch_off([entry.item], by=None, reason="Wrong too often.")
        assertContains(visitor.get(page_of(pack)), "switched off by policy: Wrong too often.")
        reject_entry(entry, reason="Not <i>ours</i>.", by=reviewer)
        assertContains(visitor.get(page_of(pack)), "rejected: Not &lt;i&gt;ours&lt;/i&gt;.")

    def test_shows_the_version_that_is_worked_on(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        backtested(pack, reviewer)
        submit(pack, by=reviewer)
        publish(pack, by=reviewer)
        edit_entry(revise(pack, by=reviewer).entries.get(), new={"/value": "46"}, by=reviewer)
        shown = visitor.get(page_of(pack))
        assertContains(shown, "“42.50” → “46”")
        assertNotContains(shown, "&lt;b&gt;45")

    def test_leads_to_back_tests_and_lists(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        backtested(pack, reviewer)
        test = BackTest.objects.get()
        shown = visitor.get(page_of(pack))
        assertContains(shown, reverse("admin:coaching_backtest_change", args=[test.pk]))
        saved = reverse("admin:coaching_backtestfinding_changelist")
        assertContains(shown, f'<a href="{saved}?backtest__id__exact={test.pk}&amp;verdict__exact=saved">1 saved</a>')
        links = [part.split('"')[0] for part in shown.content.decode().split('href="/admin/coaching/')[1:]]
        assert len(links) > 10
        for address in links:
            assert visitor.get(f"/admin/coaching/{address.replace('&amp;', '&')}").status_code == 200

    def test_holds_no_more_than_a_page_does(self, visitor: Client, pack: CorrectionPack) -> None:
        for number in range(ON_A_PAGE + 20):
            pack.changes.create(by="rita", what="changed", words=f"<{number}>")
        shown = visitor.get(page_of(pack))
        assertContains(shown, f"&lt;{ON_A_PAGE + 19}&gt;")
        assertNotContains(shown, "&lt;5&gt;")


class TestButtons:
    def test_the_life_of_a_pack(self, visitor: Client, pack: CorrectionPack) -> None:
        def after(action: str) -> tuple[str, list[str]]:
            words = said(press(visitor, action, pack))
            pack.refresh_from_db()
            return pack.status, words

        done = ["Done for 1 pack."]
        assert after("submit") == ("in_review", done)
        status, words = after("publish")
        assert status == "in_review"
        assert "Back-test this version first" in words[0]
        assert after("backtest") == ("in_review", done)
        run_backtest(BackTest.objects.get().pk)
        assert after("publish") == ("published", done)
        assert after("roll_back") == ("published", ["Amounts: There is no earlier version."])
        assert after("retire") == ("retired", done)
        log = list(pack.changes.order_by("pk").values_list("what", "by"))
        assert log == [(what, "rita") for what in ("created", "added", "submitted", "published", "retired")]

    def test_rolls_back_to_the_version_before(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        for _ in range(2):
            revise(pack, by=reviewer)
            backtested(pack, reviewer)
            submit(pack, by=reviewer)
            publish(pack, by=reviewer)
        assert pack.active
        assert pack.active.number == 2
        assert said(press(visitor, "roll_back", pack)) == ["Done for 1 pack."]
        pack.refresh_from_db()
        assert pack.active.number == 1

    def test_one_that_refuses_is_named_and_holds_up_none(
        self, visitor: Client, pack: CorrectionPack, reviewer: User
    ) -> None:
        empty = create_pack(name="Empty", by=reviewer)
        words = said(press(visitor, "submit", empty, pack))
        assert set(words) == {
            "Done for 1 pack.", "Empty: There is no correction in this draft that could be reviewed.",
        }  # fmt: skip
        assert said(press(visitor, "backtest", empty)) == [
            "Empty: There is no correction in this version that could be tested."
        ]

    @pytest.mark.parametrize("action", ["submit", "backtest", "publish", "retire", "roll_back", "export"])
    @pytest.mark.parametrize("person", ["viewer", "coach", "reviewer", "owner", "stranger"])
    def test_who_may_press(  # noqa: PLR0917 - fixtures and a table's columns
        self,
        request: pytest.FixtureRequest,
        sign_in: Callable[[User], Client],
        pack: CorrectionPack,
        reviewer: User,
        person: str,
        action: str,
    ) -> None:
        backtested(pack, reviewer)
        if action in {"publish", "roll_back"}:
            submit(pack, by=reviewer)
        if action == "roll_back":
            publish(pack, by=reviewer)
        somebody = request.getfixturevalue(person)
        somebody.is_staff = True
        somebody.save()
        visitor = sign_in(somebody)
        before = list(pack.changes.values_list("pk"))
        answer = press(visitor, action, pack)
        may = person in {"reviewer", "owner"}
        if person == "stranger":
            assert answer.status_code == 403
        elif action == "export":
            assert ("Content-Disposition" in answer.headers) is may
        else:
            assert bool([words for words in said(answer) if "No action" not in words]) is may
            assert (f'value="{action}"' in visitor.get(LIST).content.decode()) is may
        changes = {"submit", "publish", "retire"}
        assert (list(pack.changes.values_list("pk")) != before) is (may and action in changes)

    def test_not_without_the_staff_flag(
        self, owner: User, sign_in: Callable[[User], Client], pack: CorrectionPack
    ) -> None:
        assert press(sign_in(owner), "submit", pack).status_code == 302
        pack.refresh_from_db()
        assert pack.status == "draft"


@pytest.mark.usefixtures("accepted")
class TestPublishingWhatBreaks:
    @pytest.fixture
    def in_review(self, pack: CorrectionPack, reviewer: User) -> CorrectionPack:
        backtested(pack, reviewer)
        submit(pack, by=reviewer)
        assert BackTest.objects.get().broken == 1
        return pack

    def test_takes_a_second_press_with_the_list_in_view(
        self, visitor: Client, in_review: CorrectionPack, accepted: Session, corrected: Session
    ) -> None:
        first = press(visitor, "publish", in_review)
        in_review.refresh_from_db()
        assert in_review.status == "in_review"
        assertContains(first, f'href="{accepted.get_absolute_url()}"')
        assertNotContains(first, corrected.session_id)
        assertContains(first, "<b>value</b>: “42.50” → “&lt;b&gt;45&lt;/b&gt;”")
        assertContains(first, f'name="_selected_action" value="{in_review.pk}"')
        assertContains(first, f'name="seen" value="{BackTest.objects.get().pk}"')
        assert said(press(visitor, "publish", in_review, seen=[BackTest.objects.get().pk])) == ["Done for 1 pack."]
        in_review.refresh_from_db()
        assert in_review.status == "published"

    def test_confirms_nothing_that_was_not_seen(
        self, visitor: Client, in_review: CorrectionPack, reviewer: User
    ) -> None:
        seen = BackTest.objects.get().pk
        backtested(in_review, reviewer)
        again = press(visitor, "publish", in_review, seen=[seen, "x", 10**30])
        assertContains(again, f'name="seen" value="{BackTest.objects.latest("pk").pk}"')
        in_review.refresh_from_db()
        assert in_review.status == "in_review"

    def test_of_several_those_that_break_nothing_are_published(
        self, visitor: Client, in_review: CorrectionPack, corrected: Session, reviewer: User
    ) -> None:
        other = create_pack(name="Other", corrections=corrected.workflow.corrections.all(), by=reviewer)
        assert other.draft
        edit_entry(other.draft.entries.get(), new={"/value": "47"}, by=reviewer)
        submit(other, by=reviewer)
        backtested(other, reviewer)
        BackTestFinding.objects.filter(backtest__version__pack=other).delete()
        BackTest.objects.filter(version__pack=other).update(broken=0)
        asked = press(visitor, "publish", in_review, other)
        assertContains(asked, "Amounts v1")
        assertNotContains(asked, "Other v1")
        other.refresh_from_db()
        assert other.status == "published"

    def test_a_long_list_is_cut_and_linked(self, visitor: Client, in_review: CorrectionPack) -> None:
        test = BackTest.objects.get()
        finding = test.findings.get(verdict="broken")
        many = [
            BackTestFinding(
                backtest=test, verdict="broken", decision=finding.decision, item_number=1, now=finding.now
            )
            for _ in range(ON_A_PAGE + 5)
        ]  # fmt: skip
        BackTestFinding.objects.bulk_create(many)
        BackTest.objects.update(broken=ON_A_PAGE + 6)
        asked = press(visitor, "publish", in_review)
        assertContains(asked, "“42.50” → ", count=ON_A_PAGE)
        assertContains(asked, f"All {ON_A_PAGE + 6} of them")


class TestExport:
    def test_gives_the_file_of_one_pack(self, visitor: Client, pack: CorrectionPack) -> None:
        answer = press(visitor, "export", pack)
        assert answer.headers["Content-Disposition"] == 'attachment; filename="amounts-v1.json"'
        document = read_pack(answer.content)
        assert (document.pack_id, document.version, len(document.items)) == ("amounts", 1, 1)
        assert json.loads(answer.content)["corrections"][0]["changes"][0]["new"] == "<b>45</b>"

    def test_prefers_what_is_applied(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        backtested(pack, reviewer)
        submit(pack, by=reviewer)
        publish(pack, by=reviewer)
        edit_entry(revise(pack, by=reviewer).entries.get(), new={"/value": "46"}, by=reviewer)
        assert read_pack(press(visitor, "export", pack).content).version == 1

    def test_takes_one_at_a_time(self, visitor: Client, pack: CorrectionPack, reviewer: User) -> None:
        other = create_pack(name="Other", by=reviewer)
        assert said(press(visitor, "export", pack, other)) == ["Choose one pack: each is a file of its own."]
