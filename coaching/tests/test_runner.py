"""The loop of one session against a real Chromium and a real site, one worker's turn at a time."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, quote_plus

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import FileSystemStorage
from django.utils import timezone
from pytest_django.fixtures import Settings

from coaching.actions.autonomy import demote, set_policy
from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import (
    abandon_session,
    complete_session,
    delete_session,
    pause_session,
    resume_session,
    start_session,
)
from coaching.actions.suggestions import Proposal, begin_performing, open_suggestion, record_outcome
from coaching.actions.workflows import change_step, create_workflow, set_steps
from coaching.exceptions import SessionNotActive
from coaching.execution.chromium import devtools_ports, running_endpoint, stop_chromium
from coaching.execution.lease import claim
from coaching.execution.recovery import close_browser_of, sweep
from coaching.execution.runner import BROWSER_LOST, advance, profile_of
from coaching.models import Session, Suggestion, Workflow
from coaching.secrets import decrypt
from coaching.tests.browser_pages import Site, serve
from coaching.tests.domain import everything_stored, make_auto, together
from coaching.tests.live import until
from coaching.tests.packing import published_pack
from conftest import demonstrate

pytestmark = [pytest.mark.browser, pytest.mark.django_db]

FORM = """<form action=/done method=post>
<label>Amount <input name=amount></label> <label>Password <input name=p type=password></label>
<button>Save</button></form>"""
SECRET = "hunter-two-is-long"


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        running.pages |= {"/": FORM, "/done": "<h1>Saved</h1>"}
        yield running


@pytest.fixture
def workflow(site: Site, owner: User) -> Workflow:
    made = create_workflow(
        workflow_id="form",
        name="Form",
        executor="browser",
        steps=[
            {"node_id": "open", "action": {"type": "navigate", "url": f"{site.origin}/"}},
            {"node_id": "amount", "action": _step("change", "Amount", value="{{ amount }}")},
            {"node_id": "password", "action": _step("change", "Password", value="{{ password }}")},
            {"node_id": "save", "action": _step("click", "Save", offsetX=2, offsetY=2)},
        ],
        by=owner,
    )
    made.variables.create(name="amount", label="Amount", default="7")
    made.variables.create(name="password", label="Password", secret=True)
    return made


def _step(kind: str, name: str, **rest: Any) -> dict[str, Any]:
    return {"type": kind, "selectors": [[f"aria/{name}"]], "target": "main", **rest}


@pytest.fixture
def begin(coach: User) -> Iterator[Callable[..., Session]]:
    """Starts sessions whose browsers are closed after the test."""
    begun: list[str] = []

    def begin(workflow: Workflow, **how: Any) -> Session:
        session = start_session(workflow, by=coach, **how)
        begun.append(session.session_id)
        return session

    yield begin
    for session_id in begun:
        stop_chromium(profile_of(session_id))


@pytest.fixture
def impatient(workflow: Workflow, owner: User) -> None:
    """For tests in which “Save” is not to succeed: where it is, half a second is too short on a busy machine."""
    save = workflow.steps.get(node_id="save")
    change_step(save, by=owner, action={**save.version.action, "timeout": 500})


@pytest.fixture
def session(workflow: Workflow, begin: Callable[..., Session]) -> Session:
    return begin(workflow, variables={"password": SECRET})


@pytest.fixture
def auto(workflow: Workflow, owner: User, begin: Callable[..., Session]) -> Session:
    """In mode auto, every step of it AUTO and none audited."""
    make_auto(workflow, by=owner, accepts=1)
    set_policy(workflow, {"audit_rates": [0, 0, 0]})
    return begin(workflow, mode="auto", variables={"password": SECRET})


def asked(session: Session) -> Suggestion:
    """The open suggestion after a worker's turn."""
    advance(session.pk)
    session.refresh_from_db()
    suggestion = session.open_suggestion()
    assert suggestion, f"nothing is asked in a session that is {session.status}"
    return suggestion


def answered(session: Session, kind: str = "accept", *, by: User, **rest: Any) -> None:
    decide(asked(session), Answer(decision=kind, **rest), by=by)


