"""Sessions to decide in, in the benchmark's own process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.contrib.auth.models import User

from coaching.actions.decisions import Answer, decide, record_decision
from coaching.actions.sessions import start_session
from coaching.actions.suggestions import Proposal, open_suggestion
from coaching.models import Session, Suggestion, Workflow

from .filling import ACTION, STEPS

ACCEPT = Answer(decision="accept")
Act = Callable[[], object]


def owner() -> User:
    return User.objects.get(username="owner")


def new_session() -> Session:
    """A session of the first workflow, in which any number of decisions may be recorded."""
    return start_session(Workflow.objects.get(workflow_id="invoices-0"), by=owner())


def records(session: Session, count: int) -> list[Act]:
    """So many decisions that an outside tool has taken."""
    by = owner()
    return [
        partial(
            record_decision, session, ACCEPT, step_index=n % STEPS, node_id=f"step-{n % STEPS}", action_type="click",
            execution_success=True, by=by,
        )
        for n in range(count)
    ]  # fmt: skip


def asked(count: int) -> list[Suggestion]:
    """So many open suggestions, each in a session of its own."""
    return [open_suggestion(new_session(), _proposal()) for _ in range(count)]


def _proposal() -> Proposal:
    return Proposal(
        step_index=0, node_id="step-0", action_type="click", action=ACTION, description="Click “Approve”",
        confidence=0.875, provenance={"source": "caller", "changed": []},
    )  # fmt: skip


def records_in_newest(count: int) -> list[Act]:
    """So many decisions to record in the session that was started last, read as a request reads it."""
    newest = Session.objects.order_by("-pk").values_list("pk", flat=True)[0]
    return records(Session.objects.select_related("workflow").get(pk=newest), count)


def answers_to_newest(count: int) -> list[Act]:
    """A person accepts the suggestions that were opened last, read as a request reads them."""
    by = owner()
    newest = Suggestion.objects.open().select_related("step_version", "session__workflow").order_by("-pk")
    return [partial(decide, suggestion, ACCEPT, by=by) for suggestion in newest[:count]]
