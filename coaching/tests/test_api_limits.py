"""How much and how often: throttling per caller, sizes of requests, and answers that the caller has already."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from coaching.actions.decisions import Answer, decide
from coaching.models import Session, Suggestion

Api = Callable[[User], APIClient]
INBOX = "/api/v1/inbox/"


class TestThrottling:
    @pytest.fixture(autouse=True)
    def few(self, settings: Settings) -> Iterator[None]:
        settings.COACHSITE_API_RATE = 3
        cache.clear()
        yield
        cache.clear()

    def test_each_token_has_its_own_number(self, coach: User, api: Api) -> None:
        one, other = api(coach), api(coach)
        assert [one.get(INBOX).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert other.get(INBOX).status_code == 200

    def test_it_says_when_to_come_back(self, coach: User, api: Api) -> None:
        client = api(coach)
        answers = [client.get(INBOX) for _ in range(5)]
        assert answers[-1].json()["errors"][0]["code"] == "throttled"
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60

    def test_a_minute_later_it_goes_on(self, coach: User, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        client = api(coach)
        assert [client.get(INBOX).status_code for _ in range(4)][-1] == 429
        import time  # noqa: PLC0415

        later = time.time() + 61
        monkeypatch.setattr("coaching.api.throttling.time.time", lambda: later)
        assert client.get(INBOX).status_code == 200

    def test_zero_is_without_limit(self, coach: User, api: Api, settings: Settings) -> None:
        settings.COACHSITE_API_RATE = 0
        client = api(coach)
        assert {client.get(INBOX).status_code for _ in range(10)} == {200}

    def test_nothing_happens_for_who_comes_too_often(self, coach: User, api: Api, suggestion: Suggestion) -> None:
        client = api(coach)
        for _ in range(3):
            client.get(INBOX)
        address = f"/api/v1/sessions/{suggestion.session.session_id}/decisions/"
        assert client.post(address, {"decision": "accept"}).status_code == 429
        suggestion.refresh_from_db()
        assert suggestion.is_open


class TestSizes:
    def test_a_body_over_one_mebibyte_is_refused(self, coach: User, api: Api, external_session: Session) -> None:
        body = {"decision": "accept", "feedback": "x" * (1024 * 1024)}
        answer = api(coach).post(f"/api/v1/sessions/{external_session.session_id}/decisions/", body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "too_large")

    @pytest.mark.parametrize(("mebibytes", "status"), [(5, 201), (9, 201), (11, 413)])
    def test_a_question_may_bring_a_large_picture(
        self, coach: User, api: Api, external_session: Session, mebibytes: int, status: int
    ) -> None:
        picture = base64.b64encode(
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\3\0\0\0\4" + b"x" * (mebibytes * 1024 * 1024)
        ).decode()
        body = {"node_id": "post", "action_type": "post", "action": {}, "screenshot": picture}
        answer = api(coach).post(f"/api/v1/sessions/{external_session.session_id}/suggestions/", body)
        assert answer.status_code == status

    def test_letters_of_other_scripts_count_as_they_are_sent(
        self, coach: User, api: Api, external_session: Session
    ) -> None:
        body = {"node_id": "post", "action_type": "post", "action": {"text": "ж" * 200_000}}
        answer = api(coach).post(f"/api/v1/sessions/{external_session.session_id}/suggestions/", body)
        assert answer.status_code == 201

    def test_an_action_is_not_as_large_as_a_picture(self, coach: User, api: Api, external_session: Session) -> None:
        body = {"node_id": "post", "action_type": "post", "action": {"text": "x" * (2 * 1024 * 1024)}}
        answer = api(coach).post(f"/api/v1/sessions/{external_session.session_id}/suggestions/", body)
        assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "action")


class TestWhatIsKnownAlready:
    def test_the_same_answer_again_has_no_body(self, coach: User, api: Api, suggestion: Suggestion) -> None:
        client = api(coach)
        for path in ("", "suggestions/1/", "suggestions/", "events/", "decisions/"):
            address = f"/api/v1/sessions/{suggestion.session.session_id}/{path}"
            first = client.get(address)
            again = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
            assert (again.status_code, again.content) == (304, b"")

    def test_news_are_told(self, coach: User, api: Api, suggestion: Suggestion) -> None:
        client = api(coach)
        address = f"/api/v1/sessions/{suggestion.session.session_id}/suggestions/1/"
        known = client.get(address).headers["ETag"]
        decide(suggestion, Answer(decision="accept"), by=coach)
        answer = client.get(address, headers={"If-None-Match": known})
        assert (answer.status_code, answer.json()["status"]) == (200, "decided")
        assert answer.headers["ETag"] != known

    def test_nothing_is_kept_where_others_could_read_it(self, coach: User, api: Api) -> None:
        assert api(coach).get(INBOX).headers["Cache-Control"] == "private, no-cache"
