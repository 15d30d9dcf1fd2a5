"""What a pack makes of an action is held to the rules for a coach: packs are edited, and come from other sites."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from coaching.actions.backtests import run_backtest, start_backtest
from coaching.actions.correction_packs import create_pack, export, publish, submit
from coaching.actions.corrections import why_not_to_perform
from coaching.actions.decisions import Answer, decide
from coaching.actions.pack_items import edit_entry
from coaching.actions.sessions import start_session
from coaching.execution.proposals import build_proposal, plan
from coaching.models import Correction, Session, Suggestion, Workflow
from coaching.packs import read_pack
from conftest import TYPE

CORRECTED = TYPE | {"value": "42.50", "selectors": [["#total"]]}


def publish_with(value: Any, path: str, *, by: User) -> None:
    """The one captured correction, edited to put `value` in place, in a published pack."""
    pack = create_pack(name="Release 2", corrections=[Correction.objects.get()], by=by)
    assert pack.draft
    edit_entry(pack.draft.entries.get(), new={path: value}, by=by)
    submit(pack, by=by)
    run_backtest(start_backtest(pack.draft, by=by).pk)
    publish(pack, confirmed=True, by=by)


def at_amount(workflow: Workflow, coach: User) -> Session:
    session = start_session(workflow, by=coach)
    Session.objects.filter(pk=session.pk).update(current_step_index=1)
    session.refresh_from_db()
    return session


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("/selectors", 5, "not a valid action"), ("/selectors", ["{{ nobody }}"], "no variable “nobody”"),
        ("/selectors", [["#total"]], ""),
    ],
)  # fmt: skip
def test_what_could_not_be_performed_is_a_question_and_not_proposed(
    browser_workflow: Workflow, coach: User, reviewer: User, ask: Callable[..., Suggestion], *, path: str, value: Any,
    words: str,
) -> None:  # fmt: skip
    version = browser_workflow.steps.get(node_id="change-amount").version
    suggestion = ask(at_amount(browser_workflow, coach), step_version=version)
    decide(suggestion, Answer(decision="correct", correction=CORRECTED), by=coach)
    publish_with(value, path, by=reviewer)
    planned = plan(at_amount(browser_workflow, coach), page_url="")
    assert words in planned.packs.trouble
    assert planned.action["selectors"] == (TYPE["selectors"] if words else value)
    session = at_amount(browser_workflow, coach)
    proposal = build_proposal(session, planned, found=None, trouble="", page={}, screenshot=None)
    assert proposal.asked_because == ("trouble" if words else "coaching")
    assert proposal.provenance["source"] == ("workflow" if words else "pack")


def test_a_secret_stays_where_the_recording_has_it(
    browser_workflow: Workflow, coach: User, reviewer: User, ask: Callable[..., Suggestion]
) -> None:
    browser_workflow.variables.create(name="password", label="Password", secret=True)
    session = start_session(browser_workflow, by=coach, variables={"password": "swordfish"})
    opened = browser_workflow.steps.get(node_id="open").version
    suggestion = ask(
        session, node_id="open", action_type="navigate", action=opened.action, description="Open", step_version=opened
    )
    there = opened.action | {"url": "http://127.0.0.1:1/new"}
    decide(suggestion, Answer(decision="correct", correction=there), by=coach)
    publish_with("http://127.0.0.1:2/{{ password }}", "/url", by=reviewer)
    again = start_session(browser_workflow, by=coach, variables={"password": "swordfish"})
    planned = plan(again, page_url="")
    assert "would move a secret" in planned.packs.trouble
    assert planned.action == opened.action


@pytest.mark.parametrize(
    ("made", "secrets", "words"),
    [
        ({"type": "waitForExpression", "expression": "steal()"}, {"password"}, "an expression stays"),
        ({"type": "waitForExpression", "expression": "ready"}, {"password"}, ""),
        ({"type": "waitForExpression", "expression": "other"}, set(), ""),
    ],
)
def test_a_pack_brings_no_script_to_where_secrets_are(made: dict[str, Any], secrets: set[str], words: str) -> None:
    recorded = {"type": "waitForExpression", "expression": "ready"}
    why = why_not_to_perform(made, recorded, variables=secrets, secrets=secrets)
    assert (words in why) if words else not why


def test_pictures_travel_only_where_they_are_asked_for(
    browser_workflow: Workflow, coach: User, reviewer: User, ask: Callable[..., Suggestion]
) -> None:
    png = b"\x89PNG a page"
    suggestion = ask(at_amount(browser_workflow, coach), screenshot=png)
    decide(suggestion, Answer(decision="correct", correction=CORRECTED), by=coach)
    pack = create_pack(name="Release 2", corrections=[Correction.objects.get()], by=reviewer)
    assert pack.draft
    plain, full = export(pack.draft), export(pack.draft, pictures=True)
    assert "picture" not in json.dumps(plain)
    document = read_pack(json.dumps(full).encode())
    assert base64.b64decode(document.items[0].picture) == png
    assert document.items[0].content == read_pack(json.dumps(plain).encode()).items[0].content
