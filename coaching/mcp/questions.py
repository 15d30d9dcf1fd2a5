"""`request_decision`: a question for the coach, and the wait for the answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from .. import hub
from ..actions.caller import Question, ask
from ..models import Session, Suggestion
from .answers import answer
from .caller import in_thread
from .runs import Run, find_or_start
from .waiting import IMPATIENT_SECONDS, PATIENT_SECONDS, Call, Patience, read_again, until_answered

_NOTHING_CAME_OF_IT = (None, Suggestion.Outcome.NOT_PERFORMED)


async def request_decision(call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    """Puts the question, or finds it where it waits already, and waits for the decision."""
    user = call.caller.user
    session = await in_thread(find_or_start, Run.of(given, call.caller.run), by=user)
    seconds = given.get("wait_seconds")
    if seconds is None:
        seconds = PATIENT_SECONDS if call.listens else IMPATIENT_SECONDS
    patience = Patience(call, seconds)
    question = _question(given)

    def put() -> Suggestion:
        missed = _missed(session, question)
        return missed or read_again(ask(session, question, by=user)[0])

    # Subscribed before it is put: an answer right after it is news.
    with hub.current().subscribe(session.pk) as news:
        suggestion = await until_answered(await in_thread(put), news, patience)
    return await in_thread(answer, suggestion)


def _missed(session: Session, question: Question) -> Suggestion | None:
    """The same question about a step that the caller names by its index, decided while the caller was away.

    Only where nothing came of it yet: an approval is for one try, and without the index nobody could tell another try
    from the same one. A no stays a no for the same action at the same step.
    """
    if question.step_index is None:
        return None
    asked = session.suggestions.select_related("session__workflow", "decision__session")
    last = asked.filter(step_index=question.step_index).order_by("-n").first()
    if last is None or last.status != Suggestion.Status.DECIDED or last.outcome not in _NOTHING_CAME_OF_IT:
        return None
    return last if question.is_about(last) else None


def _question(given: Mapping[str, Any]) -> Question:
    expires_in = given.get("expires_in")
    return Question(
        node_id=given["node_id"],
        action_type=given["action_type"],
        action=given["action"],
        step_index=_whole(given.get("step_index")),
        confidence=given.get("confidence"),
        rationale=given.get("rationale") or "",
        risk=given.get("risk"),
        expires_in=None if expires_in is None else timedelta(seconds=expires_in),
        on_expiry=given.get("on_expiry") or Suggestion.OnExpiry.PAUSE,
    )


def _whole(number: float | None) -> int | None:
    """JSON knows one kind of number: `2.0` is 2."""
    return None if number is None else int(number)
