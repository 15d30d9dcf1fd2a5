"""“Why not AUTO yet?”, promoting and taking back, the policy and the history, as pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries
from pytest_django.asserts import assertContains, assertNotContains

from coaching.actions.decisions import Answer, decide
from coaching.actions.workflows import set_steps
from coaching.models import LevelChange, Session, Suggestion, Workflow
from conftest import OPEN

from .domain import make_auto

SignIn = Callable[[User], Client]
POLICY = {
    "target": "0.85", "min_decisions": "20", "confidence": "0.95", "confidence_irreversible": "0.99",
    "min_demonstrations": "1", "audit_rates": "0.2, 0.1, 0.05", "audit_clean_runs": "20, 40",
}  # fmt: skip


def page(workflow: Workflow, name: str) -> str:
    return reverse(name, args=[workflow.workflow_id])


def test_what_is_missing_stands_on_the_workflows_page(
    viewer: User, coach: User, sign_in: SignIn, session: Session, ask: Callable[..., Suggestion]
) -> None:
    for kind in ["accept"] * 17 + ["reject"] * 3:
        decide(ask(session), Answer(decision=kind), by=coach)
    answer = sign_in(viewer).get(session.workflow.get_absolute_url())
    assertContains(answer, "Why not AUTO yet?")
    assertContains(answer, "17 of 20 = 85 %")
    assertContains(answer, "about 29 more accepted")
    assertContains(answer, "sure 0.389, needs 0.95")
    assertContains(answer, "Ever: 17 accepted, 3 rejected")
    text = answer.content.decode()
    blocking = [text.index(words, text.index('class="blocking"')) for words in ("Amount", "Save", "Open ")]
    assert blocking == sorted(blocking), "what needs most comes first"
    assertNotContains(answer, "Let it run alone")


def test_buttons_are_there_for_who_may_press_them(
    owner: User, coach: User, sign_in: SignIn, browser_workflow: Workflow
) -> None:
    make_auto(browser_workflow, by=owner, but=["open"])
    here = browser_workflow.get_absolute_url()
    assertContains(sign_in(owner).get(here), "Take back", count=2)
    assertNotContains(sign_in(coach).get(here), "Take back")


def test_an_owner_takes_a_step_back_and_lets_it_run_alone_again(
    owner: User, sign_in: SignIn, browser_workflow: Workflow
) -> None:
    make_auto(browser_workflow, by=owner)
    client = sign_in(owner)
    answer = client.post(page(browser_workflow, "workflow-demote"), {"node_id": "open"}, follow=True)
    assertContains(answer, "“open” will be asked about again")
    refused = client.post(page(browser_workflow, "workflow-promote"), {"node_id": "open"})
    assertContains(refused, "lacks min decisions", status_code=409)
    again = client.post(page(browser_workflow, "workflow-demote"), {"reason": "All of it."}, follow=True)
    assertContains(again, "All steps will be asked about again")
    history = client.get(page(browser_workflow, "level-history"))
    assertContains(history, "All of it.", count=2)
    assertContains(client.get(page(browser_workflow, "level-history"), {"step": "open"}), "click-save", count=0)


@pytest.mark.parametrize("name", ["workflow-promote", "workflow-demote"])
@pytest.mark.parametrize(
    ("form", "status"), [({"node_id": "nothing"}, 400), ({"node_id": "a\0b"}, 400), ({"reason": "x" * 3000}, 400)]
)
def test_nonsense_is_answered_in_words(
    owner: User, sign_in: SignIn, browser_workflow: Workflow, *, name: str, form: Any, status: int
) -> None:
    if name == "workflow-promote" and "reason" in form:
        status = 409  # a promotion knows no reason; it is simply not ready
    assert sign_in(owner).post(page(browser_workflow, name), form).status_code == status
    assert not LevelChange.objects.filter(to_level="AUTO").exists()


def test_the_policy_is_changed_by_owners_and_seen_by_all(
    owner: User, viewer: User, sign_in: SignIn, browser_workflow: Workflow
) -> None:
    here = page(browser_workflow, "policy")
    assertContains(sign_in(viewer).get(here), "readonly")
    assert sign_in(viewer).post(here, POLICY).status_code == 403
    answer = sign_in(owner).post(
        here, POLICY | {"min_decisions": "30", "target": "", "auto_promote": "on"}, follow=True
    )
    assertContains(answer, "The policy is saved")
    browser_workflow.refresh_from_db()
    assert browser_workflow.policy == {"min_decisions": 30, "auto_promote": True}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("target", "nine"), ("target", "nan"), ("target", "inf"), ("target", "1.5"), ("min_decisions", "0"),
        ("min_decisions", "2.5"), ("min_decisions", "9" * 400), ("audit_rates", "0.1"), ("audit_rates", "0.1, 0.2, 0.3"),
        ("audit_clean_runs", "40, 20"), ("audit_clean_runs", "a, b"), ("confidence", "1"),
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_shown_again_as_it_was_typed(
    owner: User, sign_in: SignIn, browser_workflow: Workflow, *, field: str, text: str
) -> None:
    answer = sign_in(owner).post(page(browser_workflow, "policy"), POLICY | {field: text})
    assertContains(answer, "Nothing was saved.", status_code=400)
    assertContains(answer, f'value="{text}"', status_code=400)
    assertContains(answer, 'aria-invalid="true"', count=1, status_code=400)
    browser_workflow.refresh_from_db()
    assert browser_workflow.policy == {}


@pytest.mark.parametrize("name", ["workflow-promote", "workflow-demote"])
def test_levels_are_the_owners(
    coach: User, reviewer: User, stranger: User, sign_in: SignIn, browser_workflow: Workflow, *, name: str
) -> None:
    for user in (coach, reviewer, stranger):
        assert sign_in(user).post(page(browser_workflow, name)).status_code == 403
    for name_of_page in ("level-history", "policy"):
        assert sign_in(stranger).get(page(browser_workflow, name_of_page)).status_code == 403


def test_the_page_takes_the_same_queries_for_3_and_for_60_steps(
    owner: User, sign_in: SignIn, browser_workflow: Workflow, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client, here = sign_in(owner), browser_workflow.get_absolute_url()
    client.get(here)
    with django_assert_max_num_queries(30) as few:
        client.get(here)
    set_steps(browser_workflow, [{"node_id": f"n{i}", "action": OPEN} for i in range(60)], by=owner)
    with django_assert_max_num_queries(30) as many:
        client.get(here)
    assert len(many) == len(few)


def test_a_run_is_offered_once_something_runs_alone(owner: User, sign_in: SignIn, browser_workflow: Workflow) -> None:
    client = sign_in(owner)
    assertNotContains(client.get(browser_workflow.get_absolute_url()), "?mode=auto")
    make_auto(browser_workflow, by=owner, accepts=1)
    assertContains(client.get(browser_workflow.get_absolute_url()), "?mode=auto")
    start = client.get(page(browser_workflow, "session-start"), {"mode": "auto"})
    assertContains(start, 'value="auto" checked')
