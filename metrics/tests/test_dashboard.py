"""The dashboard: what needs somebody, where workflows stand, and figures that do not cost more as decisions grow."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import start_session
from coaching.actions.workflows import create_workflow
from coaching.models import Session, Suggestion
from coaching.tests.domain import make_auto
from conftest import OPEN

SignIn = Callable[[User], Client]
Ask = Callable[..., Suggestion]


def test_an_empty_site_says_what_comes(viewer: User, sign_in: SignIn) -> None:
    answer = sign_in(viewer).get(reverse("dashboard"))
    assertContains(answer, "No question is open for you.")
    assertContains(answer, "No workflow yet.")
    assertContains(answer, "Nothing to draw yet.")


def test_it_says_what_waits_for_whom(coach: User, viewer: User, sign_in: SignIn, session: Session, ask: Ask) -> None:
    for _ in range(20):
        decide(ask(session), Answer(decision="accept"), by=coach)
    ask(session, description="Type “1” into “Amount”")
    answer = sign_in(coach).get(reverse("dashboard"))
    assertContains(answer, "Type “1” into “Amount”")
    assertContains(answer, "1 step waits for an owner")
    assertContains(answer, "1 of 3 steps")
    assertContains(answer, "100 %")
    assertNotContains(sign_in(viewer).get(reverse("dashboard")), "Type “1” into “Amount”")


def test_it_names_what_came_back_to_the_coach(
    owner: User, coach: User, sign_in: SignIn, session: Session, ask: Ask
) -> None:
    make_auto(session.workflow, by=owner, accepts=1)
    for _ in range(3):
        decide(ask(session, asked_because="audit"), Answer(decision="reject"), by=coach)
    assertContains(sign_in(coach).get(reverse("dashboard")), "The audits alarm: score 51")


def test_charts_have_their_numbers_as_tables(coach: User, sign_in: SignIn, session: Session, ask: Ask) -> None:
    for kind in ("accept", "accept", "reject", "skip"):
        decide(ask(session, confidence=0.9), Answer(decision=kind), by=coach)
    answer = sign_in(coach).get(reverse("dashboard"))
    assertContains(answer, "<figure", count=5)
    assertContains(answer, "As a table", count=5)
    assertContains(answer, "<td>66.7</td>")
    assertContains(answer, "Brier score 0.277")


def test_strangers_get_nothing(stranger: User, sign_in: SignIn, client: Client) -> None:
    assert sign_in(stranger).get(reverse("dashboard")).status_code == 403
    assert client.get(reverse("dashboard")).status_code == 302


def test_it_takes_the_same_queries_however_much_there_is(
    owner: User, coach: User, sign_in: SignIn, session: Session, ask: Ask
) -> None:
    client = sign_in(owner)

    def queries() -> int:
        client.get(reverse("dashboard"))
        with CaptureQueriesContext(connection) as captured:
            assert client.get(reverse("dashboard")).status_code == 200
        return len(captured)

    decide(ask(session), Answer(decision="accept"), by=coach)
    few = queries()
    for number in range(20):
        workflow = create_workflow(
            workflow_id=f"w{number}", name=f"W{number}", executor="browser",
            steps=[{"node_id": "open", "action": OPEN}], by=owner,
        )  # fmt: skip
        other = start_session(workflow, by=owner)
        decide(ask(other, node_id="open"), Answer(decision="accept"), by=coach)
    assert queries() == few <= 20
