"""The coaching panel as plain pages and forms: its states in words, decisions, refusals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects
from pytest_django.fixtures import DjangoAssertNumQueries

from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import complete_session, fail_session, pause_session
from coaching.actions.suggestions import begin_performing, record_outcome, withdraw_suggestion
from coaching.models import Decision, Session, StepVersion, Suggestion
from conftest import CLICK, TYPE

SignIn = Callable[[User], Client]
Ask = Callable[..., Suggestion]
Outcome = Suggestion.Outcome
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


def _show(client: Client, session: Session) -> str:
    return client.get(session.get_absolute_url()).content.decode()


def _post(client: Client, suggestion: Suggestion, *, htmx: bool = False, fields: Any = (), **data: Any) -> Any:
    address = reverse("session-decide", args=[suggestion.session.session_id])
    headers = {"HX-Request": "true"} if htmx else {}
    return client.post(address, {"n": suggestion.n} | data | dict(fields), headers=headers)


# ---- states


def test_before_the_first_step(session: Session, coach: User, sign_in: SignIn) -> None:
    text = _show(sign_in(coach), session)
    assert "Waiting for a worker to open the browser …" in text
    assert "step 1 of 3" in text
    assert "made <b>0</b> · accepted <b>0</b>" in text
    assert "carl started the session" in text
    assert 'http-equiv="refresh"' in text


def test_an_open_suggestion_is_shown_with_its_evidence(
    session: Session, ask: Ask, coach: User, sign_in: SignIn
) -> None:
    ask(
        session,
        confidence=0.914,
        screenshot=PNG,
        target={"found": True, "selector": "#amount", "box": [100, 200, 300, 40], "candidates": []},
        page={"url": "http://example.test/new", "title": "New claim", "viewport": [1280, 720]},
    )
    text = _show(sign_in(coach), session)
    assert "Type “42.50” into “Amount”" in text
    assert "sure 0.91" in text
    assert "from the recording" in text
    assert 'viewBox="0 0 1280 720"' in text
    assert 'x="97.0" y="197.0" width="306.0" height="46.0"' in text
    assert "Marked: 1 at 97, 197" in text
    for value in ("accept", "correct", "manual", "skip", "reject"):
        assert f'name="decision" value="{value}"' in text
    assert 'http-equiv="refresh"' not in text


def test_performing_says_so(suggestion: Suggestion, coach: User, sign_in: SignIn) -> None:
    decide(suggestion, Answer(decision="accept"), by=coach)
    client = sign_in(coach)
    assert "Waiting for a worker to perform ‘Type “42.50” into “Amount”’ …" in _show(client, suggestion.session)
    begin_performing(suggestion)
    text = _show(client, suggestion.session)
    assert "The browser is performing ‘Type “42.50” into “Amount”’ …" in text
    assert "carl accepted it." in text
    record_outcome(suggestion, Outcome.PERFORMED, took=timedelta(seconds=0.4))
    text = _show(client, suggestion.session)
    assert "Waiting for a worker to propose step 2 …" in text
    assert "performed in 0.4 s" in text


def test_trouble_replaces_the_sentence(session: Session, ask: Ask, coach: User, sign_in: SignIn) -> None:
    ask(session, asked_because="trouble", error="‘Save’ is covered by another element.")
    text = _show(sign_in(coach), session)
    assert '<p class="trouble">‘Save’ is covered by another element.</p>' in text
    assert "Proposed: Type “42.50” into “Amount”" in text


def test_candidates_are_numbered_in_picture_and_choices(
    session: Session, ask: Ask, coach: User, sign_in: SignIn
) -> None:
    ask(session, **_found_twice())
    text = _show(sign_in(coach), session)
    assert "Which one?" in text
    assert text.count('name="candidate"') == 2
    assert text.count('class="mark candidate"') == 2
    assert "button “Save” in the dialog" in text


def _found_twice() -> dict[str, Any]:
    return {
        "action_type": "click",
        "action": CLICK,
        "asked_because": "trouble",
        "error": "‘Save’ was found twice.",
        "screenshot": PNG,
        "target": {
            "found": False,
            "selector": None,
            "box": None,
            "candidates": [
                {"selector": "#first", "description": "button “Save” at the top", "box": [10, 10, 50, 20]},
                {"selector": "#host >>> #inner", "description": "button “Save” in the dialog", "box": [10, 90, 50, 20]},
            ],
        },
    }


def test_an_unsupported_step_cannot_be_accepted(session: Session, ask: Ask, coach: User, sign_in: SignIn) -> None:
    version = StepVersion.objects.get(step__node_id="open")
    StepVersion.objects.filter(pk=version.pk).update(supported=False)
    version.refresh_from_db()
    suggestion = ask(session, step_version=version)
    client = sign_in(coach)
    text = _show(client, session)
    assert 'value="accept"' not in text
    assert "coachsite cannot perform this step" in text
    answer = _post(client, suggestion, decision="accept")
    assert answer.status_code == 400
    suggestion.refresh_from_db()
    assert suggestion.is_open


def test_paused_with_resume(suggestion: Suggestion, coach: User, viewer: User, sign_in: SignIn) -> None:
    session = suggestion.session
    client = sign_in(coach)
    assertRedirects(client.post(reverse("session-pause", args=[session.session_id])), session.get_absolute_url())
    text = _show(client, session)
    assert "Paused." in text
    assert "Resume" in text
    assert "Resume" not in _show(sign_in(viewer), session)
    client.post(reverse("session-resume", args=[session.session_id]))
    assert "Paused." not in _show(client, session)


def test_pausing_twice_is_said_in_the_panel(session: Session, coach: User, sign_in: SignIn) -> None:
    client = sign_in(coach)
    address = reverse("session-pause", args=[session.session_id])
    client.post(address)
    again = client.post(address)
    assertContains(again, "A session that is paused cannot become paused.", status_code=409)
    assertContains(again, 'id="panel-status"', status_code=409)


def test_the_record_of_an_ended_session(suggestion: Suggestion, ask: Ask, coach: User, sign_in: SignIn) -> None:
    session = suggestion.session
    correction = TYPE | {"value": "57.20"}
    answer = Answer(decision="correct", correction=correction, feedback="second receipt", reason_code="wrong_value")
    decide(suggestion, answer, by=coach)
    begin_performing(suggestion)
    record_outcome(suggestion, Outcome.PERFORMED)
    decide(ask(session), Answer(decision="reject"), by=coach)
    session.refresh_from_db()
    complete_session(session, by=coach)
    text = _show(sign_in(coach), session)
    assert "Completed by carl after" in text
    assert "2 of 3 steps were decided; 1 action was performed, 1 rejected." in text
    assert "<del>42.50</del>" in text
    assert "<ins>57.20</ins>" in text
    assert "“second receipt”" in text
    assert "wrong value" in text
    assert "ws-connect" not in text


def test_a_failed_session_says_why(session: Session, coach: User, sign_in: SignIn) -> None:
    fail_session(session, by=None, error_message="The browser could not be started.")
    assertContains(sign_in(coach).get(session.get_absolute_url()), "The browser could not be started.")


def test_secrets_are_never_shown(session: Session, ask: Ask, coach: User, sign_in: SignIn) -> None:
    Session.objects.filter(pk=session.pk).update(variables={"password": "***", "amount": "42.50"})
    ask(session, action=TYPE | {"value": "{{ password }}"}, description="Type “{{ password }}” into “Password”")
    text = _show(sign_in(coach), session)
    assert "{{ password }}" not in text
    assert "Type “***” into “Password”" in text
    assert 'value="***" data-old="***" type="password"' in text


def test_an_outside_program_s_proposal(external_session: Session, ask: Ask, coach: User, sign_in: SignIn) -> None:
    client = sign_in(coach)
    assert "Waiting for the program to propose step 1 …" in _show(client, external_session)
    suggestion = ask(
        external_session,
        action={"amount": 5},
        action_type="post",
        description="Post it",
        provenance={"source": "caller"},
    )
    text = _show(client, external_session)
    assert "proposed by the program" in text
    assert "This program sends no pictures." in text
    _post(client, suggestion, decision="correct", raw='{"amount": 7}')
    assert Decision.objects.get().correction == {"amount": 7}
    assert "Waiting for the program to perform ‘Post it’ …" in _show(client, external_session)


def test_markup_in_names_is_text(session: Session, ask: Ask, coach: User, sign_in: SignIn) -> None:
    ask(
        session,
        description="<script>alert(1)</script>",
        rationale="<b>",
        page={"url": "<i>", "title": '"><svg onload=x>'},
    )
    assertNotContains(sign_in(coach).get(session.get_absolute_url()), "<script>alert")


def test_queries_do_not_grow_with_the_session(
    browser_workflow: Any, coach: User, ask: Ask, sign_in: SignIn, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    from coaching.actions.sessions import start_session  # noqa: PLC0415

    client = sign_in(coach)
    session = start_session(browser_workflow, by=coach)
    ask(session)
    # Login (2), permissions (2), session, suggestion, events, decisions, step names, badge.
    with django_assert_num_queries(10):
        client.get(session.get_absolute_url())
    for _ in range(20):
        withdraw_suggestion(session.open_suggestion(), reason="tried again")  # type: ignore[arg-type]
        ask(session)
    with django_assert_num_queries(10):
        client.get(session.get_absolute_url())


# ---- decisions


@pytest.mark.parametrize("decision", ["accept", "manual", "skip", "reject"])
def test_one_press_decides(suggestion: Suggestion, coach: User, sign_in: SignIn, decision: str) -> None:
    # The form sends its untouched editor along with every button.
    answer = _post(
        sign_in(coach),
        suggestion,
        decision=decision,
        feedback=" well ",
        reason_code="other",
        raw="",
        fields={"field-value": "42.50"},
    )
    assertRedirects(answer, suggestion.session.get_absolute_url())
    made = Decision.objects.get()
    assert (made.decision, made.feedback, made.correction, made.user) == (decision, "well", None, coach)
    assert made.reason_code == ("other" if decision == "reject" else "")


def test_htmx_gets_the_fragments(suggestion: Suggestion, coach: User, sign_in: SignIn) -> None:
    answer = _post(sign_in(coach), suggestion, htmx=True, decision="accept")
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "<html" not in text
    for part in ("top", "status", "picture", "proposal", "steps", "stats", "timeline", "record", "message"):
        assert f'id="panel-{part}"' in text
    assert "accepted <b>1</b>" in text


def test_the_second_answer_learns_of_the_first(
    suggestion: Suggestion, coach: User, second_coach: User, sign_in: SignIn
) -> None:
    _post(sign_in(coach), suggestion, decision="accept")
    for htmx in (False, True):
        answer = _post(sign_in(second_coach), suggestion, htmx=htmx, decision="reject", feedback="no!")
        assertContains(
            answer,
            "‘Type “42.50” into “Amount”’: carl has already decided this: accept.",
            status_code=409,
        )
        assertContains(answer, "accepted <b>1</b>", status_code=409)
    assert Decision.objects.count() == 1


def test_a_late_correction_learns_of_the_first_too(
    suggestion: Suggestion, coach: User, second_coach: User, sign_in: SignIn
) -> None:
    _post(sign_in(coach), suggestion, decision="skip")
    answer = _post(sign_in(second_coach), suggestion, decision="correct", fields={"field-value": "x"})
    assertContains(answer, "carl has already decided this: skip.", status_code=409)


def test_a_withdrawn_question_and_a_paused_or_ended_session(
    suggestion: Suggestion, ask: Ask, coach: User, sign_in: SignIn
) -> None:
    client, session = sign_in(coach), suggestion.session
    withdraw_suggestion(suggestion, reason="the page changed")
    assertContains(_post(client, suggestion, htmx=True, decision="accept"), "was withdrawn", status_code=409)
    later = ask(session)
    pause_session(session, by=coach)
    assertContains(
        _post(client, later, decision="accept", feedback="keep me"), "The session is paused.", status_code=409
    )
    session.refresh_from_db()
    complete_session(session, by=coach)
    assert _post(client, later, decision="accept").status_code == 409
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"decision": ""}, "Choose one of the buttons"),
        ({"decision": "perhaps"}, "A decision is one of"),
        ({"decision": "correct"}, "Nothing is changed yet"),
        ({"decision": "correct", "field-value": "9", "raw": '{"type": "change"}'}, "undo one of them"),
        ({"decision": "correct", "raw": "{oops"}, "not valid JSON in line 1"),
        ({"decision": "correct", "raw": '{"type": "dance"}'}, "not a valid action"),
        ({"decision": "correct", "raw": '{"type": "navigate", "url": "file:///etc/passwd"}'}, "file:"),
        ({"decision": "correct", "field-value": "{{ nobody }}"}, "no variable “nobody”"),
        ({"decision": "correct", "candidate": "7"}, "no element 7"),
        ({"decision": "reject", "feedback": "x" * 10_001}, "too long"),
        ({"decision": "reject", "reason_code": "mood"}, "A reason is one of"),
        ({"n": "x", "decision": "accept"}, "does not say which suggestion"),
        ({"n": "99", "decision": "accept"}, "does not say which suggestion"),
        ({"n": "9" * 30, "decision": "accept"}, "does not say which suggestion"),
    ],
)
def test_bad_input_is_said_in_the_panel(
    suggestion: Suggestion, coach: User, sign_in: SignIn, data: dict[str, str], says: str
) -> None:
    client = sign_in(coach)
    for htmx in (False, True):
        answer = _post(client, suggestion, htmx=htmx, **data)
        assert answer.status_code == 400
        assertContains(answer, says, status_code=400)
        assertContains(answer, 'id="panel-proposal"', status_code=400)
    assert not Decision.objects.exists()
    suggestion.refresh_from_db()
    assert suggestion.is_open


def test_a_refused_correction_comes_back_as_it_was_typed(suggestion: Suggestion, coach: User, sign_in: SignIn) -> None:
    typed = {
        "field-value": "{{ nobody }}",
        "field-selectors": "#mine\n#yours",
        "feedback": "a remark",
        "reason_code": "unsafe",
    }
    text = _post(sign_in(coach), suggestion, decision="correct", fields=typed).content.decode()
    assert '<details class="editor" open>' in text
    assert 'value="{{ nobody }}"' in text
    assert "#mine\n#yours" in text
    assert 'value="a remark"' in text
    assert '<option value="unsafe" selected>' in text


def test_a_typed_secret_is_not_sent_back(session: Session, ask: Ask, coach: User, sign_in: SignIn) -> None:
    Session.objects.filter(pk=session.pk).update(variables={"password": "***"})
    suggestion = ask(session, action=TYPE | {"value": "{{ password }}"})
    answer = _post(sign_in(coach), suggestion, decision="correct", raw="{oops", fields={"field-value": "new-secret-9"})
    assert answer.status_code == 400
    assertNotContains(answer, "new-secret-9", status_code=400)


def test_a_correction_by_fields(suggestion: Suggestion, coach: User, sign_in: SignIn) -> None:
    _post(sign_in(coach), suggestion, decision="correct", reason_code="wrong_value", fields={"field-value": "57.20"})
    made = Decision.objects.get()
    assert made.decision == "correct"
    assert made.correction == suggestion.action | {"value": "57.20"}
    assert made.difference == [{"op": "replace", "path": "/value", "value": "57.20"}]
    assert made.reason_code == "wrong_value"


def test_the_chosen_candidate_becomes_the_selector(session: Session, ask: Ask, coach: User, sign_in: SignIn) -> None:
    suggestion = ask(session, **_found_twice())
    _post(
        sign_in(coach), suggestion, decision="correct", candidate="2", fields={"field-selectors": "aria/Save\r\n#save"}
    )
    made = Decision.objects.get()
    assert made.correction is not None
    assert made.correction["selectors"] == [["#host", "#inner"]]


def test_done_by_hand_may_say_what(suggestion: Suggestion, coach: User, sign_in: SignIn) -> None:
    _post(sign_in(coach), suggestion, decision="did_this", fields={"field-value": "57.20"})
    made = Decision.objects.get()
    assert made.decision == "manual"
    assert made.correction == suggestion.action | {"value": "57.20"}


def test_htmx_refusals_outside_the_panel_go_to_the_notice(
    viewer: User, suggestion: Suggestion, sign_in: SignIn
) -> None:
    answer: HttpResponse = _post(sign_in(viewer), suggestion, htmx=True, decision="accept")
    assert answer.status_code == 403
    assert answer["HX-Retarget"] == "#notice"
    assertContains(answer, "Not allowed", status_code=403)
    assertNotContains(answer, "<html", status_code=403)