def test_each_step_is_asked_performed_and_the_session_completes(session: Session, coach: User, site: Site) -> None:
    for index, words in enumerate((f"Open {site.origin}/", "Type “7” into “Amount”", "Type “***” into “Password”")):
        suggestion = asked(session)
        assert (suggestion.step_index, suggestion.description) == (index, words)
        assert suggestion.screenshot.read().startswith(b"\x89PNG")
        decide(suggestion, Answer(decision="accept"), by=coach)
    target = asked(session).target
    assert target
    assert target["found"]
    assert target["box"]["width"] > 0
    answered(session, by=coach)
    advance(session.pk)
    session.refresh_from_db()
    assert session.status == "completed"
    assert site.visits.count("POST /done") == 1
    assert set(session.suggestions.values_list("outcome", flat=True)) == {"performed"}
    assert session.last_picture.read().startswith(b"\x89PNG")


def test_a_secret_is_in_no_row_and_no_log(session: Session, coach: User, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="coaching"):
        for _ in range(4):
            answered(session, by=coach)
        advance(session.pk)
    assert SECRET not in everything_stored()
    assert SECRET not in caplog.text


def test_what_goes_into_a_password_field_becomes_secret_whatever_it_is_called(
    session: Session, coach: User, site: Site, workflow: Workflow
) -> None:
    site.pages["/"] = FORM.replace("<input name=amount>", "<input name=amount type=password>")
    sibling = start_session(workflow, by=coach, variables={"password": SECRET, "amount": "90125"})
    workflow.variables.filter(name="amount").update(default="1867")
    workflow.recordings.create(format="chrome-recorder", title="Form", document={"steps": [{"value": "1867"}]})
    answered(session, by=coach)
    suggestion = asked(session)
    assert suggestion.description == "Type “***” into “Amount”"
    assert suggestion.action["value"] == "{{ amount }}"
    assert session.variables["amount"] == "***"
    variable = workflow.variables.get(name="amount")
    assert (variable.secret, variable.default) == (True, "")
    assert workflow.recordings.get().document == {"steps": [{"value": "{{ amount }}"}]}
    decide(suggestion, Answer(decision="accept"), by=coach)
    assert asked(session).step_index == 2
    again = start_session(workflow, by=coach, variables={"password": SECRET})
    assert again.variables["amount"] == "***"
    sibling.refresh_from_db()
    assert sibling.variables["amount"] == "***"
    assert decrypt(sibling.encrypted_secrets)["amount"] == "90125"


def test_a_secret_in_address_title_and_selectors_is_shown_nowhere(
    workflow: Workflow, coach: User, owner: User, site: Site, begin: Callable[..., Session]
) -> None:
    secret = "Zx9!secret &word*~"
    site.pages["/"] = FORM.replace("method=post", "method=get") + f"<title>{secret}</title>"
    greeting = {"type": "click", "selectors": [["aria/Welcome {{ password }}"]], "timeout": 100}
    steps = [step.version for step in workflow.current_steps()]
    contents = [{"node_id": v.step.node_id, "action": v.action} for v in steps] + [
        {"node_id": "greeting", "action": {**greeting, "offsetX": 1, "offsetY": 1}}
    ]
    set_steps(workflow, contents, by=owner)
    session = begin(workflow, variables={"password": secret})
    for _ in range(4):
        answered(session, by=coach)
    question = asked(session)
    assert question.error.startswith("“Welcome ***” was not found")
    assert "p=***" in question.page["url"]
    stop_chromium(profile_of(session.session_id))
    decide(question, Answer(decision="reject", feedback=f"it says {secret}"), by=coach)
    advance(session.pk)
    stored = everything_stored()
    for form in (secret, quote(secret, safe=""), quote_plus(secret), "Zx9%21secret+%26word*%7E"):
        assert form not in stored
    assert session.decisions.latest("pk").feedback == "it says ***"


def test_a_message_box_is_for_a_person_to_read_in_auto_too(auto: Session, site: Site) -> None:
    site.pages["/"] = FORM.replace("<input name=amount>", "<input name=amount oninput=\"alert('Over the limit')\">")
    question = asked(auto)
    assert (question.step_index, question.asked_because) == (2, "trouble")
    assert "Over the limit" in question.error
    performed = auto.events.filter(type="step.performed").latest("seq")
    assert "Over the limit" in performed.data["remark"]


def test_events_tell_the_correction_that_was_performed(session: Session, coach: User) -> None:
    answered(session, by=coach)
    answered(session, "correct", by=coach, correction=_step("change", "Amount", value="8"))
    asked(session)
    performed = session.events.filter(type="step.performed").latest("seq")
    assert performed.data["description"] == "Type “8” into “Amount”"


