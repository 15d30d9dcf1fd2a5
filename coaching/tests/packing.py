"""What the tests of correction packs do again and again: decide in sessions of their own, replay, publish, propose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.models import User

from coaching.actions.backtests import run_backtest, start_backtest
from coaching.actions.correction_packs import create_pack, publish, submit
from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import start_session
from coaching.actions.suggestions import Proposal, open_suggestion
from coaching.exceptions import ProposalOutdated, StaleStep
from coaching.execution.proposals import Planned, build_proposal, plan
from coaching.models import (
    BackTest,
    Correction,
    CorrectionPack,
    Decision,
    PackVersion,
    Session,
    StepVersion,
    Suggestion,
    Workflow,
)
from metrics.rebuild import rebuild

PAGE: dict[str, Any] = {"url": "http://127.0.0.1:1/claims/new", "title": "New claim", "viewport": [1280, 720]}
#: The index of a step of the workflow of conftest.
OPENED, AMOUNT, SAVED = range(3)


def planned(session: Session, *, page_url: str = str(PAGE["url"])) -> Planned:
    """What the runner would propose at the session's current step, as another process reads it."""
    return plan(Session.objects.select_related("workflow").get(pk=session.pk), page_url=page_url)


def propose(
    session: Session, *, at: int | None = None, trouble: str = "", page: Mapping[str, Any] = PAGE
) -> Suggestion:
    """Asks about the current step, or the one `at` this index, as the runner does; nobody looks at a page."""
    if at is not None:
        Session.objects.filter(pk=session.pk).update(current_step_index=at)
    while True:
        try:
            return open_suggestion(*made(session, trouble=trouble, page=page))
        except ProposalOutdated:
            continue  # as the runner, which looks again


def made(session: Session, *, trouble: str = "", page: Mapping[str, Any] = PAGE) -> tuple[Session, Proposal]:
    """What would be asked about the current step, as another process reads it."""
    fresh = Session.objects.select_related("workflow").get(pk=session.pk)
    found = plan(fresh, page_url=page["url"])
    return fresh, build_proposal(fresh, found, found=None, trouble=trouble, page=dict(page), screenshot=None)


def let_type(workflow: Workflow, value: str) -> None:
    """The step of the amount types this from now on; of a secret, only a step that types it already may."""
    version = StepVersion.objects.get(step__workflow=workflow, step__node_id="change-amount")
    StepVersion.objects.filter(pk=version.pk).update(action=version.action | {"value": value})


def answer(suggestion: Suggestion, kind: str = "accept", *, by: User | None, **rest: Any) -> Decision:
    decision = decide(Suggestion.objects.get(pk=suggestion.pk), Answer(decision=kind, **rest), by=by)
    Suggestion.objects.filter(pk=suggestion.pk, outcome=None).update(outcome="performed")
    return decision


def coached(session: Session, kind: str = "accept", *, by: User, at: int = AMOUNT) -> Decision:
    """Asks and answers, again where the question was taken back meanwhile because packs have changed it."""
    while True:
        try:
            return answer(propose(session, at=at), kind, by=by)
        except StaleStep:
            continue


def run(
    workflow: Workflow, kind: str = "accept", *, by: User, at: int = AMOUNT, changes: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None, **rest: Any,
) -> Decision:  # fmt: skip
    """A session of its own in which one step is asked about and answered; `changes` are made to what was suggested."""
    suggestion = propose(start_session(workflow, by=by, variables=variables), at=at)
    if changes is not None:
        rest["correction"] = suggestion.action | changes
    return answer(suggestion, kind, by=by, **rest)


def backtested(version: PackVersion | None, *, by: User) -> BackTest:
    assert version
    backtest = start_backtest(version, by=by)
    run_backtest(backtest.pk)
    backtest.refresh_from_db()
    assert backtest.status == "done"
    return backtest


def publish_draft(pack: CorrectionPack, *, by: User) -> PackVersion:
    """Submitted, replayed and published, whatever it breaks."""
    pack.refresh_from_db()
    backtested(pack.draft, by=by)
    submit(pack, by=by)
    return publish(pack, confirmed=True, by=by)


def published_pack(*, by: User, corrections: Iterable[Correction] | None = None, **about: Any) -> CorrectionPack:
    """A pack with these captured corrections, all there are unless told, that is applied."""
    chosen = Correction.objects.order_by("pk") if corrections is None else corrections
    pack = create_pack(**({"name": "Release 2"} | about), corrections=chosen, by=by)
    publish_draft(pack, by=by)
    return pack


def assert_metrics_are_right() -> None:
    """Counted anew from the facts, every number comes to what is kept."""
    assert not list(rebuild(repair=False))
