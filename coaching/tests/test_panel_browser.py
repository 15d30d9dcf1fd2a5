"""The coaching panel in a real browser, on a real server in a process of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from coaching.tests.live import LiveSite

pytestmark = [pytest.mark.live, pytest.mark.browser]

PASSWORD = "correct horse battery staple"
PEOPLE = """
from django.contrib.auth.models import Group, User
for name, role in [("olga", "owner"), ("carl", "coach"), ("cleo", "coach"), ("vera", "viewer")]:
    User.objects.create_user(name, password={password!r}).groups.add(Group.objects.get(name=role))
from coaching.actions.workflows import create_workflow
steps = [{{"node_id": f"change-{{k}}", "action": {action!r}}} for k in range(4)]
create_workflow(workflow_id="claim", name="Expense claim", executor="browser", steps=steps, by=None)
"""
ACTION = {"type": "change", "selectors": [["aria/Amount"], ["#amount"]], "value": "42.50"}
#: A process that does to the site's database what workers do, on command.
PUPPET = """
import json, sys
import django
django.setup()
from django.contrib.auth.models import User
from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import pause_session, start_session
from coaching.actions.suggestions import Proposal, open_suggestion
from coaching.models import Session, Workflow
for line in sys.stdin:
    verb, name, more = json.loads(line)
    if verb == "start":
        answer = start_session(Workflow.objects.get(workflow_id="claim"), by=None).session_id
    else:
        session = Session.objects.get(session_id=name)
        if verb == "ask":
            answer = open_suggestion(session, Proposal(step_index=session.current_step_index, **more)).n
        elif verb == "decide":
            decide(session.open_suggestion(), Answer(decision=more), by=User.objects.get(username="cleo"))
            answer = "done"
        else:
            pause_session(session, by=None)
            answer = "done"
    print(json.dumps(answer), flush=True)
