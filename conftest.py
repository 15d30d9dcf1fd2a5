"""The cast of every test: an owner, a reviewer, a coach, a viewer, and a stranger who must get nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection, transaction
from django.db.models import Q
from django.test import Client
from hypothesis import HealthCheck, settings
from knox.models import AuthToken
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from coaching.actions.autonomy import settle_levels
from coaching.actions.sessions import start_session
from coaching.actions.suggestions import Proposal, open_suggestion
from coaching.actions.workflows import create_workflow
from coaching.models import Session, Suggestion, Workflow

PASSWORD = "correct horse battery staple"

# How long an example takes says more about the machine and its neighbours than about the code.
settings.register_profile("coachsite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("coachsite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--of-database", action="store_true", help="only tests that use the database: others find the same on any"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--of-database"):
        config.hook.pytest_deselected(items=[item for item in items if not _uses_database(item)])
        items[:] = filter(_uses_database, items)


def _uses_database(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or bool(fixtures & {"db", "transactional_db"})


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Tests with real transactions empty every table afterwards, which the audit log would refuse.

    What it refuses is tested where its triggers are put back (`test_audit.py`).
    """
    with django_db_blocker.unblock():
        migration = import_module("coaching.migrations.0011_audit_only_grows")
        statements = migration.UNDO_SQLITE if connection.vendor == "sqlite" else migration.UNDO_POSTGRESQL
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@pytest.fixture(autouse=True)
def _own_folders(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.BROWSER_PROFILES = tmp_path / "browsers"
    # Slow hashing protects passwords, of which a test has none worth it.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Each client of a test has the middleware made anew, which would read every static file that there is first.
    settings.WHITENOISE_AUTOREFRESH = True


def _group(role: str) -> Group:
    """The group as the migration made it; made again where a test with real transactions has emptied the tables."""
    group, missing = Group.objects.get_or_create(name=role)
    if missing:
        roles: dict[str, list[str]] = import_module("coaching.migrations.0002_roles").ROLES
        lower = list(roles)[: list(roles).index(role) + 1]
        granted = [codename for name in lower for codename in roles[name]]
        ours = Permission.objects.filter(content_type__app_label__in=["coaching", "metrics"])
        group.permissions.add(*ours.filter(Q(codename__in=granted) | Q(codename__startswith="view_")))
        if role in {"reviewer", "owner"}:
            group.permissions.add(ours.get(codename="review_correctionpack"))
        if role == "owner":
            group.permissions.add(*ours.filter(codename__in=["manage_webhook", "see_audit"]))
    return group


def _person(name: str, role: str | None) -> User:
    user = User.objects.create_user(name, password=PASSWORD)
    if role:
        user.groups.add(_group(role))
    return user


@pytest.fixture
def owner(db: None) -> User:
    return _person("olga", "owner")


@pytest.fixture
def reviewer(db: None) -> User:
    return _person("rita", "reviewer")


@pytest.fixture
def coach(db: None) -> User:
    return _person("carl", "coach")


@pytest.fixture
def second_coach(db: None) -> User:
    return _person("cleo", "coach")


@pytest.fixture
def viewer(db: None) -> User:
    return _person("vera", "viewer")


@pytest.fixture
def stranger(db: None) -> User:
    return _person("sam", None)


@pytest.fixture
def sign_in() -> Callable[[User], Client]:
    """A browser-like client of somebody who is signed in."""

    def signed_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return signed_in


@pytest.fixture
def api() -> Callable[[User], APIClient]:
    """A program's client with a token of somebody."""

    def with_token(user: User) -> APIClient:
        client = APIClient()
        _, token = AuthToken.objects.create(user)
        client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
        return client

    return with_token


CLICK = {"type": "click", "selectors": [["aria/Save"], ["#save"]], "offsetX": 5, "offsetY": 5}
TYPE = {"type": "change", "selectors": [["aria/Amount"], ["#amount"]], "value": "{{ amount }}"}
OPEN = {"type": "navigate", "url": "http://127.0.0.1:1/"}


def demonstrate(workflow: Workflow) -> None:
    """One more demonstration, as an import leaves it."""
    workflow.recordings.create(format="chrome-recorder", title="Shown", document={})
    with transaction.atomic():
        settle_levels(workflow)


@pytest.fixture
def browser_workflow(owner: User) -> Workflow:
    """Three steps, one variable with the default 42.50; nothing performs them unless a test runs a worker."""
    workflow = create_workflow(
        workflow_id="expense-claim",
        name="Expense claim",
        executor="browser",
        steps=[
            {"node_id": "open", "action": OPEN},
            {"node_id": "change-amount", "action": TYPE},
            {"node_id": "click-save", "action": CLICK, "risk": "irreversible"},
        ],
        by=owner,
    )
    workflow.variables.create(name="amount", label="Amount", default="42.50")
    demonstrate(workflow)
    return workflow


@pytest.fixture
def external_workflow(owner: User) -> Workflow:
    return create_workflow(workflow_id="invoice-import", name="Invoice import", executor="external", by=owner)


@pytest.fixture
def session(browser_workflow: Workflow, coach: User) -> Session:
    return start_session(browser_workflow, by=coach)


@pytest.fixture
def external_session(external_workflow: Workflow, coach: User) -> Session:
    return start_session(external_workflow, by=coach)


@pytest.fixture
def ask() -> Callable[..., Suggestion]:
    """Opens a suggestion for the session's current step, as the runner would, with `changes` to the proposal."""

    def opened(session: Session, **changes: Any) -> Suggestion:
        session.refresh_from_db()
        proposal: dict[str, Any] = {
            "step_index": session.current_step_index,
            "node_id": "change-amount",
            "action_type": "change",
            "action": TYPE | {"value": "42.50"},
            "description": "Type “42.50” into “Amount”",
            "provenance": {
                "source": "workflow", "pack": None, "version": None, "correction": None, "changed": []
            },
        }  # fmt: skip
        return open_suggestion(session, Proposal(**(proposal | changes)))

    return opened


@pytest.fixture
def suggestion(session: Session, ask: Callable[..., Suggestion]) -> Suggestion:
    return ask(session)
