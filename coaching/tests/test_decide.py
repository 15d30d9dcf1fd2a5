from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jsonpatch
import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

from coaching.actions.decisions import Answer, decide
from coaching.actions.secrecy import masked_action
from coaching.actions.sessions import complete_session, pause_session, start_session
from coaching.actions.suggestions import record_outcome, withdraw_suggestion
from coaching.actions.workflows import set_variable_default
from coaching.exceptions import AlreadyDecided, DomainError, InvalidInput, NotAuto, SessionNotActive, StaleStep
from coaching.models import Decision, Session, SessionEvent, StepVersion, Suggestion, Workflow
from coaching.secrets import decrypt, encrypt

from .domain import assert_consistent, everything_stored, make_auto

CORRECTION = {"type": "change", "selectors": [["#total"]], "value": "45.00"}
COUNTERS = {
    "accept": "accepted", "reject": "rejected", "correct": "corrected", "manual": "manual_executions", "skip": "skipped"
}  # fmt: skip


def answer(kind: str) -> Answer:
    return Answer(decision=kind, correction=CORRECTION if kind == "correct" else None)


@pytest.mark.parametrize("kind", COUNTERS)
def test_each_answer_is_kept_counted_and_told(session: Session, suggestion: Suggestion, coach: User, kind: str) -> None:
    decision = decide(suggestion, answer(kind), by=coach)
    session.refresh_from_db()
    suggestion.refresh_from_db()
    assert session.stats() == dict.fromkeys(COUNTERS.values(), 0) | {COUNTERS[kind]: 1, "suggestions_made": 1}
    assert session.current_step_index == 1
    assert suggestion.status == "decided"
    assert suggestion.outcome == (None if kind in {"accept", "correct"} else "not_performed")
    assert suggestion.awaits_outcome == (kind in {"accept", "correct"})
    assert (decision.decision, decision.decided_by, decision.user) == (kind, coach.username, coach)
    assert (decision.step_index, decision.node_id, decision.action_type) == (0, "change-amount", "change")
    assert decision.execution_success is None
    event = session.events.get(type="decision.recorded")
    assert event.data == {
        "n": 1,
        "step_index": 0,
        "node_id": "change-amount",
        "decision": kind,
        "decided_by": coach.username,
        "description": event.data["description"],
        "latency_ms": decision.latency_ms,
    }
    assert_consistent(session)


def test_the_counters_add_up_over_a_session(
    external_session: Session, coach: User, ask: Callable[..., Suggestion]
) -> None:
    for kind in [*COUNTERS, "accept", "skip", "accept"]:
        suggestion = ask(external_session)
        decide(suggestion, answer(kind), by=coach)
        if kind in {"accept", "correct"}:
            record_outcome(suggestion, Suggestion.Outcome.PERFORMED)
    external_session.refresh_from_db()
    assert external_session.stats() == {
        "suggestions_made": 8, "accepted": 3, "rejected": 1, "corrected": 1, "manual_executions": 1, "skipped": 2
    }  # fmt: skip
    assert external_session.acceptance_rate == 3 / 5
    assert external_session.correction_rate == 1 / 5
    assert external_session.current_step_index == 8
    assert_consistent(external_session)


def test_rates_are_zero_while_nothing_counts(
    external_session: Session, coach: User, ask: Callable[..., Suggestion]
) -> None:
    decide(ask(external_session), answer("manual"), by=coach)
    decide(ask(external_session), answer("skip"), by=coach)
    external_session.refresh_from_db()
    assert (external_session.acceptance_rate, external_session.correction_rate) == (0.0, 0.0)


def test_a_correction_is_kept_whole_with_its_difference(session: Session, suggestion: Suggestion, coach: User) -> None:
    decision = decide(
        suggestion,
        Answer(decision="correct", correction=CORRECTION, feedback="It is in euros.", reason_code="wrong_value"),
        by=coach,
    )
    decision.refresh_from_db()
    assert decision.correction == CORRECTION
    assert jsonpatch.apply_patch(suggestion.action, decision.difference) == CORRECTION
    assert (decision.feedback, decision.reason_code) == ("It is in euros.", "wrong_value")
    assert "45.00" in session.events.get(type="decision.recorded").data["description"]


def test_a_manual_answer_may_say_what_was_done(suggestion: Suggestion, coach: User) -> None:
    decision = decide(suggestion, Answer(decision="manual", correction=CORRECTION), by=coach)
    assert decision.correction == CORRECTION
    assert decision.difference