def test_completing_during_the_action_keeps_the_end(session: Session, coach: User) -> None:
    suggestion = asked(session)
    decide(suggestion, Answer(decision="accept"), by=coach)
    assert begin_performing(suggestion)
    complete_session(session, by=coach)
    record_outcome(suggestion, Suggestion.Outcome.FAILED, error="too late")
    session.refresh_from_db()
    assert (session.status, session.current_step_index) == ("completed", 1)


@pytest.mark.usefixtures("impatient")
def test_a_failed_action_is_asked_again_with_the_reason(session: Session, coach: User, site: Site) -> None:
    site.pages["/"] = FORM + "<div style='position: fixed; inset: 0'>Cookies</div>"
    for _ in range(4):
        answered(session, by=coach)
    again = asked(session)
    assert (again.step_index, again.attempt, again.asked_because) == (3, 2, "trouble")
    assert "covered" in again.error
    assert [d.execution_success for d in session.decisions.order_by("pk")] == [True, True, True, False]
    assert session.current_step_index == 3
    assert site.visits.count("POST /done") == 0


@pytest.mark.usefixtures("impatient")
def test_what_is_not_found_is_a_question_and_never_an_action(session: Session, coach: User, site: Site) -> None:
    site.pages["/"] = FORM.replace("Save", "Send the form")
    for _ in range(3):
        answered(session, by=coach)
    question = asked(session)
    assert question.asked_because == "trouble"
    assert "“Save” was not found" in question.error
    decide(question, Answer(decision="accept"), by=coach)
    again = asked(session)
    assert (again.attempt, again.n) == (2, question.n + 1)
    question.refresh_from_db()
    assert question.outcome == "not_performed"
    assert question.decision.execution_success is None
    assert site.visits.count("POST /done") == 0


def test_a_lost_browser_is_told_and_nothing_is_performed_in_the_new_one(
    session: Session, coach: User, site: Site
) -> None:
    answered(session, by=coach)
    decide(asked(session), Answer(decision="accept"), by=coach)
    stop_chromium(profile_of(session.session_id))
    again = asked(session)
    assert (again.step_index, again.asked_because, again.error) == (1, "trouble", BROWSER_LOST)
    assert again.page["url"] == f"{site.origin}/"
    assert session.suggestions.get(n=again.n - 1).outcome == "not_performed"


def test_resuming_after_the_browser_was_lost_asks_anew(session: Session, coach: User) -> None:
    first = asked(session)
    pause_session(session, by=coach)
    stop_chromium(profile_of(session.session_id))
    resume_session(session, by=coach)
    again = asked(session)
    first.refresh_from_db()
    assert (first.status, again.n, again.error) == ("withdrawn", 2, BROWSER_LOST)


def test_resuming_with_the_browser_there_keeps_the_question(session: Session, coach: User) -> None:
    first = asked(session)
    pause_session(session, by=coach)
    resume_session(session, by=coach)
    assert asked(session).pk == first.pk


def test_an_action_whose_worker_died_is_uncertain_and_not_repeated(session: Session, coach: User, site: Site) -> None:
    for _ in range(3):
        answered(session, by=coach)
    suggestion = asked(session)
    decide(suggestion, Answer(decision="accept"), by=coach)
    assert begin_performing(suggestion)
    again = asked(session)
    suggestion.refresh_from_db()
    assert (suggestion.outcome, suggestion.decision.execution_success) == ("uncertain", None)
    assert (again.step_index, again.attempt, again.asked_because) == (3, 2, "trouble")
    assert site.visits.count("POST /done") == 0


def test_a_paused_session_does_nothing(session: Session, coach: User) -> None:
    decide(asked(session), Answer(decision="accept"), by=coach)
    pause_session(session, by=coach)
    advance(session.pk)
    assert session.suggestions.get().performing_since is None
    resume_session(session, by=coach)
    assert asked(session).step_index == 1


def test_an_unsupported_step_stops_for_the_coach_in_auto_too(
    coach: User, owner: User, begin: Callable[..., Session]
) -> None:
    custom = {"type": "customStep", "name": "selenium-ide:executeScript", "parameters": {}}
    other = create_workflow(
        workflow_id="odd", name="Odd", executor="browser", steps=[{"node_id": "script", "action": custom}], by=owner
    )
    session = begin(other, mode="auto")
    question = asked(session)
    assert (question.asked_because, question.is_supported) == ("trouble", False)
    decide(question, Answer(decision="manual"), by=coach)
    advance(session.pk)
    session.refresh_from_db()
    assert session.status == "completed"


