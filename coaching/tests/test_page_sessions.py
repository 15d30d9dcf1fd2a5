"""The inbox, the list of sessions, delete, screenshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects
from pytest_django.fixtures import DjangoAssertNumQueries

from coaching.actions.sessions import abandon_session, pause_session, start_session
from coaching.models import Session, Suggestion, Workflow
from coaching.pages.listing import PAGE_LENGTH

SignIn = Callable[[User], Client]
Ask = Callable[..., Suggestion]
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


def test_inbox_shows_what_waits_riskiest_first(
    browser_workflow: Workflow, coach: User, ask: Ask, sign_in: SignIn
) -> None:
    ask(start_session(browser_workflow, by=coach), description="Type the amount")
    ask(start_session(browser_workflow, by=coach), description="Submit the claim", risk="irreversible")
    text = sign_in(coach).get(reverse("inbox")).content.decode()
    assert text.index("Submit the claim") < text.index("Type the amount")
    assert 'aria-label="2 waiting"' in text


def test_inbox_takes_the_same_queries_for_2_and_for_20(
    browser_workflow: Workflow,
    coach: User,
    ask: Ask,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    client = sign_in(coach)
    for _ in range(2):
        ask(start_session(browser_workflow, by=coach))
    # Login (2), permissions (2), suggestions with their sessions and workflows.
    with django_assert_num_queries(6):
        client.get(reverse("inbox"))
    for _ in range(18):
        ask(start_session(browser_workflow, by=coach))
    with django_assert_num_queries(6):
        assertContains(client.get(reverse("inbox")), "Expense claim", count=20)


def test_an_empty_inbox_has_words(coach: User, viewer: User, sign_in: SignIn) -> None:
    assertContains(sign_in(coach).get(reverse("inbox")), "Nothing waits for you.")
    assertContains(sign_in(viewer).get(reverse("inbox")), "Nothing here for you to decide.")


def test_inbox_hides_secrets(browser_workflow: Workflow, coach: User, ask: Ask, sign_in: SignIn) -> None:
    session = start_session(browser_workflow, by=coach)
    Session.objects.filter(pk=session.pk).update(variables={"password": "***"})
    ask(session, description="Type “{{ password }}” into “Password”")
    assertContains(sign_in(coach).get(reverse("inbox")), "Type “***” into “Password”")


def test_filters(
    browser_workflow: Workflow, external_workflow: Workflow, coach: User, second_coach: User, sign_in: SignIn
) -> None:
    mine = start_session(browser_workflow, by=coach)
    pause_session(mine, by=coach)
    hers = start_session(external_workflow, by=second_coach, mode="auto")
    gone = start_session(browser_workflow, by=second_coach)
    abandon_session(gone, by=second_coach)
    client = sign_in(coach)

    def shown(**query: Any) -> set[str]:
        page = client.get(reverse("session-list"), query).content.decode()
        return {s.session_id for s in (mine, hers, gone) if s.get_absolute_url() in page}

    assert shown() == {mine.session_id, hers.session_id, gone.session_id}
    assert shown(workflow="expense-claim") == {mine.session_id, gone.session_id}
    assert shown(status="paused") == {mine.session_id}
    assert shown(status="ongoing") == {mine.session_id, hers.session_id}
    assert shown(mode="auto") == {hers.session_id}
    assert shown(mine="on") == {mine.session_id}
    assert shown(workflow="none") == set()
    assertContains(client.get(reverse("session-list"), {"status": "wild"}), "Select a valid choice")
    assertContains(client.get(reverse("session-list"), {"status": "failed"}), "No session fits.")


def test_older_sessions_by_keyset_without_gap_or_double(
    browser_workflow: Workflow, coach: User, sign_in: SignIn, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = sign_in(coach)
    for _ in range(2):
        start_session(browser_workflow, by=coach)
    # Login (2), permissions (2), badge, the filter's workflows, sessions.
    with django_assert_num_queries(7):
        client.get(reverse("session-list"))
    for _ in range(PAGE_LENGTH):
        start_session(browser_workflow, by=coach)
    # The filter keeps its value, so its workflow is looked up once more.
    with django_assert_num_queries(8):
        first = client.get(reverse("session-list"), {"workflow": "expense-claim"})
    older = first.context["next_query"]
    assert "workflow=expense-claim" in older
    start_session(browser_workflow, by=coach)
    second = client.get(f"{reverse('session-list')}?{older}")
    seen = [s.pk for page in (first, second) for s in page.context["sessions"]]
    assert len(seen) == len(set(seen)) == PAGE_LENGTH + 2
    assertNotContains(second, ">older<")


def test_a_made_up_position_is_the_first_page(session: Session, coach: User, sign_in: SignIn) -> None:
    client = sign_in(coach)
    for older in (
        "x",
        "2026-13-45T99:99:99_1",
        "_",
        "2026-01-01T00:00:00_1",
        f"{session.updated_at.isoformat()}_{'9' * 40}",
    ):
        assertContains(client.get(reverse("session-list"), {"older": older}), session.get_absolute_url())


def test_no_session_yet(coach: User, sign_in: SignIn) -> None:
    assertContains(sign_in(coach).get(reverse("session-list")), "No session yet.")


def test_deleting_says_what_goes_with_it(session: Session, ask: Ask, owner: User, sign_in: SignIn) -> None:
    suggestion = ask(session, screenshot=PNG)
    client = sign_in(owner)
    address = reverse("session-delete", args=[session.session_id])
    assertContains(client.get(address), "1 suggestion, 0 decisions, 1 screenshot and 2 lines")
    assertRedirects(client.post(address), reverse("session-list"))
    assert not Session.objects.exists()
    assert not Suggestion.objects.filter(pk=suggestion.pk).exists()


def test_abandoning_asks_first(session: Session, coach: User, sign_in: SignIn) -> None:
    client = sign_in(coach)
    address = reverse("session-abandon", args=[session.session_id])
    assertContains(client.get(address), "cannot be taken up again")
    assertRedirects(client.post(address), session.get_absolute_url())
    session.refresh_from_db()
    assert session.status == Session.Status.ABANDONED


def test_a_screenshot_is_for_those_who_may_see_the_session(
    session: Session, ask: Ask, viewer: User, stranger: User, sign_in: SignIn
) -> None:
    suggestion = ask(session, screenshot=PNG)
    address = reverse("suggestion-screenshot", args=[session.session_id, suggestion.n])
    answer = sign_in(viewer).get(address)
    assert answer["Content-Type"] == "image/png"
    assert answer["Cache-Control"].startswith("private")
    assert b"".join(answer.streaming_content) == PNG  # type: ignore[attr-defined]
    assert sign_in(stranger).get(address).status_code == 403
    assert Client().get(address).status_code == 302
    assert sign_in(viewer).get(address.replace("1.png", "2.png")).status_code == 404
    suggestion.screenshot.storage.delete(suggestion.screenshot.name or "")
    assert sign_in(viewer).get(address).status_code == 404
