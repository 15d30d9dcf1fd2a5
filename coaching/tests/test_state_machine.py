"""Any verbs in any order, against a model of a few lines."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from coaching.actions.autonomy import set_policy
from coaching.actions.decisions import Answer, decide, record_decision
from coaching.actions.sessions import (
    abandon_session,
    complete_session,
    fail_session,
    pause_session,
    resume_session,
    start_session,
)
from coaching.actions.suggestions import (
    Proposal,
    begin_performing,
    open_suggestion,
    record_outcome,
    withdraw_suggestion,
)
from coaching.actions.workflows import create_workflow
from coaching.exceptions import AlreadyDecided, IllegalTransition, SessionNotActive, StaleStep
from coaching.models import Decision, Session, Suggestion

from .domain import assert_consistent

ACTION = {"type": "change", "selectors": [["#amount"]], "value": "1"}
KINDS = st.sampled_from(Decision.Kind.values)
OUTCOMES = st.sampled_from(list(Suggestion.Outcome))


class AnyVerbs(RuleBasedStateMachine):
    """One session of an external workflow. Each example is rolled back; `coach` is set by the test."""

    coach: User

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.status = "active"
        self.index = 0
        self.events = 1
        self.counts = dict.fromkeys(Session.COUNTERS, 0)
        self.question: Suggestion | None = None
        self.answered: list[Suggestion] = []
        # Steps of an external workflow come into being when they are named; the first decision that counts is told.
        self.named: set[str] = set()
        self.coached: set[str] = set()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    @initialize()
    def start(self) -> None:
        workflow = create_workflow(workflow_id="any", name="Any", executor="external", by=None)
        set_policy(workflow, {"min_decisions": 1000})
        self.session = start_session(workflow, by=self.coach)

    def fresh(self) -> Session:
        """The session as another process would have it."""
        return Session.objects.select_related("workflow").get(pk=self.session.pk)

    @property
    def ongoing(self) -> bool:
        return self.status in {"active", "paused"}

    @rule()
    def pause(self) -> None:
        if self.status != "active":
            with pytest.raises(IllegalTransition):
                pause_session(self.fresh(), by=self.coach)
            return
        pause_session(self.fresh(), by=self.coach)
        self.status, self.events = "paused", self.events + 1

    @rule()
    def resume(self) -> None:
        if not self.ongoing:
            with pytest.raises(IllegalTransition):
                resume_session(self.fresh(), by=self.coach)
            return
        resume_session(self.fresh(), by=self.coach)
        self.events += self.status == "paused"
        self.status = "active"

    # Seldom, so that most examples have a life before their end.
    @precondition(lambda self: self.events > 4)
    @rule(end=st.sampled_from(["completed", "failed", "abandoned"]))
    def end(self, end: str) -> None:
        session = self.fresh()
        moves: dict[str, Any] = {
            "completed": lambda: complete_session(session, by=self.coach),
            "failed": lambda: fail_session(session, by=self.coach, error_message="no"),
            "abandoned": lambda: abandon_session(session, by=self.coach),
        }
        if not self.ongoing:
            with pytest.raises(IllegalTransition):
                moves[end]()
            return
        moves[end]()
        self.events += 2 if self.question else 1
        self.status, self.question = end, None

    @precondition(lambda self: not self.question)
    @rule()
    def ask(self) -> None:
        proposal = Proposal(
            step_index=self.index,
            node_id=f"n{self.index}",
            action_type="change",
            action=ACTION,
            description="Type",
        )
        if self.status != "active":
            with pytest.raises(SessionNotActive):
                open_suggestion(self.fresh(), proposal)
            return
        self.question = open_suggestion(self.fresh(), proposal)
        self.events += 1

    @precondition(lambda self: self.question)
    @rule(kind=KINDS)
    def answer(self, kind: str) -> None:
        assert self.question
        answer = Answer(decision=kind, correction=ACTION | {"timeout": 100} if kind == "correct" else None)
        suggestion = Suggestion.objects.get(pk=self.question.pk)
        if self.status != "active":
            with pytest.raises(SessionNotActive):
                decide(suggestion, answer, by=self.coach)
            return
        decide(suggestion, answer, by=self.coach)
        self.count(kind, suggestion.node_id)
        self.index = max(self.index, suggestion.step_index + 1)
        self.answered.append(suggestion)
        self.question = None

    @precondition(lambda self: self.answered)
    @rule(data=st.data())
    def answer_again(self, data: st.DataObject) -> None:
        suggestion = data.draw(st.sampled_from(self.answered))
        with pytest.raises(AlreadyDecided):
            decide(suggestion, Answer(decision="accept"), by=self.coach)

    @precondition(lambda self: self.question)
    @rule()
    def withdraw(self) -> None:
        assert self.question
        assert withdraw_suggestion(self.question, reason="changed")
        with pytest.raises(StaleStep):
            decide(self.question, Answer(decision="accept"), by=self.coach)
        self.question, self.events = None, self.events + 1

    @rule(kind=KINDS, ahead=st.integers(0, 3))
    def record(self, kind: str, ahead: int) -> None:
        answer = Answer(decision=kind, correction=ACTION | {"timeout": 100} if kind == "correct" else None)
        step_index = max(0, self.index + ahead - 1)
        place: dict[str, Any] = {"step_index": step_index, "node_id": f"n{step_index}", "action_type": "do"}
        if self.status != "active":
            with pytest.raises(SessionNotActive):
                record_decision(self.fresh(), answer, **place, by=self.coach)
            return
        record_decision(self.fresh(), answer, **place, by=self.coach)
        self.named.add(place["node_id"])
        self.count(kind, place["node_id"])
        self.index = max(self.index, step_index + 1)

    @precondition(lambda self: self.answered)
    @rule(data=st.data(), outcome=OUTCOMES, begin=st.booleans())
    def act(self, data: st.DataObject, outcome: Suggestion.Outcome, begin: bool) -> None:
        suggestion = Suggestion.objects.get(pk=data.draw(st.sampled_from(self.answered)).pk)
        awaited = suggestion.awaits_outcome
        if begin:
            may = awaited and self.status == "active" and not suggestion.performing_since
            assert begin_performing(suggestion) == may
            self.events += may
        assert record_outcome(suggestion, outcome) == awaited
        assert not record_outcome(suggestion, outcome)
        if awaited:
            self.events += 1
            # What has ended stays where it was, and so does what has gone on.
            gone_on = Suggestion.objects.filter(session=suggestion.session_id, n__gt=suggestion.n).exists()
            if self.ongoing and outcome != Suggestion.Outcome.PERFORMED and not gone_on:
                self.index = suggestion.step_index

    def count(self, kind: str, node_id: str) -> None:
        self.counts[Decision.Kind(kind).counter] += 1
        self.events += 1
        if Decision.Kind(kind).counts and node_id in self.named - self.coached:
            self.coached.add(node_id)
            self.events += 1

    @invariant()
    def rows_say_what_the_model_says(self) -> None:
        session = self.fresh()
        assert_consistent(session)
        assert session.status == self.status
        assert session.current_step_index == self.index
        assert session.last_seq == self.events
        assert {name: getattr(session, name) for name in self.counts} == self.counts
        assert session.open_suggestion() == self.question


def test_any_verbs_in_any_order(coach: User) -> None:
    AnyVerbs.coach = coach
    run_state_machine_as_test(
        AnyVerbs,
        settings=settings(
            max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