@pytest.mark.usefixtures("impatient")
def test_auto_asks_on_trouble_alone_and_goes_on_after_it(auto: Session, coach: User, site: Site) -> None:
    site.pages["/"] = FORM.replace("Save", "Send the form")
    question = asked(auto)
    assert (question.step_index, question.asked_because) == (3, "trouble")
    assert {d.decided_by for d in auto.decisions.all()} == {"policy"}
    correction = _step("click", "Send the form", offsetX=2, offsetY=2)
    decide(question, Answer(decision="correct", correction=correction), by=coach)
    advance(auto.pk)
    auto.refresh_from_db()
    assert auto.status == "completed"
    assert site.visits.count("POST /done") == 1


def test_auto_asks_at_steps_that_have_not_earned_it(
    workflow: Workflow, begin: Callable[..., Session], owner: User, coach: User
) -> None:
    make_auto(workflow, by=owner, but=["amount"], accepts=1)
    set_policy(workflow, {"audit_rates": [0, 0, 0]})
    session = begin(workflow, mode="auto", variables={"password": SECRET})
    question = asked(session)
    assert (question.node_id, question.asked_because) == ("amount", "not_auto")
    decide(question, Answer(decision="accept"), by=coach)
    advance(session.pk)
    session.refresh_from_db()
    assert session.status == "completed"
    assert list(session.decisions.values_list("unattended", flat=True)) == [True, False, True, True]


def test_an_audit_asks_before_the_action_and_says_why(
    workflow: Workflow, begin: Callable[..., Session], owner: User, coach: User
) -> None:
    make_auto(workflow, by=owner, accepts=1)
    set_policy(workflow, {"audit_rates": [1, 1, 1]})
    session = begin(workflow, mode="auto", variables={"password": SECRET})
    question = asked(session)
    assert (question.step_index, question.asked_because, question.performing_since) == (0, "audit", None)
    assert "Audit: 100 % of its runs are audited; drew 0." in question.rationale
    decide(question, Answer(decision="reject"), by=coach)
    tally = workflow.steps.get(node_id="open").tally
    assert (tally.audit_score, tally.clean_audits) == (17, 0)


def test_a_step_that_was_taken_back_is_asked_about_in_a_session_under_way(
    workflow: Workflow, begin: Callable[..., Session], owner: User, coach: User
) -> None:
    make_auto(workflow, by=owner, but=["open"], accepts=1)
    set_policy(workflow, {"audit_rates": [0, 0, 0]})
    session = begin(workflow, mode="auto", variables={"password": SECRET})
    question = asked(session)
    demote(workflow, node_ids=["save"], reason="The form is new.", by=owner)
    decide(question, Answer(decision="accept"), by=coach)
    assert (asked(session).node_id, asked(session).asked_because) == ("save", "not_auto")


def finish(session: Session, coach: User) -> None:
    while session.status == "active":
        answered(session, by=coach)
        advance(session.pk)
        session.refresh_from_db()


def test_what_packs_change_meanwhile_is_taken_back_and_asked_anew(
    workflow: Workflow, session: Session, coach: User, reviewer: User, begin: Callable[..., Session]
) -> None:
    asked(session)
    other = asked(begin(workflow, variables={"password": SECRET}))
    decide(other, Answer(decision="correct", correction=other.action | {"timeout": 9000}), by=coach)
    published_pack(by=reviewer)
    again = asked(session)
    assert (again.n, again.action, again.error) == (2, other.action | {"timeout": 9000}, "")
    assert again.asked_because == "coaching"


@pytest.mark.django_db(transaction=True)
def test_what_packs_change_while_a_worker_looks_is_proposed_anew(
    session: Session, coach: User, reviewer: User, site: Site, begin: Callable[..., Session]
) -> None:
    other = begin(session.workflow, variables={"password": SECRET})
    for one in (session, other):
        answered(one, by=coach)
    field = asked(other)
    decide(field, Answer(decision="correct", correction=field.action | {"value": "8"}), by=coach)
    # The field shows only when the site has answered: until then the worker looks, its proposal made up.
    ready = site.held["/ready"] = threading.Event()
    site.pages["/ready"] = ""
    shown = "fetch('/ready').then(() => { form.hidden = false; })"
    site.pages["/"] = f"<div id=form hidden>{FORM}</div><script>alert('Welcome'); {shown}</script>"

    def publish() -> None:
        until(lambda: "GET /ready" in site.visits, what="the look at the page")
        time.sleep(0.3)
        published_pack(by=reviewer)
        ready.set()

    again = next(result for result in together(lambda: asked(session), publish) if result)
    assert (again.n, again.action["value"]) == (2, "8")
    assert "Welcome" in again.error, "what the page said before is not lost"


