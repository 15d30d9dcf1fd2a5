"""Expired tokens and old attempts to sign in are deleted, a bounded number at a time; the audit log stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as SignIn
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from knox.models import AuthToken
from pytest_django.fixtures import Settings

from coaching.actions import logins
from coaching.actions.logins import forget_old_logins
from coaching.actions.tokens import issue_token
from coaching.models import AuditEntry
from coachsite.tests.test_deploy import manage
from conftest import PASSWORD

pytestmark = pytest.mark.django_db


def ago(days: float) -> Any:
    return timezone.now() - timedelta(days=days)


def attempt(name: str, days: float) -> AccessAttempt:
    made = AccessAttempt.objects.create(username=name, ip_address="203.0.113.9", failures_since_start=1)
    AccessAttempt.objects.filter(pk=made.pk).update(attempt_time=ago(days))
    return made


def test_tokens_go_a_while_after_their_end(coach: User, settings: Settings) -> None:
    settings.LOGIN_KEEP_DAYS = 7
    kept = [issue_token(coach, days=1)[0] for _ in range(3)]
    AuthToken.objects.filter(pk=kept[1].pk).update(expiry=ago(6.9))
    AuthToken.objects.filter(pk=kept[2].pk).update(expiry=None)
    old, _ = issue_token(coach, days=1)
    AuthToken.objects.filter(pk=old.pk).update(expiry=ago(7.1))
    before = list(AuditEntry.objects.values())
    assert forget_old_logins() == 1
    assert set(AuthToken.objects.all()) == set(kept)
    assert list(AuditEntry.objects.values()) == before, "who made which token is told for good"
    assert AuditEntry.objects.filter(what="token_made", details__token=old.token_key).count() == 1
    assert forget_old_logins() == 0


def test_so_do_attempts_to_sign_in(coach: User) -> None:
    for password in ("wrong", PASSWORD):
        Client().post("/login/", {"username": "carl", "password": password})
    Client().post("/login/", {"username": "sam", "password": "wrong"})
    attempt("carol", 31)
    young = attempt("dora", 29)
    assert AccessLog.objects.update(attempt_time=ago(31)) == 1
    entries = AuditEntry.objects.count()
    assert forget_old_logins() == 2
    assert set(AccessAttempt.objects.values_list("username", flat=True)) == {"sam", "dora"}
    assert AccessAttempt.objects.filter(pk=young.pk).exists()
    assert not AccessLog.objects.exists()
    assert AuditEntry.objects.count() == entries


def test_who_is_locked_out_stays_so(coach: User, settings: Settings) -> None:
    settings.AXES_FAILURE_LIMIT = 2
    answers = [Client().post("/login/", {"username": "carl", "password": "wrong"}).status_code for _ in range(3)]
    assert answers[-1] == 429
    forget_old_logins()
    assert Client().post("/login/", {"username": "carl", "password": PASSWORD}).status_code == 429


def test_sign_ins_go_once_they_have_expired(coach: User) -> None:
    clients = [Client(), Client()]
    for client in clients:
        client.force_login(coach)
    SignIn.objects.filter(session_key=clients[0].session.session_key).update(expire_date=ago(0.001))
    assert forget_old_logins() == 1
    assert [client.get("/").status_code for client in clients] == [302, 200]


def test_one_round_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "BATCH", 10)
    monkeypatch.setattr(logins, "MOST", 25)
    for number in range(30):
        attempt(f"name {number}", 31 + number)
    with CaptureQueriesContext(connection) as queries:
        assert forget_old_logins() == 25
    assert sum('DELETE FROM "axes_accessattempt"' in query["sql"] for query in queries) == 3
    assert forget_old_logins() == 5


def test_the_sweep_does_it(coach: User) -> None:
    attempt("carol", 31)
    call_command("sweep")
    assert not AccessAttempt.objects.exists()


@pytest.mark.parametrize("days", ["0", "3651", "a month"])
def test_a_setting_that_cannot_be_is_said(tmp_path: Any, days: str) -> None:
    done = manage(tmp_path, "-m", "django", "check", COACHSITE_LOGIN_KEEP_DAYS=days)
    assert done.returncode != 0
    assert "COACHSITE_LOGIN_KEEP_DAYS must be" in done.stderr
