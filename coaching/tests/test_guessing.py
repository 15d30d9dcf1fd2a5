"""Guessing tokens and passwords: who sends too many wrong ones is told to wait, at every door, and nobody else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import override_settings
from knox.models import AuthToken
from pytest_django.asserts import assertNumQueries
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from coaching import client_address, consumers, guessing
from coaching.models import AuditEntry, Session
from conftest import PASSWORD

from .test_mcp_door import Exchange, base, call
from .test_sockets import closed, socket

STATISTICS = "/api/v1/statistics/"
HERE, THERE = "203.0.113.1", "203.0.113.2"


@pytest.fixture(autouse=True)
def few(settings: Settings) -> Iterator[None]:
    settings.COACHSITE_WRONG_TOKENS = 3
    settings.COACHSITE_WRONG_PASSWORDS = 5
    # What is under test is what surrounds the look at a password, which takes long on purpose.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cache.clear()
    yield
    cache.clear()


def guess(address: str, header: str = "Token coach_wrong") -> int:
    return APIClient().get(STATISTICS, headers={"Authorization": header}, REMOTE_ADDR=address).status_code


@pytest.mark.django_db
class TestOverTheApi:
    def test_too_many_are_told_to_wait(self) -> None:
        assert [guess(HERE) for _ in range(5)] == [401, 401, 401, 429, 429]
        answer = APIClient().get(STATISTICS, headers={"Authorization": "Token x"}, REMOTE_ADDR=HERE)
        assert answer.json()["errors"][0]["code"] == "throttled"
        assert 1 <= int(answer.headers["Retry-After"]) <= guessing.WINDOW_SECONDS
        assert guess(THERE) == 401

    def test_it_shows_in_the_audit_log_once(self) -> None:
        for _ in range(6):
            guess(HERE)
        (entry,) = AuditEntry.objects.filter(what="tokens_guessed")
        assert (entry.about, entry.actor, entry.address) == (HERE, "", HERE)

    def test_who_has_a_right_one_goes_on(self, viewer: User, api: Callable[[User], APIClient]) -> None:
        for _ in range(6):
            guess(HERE)
        assert api(viewer).get(STATISTICS, REMOTE_ADDR=HERE).status_code == 200

    def test_malformed_ones_and_expired_ones_count(self, viewer: User) -> None:
        stored, text = AuthToken.objects.create(viewer)
        AuthToken.objects.filter(pk=stored.pk).update(expiry=stored.created - timedelta(days=1))
        assert guess(HERE, f"Token {text}") == 401
        assert [guess(HERE, header) for header in ("Token", "Token a b", "Token ÿ")] == [401, 401, 429]

    def test_many_others_make_nobody_forgotten(self) -> None:
        assert [guess(HERE) for _ in range(4)][-1] == 429
        for n in range(400):
            guessing.failed(f"198.51.{n // 250}.{n % 250}")
        assert guess(HERE) == 429

    def test_without_any_token_it_is_no_guess(self) -> None:
        answers = {APIClient().get(STATISTICS, REMOTE_ADDR=HERE).status_code for _ in range(6)}
        assert answers == {401}

    def test_five_minutes_later_it_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert [guess(HERE) for _ in range(4)][-1] == 429
        import time  # noqa: PLC0415

        later = time.time() + guessing.WINDOW_SECONDS
        monkeypatch.setattr("coaching.guessing.time.time", lambda: later)
        assert guess(HERE) == 401

    def test_zero_is_without_limit(self, settings: Settings) -> None:
        settings.COACHSITE_WRONG_TOKENS = 0
        assert {guess(HERE) for _ in range(6)} == {401}

    def test_a_right_token_costs_no_query_more(self, viewer: User, api: Callable[[User], APIClient]) -> None:
        client = api(viewer)
        client.get(STATISTICS)
        # The token with its user, the permissions; and the two of the answer.
        with assertNumQueries(4):
            client.get(STATISTICS)


@pytest.mark.django_db(transaction=True)
class TestAtTheOtherDoors:
    async def test_agents(self) -> None:
        headers = base() | {b"authorization": b"Bearer coach_wrong"}
        answers = [await Exchange("/mcp/", headers, call("list_open_sessions", {})).answer() for _ in range(4)]
        assert [answer.status for answer in answers] == [401, 401, 401, 429]
        assert int(answers[-1].headers[b"retry-after"]) >= 1
        # They are the same guesses, whatever the door.
        assert await sync_to_async(guess)("127.0.0.1") == 429

    async def test_sockets(self, session: Session) -> None:
        path, headers = f"/ws/v1/sessions/{session.session_id}/events/", [(b"authorization", b"Token coach_wrong")]
        codes = []
        for _ in range(4):
            async with socket(path, headers) as communicator:
                codes.append(await closed(communicator))
        assert codes == [consumers.NO_LOGIN] * 3 + [consumers.TOO_MANY]


def sign_in_as(name: str, password: str, address: str, path: str = "/login/") -> HttpResponse:
    answer: Any = Client().post(path, {"username": name, "password": password}, REMOTE_ADDR=address)
    return cast("HttpResponse", answer)


@pytest.mark.django_db
@pytest.mark.usefixtures("coach")
class TestPasswords:
    def test_many_names_from_one_address_are_told_to_wait_at_both_doors(self) -> None:
        assert {sign_in_as(f"name {n}", "wrong", HERE).status_code for n in range(5)} == {200}
        for path in ("/login/", "/admin/login/"):
            answer = sign_in_as("another", "wrong", HERE, path)
            assert answer.status_code == 429
            assert 1 <= int(answer["Retry-After"]) <= guessing.WINDOW_SECONDS
            assert "network address" in answer.content.decode()
        # Nothing is looked at any more, or the right one could be told from the wrong ones.
        assert sign_in_as("carl", PASSWORD, HERE).status_code == 429
        assert sign_in_as("carl", PASSWORD, THERE).status_code == 302

    def test_what_anybody_can_write_down_is_bounded(self) -> None:
        for n in range(20):
            sign_in_as(f"name {n}", "wrong", HERE)
        assert AuditEntry.objects.filter(what="sign_in_failed").count() == 5
        (told,) = AuditEntry.objects.filter(what="locked_out")
        assert (told.about, told.details) == (HERE, {"in_seconds": 300, "wrong": 5})
        assert AccessAttempt.objects.count() == 5

    def test_addresses_of_one_network_are_one(self) -> None:
        for n in range(5):
            sign_in_as(f"name {n}", "wrong", f"2001:db8:0:1::{n}")
        assert sign_in_as("x", "wrong", "2001:db8:0:1:ffff::1").status_code == 429
        assert sign_in_as("x", "wrong", "2001:db8:0:2::1").status_code == 200

    def test_who_is_signed_in_goes_on(self, coach: User, sign_in: Callable[[User], Client]) -> None:
        client = sign_in(coach)
        for n in range(6):
            sign_in_as(f"name {n}", "wrong", HERE)
        assert client.get("/", REMOTE_ADDR=HERE).status_code == 200

    def test_a_locked_name_opens_by_itself_however_often_it_is_tried(self, settings: Settings) -> None:
        settings.COACHSITE_WRONG_PASSWORDS = 0
        settings.AXES_FAILURE_LIMIT = 3
        assert [sign_in_as("carl", "wrong", HERE).status_code for _ in range(6)] == [200, 200, 429, 429, 429, 429]
        (attempt,) = AccessAttempt.objects.all()
        assert attempt.failures_since_start == 3
        AccessAttempt.objects.update(attempt_time=attempt.attempt_time - timedelta(minutes=16))
        assert sign_in_as("carl", PASSWORD, HERE).status_code == 302


@pytest.mark.django_db
@pytest.mark.usefixtures("coach")
class TestWithoutACache:
    """Redis is gone: a wrong token is still a wrong token, and who has the right password comes in."""

    @pytest.fixture(autouse=True)
    def gone(self) -> Iterator[None]:
        backend = "django.core.cache.backends.redis.RedisCache"
        with override_settings(CACHES={"default": {"BACKEND": backend, "LOCATION": "redis://127.0.0.1:1/0"}}):
            yield

    def test_it_goes_on(self) -> None:
        assert [guess(HERE) for _ in range(5)] == [401] * 5
        assert sign_in_as("carl", "wrong", HERE).status_code == 200
        assert sign_in_as("carl", PASSWORD, HERE).status_code == 302


class TestWhereItComesFrom:
    def of(self, peer: str, forwarded: str | None = None) -> str:
        headers = None if forwarded is None else {"X-Forwarded-For": forwarded}
        request: HttpRequest = RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer)
        scope = {"client": [peer, 1], "headers": [(b"x-forwarded-for", forwarded.encode())] if forwarded else []}
        assert client_address.of_request(request) == client_address.of_scope(scope)
        return client_address.of_request(request)

    def test_without_a_proxy_nobody_s_word_counts(self, settings: Settings) -> None:
        settings.COACHSITE_PROXIES = 0
        assert self.of("203.0.113.9", "198.51.100.1") == "203.0.113.9"

    def test_a_proxy_s_word_counts_and_not_what_it_was_told(self, settings: Settings) -> None:
        settings.COACHSITE_PROXIES = 1
        assert self.of("10.0.0.1", "1.2.3.4, 198.51.100.1") == "198.51.100.1"
        settings.COACHSITE_PROXIES = 2
        assert self.of("10.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2") == "198.51.100.1"
        assert self.of("10.0.0.1", "198.51.100.1") == "198.51.100.1"
        assert self.of("10.0.0.1") == "10.0.0.1"

    def test_it_stays_short(self, settings: Settings) -> None:
        settings.COACHSITE_PROXIES = 1
        assert len(self.of("10.0.0.1", "x" * 5000)) == client_address.MAX_LENGTH