def test_the_time_a_person_took_is_measured(suggestion: Suggestion, coach: User) -> None:
    Suggestion.objects.filter(pk=suggestion.pk).update(opened_at=timezone.now() - timedelta(seconds=90))
    suggestion.refresh_from_db()
    latency = decide(suggestion, answer("accept"), by=coach).latency_ms
    assert latency
    assert 90_000 <= latency < 100_000


def test_the_policy_decides_in_its_own_name(session: Session, suggestion: Suggestion, owner: User) -> None:
    make_auto(session.workflow, by=owner)
    decision = decide(suggestion, answer("accept"), by=None)
    assert (decision.decided_by, decision.user, decision.latency_ms) == ("policy", None, None)
    assert decision.unattended


def test_the_policy_decides_nothing_about_a_step_that_is_not_auto(session: Session, suggestion: Suggestion) -> None:
    with pytest.raises(NotAuto, match="does not run alone any more"):
        decide(suggestion, answer("accept"), by=None)
    suggestion.refresh_from_db()
    assert suggestion.is_open
    assert_consistent(session)


def test_an_answer_of_a_person_asks_for_a_worker(
    session: Session,
    suggestion: Suggestion,
    coach: User,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        decide(suggestion, answer("accept"), by=coach)
    session.refresh_from_db()
    assert session.enqueued_at is not None


@pytest.mark.parametrize(
    ("bad", "field", "words"),
    [
        (Answer(decision="maybe"), "decision", "one of accept, reject, correct, manual, skip"),
        (Answer(decision="correct"), "correction", "say what should be done instead"),
        (Answer(decision="correct", correction={}), "correction", "say what should be done instead"),
        (Answer(decision="accept", correction=CORRECTION), "correction", "does not go with “accept”"),
        (Answer(decision="reject", correction={}), "correction", "does not go with “reject”"),
        (Answer(decision="skip", correction=CORRECTION), "correction", "does not go with “skip”"),
        (Answer(decision="reject", reason_code="mood"), "reason_code", "one of wrong_target"),
        (Answer(decision="accept", reason_code="unsafe"), "reason_code", "does not go with “accept”"),
        (Answer(decision="correct", correction={"type": "dance"}), "correction", "not a valid action"),
        (Answer(decision="correct", correction={"type": "click"}), "correction", "not a valid action"),
        (
            Answer(decision="correct", correction={"type": "navigate", "url": "file:///etc/passwd"}),
            "correction",
            "not a valid action",
        ),
        (
            Answer(decision="correct", correction=CORRECTION | {"value": "{{ amuont }}"}),
            "correction",
            "no variable “amuont”",
        ),
        (
            Answer(decision="manual", correction=CORRECTION | {"selectors": [[{"deep": 1}]]}),
            "correction",
            "not a valid action",
        ),
    ],
)
def test_a_bad_answer_changes_nothing(  # noqa: PLR0917 - fixtures and a table's columns
    session: Session, suggestion: Suggestion, coach: User, bad: Answer, field: str, words: str
) -> None:
    before = session.updated_at
    with pytest.raises(InvalidInput, match=words) as refused:
        decide(suggestion, bad, by=coach)
    assert refused.value.field == field
    suggestion.refresh_from_db()
    assert suggestion.is_open
    assert not Decision.objects.exists()
    assert_consistent(session)
    assert session.suggestions_made == 0
    assert session.updated_at == before


def test_the_second_answer_is_told_the_first(
    session: Session, suggestion: Suggestion, coach: User, second_coach: User
) -> None:
    first = decide(suggestion, answer("accept"), by=coach)
    with pytest.raises(AlreadyDecided, match="carl has already decided this: accept") as refused:
        decide(suggestion, answer("reject"), by=second_coach)
    assert refused.value.decision == first
    assert_consistent(session)


def test_a_withdrawn_suggestion_is_stale(session: Session, suggestion: Suggestion, coach: User) -> None:
    withdraw_suggestion(suggestion, reason="The page has changed.")
    with pytest.raises(StaleStep, match="withdrawn before your answer"):
        decide(suggestion, answer("accept"), by=coach)
    assert_consistent(session)


@pytest.mark.parametrize(("move", "refusal"), [(pause_session, SessionNotActive), (complete_session, StaleStep)])
def test_only_an_active_session_takes_answers(
    session: Session, suggestion: Suggestion, coach: User, move: Callable[..., None], refusal: type[DomainError]
) -> None:
    move(session, by=coach)
    with pytest.raises(refusal):
        decide(suggestion, answer("accept"), by=coach)
    assert not Decision.objects.exists()
    assert_consistent(session)


@pytest.fixture
def unsupported(session: Session, ask: Callable[..., Suggestion]) -> Suggestion:
    version = StepVersion.objects.get(pk=session.plan[1])
    version.supported = False
    version.save()
    return ask(session, step_version=version)


def test_an_unsupported_step_cannot_be_accepted(session: Session, unsupported: Suggestion, coach: User) -> None:
    with pytest.raises(InvalidInput, match="cannot perform this step"):
        decide(unsupported, answer("accept"), by=coach)
    unsupported.refresh_from_db()
    assert unsupported.is_open


@pytest.mark.parametrize("kind", ["reject", "correct", "manual", "skip"])
def test_an_unsupported_step_takes_every_other_answer(unsupported: Suggestion, coach: User, kind: str) -> None:
    assert decide(unsupported, answer(kind), by=coach).decision == kind


def test_an_external_correction_is_whatever_the_program_understands(
    external_session: Session, coach: User, ask: Callable[..., Suggestion]
) -> None:
    suggestion = ask(external_session, action={"iban": "DE1"}, action_type="pay")
    decision = decide(suggestion, Answer(decision="correct", correction={"iban": "DE2", "note": ["a"]}), by=coach)
    assert decision.correction == {"iban": "DE2", "note": ["a"]}
    assert {operation["path"] for operation in decision.difference} == {"/iban", "/note"}


class TestSecrets:
    OLD = "swordfish-4711"
    NEW = "caught-a-tuna-4712"
    ACTION: dict[str, Any] = {"type": "change", "selectors": [["#password"]], "value": "{{ password }}"}
    SHOWN = ACTION | {"value": "***"}

    @pytest.fixture
    def secret_session(self, browser_workflow: Workflow, coach: User) -> Session:
        password = browser_workflow.variables.create(name="password", label="Password", secret=True)
        set_variable_default(password, self.OLD)
        return start_session(browser_workflow, by=coach)

    @pytest.fixture
    def asked(self, secret_session: Session, ask: Callable[..., Suggestion]) -> Suggestion:
        return ask(secret_session, action=self.ACTION)

    def correct(self, asked: Suggestion, coach: User, **changes: Any) -> Decision:
        decision = decide(asked, Answer(decision="correct", correction=self.SHOWN | changes), by=coach)
        decision.refresh_from_db()
        return decision

    def test_the_mask_means_the_secret_itself(self, secret_session: Session, asked: Suggestion, coach: User) -> None:
        assert masked_action(asked.action, secret_session) == self.SHOWN
        decision = self.correct(asked, coach, selectors=[["#secret"]])
        assert decision.correction == self.ACTION | {"selectors": [["#secret"]]}
        assert {operation["path"] for operation in decision.difference} == {"/selectors/0/0"}

    def test_another_text_there_is_a_new_secret(self, secret_session: Session, asked: Suggestion, coach: User) -> None:
        decision = self.correct(asked, coach, value=self.NEW)
        assert decision.correction == self.ACTION | {"value": "{{ password_2 }}"}
        secret_session.refresh_from_db()
        assert secret_session.variables == {"amount": "42.50", "password": "***", "password_2": "***"}
        assert decrypt(secret_session.encrypted_secrets) == {"password": self.OLD, "password_2": self.NEW}
        assert masked_action(decision.correction, secret_session) == self.SHOWN

    def test_a_third_one_has_a_name_of_its_own(
        self, secret_session: Session, asked: Suggestion, coach: User, ask: Callable[..., Suggestion]
    ) -> None:
        self.correct(asked, coach, value=self.NEW)
        record_outcome(asked, Suggestion.Outcome.FAILED, error="The password was refused.")
        decision = self.correct(ask(secret_session, action=self.ACTION), coach, value="{{ secret }} of sorts")
        assert decision.correction == self.ACTION | {"value": "{{ password_3 }}"}
        secret_session.refresh_from_db()
        assert decrypt(secret_session.encrypted_secrets)["password_3"] == "{{ secret }} of sorts"

    def test_a_known_secret_is_recognised_anywhere(self, asked: Suggestion, coach: User) -> None:
        decision = self.correct(asked, coach, selectors=[[f"aria/Reveal {self.OLD}"]])
        assert decision.correction
        assert decision.correction["selectors"] == [["aria/Reveal {{ password }}"]]

    def test_what_the_coach_did_by_hand_hides_it_too(self, asked: Suggestion, coach: User) -> None:
        decide(asked, Answer(decision="manual", correction=self.SHOWN | {"value": self.NEW}), by=coach)
        assert self.NEW not in everything_stored()

    def test_an_invalid_correction_leaves_no_secret_behind(
        self, secret_session: Session, asked: Suggestion, coach: User
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            self.correct(asked, coach, value=self.NEW, selectors=[])
        assert self.NEW not in str(refused.value)
        secret_session.refresh_from_db()
        assert set(decrypt(secret_session.encrypted_secrets)) == {"password"}

    @pytest.mark.django_db(transaction=True)
    def test_no_table_and_no_byte_of_the_files_holds_it(self, asked: Suggestion, coach: User) -> None:
        self.correct(asked, coach, value=self.NEW)
        stored = everything_stored()
        assert "{{ password_2 }}" in stored
        assert self.OLD not in stored
        assert self.NEW not in stored
        assert SessionEvent.objects.filter(type="decision.recorded").count() == 1


PASSWORD_STEP = {"type": "change", "selectors": [["aria/Password"], ["#pw"]], "target": "main"}


def test_a_password_typed_in_a_correction_is_encrypted(suggestion: Suggestion, coach: User) -> None:
    decision = decide(
        suggestion, Answer(decision="correct", correction={**PASSWORD_STEP, "value": "CorrHunter2!"}), by=coach
    )
    assert decision.correction is not None
    assert decision.correction["value"] == "{{ typed_secret }}"
    assert "CorrHunter2!" not in everything_stored()


def test_a_correction_must_correct_something(suggestion: Suggestion, coach: User) -> None:
    with pytest.raises(InvalidInput, match="what was suggested"):
        decide(suggestion, Answer(decision="correct", correction=suggestion.action), by=coach)
    custom = {"type": "customStep", "name": "x", "parameters": {}}
    with pytest.raises(InvalidInput, match="cannot perform"):
        decide(suggestion, Answer(decision="correct", correction=custom), by=coach)
    suggestion.refresh_from_db()
    assert suggestion.is_open


@pytest.mark.parametrize(
    "correction",
    [
        {"type": "navigate", "url": "http://127.0.0.1:9/?{{ password }}"},
        {"type": "waitForExpression", "expression": "fetch('http://127.0.0.1:9/?{{ password }}')"},
        {"type": "click", "selectors": [["aria/Go"]], "target": "http://127.0.0.1:9/{{ password }}"},
    ],
)
def test_a_correction_cannot_carry_a_secret_away(
    suggestion: Suggestion, coach: User, correction: dict[str, Any]
) -> None:
    session = suggestion.session
    session.variables |= {"password": "***"}
    session.encrypted_secrets = encrypt({"password": "Sup3rSecret!"})
    session.save()
    with pytest.raises(InvalidInput, match="only be typed by a step that types it"):
        decide(suggestion, Answer(decision="correct", correction=correction), by=coach)


def test_a_secret_is_typed_by_the_step_that_types_it_alone(suggestion: Suggestion, coach: User) -> None:
    session = suggestion.session
    session.variables |= {"password": "***"}
    session.encrypted_secrets = encrypt({"password": "Sup3rSecret!"})
    session.save()
    comment = {"type": "change", "selectors": [["aria/Comment"]], "value": "is {{ password }}"}
    with pytest.raises(InvalidInput, match="only be typed by a step that types it"):
        decide(suggestion, Answer(decision="correct", correction=comment), by=coach)
    Suggestion.objects.filter(pk=suggestion.pk).update(action={**PASSWORD_STEP, "value": "{{ password }}"})
    suggestion.refresh_from_db()
    moved = PASSWORD_STEP | {"selectors": [["#password-of-the-new-form"]], "value": "{{ password }}"}
    assert decide(suggestion, Answer(decision="correct", correction=moved), by=coach).correction == moved


def test_where_there_are_secrets_no_coach_writes_a_script(suggestion: Suggestion, coach: User) -> None:
    """It could read the field, and say what is there letter by letter in the title."""
    session = suggestion.session
    session.variables |= {"password": "***"}
    session.encrypted_secrets = encrypt({"password": "Sup3rSecret!"})
    session.save()
    read = "document.title = [...document.querySelector('[type=password]').value].join(' ')"
    with pytest.raises(InvalidInput, match="an expression stays as the recording has it"):
        decide(
            suggestion,
            Answer(decision="correct", correction={"type": "waitForExpression", "expression": read}),
            by=coach,
        )
