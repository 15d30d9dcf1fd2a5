"""What follows a commit may fail; what was committed stands, and so does its answer."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from rest_framework.test import APIClient

from coaching.afterwards import after_commit
from coaching.logs import JsonFormatter, about
from coaching.models import Session, Suggestion
from coaching.signals import session_needs_worker

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_failure_after_the_commit_is_logged_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []

    def fails() -> None:
        raise ConnectionError("no Redis")

    with transaction.atomic():
        after_commit(fails)
        after_commit(called.append, "next")
    assert called == ["next"]
    assert "no Redis" in caplog.text


def test_what_is_logged_after_the_commit_is_about_the_request_that_asked_for_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One commit may be that of several requests."""
    said = logging.StreamHandler(sys.stdout)
    said.setFormatter(JsonFormatter())

    def fails() -> None:
        raise ConnectionError("no Redis")

    logger = logging.getLogger("coaching")
    logger.addHandler(said)
    try:
        with transaction.atomic():
            for number in (1, 2):
                with about(request=f"request-{number}"):
                    after_commit(logger.warning, f"woken {number}")
                    after_commit(fails)
    finally:
        logger.removeHandler(said)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["request"], line["message"].partition(" ")[0]) for line in lines] == [
        ("request-1", "woken"), ("request-1", fails.__qualname__),
        ("request-2", "woken"), ("request-2", fails.__qualname__),
    ]  # fmt: skip
    assert "no Redis" in lines[1]["exception"]


def test_a_decision_is_answered_as_taken_though_nobody_could_be_woken(
    api: Callable[[User], APIClient], coach: User, session: Session, suggestion: Suggestion
) -> None:
    def away(**_: object) -> None:
        raise ConnectionError("no Redis")

    session_needs_worker.connect(away)
    try:
        answer = api(coach).post(f"/api/v1/sessions/{session.session_id}/decisions/", {"decision": "accept"})
    finally:
        session_needs_worker.disconnect(away)
    assert answer.status_code == 201, answer.content
    assert session.decisions.count() == 1
