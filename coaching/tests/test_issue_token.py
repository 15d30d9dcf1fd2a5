"""`manage.py issue_token`: prints a token that works, once, and keeps only its hash."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient


def issue(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("issue_token", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_it_prints_the_token_alone_and_the_token_works(coach: User) -> None:
    printed, remarks = issue("carl", "--days", "7")
    token = printed.strip()
    assert printed == f"{token}\n"
    stored = AuthToken.objects.get()
    assert token not in str(vars(stored))
    assert abs(stored.expiry - timezone.now() - timedelta(days=7)) < timedelta(minutes=1)
    assert f"{stored.expiry:%Y-%m-%d}" in remarks
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    assert client.get("/api/v1/sessions/").status_code == 200


def test_a_token_always_expires(coach: User) -> None:
    issue("carl")
    assert AuthToken.objects.get().expiry is not None


def test_it_says_so_when_the_user_has_no_role(stranger: User) -> None:
    assert "no role" in issue("sam")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nobody",), "no user “nobody”"),
        (("carl", "--days", "0"), "--days"),
        (("carl", "--days", "99999999"), "--days"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(coach: User, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        issue(*arguments)
    assert not AuthToken.objects.exists()


def test_a_disabled_account_gets_none(coach: User) -> None:
    coach.is_active = False
    coach.save()
    with pytest.raises(CommandError, match="disabled"):
        issue("carl")
