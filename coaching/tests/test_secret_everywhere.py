"""One session with a known secret, in a real browser, and then a look at all that is stored or leaves the site."""

from __future__ import annotations

import base64
import html
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, quote_plus

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from knox.models import AuthToken
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import fail_session, start_session
from coaching.actions.webhooks import create_webhook
from coaching.actions.workflows import create_workflow, export_recording
from coaching.execution.chromium import stop_chromium
from coaching.execution.runner import advance, profile_of
from coaching.models import Session, Suggestion, WebhookDelivery, Workflow
from coaching.tests.browser_pages import Site, serve
from coaching.tests.domain import everything_stored

from .test_mcp_door import Exchange, base, call
from .test_sockets import cookies, socket
from .test_who_may import address, whole_table

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SECRET = "hunter two&is=long"
OTHER = "secret one&is=fine"
assert len(SECRET) == len(OTHER)

#: Says back what was typed, wherever a page can.
FORM = """<style>* {font-family: monospace}</style><form action=/echo>
<label>Password <input name=p type=password></label> <button>Save</button></form>"""
ECHO = """<!doctype html><html lang=en><title>Claims</title><style>* {font-family: monospace}</style><body>
<p id=said></p><input id=field aria-label=Field><button onclick="alert(word)">Tell</button>
<script>const word = new URLSearchParams(location.search).get('p');
document.title = `Saved ${word}`; said.textContent = word; field.value = word;</script>"""


def every_form(secret: str) -> set[str]:
    """However it may be written."""
    in_json = json.dumps(secret)[1:-1]
    return {
        secret, quote(secret), quote(secret, safe=""), quote_plus(secret), html.escape(secret), in_json,
        json.dumps(in_json)[1:-1], base64.b64encode(secret.encode()).decode(), secret.encode().hex(),
        html.escape(quote_plus(secret)),
    }  # fmt: skip


def assert_clean(text: str | bytes, where: str) -> None:
    said = text.decode("latin1") if isinstance(text, bytes) else text
    found = [form for form in every_form(SECRET) if form in said]
    assert not found, f"{where}: {found}"


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        running.pages |= {"/": FORM, "/echo": ECHO}
        yield running


@pytest.fixture
def workflow(site: Site, owner: User) -> Workflow:
    def step(kind: str, name: str, **rest: Any) -> dict[str, Any]:
        return {"type": kind, "selectors": [[f"aria/{name}"]], "target": "main", **rest}

    made = create_workflow(
        workflow_id="form", name="Form", executor="browser", by=owner,
        steps=[
            {"node_id": "open", "action": {"type": "navigate", "url": f"{site.origin}/"}},
            {"node_id": "password", "action": step("change", "Password", value="{{ password }}")},
            {"node_id": "save", "action": step("click", "Save", offsetX=2, offsetY=2)},
            # Shows a message box with the secret.
            {"node_id": "tell", "action": step("click", "Tell", offsetX=2, offsetY=2)},
            {"node_id": "again", "action": {"type": "navigate", "url": f"{site.origin}/echo?p={{{{ password }}}}"}},
            {"node_id": "missing", "action": step("click", "Not here", offsetX=2, offsetY=2, timeout=300)},
        ],
    )  # fmt: skip
    made.variables.create(name="password", label="Password", secret=True)
    return made


@pytest.fixture
def run(workflow: Workflow, coach: User) -> Iterator[Callable[[str], Session]]:
    """A session in which all steps but the last succeed; it ends with an error message that holds the secret."""
    begun: list[str] = []

    def whole(secret: str) -> Session:
        session = start_session(workflow, by=coach, variables={"password": secret}, metadata={"ticket": 7})
        begun.append(session.session_id)
        for number in range(6):
            advance(session.pk)
            suggestion = Session.objects.get(pk=session.pk).open_suggestion()
            assert suggestion, number
            decide(suggestion, Answer(decision="accept"), by=coach)
        advance(session.pk)
        session.refresh_from_db()
        suggestion = session.open_suggestion()
        assert suggestion
        feedback = Answer(decision="reject", feedback=f"I typed {secret} by hand.", reason_code="other")
        decide(suggestion, feedback, by=coach)
        session.refresh_from_db()
        if session.is_ongoing:
            fail_session(session, by=coach, error_message=f"The server said: {secret} is wrong.")
        return session

    yield whole
    for session_id in begun:
        stop_chromium(profile_of(session_id))


@pytest.fixture
def owner_with_webhook(owner: User, settings: Settings) -> User:
    settings.COACHSITE_API_RATE = 0
    create_webhook(url="https://example.org/hook", by=owner)
    return owner


