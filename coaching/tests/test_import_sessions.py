"""Files of sessions become sessions: what is kept, what is refused, and that everything counts as if recorded here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from rest_framework.test import APIClient

from coaching import session_files
from coaching.actions.secrecy import secret_names
from coaching.actions.session_files import import_session
from coaching.actions.sessions import resume_session, start_session
from coaching.models import Decision, Level, Session, Workflow
from coaching.recordings import names_in
from coaching.secrets import encrypt
from coaching.session_files import MAX_BYTES, BrokenFile, read_session
from coaching.tests.domain import assert_consistent, event_types, everything_stored, together

pytestmark = pytest.mark.django_db

NOW = datetime(2031, 5, 4, 9, 30, tzinfo=UTC)
DECIDED: dict[str, Any] = {"step_index": 0, "node_id": "open", "action_type": "open_mail", "decision": "accept"}
#: What a file cannot do without.
LEAST: dict[str, Any] = {
    "session_id": "coaching_20310504_093000_1a2b3c4d",
    "workflow_id": "invoice-import",
    "status": "completed",
    "decisions": [DECIDED],
}


def a_file(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (LEAST | changes).items() if value is not ...}


def data(**changes: Any) -> bytes:
    return json.dumps(a_file(**changes)).encode()


def put(folder: Path, name: str = "a.json", **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_bytes(data(**changes))
    return file


def run(folder: Path) -> tuple[int, str, str]:
    """`(exit code, standard output, standard error)` of the command."""
    out, err, code = StringIO(), StringIO(), 0
    try:
        call_command("import_sessions", str(folder), stdout=out, stderr=err)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, out.getvalue(), err.getvalue()


def check_metrics() -> None:
    """The tallies are what a new count finds."""
    call_command("rebuild_metrics", "--check", stdout=StringIO())


def test_all_that_a_file_says_is_kept(tmp_path: Path) -> None:
    decisions = [
        DECIDED | {"timestamp": "2031-05-04T09:31:00", "latency_ms": 1500, "execution_success": True},
        {
            "step_index": 1, "node_id": "fill", "action_type": "type_text", "decision": "correct",
            "correction": {"text": "42,50 €"}, "feedback": "Komma ☕", "reason_code": "wrong_value",
            "timestamp": "2031-05-04T11:32:00+02:00", "execution_success": False, "decided_by": "carl",
            "latency_ms": 0,
        },
        {
            "step_index": 2, "node_id": "check", "action_type": "check", "decision": "manual",
            "correction": {"checked": 3}, "feedback": None, "reason_code": None, "execution_success": None,
            "timestamp": "2031-05-04T09:33:00Z", "decided_by": "cleo", "latency_ms": None,
        },
        {"step_index": 3, "node_id": "send", "action_type": "send", "decision": "reject", "reason_code": "unsafe"},
        {"step_index": 4, "node_id": "log", "action_type": "log", "decision": "skip", "decided_by": "policy"},
    ]  # fmt: skip
    put(
        tmp_path, execution_id="invoice 7/2031", status="failed", mode="auto", current_step_index=5, total_steps=6,
        decisions=decisions, variables={"amount": "42.50", "n": 3}, metadata={"batch": [1, {"ü": None}]},
        started_at="2031-05-04T09:30:00", updated_at="2031-05-04T09:40:00.000001Z",
        completed_at="2031-05-04T09:40:00Z", error_message="The portal was down.",
        stats={"suggestions_made": 5, "accepted": 1, "rejected": 1, "corrected": 1, "manual_executions": 1, "skipped": 1},
        acceptance_rate=1 / 3, correction_rate=0.3333,
    )  # fmt: skip
    assert run(tmp_path) == (0, "1 imported, 0 known already, 0 broken.\n", "")

    session = Session.objects.get()
    assert (session.session_id, session.execution_id) == (LEAST["session_id"], "invoice 7/2031")
    assert (session.status, session.mode) == ("failed", "auto")
    assert (session.current_step_index, session.total_steps) == (5, 6)
    assert (session.variables, session.metadata) == (
        {"amount": "42.50", "n": 3},
        {"batch": [1, {"ü": None}]},
    )
    assert session.started_at == datetime(2031, 5, 4, 9, 30, tzinfo=UTC)
    assert session.updated_at == datetime(2031, 5, 4, 9, 40, 0, 1, tzinfo=UTC)
    assert session.completed_at == datetime(2031, 5, 4, 9, 40, tzinfo=UTC)
    assert session.error_message == "The portal was down."
    assert session.coaching_ms == 1500
    assert session.stats() == {
        "suggestions_made": 5, "accepted": 1, "rejected": 1, "corrected": 1, "manual_executions": 1, "skipped": 1,
    }  # fmt: skip
    assert_consistent(session)
    first, second, third, fourth, fifth = session.decisions.order_by("pk")
    assert (first.timestamp.minute, first.latency_ms, first.execution_success) == (31, 1500, True)
    assert second.timestamp == datetime(2031, 5, 4, 9, 32, tzinfo=UTC), "whatever zone it was written in"
    assert (second.correction, second.feedback, second.reason_code) == ({"text": "42,50 €"}, "Komma ☕", "wrong_value")
    assert (second.decided_by, second.execution_success, second.latency_ms) == ("carl", False, 0)
    assert (third.correction, third.execution_success, third.latency_ms) == ({"checked": 3}, None, None)
    assert (fourth.timestamp, fourth.decided_by) == (session.started_at, "unknown")
    assert [one.unattended for one in (first, second, third, fourth, fifth)] == [False, False, False, False, True]
    check_metrics()


def test_what_older_programs_leave_out_has_a_default() -> None:
    imported = import_session(data(status="abandoned", decisions=[DECIDED | {"timestamp": "2031-01-02T03:04:05.678"}]))
    assert imported.remarks == ()
    session = Session.objects.get()
    assert (session.execution_id, session.mode) == (session.session_id, "coaching")
    assert (session.current_step_index, session.total_steps) == (1, 0)
    assert (session.variables, session.metadata, session.error_message) == ({}, {}, "")
    decided = datetime(2031, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    assert session.started_at == session.updated_at == session.completed_at == decided
    decision = session.decisions.get()
    assert (decision.timestamp, decision.decided_by, decision.latency_ms) == (decided, "unknown", None)
    assert (decision.correction, decision.feedback, decision.reason_code) == (None, "", "")
    assert decision.execution_success is None
    check_metrics()


def test_null_is_left_out() -> None:
    said = ["mode", "execution_id", "current_step_index", "total_steps", "variables", "metadata", "started_at"]
    record = read_session(data(**dict.fromkeys(said), stats=None, acceptance_rate=None), now=NOW)
    assert record == read_session(data(), now=NOW)
    assert record.started_at == record.updated_at == record.completed_at == NOW


def test_a_second_run_imports_nothing(tmp_path: Path) -> None:
    put(tmp_path)
    assert run(tmp_path)[:2] == (0, "1 imported, 0 known already, 0 broken.\n")
    before = everything_stored()
    assert run(tmp_path)[:2] == (0, "0 imported, 1 known already, 0 broken.\n")
    assert Decision.objects.count() == 1
    assert len(everything_stored()) == len(before)


def test_the_same_session_twice_in_a_folder_is_imported_once(tmp_path: Path) -> None:
    put(tmp_path, "a.json")
    put(tmp_path, "b.json", status="failed")
    assert run(tmp_path)[1] == "1 imported, 1 known already, 0 broken.\n"
    assert Session.objects.get().status == "completed"


def test_a_session_that_is_here_stays_as_it_is(external_session: Session) -> None:
    imported = import_session(data(session_id=external_session.session_id))
    assert not imported.new
    external_session.refresh_from_db()
    assert external_session.status == "active"
    assert not external_session.decisions.exists()


def test_the_rest_is_imported_where_a_file_is_broken(tmp_path: Path) -> None:
    put(tmp_path, "a.json", session_id="one", execution_id=None)
    (tmp_path / "b.json").write_text("{")
    put(tmp_path, "c.json", session_id="three")
    code, out, err = run(tmp_path)
    assert code == 1
    assert out == "2 imported, 0 known already, 1 broken.\n"
    assert err.startswith("‘b.json’ is broken: The file is not JSON")
    assert set(Session.objects.values_list("session_id", flat=True)) == {"one", "three"}


def test_only_session_files_are_read(tmp_path: Path) -> None:
    put(tmp_path, "sessions_index.json", sessions=[])
    put(tmp_path, ".a.json.1234.part")
    put(tmp_path, "._a.json")
    (tmp_path / "notes.txt").write_text("not JSON")
    (tmp_path / "below").mkdir()
    assert run(tmp_path) == (0, "0 imported, 0 known already, 0 broken.\n", "")


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to(put(tmp_path / "elsewhere"))
    (tmp_path / "gone.json").symlink_to(tmp_path / "nothing")
    code, out, err = run(tmp_path)
    assert (code, out) == (1, "0 imported, 0 known already, 4 broken.\n")
    assert "‘folder.json’ is broken: This is not a file." in err
    assert "‘pipe.json’ is broken: This is not a file." in err
    assert "‘link.json’ is broken: This is a link, not a file." in err
    assert "‘gone.json’ is broken: This is a link, not a file." in err


def test_a_folder_that_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="cannot be read: No such file"):
        call_command("import_sessions", str(tmp_path / "nothing"))


def test_a_name_that_is_no_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9\n.json")).write_text("[]")
    code, _, err = run(tmp_path)
    assert code == 1
    err.encode()
    assert "caf" in err


BROKEN_DECISIONS: list[tuple[dict[str, Any], str]] = [
    ({"colour": 1}, r"decisions\[0\].colour: there is no such field"),
    ({"step_index": None}, r"decisions\[0\].step_index: it is missing"),
    ({"step_index": -1}, "step_index: this is not a whole number"),
    ({"step_index": 10_000}, "step_index: this is not a whole number"),
    ({"node_id": None}, "node_id: it is missing"),
    ({"node_id": ""}, "node_id: it is empty"),
    ({"node_id": "n" * 201}, "more than 200"),
    ({"action_type": None}, "action_type: it is missing"),
    ({"action_type": "a" * 101}, "more than 100"),
    ({"decision": "approve"}, "decision: it is none of accept"),
    ({"correction": {"a": 1}}, "does not go with “accept”"),
    ({"decision": "correct"}, "says what was done instead"),
    ({"decision": "correct", "correction": {}}, "says what was done instead"),
    ({"decision": "correct", "correction": "text"}, "correction: this is not an object"),
    ({"reason_code": "unsafe"}, "does not go with “accept”"),
    ({"decision": "reject", "reason_code": "bored"}, "reason_code: it is none of"),
    ({"feedback": 3}, "feedback: this is not a text"),
    ({"timestamp": "soon"}, "timestamp: this is not a time"),
    ({"execution_success": "yes"}, "neither true, false nor null"),
    ({"execution_success": 1}, "neither true, false nor null"),
    ({"decided_by": "d" * 151}, "more than 150"),
    ({"latency_ms": -1}, "latency_ms: this is not a whole number"),
    ({"latency_ms": 2**63}, "latency_ms: this is not a whole number"),
    ({"latency_ms": 0.5}, "latency_ms: this is not a whole number"),
]
BROKEN: list[tuple[bytes | dict[str, Any], str]] = [
    (b"", "not JSON"),
    (b"[]", "not an object"),
    (b'"text"', "not an object"),
    (b"\xff\xfe{\x00", "not UTF-8"),
    (b"caf\xe9", "not UTF-8"),
    (b"{" + b" " * MAX_BYTES + b"}", "larger than 10 MiB"),
    (b"[" * 100_000, "nests too deeply"),
    (data()[:-1] + b', "status": "failed"}', "“status” stands twice"),
    (data()[:-1] + b', "metadata": {"a": 1, "a": 2}}', "“a” stands twice"),
    (data()[:-1] + b', "metadata": {"a": NaN}}', "NaN"),
    (data()[:-1] + b', "metadata": {"a": -Infinity}}', "-Infinity"),
    (data()[:-1] + b', "metadata": {"a": 1e999}}', "not finite"),
    (data()[:-1] + b', "metadata": {"a": ' + b"9" * 5000 + b"}}", "not JSON"),
    ({"metadata": {"a\0": 1}}, "NUL"),
    ({"metadata": {"a": "\ud800"}}, "half a character"),
    ({"error_message": "\0"}, "NUL"),
    ({"execution_id": "\udc00"}, "half a character"),
    ({"variables": json.loads('{"a":' * 60 + "1" + "}" * 60)}, "variables nests deeper"),
    ({"colour": "red"}, "colour: there is no such field"),
    ({"open_suggestion": None}, "open_suggestion: there is no such field"),
    ({"stats": {"colour": 1}}, "stats.colour: there is no such field"),
    ({"stats": {"accepted": "1"}}, "stats.accepted: this is not a whole number"),
    ({"stats": []}, "stats: this is not an object"),
    ({"acceptance_rate": "high"}, "acceptance_rate: this is not a number"),
    ({"acceptance_rate": True}, "acceptance_rate: this is not a number"),
    ({"session_id": ...}, "session_id: it is missing"),
    ({"session_id": None}, "session_id: it is missing"),
    ({"session_id": 7}, "session_id: this is not a text"),
    ({"session_id": ""}, "session_id: it is empty"),
    ({"session_id": "a" * 65}, "more than 64 characters"),
    ({"session_id": "../../etc/passwd"}, "other characters"),
    ({"session_id": "a b"}, "other characters"),
    ({"session_id": "a\n"}, "other characters"),
    ({"session_id": "é"}, "other characters"),
    ({"session_id": "sessions_index"}, "which is no session"),
    ({"workflow_id": ...}, "workflow_id: it is missing"),
    ({"workflow_id": "Invoice import"}, "other characters"),
    ({"workflow_id": "w" * 101}, "more than 100 characters"),
    ({"execution_id": "e" * 201}, "more than 200 characters"),
    ({"status": ...}, "status: it is missing"),
    ({"status": "done"}, "status: it is none of active"),
    ({"status": ["active"]}, "status: it is none of active"),
    ({"mode": "manual"}, "mode: it is none of coaching"),
    ({"current_step_index": -1}, "current_step_index: this is not a whole number"),
    ({"current_step_index": 1.0}, "current_step_index: this is not a whole number"),
    ({"total_steps": True}, "total_steps: this is not a whole number"),
    ({"total_steps": 10_001}, "total_steps: this is not a whole number"),
    ({"current_step_index": 4, "total_steps": 3}, "4 is beyond total_steps, which is 3"),
    ({"started_at": "yesterday"}, "started_at: this is not a time"),
    ({"started_at": 1_930_000_000}, "started_at: this is not a time"),
    ({"started_at": "0001-01-01T00:00:00+14:00"}, "started_at: this is not a time"),
    ({"started_at": "1969-12-31T23:59:59Z"}, "before 1970"),
    ({"status": "active", "completed_at": "2031-05-04T09:30:00Z"}, "active has not ended"),
    ({"decisions": ...}, "decisions: it is missing"),
    ({"decisions": {}}, "decisions: this is not a list"),
    ({"decisions": ["accept"]}, r"decisions\[0\]: this is not an object"),
    ({"decisions": [DECIDED, {}]}, r"decisions\[1\].decision: it is missing"),
    *(({"decisions": [DECIDED | change]}, message) for change, message in BROKEN_DECISIONS),
]


@pytest.mark.parametrize(("given", "message"), BROKEN, ids=[str(i) for i in range(len(BROKEN))])
def test_a_broken_file_is_refused_in_words(given: bytes | dict[str, Any], message: str) -> None:
    with pytest.raises(BrokenFile, match=message):
        read_session(given if isinstance(given, bytes) else data(**given), now=NOW)


def test_the_words_of_the_contract_are_those_of_the_models() -> None:
    assert list(session_files.STATUSES) == Session.Status.values
    assert set(Session.ENDED) == session_files.ENDED
    assert list(session_files.MODES) == Session.Mode.values
    assert list(session_files.REASONS) == Decision.Reason.values
    assert {kind.value: kind.counter for kind in Decision.Kind} == session_files.COUNTERS


def test_a_file_with_a_mark_of_its_byte_order_is_read() -> None:
    assert read_session(b"\xef\xbb\xbf" + data(), now=NOW).status == "completed"


def test_the_decisions_are_the_truth() -> None:
    stats = {"suggestions_made": 9, "accepted": 4, "rejected": 0}
    imported = import_session(data(stats=stats, acceptance_rate=85.0, correction_rate=0.0))
    (remark,) = imported.remarks
    assert remark == (
        "counted anew from the decisions: suggestions_made is 9, not 1, accepted is 4, not 1, acceptance_rate is 85, not 1"
    )
    assert Session.objects.get().stats()["suggestions_made"] == 1


def test_more_steps_than_there_should_be() -> None:
    imported = import_session(data(total_steps=2, decisions=[DECIDED | {"step_index": 4}]))
    assert imported.remarks == ("total_steps is 2, but a decision is about step 5: kept as 5",)
    assert Session.objects.get().total_steps == 5


def test_an_execution_of_another_session_is_refused(tmp_path: Path, external_session: Session) -> None:
    put(tmp_path, execution_id=external_session.execution_id)
    code, _, err = run(tmp_path)
    assert code == 1
    assert f"of this workflow is another session’s: {external_session.session_id}" in err
    assert Session.objects.get() == external_session


def test_a_missing_workflow_is_made_with_its_steps_in_order() -> None:
    made = [DECIDED | {"node_id": name, "step_index": i} for i, name in enumerate(["z", "a", "z", "m"])]
    import_session(data(decisions=made))
    workflow = Workflow.objects.get()
    assert (workflow.workflow_id, workflow.name, workflow.executor) == ("invoice-import", "invoice-import", "external")
    assert [step.node_id for step in workflow.current_steps()] == ["z", "a", "m"]
    assert {step.level for step in workflow.current_steps()} == {Level.COACHING}
    check_metrics()


def test_a_file_that_is_refused_leaves_no_workflow_behind(external_session: Session) -> None:
    before = everything_stored()
    with pytest.raises(BrokenFile):
        import_session(data(execution_id=external_session.execution_id, decisions=[DECIDED | {"node_id": "new"}]))
    assert len(everything_stored()) == len(before)


def test_decisions_find_the_steps_of_a_browser_workflow(browser_workflow: Workflow) -> None:
    made = [DECIDED, DECIDED | {"node_id": "unknown", "step_index": 1}]
    import_session(data(workflow_id="expense-claim", decisions=made))
    known, unknown = Session.objects.get().decisions.order_by("pk")
    assert known.step == browser_workflow.steps.get(node_id="open")
    assert known.step_version == known.step.current
    assert (unknown.step, unknown.step_version, unknown.fact) == (None, None, None)
    assert not browser_workflow.steps.filter(node_id="unknown").exists()
    check_metrics()


def test_a_removed_step_keeps_its_history_and_stays_removed(external_workflow: Workflow) -> None:
    import_session(data())
    external_workflow.steps.update(step_index=None)
    import_session(data(session_id="another", execution_id=None))
    step = external_workflow.steps.get()
    assert step.step_index is None
    assert step.decisions.count() == 2
    check_metrics()


def test_the_log_has_no_gap_and_its_own_times() -> None:
    import_session(
        data(status="failed", started_at="2031-01-01", completed_at="2031-01-03", error_message="No paper.",
             decisions=[DECIDED | {"timestamp": "2031-01-02", "decided_by": "carl", "latency_ms": 5}])
    )  # fmt: skip
    session = Session.objects.get()
    types = event_types(session)
    assert types[:3] == ["session.created", "decision.recorded", "session.failed"]
    assert types[3:] == ["level.changed"], "what follows from it comes after"
    assert_consistent(session)
    created, decided, failed, _ = session.events.order_by("seq")
    assert [event.at.day for event in (created, decided, failed)] == [1, 2, 3]
    assert created.data == {
        "workflow_id": "invoice-import", "execution_id": session.session_id, "mode": "coaching", "by": "import",
    }  # fmt: skip
    assert decided.data["decided_by"] == "carl"
    assert (decided.data["n"], decided.data["latency_ms"]) == (None, 5)
    assert failed.data == {"by": "import", "error_message": "No paper."}
    assert session.updated_at == datetime(2031, 1, 3, tzinfo=UTC), "not the time of the import"


@pytest.mark.parametrize("status", session_files.STATUSES)
def test_every_status_ends_its_log(status: str) -> None:
    import_session(data(status=status))
    session = Session.objects.get()
    last = [one for one in event_types(session) if one.startswith("session.")][-1]
    assert last == ("session.created" if status == "active" else f"session.{status}")
    assert_consistent(session)
    check_metrics()


def test_evidence_counts_as_if_it_had_been_recorded(external_workflow: Workflow, owner: User) -> None:
    """Twenty accepts make a step ready, wherever they come from; a refused one after that counts too."""
    for i in range(20):
        import_session(data(session_id=f"s{i:02}", execution_id=None))
    step = external_workflow.steps.get()
    assert (step.tally.epoch_accepted, step.tally.ready, step.level) == (20, True, Level.COACHING)
    told = Session.objects.get(session_id="s19")
    assert event_types(told)[-1] == "readiness.reached"
    import_session(data(session_id="last", execution_id=None, decisions=[DECIDED | {"decision": "reject"}]))
    step.refresh_from_db()
    assert (step.tally.epoch_refused, step.tally.ready) == (1, False)
    check_metrics()


def test_an_alarm_in_the_middle_of_a_session_is_counted_anew_in_the_same_order(external_workflow: Workflow) -> None:
    external_workflow.policy = {"min_decisions": 1, "confidence": 0, "auto_promote": True}
    external_workflow.save()
    kinds = ["accept", "reject", "reject", "reject", "accept", "accept", "skip"]
    made = [DECIDED | {"decision": kind, "step_index": i, "execution_success": i == 0} for i, kind in enumerate(kinds)]
    import_session(data(decisions=made))
    changes = list(external_workflow.steps.get().level_changes.order_by("fact").values_list("to_level", flat=True))
    assert changes == ["COACHING", "AUTO", "COACHING", "AUTO"], "promoted, taken back, promoted"
    check_metrics()


def test_what_the_policy_accepted_is_no_evidence() -> None:
    import_session(data(decisions=[DECIDED | {"decided_by": "policy"}]))
    decision = Decision.objects.get()
    assert decision.unattended
    assert decision.step is not None
    assert (decision.step.tally.unattended, decision.step.tally.accepted) == (1, 0)
    assert decision.step.level == Level.OBSERVATION
    check_metrics()


@pytest.mark.parametrize("status", ["active", "paused"])
def test_an_unfinished_browser_session_waits_for_a_person(browser_workflow: Workflow, coach: User, status: str) -> None:
    imported = import_session(data(workflow_id="expense-claim", status=status, total_steps=3, variables={"amount": 7}))
    assert bool(imported.remarks) == (status == "active")
    session = Session.objects.get()
    assert session.status == "paused"
    assert not Session.objects.waiting_for_a_worker().exists(), "nothing acts by itself"
    assert session.plan == [step.version.pk for step in browser_workflow.current_steps()]
    assert session.variables == {"amount": "7"}
    resume_session(session, by=coach)
    assert Session.objects.waiting_for_a_worker().get() == session


def test_an_active_session_of_a_program_stays_active() -> None:
    import_session(data(status="active"))
    assert Session.objects.ongoing().get().status == "active"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total_steps": 4}, "its workflow has 3 steps here"),
        ({"current_step_index": 4}, "its workflow has 3 steps here"),
        ({"decisions": [DECIDED | {"node_id": "close"}]}, "step 1 of its workflow is not “close” here"),
        ({"decisions": [DECIDED | {"step_index": 3}]}, "its workflow has 3 steps here"),
        ({"variables": {"colour": "red"}}, "no variable “colour”"),
        ({"variables": {"amount": [1]}}, "no variable “amount” like this"),
        ({"variables": {"password": "***"}}, "the secret “Password” has no default here"),
    ],
)
def test_an_unfinished_browser_session_that_could_not_go_on_is_refused(
    browser_workflow: Workflow, changes: dict[str, Any], message: str
) -> None:
    browser_workflow.variables.create(name="password", label="Password", secret=True)
    with pytest.raises(BrokenFile, match=message):
        import_session(data(workflow_id="expense-claim", status="paused", **changes))
    assert not Session.objects.exists()


def test_the_workflow_knows_the_secret_of_an_unfinished_session(browser_workflow: Workflow) -> None:
    browser_workflow.variables.create(
        name="password", label="Password", secret=True, encrypted_default=encrypt({"password": "hunter2!x"})
    )
    import_session(data(workflow_id="expense-claim", status="paused", variables={"password": "***", "amount": "1"}))
    session = Session.objects.get()
    assert secret_names(session) == {"password"}
    assert session.encrypted_secrets


def test_a_secret_in_the_clear_is_kept_nowhere(browser_workflow: Workflow) -> None:
    browser_workflow.variables.create(name="password", label="Password", secret=True)
    made = DECIDED | {
        "decision": "correct", "correction": {"type": "change", "value": "hunter2!x"}, "feedback": "It is hunter2!x.",
    }  # fmt: skip
    import_session(
        data(workflow_id="expense-claim", decisions=[made], variables={"password": "hunter2!x"}, status="failed",
             error_message="Wrong: hunter2!x", metadata={"typed": "hunter2!x"})
    )  # fmt: skip
    assert "hunter2!x" not in everything_stored()
    session = Session.objects.get()
    decision = session.decisions.get()
    assert names_in(decision.correction) == {"password"}
    assert decision.feedback == "It is ***."


@pytest.mark.django_db(transaction=True)
def test_two_imports_at_once_import_once() -> None:
    results = together(lambda: import_session(data()), lambda: import_session(data()))
    assert sorted(one.new for one in results) == [False, True]
    assert Session.objects.count() == 1
    assert Decision.objects.count() == 1
    check_metrics()


@pytest.mark.django_db(transaction=True)
def test_imports_and_decisions_go_beside_each_other(external_workflow: Workflow, coach: User) -> None:
    from coaching.actions.decisions import Answer, record_decision  # noqa: PLC0415

    running = [start_session(external_workflow, by=coach) for _ in range(2)]
    names = ["a", "b", "c"]

    def recording(session: Session, order: list[str]) -> Callable[[], Any]:
        def decide_all() -> None:
            for i, name in enumerate(order):
                record_decision(
                    session, Answer(decision="accept"), step_index=i, node_id=name, action_type="t", by=coach
                )

        return decide_all

    def importing(session_id: str, order: list[str]) -> Callable[[], Any]:
        made = [DECIDED | {"node_id": name, "step_index": i} for i, name in enumerate(order)]
        return lambda: import_session(data(session_id=session_id, execution_id=None, decisions=made))

    results = together(
        recording(running[0], names), recording(running[1], names[::-1]),
        importing("i1", names), importing("i2", names[::-1]),
    )  # fmt: skip
    assert not [one for one in results if isinstance(one, Exception)]
    assert {step.tally.accepted for step in external_workflow.steps.all()} == {4}
    check_metrics()


def test_an_imported_session_is_a_session_like_any_other(api: Callable[[User], APIClient], owner: User) -> None:
    import_session(data(status="paused"))
    client = api(owner)
    place = f"/api/v1/sessions/{LEAST['session_id']}/"
    assert client.get(place).json()["decisions"][0]["decided_by"] == "unknown"
    assert client.post(f"{place}resume/").json()["status"] == "active"
    decided = client.post(f"{place}decisions/", DECIDED | {"step_index": 1})
    assert decided.status_code == 201, decided.json()
    assert client.post(f"{place}complete/").json()["status"] == "completed"
    assert_consistent(Session.objects.get())
    check_metrics()
    assert client.delete(place).status_code == 204
    check_metrics()
