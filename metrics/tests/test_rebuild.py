"""The tallies kept as facts come are the tallies counted anew from the facts, whatever has happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from coaching.actions.autonomy import demote, promote, set_policy
from coaching.actions.decisions import Answer, decide, record_decision
from coaching.actions.sessions import (
    abandon_session,
    complete_session,
    delete_session,
    fail_session,
    start_session,
)
from coaching.actions.suggestions import Proposal, open_suggestion, record_outcome
from coaching.actions.workflows import change_step, create_workflow, delete_workflow, set_steps
from coaching.exceptions import NotAuto, NotReady
from coaching.models import Decision, Level, Session, Step, Suggestion, Workflow
from metrics.models import CalibrationBin, DailyTally, LatencyBin, Source, StepTally, WorkflowLearningMetrics
from metrics.overview import ActivityCounts
from metrics.rebuild import rebuild
from metrics.tally import LIFETIME

WORKFLOWS = ("one", "two")
NODES = ("a", "b", "c")
COUNTER = {"accept": "accepted", "reject": "rejected", "correct": "corrected", "manual": "manual", "skip": "skipped"}
#: Easy enough that steps become AUTO and fall back within a few decisions.
POLICIES: tuple[dict[str, Any], ...] = (
    {"min_decisions": 1, "confidence": 0, "confidence_irreversible": 0},
    {"min_decisions": 2, "confidence": 0, "confidence_irreversible": 0.3, "target": 0.5, "auto_promote": True},
    {"min_decisions": 3, "confidence": 0.2, "min_demonstrations": 0},
    {"target": 0.95, "min_decisions": 1, "confidence": 0, "audit_clean_runs": [1, 2]},
)
KINDS = st.sampled_from(Decision.Kind.values)
BECAUSE = st.sampled_from(Suggestion.AskedBecause.values)


def differences(*, repair: bool = False) -> list[tuple[str, Any, Any]]:
    return [tuple(difference) for difference in rebuild(repair=repair)]


class AnyHistory(RuleBasedStateMachine):
    """Several sessions of two workflows. Each example is rolled back; `coach` and `owner` are set by the test.

    `counts` and `lifetime` are what this test has counted itself, without a look at any row.
    """

    coach: User
    owner: User

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.sessions: dict[int, str] = {}
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.days: defaultdict[str, Counter[Any]] = defaultdict(Counter)
        self.lifetime: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.latencies: Counter[str] = Counter()
        self.judged: Counter[tuple[str, int, bool]] = Counter()
        self.changes = 0

    @initialize(alone=st.sets(st.sampled_from(NODES)))
    def begin(self, alone: set[str]) -> None:
        """Two workflows with a session each; of the first, some steps run alone already."""
        for name in WORKFLOWS:
            steps = [{"node_id": node, "action_type": "do", "action": {"of": node}} for node in NODES]
            workflow = create_workflow(workflow_id=name, name=name, executor="external", steps=steps, by=None)
            set_policy(workflow, POLICIES[0])
            self.start(name, mode="coaching")
        session = Session.objects.select_related("workflow").get(workflow__workflow_id=WORKFLOWS[0])
        for node in sorted(alone):
            self.record_one(session, node, "accept", None, None)
            promote(session.workflow, node_ids=[node], by=self.owner)

    def teardown(self) -> None:
        try:
            self.everything_adds_up()
        finally:
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    # ---- what it acts on: always as another process would have it

    def session(self, data: st.DataObject) -> Session:
        pk = data.draw(st.sampled_from(sorted(self.sessions)))
        return Session.objects.select_related("workflow").get(pk=pk)

    def workflow(self, name: str) -> Workflow:
        return Workflow.objects.get(workflow_id=name)

    def step(self, name: str, node: str) -> Step:
        return Step.objects.select_related("workflow", "current").get(workflow__workflow_id=name, node_id=node)

    def count(self, session: Session, node: str, kind: str, at: datetime, *, unattended: bool = False) -> None:
        name = session.workflow.workflow_id
        counter = "unattended" if unattended else COUNTER[kind]
        self.counts[name][counter] += 1
        self.days[name][at.astimezone(UTC).date(), counter] += 1
        self.lifetime[name, node][counter] += 1

    # ---- verbs

    @rule(name=st.sampled_from(WORKFLOWS), mode=st.sampled_from(Session.Mode.values))
    def start(self, name: str, mode: str) -> None:
        session = start_session(self.workflow(name), mode=mode, by=self.coach)
        self.sessions[session.pk] = name
        self.counts[name]["sessions"] += 1
        self.days[name][session.started_at.date(), "sessions"] += 1

    @precondition(lambda self: len(self.sessions) > 2)
    @rule(data=st.data(), end=st.sampled_from(["completed", "failed", "abandoned"]))
    def end(self, data: st.DataObject, end: str) -> None:
        session = self.session(data)
        verbs: dict[str, Callable[[], None]] = {
            "completed": lambda: complete_session(session, by=self.coach),
            "failed": lambda: fail_session(session, by=self.coach, error_message="no"),
            "abandoned": lambda: abandon_session(session, by=self.coach),
        }
        verbs[end]()
        name = self.sessions.pop(session.pk)
        session.refresh_from_db()
        assert session.completed_at
        self.counts[name].update({end: 1, "coaching_ms": session.coaching_ms})
        self.days[name][session.completed_at.date(), end] += 1

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Any session but the last two ongoing ones, ended ones included."""
        there = list(Session.objects.order_by("pk").values_list("pk", flat=True))
        pk = data.draw(st.sampled_from(there))
        if pk in self.sessions and len(self.sessions) < 3:
            return
        delete_session(Session.objects.get(pk=pk))
        self.sessions.pop(pk, None)

    @rule(
        data=st.data(),
        node=st.sampled_from([*NODES, "named-late"]),
        kind=KINDS,
        success=st.sampled_from([None, True, False]),
        hours=st.none() | st.integers(-60, 60),
        times=st.sampled_from([1, 3, 7]),
    )
    def record(
        self, data: st.DataObject, node: str, *, kind: str, success: bool | None, hours: int | None, times: int
    ) -> None:
        """The same again and again: enough for an alarm, or for a fresh start."""
        session = self.session(data)
        for _ in range(times):
            self.record_one(session, node, kind, success, hours)

    @rule(data=st.data(), node=st.sampled_from(NODES), outcomes=st.sampled_from(["F", "FFF", "FSF"]))
    def perform(self, data: st.DataObject, node: str, outcomes: str) -> None:
        session = self.session(data)
        for outcome in outcomes:
            self.record_one(session, node, "accept", outcome == "S", None)

    def record_one(self, session: Session, node: str, kind: str, success: bool | None, hours: int | None) -> None:
        at = None if hours is None else timezone.now() + timedelta(hours=hours)
        answer = Answer(decision=kind, correction={"of": "another"} if kind == "correct" else None)
        # In a run of mode auto nobody was asked about what runs alone.
        steps = session.workflow.steps.filter(node_id=node, level=Level.AUTO)
        alone = session.mode == Session.Mode.AUTO and kind == "accept" and steps.exists()
        decision = record_decision(
            session, answer, step_index=0, node_id=node, action_type="do", execution_success=success, timestamp=at,
            by=self.coach,
        )  # fmt: skip
        assert decision.unattended == alone
        self.count(session, node, kind, decision.timestamp, unattended=alone)

    @rule(
        data=st.data(),
        node=st.sampled_from(NODES),
        kind=KINDS,
        because=BECAUSE,
        confidence=st.none() | st.floats(0, 1),
        seconds=st.integers(0, 1000),
        old=st.booleans(),
    )
    def answer(
        self,
        data: st.DataObject,
        node: str,
        *,
        kind: str,
        because: str,
        confidence: float | None,
        seconds: int,
        old: bool,
    ) -> None:
        """A suggestion for the step as it is, or (`old`) as it once was, is decided after some time."""
        session = self.session(data)
        suggestion = self.ask(session, node, because, confidence=confidence, old=old)
        Suggestion.objects.filter(pk=suggestion.pk).update(opened_at=timezone.now() - timedelta(seconds=seconds))
        suggestion = Suggestion.objects.get(pk=suggestion.pk)
        answer = Answer(decision=kind, correction={"of": "another"} if kind == "correct" else None)
        decision = decide(suggestion, answer, by=self.coach)
        self.count(session, node, kind, decision.timestamp)
        self.latencies[session.workflow.workflow_id] += 1
        if confidence is not None and because != "trouble" and kind in {"accept", "reject", "correct"}:
            place = (session.workflow.workflow_id, min(9, int(confidence * 10)), kind == "accept")
            self.judged[place] += 1

    @rule(data=st.data(), node=st.sampled_from(NODES), confidence=st.floats(0, 1))
    def run_alone(self, data: st.DataObject, node: str, confidence: float) -> None:
        session = self.session(data)
        suggestion = self.ask(session, node, "", confidence=confidence)
        if self.step(session.workflow.workflow_id, node).level != Level.AUTO:
            with pytest.raises(NotAuto):
                decide(suggestion, Answer(decision="accept"), by=None)
            decide(suggestion, Answer(decision="skip"), by=self.coach)
            self.count(session, node, "skip", timezone.now())
            self.latencies[session.workflow.workflow_id] += 1
            return
        decision = decide(suggestion, Answer(decision="accept"), by=None)
        self.count(session, node, "accept", decision.timestamp, unattended=True)

    def ask(
        self, session: Session, node: str, because: str, *, confidence: float | None, old: bool = False
    ) -> Suggestion:
        versions = self.step(session.workflow.workflow_id, node).versions.order_by("number")
        version = versions[0] if old else versions.last()
        assert version
        proposal = Proposal(
            step_index=0, node_id=node, action_type="do", action=version.action, description="Do it",
            step_version=version, confidence=confidence, asked_because=because,
        )  # fmt: skip
        return open_suggestion(session, proposal)

    @rule(data=st.data(), outcome=st.sampled_from(list(Suggestion.Outcome)))
    def act(self, data: st.DataObject, outcome: Suggestion.Outcome) -> None:
        """An outcome arrives, perhaps long after, perhaps when the session has ended."""
        awaited = list(Suggestion.objects.filter(status="decided", outcome=None).order_by("pk"))
        if awaited:
            assert record_outcome(data.draw(st.sampled_from(awaited)), outcome)

    @rule(
        name=st.sampled_from(WORKFLOWS),
        node=st.sampled_from(NODES),
        how=st.sampled_from(["action", "back", "words", "riskier"]),
    )
    def change(self, name: str, node: str, how: str) -> None:
        self.changes += 1
        changes: dict[str, dict[str, Any]] = {
            "action": {"action": {"of": node, "change": self.changes}},
            "back": {"action": {"of": node}},
            "words": {"description": f"In other words ({self.changes})"},
            "riskier": {"risk": "irreversible"},
        }
        change_step(self.step(name, node), by=self.owner, **changes[how])

    @rule(name=st.sampled_from(WORKFLOWS), gone=st.sampled_from([None, *NODES]))
    def rearrange(self, name: str, gone: str | None) -> None:
        """A step is left out, or comes back as it was."""
        workflow = self.workflow(name)
        steps = [
            {"node_id": node, "action_type": "do", "action": version.action, "risk": version.risk}
            for node in reversed(NODES)
            if node != gone
            for version in [self.step(name, node).version]
        ]
        set_steps(workflow, steps, by=self.owner)

    @rule(name=st.sampled_from(WORKFLOWS), node=st.none() | st.sampled_from(NODES))
    def promote(self, name: str, node: str | None) -> None:
        present = set(self.workflow(name).current_steps().values_list("node_id", flat=True))
        if node is None or node in present:
            try:
                promote(self.workflow(name), node_ids=node and [node], by=self.owner)
            except NotReady as refused:
                missing = set(refused.unmet)
            else:
                missing = set()
            assert missing <= present

    @rule(name=st.sampled_from(WORKFLOWS))
    def demote(self, name: str) -> None:
        demote(self.workflow(name), by=self.owner)

    @rule(name=st.sampled_from(WORKFLOWS), policy=st.sampled_from(POLICIES))
    def set_policy(self, name: str, policy: dict[str, Any]) -> None:
        set_policy(self.workflow(name), policy)

    # ---- what must hold

    def everything_adds_up(self) -> None:
        assert differences() == []
        for name in WORKFLOWS:
            workflow = self.workflow(name)
            kept = ActivityCounts.read(WorkflowLearningMetrics.objects.filter(workflow=workflow)).counts
            assert {**kept} == {counter: self.counts[name][counter] for counter in kept}
            days = Counter[Any]()
            for row in DailyTally.objects.filter(workflow=workflow):
                days.update({(row.date, counter): getattr(row, counter) for counter in (*LIFETIME, "unattended")})
                days.update({(row.date, counter): getattr(row, counter) for counter in (Session.ENDED)})
                days[row.date, "sessions"] += row.sessions
            assert +days == +self.days[name]
            latencies = LatencyBin.objects.filter(workflow=workflow).values_list("count", flat=True)
            assert sum(latencies) == self.latencies[name]
            judged = Counter[tuple[str, int, bool]]()
            for tenth in CalibrationBin.objects.filter(workflow=workflow):
                judged[name, tenth.bin, True] += tenth.accepted
                judged[name, tenth.bin, False] += tenth.count - tenth.accepted
            assert +judged == Counter({place: number for place, number in self.judged.items() if place[0] == name})
        for step in Step.objects.select_related("workflow"):
            counted = self.lifetime[step.workflow.workflow_id, step.node_id]
            tally = StepTally.objects.get(step=step) if counted else StepTally()
            assert {name: getattr(tally, name) for name in (*LIFETIME, "unattended")} == {
                name: counted[name] for name in (*LIFETIME, "unattended")
            }
            assert tally.auto == (step.level == Level.AUTO)