def test_it_is_in_nothing_that_is_stored_or_leaves(
    run: Callable[[str], Session],
    workflow: Workflow,
    owner_with_webhook: User,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = owner_with_webhook
    with caplog.at_level(logging.DEBUG, logger="coaching"):
        session = run(SECRET)
        assert session.suggestions.filter(outcome="performed").count() >= 5
        _look_at_answers(session, workflow, owner)
        _look_at_the_live_doors(session, owner)
    assert_clean(everything_stored(), "the database")
    assert_clean(caplog.text, "the log")
    _look_at_exports(workflow, tmp_path)
    bodies = list(WebhookDelivery.objects.values_list("body", flat=True))
    assert len(bodies) > 10
    assert_clean("\n".join(bodies), "webhooks")


def _look_at_answers(session: Session, workflow: Workflow, owner: User) -> None:
    """Every address there is, as somebody who may see all; wrong requests, too."""
    User.objects.filter(pk=owner.pk).update(is_staff=True, is_superuser=True)
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.get(pk=owner.pk))
    suggestion = session.suggestions.order_by("-n")[0]
    values = {
        "workflow_id": workflow.workflow_id, "session_id": session.session_id, "n": str(suggestion.n),
        "pk": str(workflow.current_steps()[1].pk), "pack_id": "none", "number": "1", "webhook_id": "1",
        "message_id": "none", "allowed_host_id": "1", "content_type_id": "1", "id": "1", "app_label": "coaching",
        "url": "nothing-here", "object_id": "",
    }  # fmt: skip
    for route in whole_table():
        if "logout" in route:
            continue
        for row in _rows(route, session, workflow):
            path = address(route, values | {"object_id": row})
            answer = client.get(path)
            content = b"".join(cast("Any", answer).streaming_content) if answer.streaming else answer.content
            assert_clean(content, f"GET {path}")
            assert_clean(str(answer.headers), f"GET {path}")
    for path in (f"/workflows/{workflow.workflow_id}/start/", f"/sessions/{session.session_id}/decide/"):
        # What comes back when a form was wrong.
        answer = client.post(path, {"variable-password": SECRET, "variable-none": "x", "decision": "correct"})
        assert answer.status_code >= 400
        assert_clean(answer.content, f"POST {path}")
    program = APIClient()
    program.credentials(HTTP_AUTHORIZATION=f"Token {AuthToken.objects.create(owner)[1]}")
    wrong = {"workflow_id": workflow.workflow_id, "variables": {"password": SECRET, "none": "x"}}
    refused = program.post("/api/v1/sessions/", wrong)
    assert refused.status_code == 400
    assert_clean(refused.content, "the API's error")


def _rows(route: str, session: Session, workflow: Workflow) -> list[str]:
    """The rows of this session for its pages of the admin."""
    of_session = {"suggestion": session.suggestions, "decision": session.decisions, "sessionevent": session.events}
    for model, rows in of_session.items():
        if f"/coaching/{model}/" in route and "object_id" in route:
            return [str(pk) for pk in rows.values_list("pk", flat=True)]
    if "/coaching/variable/" in route:
        return [str(workflow.variables.get().pk)]
    return [str(session.pk), str(workflow.pk)] if "object_id" in route else [""]


def _look_at_the_live_doors(session: Session, owner: User) -> None:
    headers = base() | {b"authorization": f"Bearer {AuthToken.objects.create(owner)[1]}".encode()}
    by_cookie = cookies(owner)

    async def listen() -> str:
        said = []
        for tool in ("list_open_sessions", "complete_session"):
            asked = {"session_id": session.session_id} if tool == "complete_session" else {}
            said.append((await Exchange("/mcp/", headers, call(tool, asked)).answer()).text)
        for path in (f"/ws/v1/sessions/{session.session_id}/events/", f"/ws/sessions/{session.session_id}/panel/",
                     "/ws/inbox/"):  # fmt: skip
            async with socket(path, by_cookie) as communicator:
                while not await communicator.receive_nothing(timeout=0.5):
                    said.append(str(await communicator.receive_from(10)))
        return "\n".join(said)

    said = async_to_sync(listen)()
    assert "decision.recorded" in said
    assert "panel-timeline" in said
    assert_clean(said, "MCP and sockets")


def _look_at_exports(workflow: Workflow, tmp_path: Path) -> None:
    assert_clean(json.dumps(export_recording(workflow)), "the exported recording")
    folder = tmp_path / "sessions"
    call_command("export_sessions", str(folder))
    files = [path.read_text() for path in folder.rglob("*.json")]
    assert files
    assert_clean("\n".join(files), "exported sessions")
    audit = tmp_path / "audit.jsonl"
    with audit.open("w") as out:
        call_command("export_audit", stdout=out)
    assert audit.read_text()
    assert_clean(audit.read_text(), "the exported audit log")
    for picture in Path(django_settings.MEDIA_ROOT).rglob("*"):
        assert_clean(str(picture), "names of pictures")
        assert_clean(picture.read_bytes() if picture.is_file() else b"", "pictures")


def test_pictures_are_the_same_whatever_the_secret(run: Callable[[str], Session], site: Site) -> None:
    """To the byte: nothing of a secret that is as long shows on any of them."""

    def pictures(session: Session) -> list[bytes]:
        found = Suggestion.objects.filter(session=session).exclude(screenshot="").order_by("n")
        return [suggestion.screenshot.read() for suggestion in found]

    ours, theirs = pictures(run(SECRET)), pictures(run(OTHER))
    assert len(ours) == len(theirs)
    # The page did get all of it, in its address too.
    assert f"GET /echo?p={quote(SECRET, safe='')}" in site.visits
    assert len(ours) >= 6
    assert len(set(ours)) >= 3
    assert ours == theirs