def test_a_step_that_sends_a_form_counts_as_irreversible_from_then_on(
    workflow: Workflow, session: Session, coach: User
) -> None:
    finish(session, coach)
    save = workflow.steps.get(node_id="save")
    assert (save.version.number, save.version.risk, save.version.created_by) == (2, "irreversible", None)
    assert {step.version.number for step in workflow.steps.exclude(pk=save.pk)} == {1}
    assert session.decisions.get(step=save).step_version == save.versions.get(number=1)


def test_a_form_that_signs_in_is_no_risk(workflow: Workflow, session: Session, coach: User, site: Site) -> None:
    site.pages["/"] = FORM.replace("Save", "Sign in")
    action = _step("click", "Sign in", offsetX=2, offsetY=2)
    change_step(workflow.steps.get(node_id="save"), by=coach, action=action)
    again = start_session(workflow, by=coach, variables={"password": SECRET})
    finish(again, coach)
    stop_chromium(profile_of(again.session_id))
    assert workflow.steps.get(node_id="save").version.risk == "reversible"


def test_who_has_chosen_the_risk_is_not_overruled(
    workflow: Workflow, begin: Callable[..., Session], owner: User, coach: User
) -> None:
    save = workflow.steps.get(node_id="save")
    change_step(save, by=owner, risk="irreversible")
    change_step(save, by=owner, risk="reversible")
    finish(begin(workflow, variables={"password": SECRET}), coach)
    save.refresh_from_db()
    assert (save.version.number, save.version.risk, save.version.risk_chosen) == (3, "reversible", True)


def test_confidence_follows_the_evidence_and_the_target(session: Session, owner: User, coach: User) -> None:
    """Nothing decided and nothing demonstrated: an even chance, times how surely the target was located."""
    question = asked(session)
    assert (question.confidence, question.rationale) == (0.5, "Sure by 0 of 0 decisions and 0 demonstrations.")
    demonstrate(session.workflow)
    decide(question, Answer(decision="accept"), by=coach)
    question = asked(session)
    assert question.confidence
    assert 0.5 < question.confidence < 2 / 3
    assert "0 of 0 decisions and 1 demonstration, its target located with certainty 0." in question.rationale


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/", "http://2852039166/", "file:///etc/passwd"])
def test_forbidden_addresses_are_refused_by_the_executor(
    workflow: Workflow, session: Session, coach: User, url: str
) -> None:
    question = asked(session)
    # Past the checks of import and correction, as a variable or an old row could be.
    Suggestion.objects.filter(pk=question.pk).update(action={"type": "navigate", "url": url})
    decide(question, Answer(decision="accept"), by=coach)
    again = asked(session)
    assert (again.step_index, again.asked_because) == (0, "trouble")
    assert session.suggestions.get(n=1).outcome in {"failed", "not_performed"}
    assert again.page["url"] == "about:blank"


def test_a_session_deleted_under_the_worker_ends_quietly(session: Session, coach: User) -> None:
    pk, session_id = session.pk, session.session_id
    asked(session)
    delete_session(session)
    advance(pk)
    assert close_browser_of(session_id)
    assert not profile_of(session_id).exists()


def test_the_sweep_closes_the_browser_of_an_ended_session(session: Session, coach: User) -> None:
    asked(session)
    profile = profile_of(session.session_id)
    assert running_endpoint(profile)
    abandon_session(session, by=coach)
    assert sweep().browsers_closed == 1
    assert running_endpoint(profile) is None
    assert not profile.exists()


def test_no_chromium_is_said_in_words_and_nothing_is_lost(
    session: Session, coach: User, settings: Settings, tmp_path: Path
) -> None:
    works = settings.CHROMIUM_PATH
    settings.CHROMIUM_PATH = str(tmp_path / "nothing")
    question = asked(session)
    assert question.asked_because == "trouble"
    assert "CHROMIUM_PATH" in question.error
    settings.CHROMIUM_PATH = works
    decide(question, Answer(decision="accept"), by=coach)
    assert asked(session).step_index == 1