"""
PROPOSAL = {
    "node_id": "change-0",
    "action_type": "change",
    "action": ACTION,
    "description": "Type “42.50” into “Amount”",
    "provenance": {"source": "workflow"},
}
FOUND_TWICE = {
    "asked_because": "trouble",
    "error": "‘Amount’ was found twice.",
    "target": {
        "found": False,
        "candidates": [
            {"selector": "#first", "description": "field “Amount” above", "box": [10, 10, 50, 20]},
            {"selector": "#second", "description": "field “Amount” below", "box": [10, 90, 50, 20]},
        ],
    },
}


class Puppet:
    """Opens questions, as workers would, from another process than the web's."""

    def __init__(self, site: LiveSite) -> None:
        import subprocess  # noqa: PLC0415
        import sys  # noqa: PLC0415

        self.process = subprocess.Popen(
            [sys.executable, "-c", PUPPET],
            cwd=Path(__file__).resolve().parents[2],
            env=site.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _do(self, verb: str, session_id: str = "", more: object = None) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([verb, session_id, more]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the puppet has died"
        return str(json.loads(line))

    def start(self) -> str:
        return self._do("start")

    def ask(self, session_id: str, **changes: object) -> str:
        return self._do("ask", session_id, PROPOSAL | changes)

    def decide(self, session_id: str, decision: str) -> None:
        self._do("decide", session_id, decision)

    def pause(self, session_id: str) -> None:
        self._do("pause", session_id)

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    site = LiveSite(tmp_path_factory.mktemp("panel"))
    site.manage("migrate", "--noinput", "-v0")
    site.manage("shell", "-v0", "-c", PEOPLE.format(password=PASSWORD, action=ACTION))
    site.start("web")
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def puppet(site: LiveSite) -> Iterator[Puppet]:
    puppet = Puppet(site)
    yield puppet
    puppet.end()


SignedIn = Callable[..., Page]


@pytest.fixture(scope="module")
def logins(site: LiveSite, chromium: Browser) -> Callable[[str], object]:
    """The cookies of somebody who has signed in once by the form."""
    kept: dict[str, object] = {}

    def login(name: str) -> object:
        if name not in kept:
            context = chromium.new_context(base_url=site.url)
            page = context.new_page()
            page.goto("/login/")
            page.get_by_label("User name").fill(name)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(f"{site.url}/")
            kept[name] = context.storage_state()
            context.close()
        return kept[name]

    return login


@pytest.fixture
def signed_in(site: LiveSite, chromium: Browser, logins: Callable[[str], object]) -> Iterator[SignedIn]:
    """A window of somebody; what its page complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def window(name: str = "carl", *, javascript: bool = True) -> Page:
        context = chromium.new_context(
            base_url=site.url,
            storage_state=logins(name),  # type: ignore[arg-type]
            java_script_enabled=javascript,
            viewport={"width": 1280, "height": 800},
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None
        )
        return page

    yield window
    for context in contexts:
        context.close()
    assert complaints == []


def made(site: LiveSite, session_id: str) -> list[tuple[str, str]]:
    """The session's decisions with their feedback."""
    return site.rows(
        "SELECT d.decision, d.feedback FROM coaching_decision d JOIN coaching_session s ON s.id = d.session_id "
        "WHERE s.session_id = ? ORDER BY d.id",
        session_id,
    )


def show(page: Page, session_id: str) -> None:
    """Opens the panel and waits until its socket is."""
    with page.expect_websocket() as opening:
        page.goto(f"/sessions/{session_id}/")
    opening.value.wait_for_event("framereceived")


def test_keys_decide_and_the_next_question_comes_by_itself(site: LiveSite, puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, page = puppet.start(), signed_in()
    show(page, session_id)
    expect(page.get_by_text("Waiting for a worker to open the browser …")).to_be_visible()
    for key in "amsr":
        puppet.ask(session_id)
        expect(page.locator("#decide")).to_be_visible()
        page.keyboard.press(key)
        expect(page.locator("#decide")).to_have_count(0)
    assert [kind for kind, _ in made(site, session_id)] == ["accept", "manual", "skip", "reject"]
    expect(page.locator("#panel-stats")).to_contain_text(
        "made 4 · accepted 1 · corrected 0 · rejected 1 · manual 1 · skipped 1"
    )
    expect(page.locator("#panel-timeline")).to_contain_text("carl rejected ‘Type “42.50” into “Amount”’")


def test_keys_do_nothing_while_typing_or_with_modifiers(site: LiveSite, puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, page = puppet.start(), signed_in()
    puppet.ask(session_id)
    show(page, session_id)
    page.get_by_label("feedback").press_sequentially("a real problem: success?")
    page.keyboard.press("Enter")
    page.locator("body").click(position={"x": 5, "y": 400})
    for key in ("Control+a", "Alt+s", "Shift+R", "Meta+m"):
        page.keyboard.press(key)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert made(site, session_id) == []
    page.keyboard.press("r")
    expect(page.locator("#decide")).to_have_count(0)
    assert made(site, session_id) == [("reject", "a real problem: success?")]


def test_a_second_window_sees_the_same_within_a_second(puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, mine, hers, theirs = puppet.start(), signed_in("carl"), signed_in("cleo"), signed_in("vera")
    puppet.ask(session_id)
    for page in (mine, hers, theirs):
        show(page, session_id)
    for page in (mine, hers, theirs):
        expect(page.locator("#panel-top")).to_contain_text("3 watching")
    expect(theirs.get_by_text("A coach decides this")).to_be_visible()
    expect(theirs.locator("#panel button")).to_have_count(0)
    mine.keyboard.press("a")
    for page in (hers, theirs):
        expect(page.locator("#panel-status")).to_contain_text("Waiting for a worker to perform", timeout=1000)
        expect(page.locator("#panel-stats")).to_contain_text("accepted 1", timeout=1000)
        expect(page.locator("#panel-status")).to_contain_text("carl accepted it.", timeout=1000)


def test_a_double_press_decides_once(site: LiveSite, puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, page = puppet.start(), signed_in()
    puppet.ask(session_id)
    show(page, session_id)
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.evaluate(
        "() => { for (const key of ['a', 'a', 'r']) document.body.dispatchEvent("
        "new KeyboardEvent('keydown', {key, bubbles: true})) }"
    )
    expect(page.locator("#decide")).to_have_count(0)
    assert made(site, session_id) == [("accept", "")]
    assert len(posts) == 1


def test_a_held_key_does_not_answer_the_next_question(site: LiveSite, puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, page = puppet.start(), signed_in()
    puppet.ask(session_id)
    show(page, session_id)
    page.keyboard.down("s")
    expect(page.locator("#decide")).to_have_count(0)
    puppet.ask(session_id)
    expect(page.locator("#decide")).to_be_visible()
    page.keyboard.down("s")
    page.keyboard.up("s")
    expect(page.locator("#decide")).to_be_visible()
    assert len(made(site, session_id)) == 1


def test_the_other_coach_was_faster(site: LiveSite, puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, page = puppet.start(), signed_in()
    puppet.ask(session_id)
    show(page, session_id)
    # What is pressed in the moment before the push arrives.
    page.evaluate("() => { document.addEventListener('htmx:wsBeforeMessage', (event) => event.preventDefault()) }")
    puppet.decide(session_id, "skip")
    page.keyboard.press("a")
    expect(page.locator("#panel-message")).to_contain_text("cleo has already decided this: skip.")
    expect(page.locator("#panel-stats")).to_contain_text("skipped 1")
    assert made(site, session_id) == [("skip", "")]


def test_what_is_typed_survives_a_push(puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, page = puppet.start(), signed_in()
    puppet.ask(session_id)
    show(page, session_id)
    page.keyboard.press("c")
    page.get_by_label("Value").fill("57.20")
    page.get_by_label("feedback").fill("half a thought")
    other = signed_in("cleo")
    show(other, session_id)
    expect(page.locator("#panel-top")).to_contain_text("2 watching")
    puppet.pause(session_id)
    expect(page.locator("#panel-status")).to_contain_text("Paused.")
    expect(page.get_by_role("button", name="Accept")).to_be_disabled()
    expect(page.get_by_label("Value")).to_have_value("57.20")
    # Until the other window has heard of the pause, its P means “pause”.
    expect(other.locator("#panel-status")).to_contain_text("Paused.")
    other.keyboard.press("p")
    expect(page.get_by_role("button", name="Accept")).to_be_enabled()
    expect(page.get_by_label("Value")).to_have_value("57.20")
    expect(page.get_by_label("feedback")).to_have_value("half a thought")


def test_the_editor(site: LiveSite, puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, page = puppet.start(), signed_in()
    puppet.ask(session_id)
    show(page, session_id)
    value = page.get_by_label("Value")
    expect(value).to_be_hidden()
    page.keyboard.press("c")
    expect(value).to_be_focused()
    old = page.locator(".field", has=value).locator("del")
    expect(old).to_be_hidden()
    value.fill("{{ nobody }}")
    expect(old).to_have_text("42.50")
    expect(old).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#panel-message")).to_contain_text("There is no variable “nobody” in this session.")
    expect(value).to_have_value("{{ nobody }}")
    page.keyboard.press("Escape")
    expect(value).to_be_hidden()
    page.keyboard.press("c")
    value.fill("57.20")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#decide")).to_have_count(0)
    expect(page.locator("#panel-message")).to_be_empty()
    assert [kind for kind, _ in made(site, session_id)] == ["correct"]
    expect(page.locator("#panel-status")).to_contain_text("Type “57.20” into “Amount”")


def test_a_digit_chooses_among_the_candidates(site: LiveSite, puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, page = puppet.start(), signed_in()
    puppet.ask(session_id, **FOUND_TWICE)
    show(page, session_id)
    send = page.get_by_role("button", name="Do it with the chosen one")
    expect(send).to_be_disabled()
    page.keyboard.press("2")
    expect(page.get_by_role("radio").nth(1)).to_be_checked()
    send.click()
    expect(page.locator("#decide")).to_have_count(0)
    [(selectors,)] = site.rows(
        "SELECT d.correction ->> 'selectors' FROM coaching_decision d JOIN coaching_session s ON s.id = d.session_id "
        "WHERE s.session_id = ?",
        session_id,
    )
    assert json.loads(selectors) == [["#second"]]


def test_everything_works_without_javascript(site: LiveSite, puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, page = puppet.start(), signed_in(javascript=False)
    puppet.ask(session_id)
    page.goto(f"/sessions/{session_id}/")
    page.get_by_text("Correct", exact=False).first.click()
    page.get_by_label("Value").fill("{{ nobody }}")
    page.get_by_role("button", name="Send correction").click()
    expect(page.locator("#panel-message")).to_contain_text("There is no variable “nobody” in this session.")
    expect(page.get_by_label("Value")).to_have_value("{{ nobody }}")
    page.get_by_label("Value").fill("57.20")
    page.get_by_role("button", name="Send correction").click()
    expect(page.locator("#panel-status")).to_contain_text("Waiting for a worker to perform")
    puppet.ask(session_id)
    # The page looks again by itself while nothing is asked.
    expect(page.locator("#decide")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#panel-status")).to_contain_text("Paused.")
    page.get_by_role("button", name="Resume").first.click()
    page.get_by_label("feedback").fill("by hand")
    page.get_by_role("button", name="Manual").click()
    expect(page.locator("#decide")).to_have_count(0)
    assert made(site, session_id) == [("correct", ""), ("manual", "by hand")]


def test_a_killed_server_is_waited_for_and_nothing_is_lost(site: LiveSite, puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, page = puppet.start(), signed_in()
    puppet.ask(session_id)
    show(page, session_id)
    page.get_by_label("feedback").fill("still here")
    site.kill("web")
    expect(page.get_by_text("Reconnecting … nothing is lost.")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    expect(page.locator("#notice")).to_contain_text("The site did not answer.")
    site.start("web")
    expect(page.get_by_text("Reconnecting")).to_be_hidden()
    expect(page.get_by_label("feedback")).to_have_value("still here")
    page.keyboard.press("a")
    expect(page.locator("#decide")).to_have_count(0)
    assert made(site, session_id) == [("accept", "still here")]

    site.kill("web")
    puppet.ask(session_id, description="Asked while nobody could see it")
    site.start("web")
    expect(page.locator("#panel-status")).to_contain_text("Asked while nobody could see it")


def test_the_inbox_and_its_count_are_live(puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, page = puppet.start(), signed_in()
    with page.expect_websocket() as opening:
        page.goto("/")
    opening.value.wait_for_event("framereceived")
    before = int(page.locator("#inbox-badge").inner_text() or 0)
    puppet.ask(session_id, description="A brand new question")
    expect(page.get_by_text("A brand new question")).to_be_visible(timeout=1500)
    expect(page.locator("#inbox-badge")).to_have_text(str(before + 1))
    page.get_by_text("A brand new question").click()
    page.wait_for_url(re.compile(session_id))
    page.keyboard.press("s")
    expect(page.locator("#decide")).to_have_count(0)


def test_ending_the_session_in_the_panel_shows_its_record(puppet: Puppet, signed_in: SignedIn) -> None:
    session_id, page = puppet.start(), signed_in()
    puppet.ask(session_id)
    show(page, session_id)
    page.keyboard.press("m")
    expect(page.locator("#decide")).to_have_count(0)
    page.get_by_text("End …").click()
    page.get_by_role("button", name="Mark as completed").click()
    expect(page.locator("#panel-status")).to_contain_text("Completed by carl after")
    expect(page.locator("#panel-record")).to_contain_text("done by hand")
