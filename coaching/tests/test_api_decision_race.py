"""Two programs answer the same suggestion at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from rest_framework.test import APIClient

from coaching.models import Decision, Session, Suggestion

ROUNDS = 20


@pytest.mark.django_db(transaction=True)
def test_exactly_one_wins_and_the_other_learns_what_was_decided(
    coach: User,
    second_coach: User,
    api: Callable[[User], APIClient],
    session: Session,
    ask: Callable[..., Suggestion],
) -> None:
    address = f"/api/v1/sessions/{session.session_id}/decisions/"
    clients = [api(coach), api(second_coach)]
    start = Barrier(2)

    def answer(client: APIClient, n: int, decision: str) -> tuple[int, dict[str, Any]]:
        try:
            start.wait(timeout=30)
            answered = client.post(address, {"decision": decision, "n": n})
            return answered.status_code, answered.json()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        for step in range(ROUNDS):
            suggestion = ask(session, step_index=step)
            both = pool.map(answer, clients, [suggestion.n] * 2, ["skip", "manual"])
            (won, decided), (lost, told) = sorted(both, key=lambda one: one[0])
            assert (won, lost) == (201, 409)
            assert told["errors"][0]["code"] == "already_decided"
            assert told["decision"] == decided
            assert Decision.objects.filter(suggestion=suggestion).count() == 1
    session.refresh_from_db()
    assert session.suggestions_made == ROUNDS == session.current_step_index
    log = session.events.order_by("seq")
    assert list(log.values_list("seq", flat=True)) == list(range(1, len(log) + 1))
    assert log.filter(type="decision.recorded").count() == ROUNDS
