"""Guessing tokens: who sends too many wrong ones is told to wait, at every door, and nobody else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpRequest
from django.test import RequestFactory
from knox.models import AuthToken
from pytest_django.asserts import assertNumQueries
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from coaching import client_address, consumers, guessing
from coaching.models import AuditEntry, Session

from .test_mcp_door import Exchange, base, call
from .test_sockets import closed, socket

STATISTICS = "/api/v1/statistics/"
HERE, THERE = "203.0.113.1", "203.0.113.2"


@pytest.fixture(autouse=True)
def few(settings: Settings) -> Iterator[None]:
    settings.COACHSITE_WRONG_TOKENS = 3
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
        from datetime import timedelta  # noqa: PLC0415

        stored, text = AuthToken.objects.create(viewer)
        AuthToken.objects.filter(pk=stored.pk).update(expiry=stored.created - timedelta(days=1))
        assert guess(HERE, f"Token {text}") == 401
        assert [guess(HERE, header) for header in ("Token", "Token a b", "Token ÿ")] == [401, 401, 429]

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
        # The token, its user's others, the permissions of the user, of the groups; and the two of the answer.
        with assertNumQueries(6):
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