def test_events_tell_the_whole_story(session: Session, coach: User) -> None:
    demonstrate(session.workflow)
    answered(session, by=coach)
    asked(session)
    stories = list(session.events.order_by("seq").values_list("type", flat=True))
    assert stories == [
        "session.created", "suggestion.opened", "decision.recorded", "step.performing", "step.performed",
        "suggestion.opened",
    ]  # fmt: skip
    assert SECRET not in json.dumps(list(session.events.values_list("data", flat=True)))


def test_a_worker_whose_lease_was_taken_over_does_nothing_more(session: Session, coach: User, site: Site) -> None:
    """Two workers at one session: the first stalled past its lease, the second performs."""
    suggestion = asked(session)
    decide(suggestion, Answer(decision="accept"), by=coach)
    stalled = claim(session.pk)
    assert stalled
    Session.objects.filter(pk=session.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    advance(session.pk)
    assert site.visits == ["GET /"]
    proposal = Proposal(step_index=0, node_id="open", action_type="navigate", action={}, description="again")
    with pytest.raises(SessionNotActive):
        open_suggestion(session, proposal, lease_owner=stalled.owner)
    assert not begin_performing(suggestion, lease_owner=stalled.owner)


class PausesAtTheEnd(FileSystemStorage):
    """A disk that is so slow with the last picture that a coach pauses meanwhile."""

    def save(self, name: str | None, content: IO[Any], max_length: int | None = None) -> str:
        if name and "last" in name:
            for session in Session.objects.filter(status="active"):
                pause_session(session, by=None)
        return super().save(name, content, max_length)


def test_pausing_at_the_very_end_stays_paused(session: Session, coach: User, settings: Settings) -> None:
    for _ in range(4):
        answered(session, by=coach)
    usual = settings.STORAGES
    slow = {"BACKEND": f"{__name__}.{PausesAtTheEnd.__name__}"}
    settings.STORAGES = usual | {"default": slow}
    advance(session.pk)
    session.refresh_from_db()
    assert session.status == "paused"
    settings.STORAGES = usual
    resume_session(session, by=coach)
    advance(session.pk)
    session.refresh_from_db()
    assert session.status == "completed"


def test_an_ended_session_of_a_host_that_is_gone_is_settled(session: Session, coach: User) -> None:
    suggestion = asked(session)
    decide(suggestion, Answer(decision="accept"), by=coach)
    assert begin_performing(suggestion)
    abandon_session(session, by=coach)
    yesterday = timezone.now() - timedelta(days=1)
    Session.objects.filter(pk=session.pk).update(lease_owner="gone/pid:[1] 7 7", lease_until=yesterday)
    swept = sweep()
    assert (swept.uncertain, swept.browsers_closed) == (1, 1)


@pytest.mark.usefixtures("impatient")
def test_half_an_emoji_in_a_page_stops_nobody(session: Session, coach: User, site: Site) -> None:
    broken = "<script>document.title = 'Sale \\ud83d\\ude00'.slice(0, 6)</script>"
    site.pages["/"] = FORM.replace("Save", "Send") + broken
    site.pages["/"] += "<button id=x></button><script>x.textContent = 'Save \\ud83d'</script>"
    for _ in range(3):
        answered(session, by=coach)
    question = asked(session)
    assert question.asked_because == "trouble"
    question.error.encode()
    json.dumps([question.target, question.page], ensure_ascii=False).encode()


def test_no_page_may_be_opened_where_the_browsers_are_driven(session: Session, coach: User) -> None:
    question = asked(session)
    [port] = devtools_ports(profile_of(session.session_id).parent)
    for url in (f"http://127.0.0.1:{port}/json/version", f"http://localhost:{port}/", f"http://[::1]:{port}/"):
        Suggestion.objects.filter(pk=question.pk).update(action={"type": "navigate", "url": url})
        decide(question, Answer(decision="accept"), by=coach)
        question = asked(session)
        assert "drives its browsers there" in question.error


def test_a_second_chromium_on_one_profile_is_ended_too(session: Session, coach: User) -> None:
    """As when a worker was killed between starting its Chromium and noting its process."""
    asked(session)
    profile = profile_of(session.session_id)
    (profile / "coachsite.pid").unlink()
    assert running_endpoint(profile)
    assert stop_chromium(profile)
    assert running_endpoint(profile) is None
