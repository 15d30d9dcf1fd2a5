from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks, Settings

from coaching.actions.sessions import start_session
from coaching.actions.workflows import create_workflow, set_steps, set_variable_default
from coaching.exceptions import DuplicateExecution, InvalidInput
from coaching.models import Session, Workflow
from coaching.models.session import MAX_STEPS
from coaching.secrets import UnreadableSecret, decrypt

from .domain import assert_consistent, everything_stored

SWORDFISH = "swordfish-4711"


@pytest.fixture
def secret_workflow(browser_workflow: Workflow) -> Workflow:
    password = browser_workflow.variables.create(name="password", label="Password", secret=True)
    set_variable_default(password, SWORDFISH)
    return browser_workflow


def test_starts_at_the_first_of_the_workflow_s_steps(session: Session, browser_workflow: Workflow) -> None:
    assert re.fullmatch(r"coaching_\d{8}_\d{6}_[0-9a-f]{8}", session.session_id)
    assert (session.status, session.mode) == ("active", "coaching")
    assert (session.current_step_index, session.total_steps) == (0, 3)
    assert session.plan == [step.version.pk for step in browser_workflow.current_steps()]
    assert session.variables == {"amount": "42.50"}
    assert session.execution_id == session.session_id
    assert session.completed_at is None
    assert_consistent(session)


def test_the_first_event_says_who_began_what(session: Session, coach: User) -> None:
    (event,) = session.events.all()
    assert (event.seq, event.type) == (1, "session.created")
    assert event.data == {
        "workflow_id": "expense-claim",
        "execution_id": session.execution_id,
        "mode": "coaching",
        "by": coach.username,
    }


def test_a_browser_session_asks_for_a_worker_after_the_commit(
    browser_workflow: Workflow, coach: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        session = start_session(browser_workflow, by=coach)
    session.refresh_from_db()
    assert session.enqueued_at is not None


def test_an_external_session_needs_no_worker(
    external_workflow: Workflow, coach: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        session = start_session(external_workflow, by=coach, variables={"any": [1, {"thing": None}]}, total_steps=7)
    session.refresh_from_db()
    assert session.enqueued_at is None
    assert (session.variables, session.total_steps, session.plan) == ({"any": [1, {"thing": None}]}, 7, [])


def test_an_execution_happens_once_per_workflow(
    browser_workflow: Workflow, external_workflow: Workflow, coach: User
) -> None:
    first = start_session(browser_workflow, by=coach, execution_id="run-7")
    with pytest.raises(DuplicateExecution, match=first.session_id) as refused:
        start_session(browser_workflow, by=coach, execution_id="run-7")
    assert refused.value.session == first
    assert Session.objects.count() == 1
    assert start_session(external_workflow, by=coach, execution_id="run-7").execution_id == "run-7"


def test_given_variables_win_over_defaults(browser_workflow: Workflow, coach: User) -> None:
    assert start_session(browser_workflow, by=coach, variables={"amount": 17}).variables == {"amount": "17"}


@pytest.mark.parametrize(
    ("variables", "words"),
    [({"amuont": "1"}, "no variable “amuont”"), ({"amount": {"deep": 1}}, "a text or a number")],
)
def test_variables_that_do_not_fit_are_refused(
    browser_workflow: Workflow, coach: User, variables: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        start_session(browser_workflow, by=coach, variables=variables)
    assert refused.value.field == "variables"
    assert not Session.objects.exists()


def test_a_workflow_without_steps_cannot_start(owner: User) -> None:
    empty = create_workflow(workflow_id="empty", name="Empty", executor="browser", by=owner)
    with pytest.raises(InvalidInput, match="no steps yet"):
        start_session(empty, by=owner)


def test_a_number_of_steps_must_be_the_workflow_s(browser_workflow: Workflow, coach: User) -> None:
    assert start_session(browser_workflow, by=coach, total_steps=3).total_steps == 3
    with pytest.raises(InvalidInput, match="has 3 steps"):
        start_session(browser_workflow, by=coach, total_steps=4)


def test_there_is_a_largest_number_of_steps(external_workflow: Workflow, coach: User) -> None:
    assert start_session(external_workflow, by=coach, total_steps=MAX_STEPS).total_steps == MAX_STEPS
    with pytest.raises(InvalidInput, match="at most"):
        start_session(external_workflow, by=coach, total_steps=MAX_STEPS + 1)


def test_a_later_change_of_the_workflow_leaves_the_plan(session: Session, browser_workflow: Workflow) -> None:
    plan = list(session.plan)
    set_steps(browser_workflow, [], by=None)
    session.refresh_from_db()
    assert session.plan == plan


def test_secrets_are_taken_from_the_workflow_or_the_caller(secret_workflow: Workflow, coach: User) -> None:
    for given, kept in [({}, SWORDFISH), ({"password": "***"}, SWORDFISH), ({"password": "tuna"}, "tuna")]:
        session = start_session(secret_workflow, by=coach, variables=given)
        assert session.variables == {"amount": "42.50", "password": "***"}
        assert decrypt(session.encrypted_secrets) == {"password": kept}


def test_a_secret_without_a_value_stops_the_start(browser_workflow: Workflow, coach: User) -> None:
    browser_workflow.variables.create(name="password", label="Password", secret=True)
    with pytest.raises(InvalidInput, match="The secret “Password” has no value yet"):
        start_session(browser_workflow, by=coach)
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_no_secret_is_stored_in_the_clear(secret_workflow: Workflow, coach: User) -> None:
    session = start_session(secret_workflow, by=coach, variables={"password": "caught-a-tuna", "amount": "99.17"})
    stored = everything_stored()
    assert session.session_id in stored
    assert "99.17" in stored
    assert SWORDFISH not in stored
    assert "caught-a-tuna" not in stored


def test_a_changed_key_is_told_in_words(secret_workflow: Workflow, coach: User, settings: Settings) -> None:
    old_key, settings.SECRET_KEY = settings.SECRET_KEY, "another key, of enough characters to be one"
    with pytest.raises(UnreadableSecret, match="SECRET_KEY has changed"):
        start_session(secret_workflow, by=coach)
    settings.SECRET_KEY_FALLBACKS = [old_key]
    assert decrypt(start_session(secret_workflow, by=coach).encrypted_secrets) == {"password": SWORDFISH}