def test_any_history_counted_as_it_comes_and_anew(coach: User, owner: User) -> None:
    AnyHistory.coach, AnyHistory.owner = coach, owner
    run_state_machine_as_test(
        AnyHistory,
        settings=settings(
            max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


# ---- a number that is wrong


@pytest.fixture
def worked(external_workflow: Workflow, coach: User) -> Workflow:
    """Decided on by recorded decisions and by suggestions, in a session that has ended and one that has not."""
    session = start_session(external_workflow, by=coach)
    for kind, node in (("accept", "open"), ("accept", "open"), ("reject", "open"), ("skip", "save")):
        record_decision(session, Answer(decision=kind), step_index=0, node_id=node, action_type="do", by=coach)
    proposal = Proposal(step_index=1, node_id="save", action_type="do", action={}, description="Save", confidence=0.75)
    decide(open_suggestion(session, proposal), Answer(decision="accept"), by=coach)
    complete_session(session, by=coach)
    start_session(external_workflow, by=coach)
    return external_workflow


DAMAGES: dict[str, tuple[type[Any], dict[str, Any], str]] = {
    "a step's count": (StepTally, {"epoch_refused": 5}, "invoice-import open epoch_refused: 5, should be 1"),
    "a detector": (StepTally, {"audit_score": 49}, "invoice-import open audit_score: 49, should be 0"),
    "a step's readiness": (StepTally, {"ready": True}, "invoice-import open ready: True, should be False"),
    "the workflow's sum": (
        WorkflowLearningMetrics, {"accepted": 0}, "invoice-import workflowlearningmetrics accepted: 0, should be 3"
    ),
    "a count of sessions": (
        WorkflowLearningMetrics, {"completed": 9}, "invoice-import workflowlearningmetrics completed: 9, should be 1"
    ),
    "a day": (DailyTally, {"skipped": 4}, "skipped: 4, should be 1"),
    "a tenth of the calibration": (CalibrationBin, {"accepted": 0}, "invoice-import calibrationbin 7 accepted: 0, should be 1"),
    "a time to decide": (LatencyBin, {"count": 3}, "count: 3, should be 1"),
}  # fmt: skip


def _command(*arguments: str) -> str:
    out = StringIO()
    call_command("rebuild_metrics", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_wrong_number_is_reported_and_put_right(worked: Workflow, damage: str) -> None:
    assert _command("--check") == "All metrics are right.\n"
    model, wrong, says = DAMAGES[damage]
    rows = model.objects.filter(step__node_id="open") if model is StepTally else model.objects.all()
    assert rows.update(**wrong) == 1
    with pytest.raises(CommandError, match="1 numbers differ"):
        _command("--check")
    (row,) = rows
    assert {name: getattr(row, name) for name in wrong} == wrong, "--check only says it"
    said = _command()
    assert says in said
    assert said.endswith("1 numbers differed and are right now.\n")
    row.refresh_from_db()
    assert {name: getattr(row, name) for name in wrong} != wrong
    assert _command("--check") == _command() == "All metrics are right.\n"


def test_a_missing_row_is_made_again_and_a_needless_one_emptied(worked: Workflow) -> None:
    StepTally.objects.all().delete()
    WorkflowLearningMetrics.objects.all().delete()
    DailyTally.objects.all().delete()
    CalibrationBin.objects.update(bin=2)
    said = _command()
    assert "invoice-import open accepted: 0, should be 2" in said
    assert "invoice-import workflowlearningmetrics sessions: 0, should be 2" in said
    assert "invoice-import calibrationbin 2 count: 1, should be 0" in said
    assert "invoice-import calibrationbin 7 count: 0, should be 1" in said
    assert differences() == []
    assert StepTally.objects.get(step__node_id="open").accepted == 2
    assert CalibrationBin.objects.get(bin=2).count == 0


def test_what_differs_says_where_what_is_kept_and_what_is_counted(worked: Workflow) -> None:
    today = timezone.now().date()
    DailyTally.objects.update(rejected=7)
    assert differences() == [(f"invoice-import dailytally {today} rejected", 7, 1)]
    assert differences(repair=True) == [(f"invoice-import dailytally {today} rejected", 7, 1)]
    assert differences() == []


def test_what_is_deleted_meanwhile_is_passed_over(worked: Workflow, owner: User) -> None:
    """The first of three steps has been counted, the others have not, when their workflow goes."""
    deleted = create_workflow(
        workflow_id="deleted", name="Deleted", executor="external", by=owner,
        steps=[{"node_id": node, "action": {"type": "click"}} for node in NODES],
    )  # fmt: skip
    StepTally.objects.filter(step__in=deleted.steps.all()).delete()
    for step in deleted.steps.all():
        StepTally.objects.create(step=step, accepted=7)
    WorkflowLearningMetrics.objects.filter(workflow=worked).update(sessions=50)
    counting = rebuild()
    said = [next(difference for difference in counting if difference.what == "deleted a accepted")]
    delete_workflow(deleted)
    assert list(counting) == []
    assert said == [("deleted a accepted", 7, 0)]
    assert WorkflowLearningMetrics.objects.get(workflow=worked).sessions == 2
    assert differences() == []


def test_another_workflows_numbers_are_not_touched(worked: Workflow, browser_workflow: Workflow, coach: User) -> None:
    start_session(browser_workflow, by=coach)
    WorkflowLearningMetrics.objects.filter(workflow=worked).update(sessions=50)
    assert differences(repair=True) == [("invoice-import workflowlearningmetrics sessions", 50, 2)]
    assert WorkflowLearningMetrics.objects.get(workflow=browser_workflow).sessions == 1


# ---- sessions that are deleted


def test_deleting_a_session_keeps_its_counts(worked: Workflow) -> None:
    def shown() -> list[Any]:
        steps = StepTally.objects.order_by("pk").values(*LIFETIME, "epoch_accepted", "epoch_refused")
        return [
            *steps,
            ActivityCounts.read(WorkflowLearningMetrics.objects.all()),
            ActivityCounts.read(DailyTally.objects.all()),
            Counter(CalibrationBin.objects.filter(count__gt=0).values_list("bin", "count", "squared_error")),
            Counter(LatencyBin.objects.filter(count__gt=0).values_list("bin", "count")),
        ]

    before = shown()
    delete_session(worked.sessions.get(status="completed"))
    assert shown() == before
    assert differences() == []
    live = WorkflowLearningMetrics.objects.get(source=Source.LIVE)
    deleted = WorkflowLearningMetrics.objects.get(source=Source.DELETED)
    assert (live.sessions, live.accepted, live.completed) == (1, 0, 0)
    assert (deleted.sessions, deleted.accepted, deleted.completed) == (1, 3, 1)


def test_counting_goes_on_after_a_session_was_deleted(worked: Workflow, coach: User) -> None:
    delete_session(worked.sessions.get(status="completed"))
    session = worked.sessions.get()
    record_decision(session, Answer(decision="reject"), step_index=0, node_id="open", action_type="do", by=coach)
    tally = StepTally.objects.get(step__node_id="open")
    assert (tally.accepted, tally.rejected, tally.epoch_accepted, tally.epoch_refused) == (2, 2, 2, 2)
    assert differences() == []
    StepTally.objects.filter(pk=tally.pk).update(rejected=9, epoch_accepted=0)
    assert differences(repair=True) == [
        ("invoice-import open rejected", 9, 2),
        ("invoice-import open epoch_accepted", 0, 2),
    ]
    delete_session(session)
    assert ActivityCounts.read(WorkflowLearningMetrics.objects.all()).counts["rejected"] == 2
    assert differences() == []


def test_a_count_that_was_too_small_keeps_nobody_from_deleting(worked: Workflow) -> None:
    WorkflowLearningMetrics.objects.update(accepted=1)
    delete_session(worked.sessions.get(status="completed"))
    assert WorkflowLearningMetrics.objects.get(source=Source.LIVE).accepted == 0
    assert differences() == []


def test_deleted_workflows_leave_nothing(worked: Workflow, coach: User) -> None:
    for session in worked.sessions.filter(status="active"):
        abandon_session(session, by=coach)
    worked.delete()
    assert not WorkflowLearningMetrics.objects.exists()
    assert not StepTally.objects.exists()
    assert _command() == "All metrics are right.\n"


@pytest.mark.parametrize("success", [True, False])
def test_an_outcome_that_comes_with_its_decision_follows_the_level_that_it_led_to(
    external_workflow: Workflow, coach: User, success: bool
) -> None:
    """The decision promotes the step, and only then its outcome is known: so it counts for what runs alone."""
    external_workflow.policy = {"min_decisions": 2, "confidence": 0, "min_demonstrations": 0, "auto_promote": True}
    external_workflow.save()
    session = start_session(external_workflow, by=coach)
    for _ in range(3):
        record_decision(
            session, Answer(decision="accept"), step_index=0, node_id="n", action_type="do",
            execution_success=success, by=coach,
        )  # fmt: skip
    step = Step.objects.get(node_id="n")
    assert step.level == Level.AUTO
    facts: Any = Decision.objects.order_by("pk").values_list("fact", "outcome_fact")
    promoted = step.level_changes.get(to_level=Level.AUTO).fact
    assert facts[0][0] < facts[0][1] < facts[1][0] < promoted < facts[1][1] < facts[2][0] < facts[2][1]
    assert StepTally.objects.get(step=step).execution_score == (0 if success else 18)
    assert differences() == []
