"""The main job with everything real: server, workers, sweep, the coach's browser and the browser that is coached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from coaching.tests.journeys import (
    SLOW_MS,
    answer,
    asked,
    claims,
    decisions,
    import_and_start,
    recording,
    status,
)
from coaching.tests.live import LiveSite, until

pytestmark = [pytest.mark.live, pytest.mark.browser]


def test_all_five_decisions_through_kill_9_to_one_claim(site: LiveSite, coach_page: Page, tmp_path: Path) -> None:
    page, before = coach_page, len(claims(site))
    session_id = import_and_start(
        page, recording(site, tmp_path, name="Claim of my own", extra=2), name="Claim of my own"
    )

    asked(page, "Set the window to 1280 × 720")
    answer(page, "s")
    asked(page, "Open http://127.0.0.1")
    answer(page, "a")
    asked(page, "Type “pat” into “User name”")
    answer(page, "a")
    asked(page, "Type “***” into “Password”")
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Resume").first).to_be_visible()
    kept = decisions(site, session_id)
    assert kept == ["skip", "accept", "accept"]

    site.kill()
    expect(page.get_by_text("Reconnecting")).to_be_visible()
    site.start()
    expect(page.get_by_text("Reconnecting")).to_be_hidden(timeout=SLOW_MS)
    assert decisions(site, session_id) == kept

    page.keyboard.press("p")
    asked(page, "Type “***” into “Password”")
    answer(page, "a")
    asked(page, "Click “Sign in”")
    answer(page, "a")
    asked(page, "Click “New claim”")
    answer(page, "a")
    asked(page, "Hover over “Amount”")
    answer(page, "m")
    asked(page, "Hover over “Amount”")
    answer(page, "r")
    asked(page, "What was it for?")
    page.keyboard.press("c")
    page.get_by_role("textbox", name="Value").fill("Train to Ghent, corrected")
    answer(page, "Control+Enter")
    for sentence in ("into “Amount”", "into “Category”", "Aurora", "Submit claim"):
        asked(page, sentence)
        answer(page, "a")
    expect(page.locator("#panel-status")).to_contain_text("completed", ignore_case=True, timeout=SLOW_MS)

    assert status(site, session_id) == "completed"
    assert decisions(site, session_id) == [
        "skip", "accept", "accept", "accept", "accept", "accept", "manual", "reject", "correct",
        "accept", "accept", "accept", "accept",
    ]  # fmt: skip
    new = claims(site)[before:]
    assert [(title, float(amount), release) for title, amount, _, _, release in new] == [
        ("Train to Ghent, corrected", 42.5, 1)
    ]
    expect(page.locator("#panel-stats")).to_contain_text("made 13")
    expect(page.get_by_alt_text("The page as it was in the end")).to_be_visible()


def test_the_next_release_is_asked_about_and_never_clicked_wrong(
    site: LiveSite, coach_page: Page, tmp_path: Path
) -> None:
    page, before = coach_page, len(claims(site))
    file = recording(site, tmp_path, name="Claim at release 2", start="/demo/?release=2")
    session_id = import_and_start(page, file, name="Claim at release 2")
    for sentence in ("Set the window", "Open ", "User name", "Password", "Sign in", "New claim", "What was it for?"):
        asked(page, sentence)
        answer(page, "a")

    asked(page, "“Amount” was not found")
    renamed = page.locator("#decide .which label", has_text="Total incl. VAT")
    page.keyboard.press(str(renamed.locator("b").inner_text()))
    page.get_by_role("button", name="Do it with the chosen one").click()
    asked(page, "Category")
    answer(page, "a")

    asked(page, "was found twice. Which one?")
    right = page.locator("#decide .which label").filter(has_not_text="closed")
    page.keyboard.press(str(right.first.locator("b").inner_text()))
    page.get_by_role("button", name="Do it with the chosen one").click()
    asked(page, "Submit claim")
    answer(page, "a")
    expect(page.locator("#panel-status")).to_contain_text("completed", ignore_case=True, timeout=SLOW_MS)

    assert status(site, session_id) == "completed"
    new = claims(site)[before:]
    assert [(float(amount), project, release) for _, amount, _, project, release in new] == [(42.5, "AUR-26", 2)]


def test_a_worker_killed_in_the_middle_of_an_action_never_performs_it_again_by_itself(
    site: LiveSite, tmp_path: Path
) -> None:
    """The killed action waits for an element that never comes, so the worker is surely in the middle of it."""
    wait = {"type": "waitForElement", "selectors": [["#never"]], "timeout": 20_000}
    document = {"title": "Waits", "steps": [{"type": "navigate", "url": f"{site.url}/demo/"}, wait]}
    with site.client() as api:
        workflow = api.post("workflows/import/", json=document).raise_for_status().json()["workflow"]
        started = api.post("sessions/", json={"workflow_id": workflow["workflow_id"]}).raise_for_status().json()
        here = f"sessions/{started['session_id']}/"

        def open_suggestion() -> Any:
            return api.get(here).json()["open_suggestion"]

        for index in range(2):
            until(lambda: (open_suggestion() or {}).get("step_index") == index, what=f"step {index}")  # noqa: B023
            api.post(f"{here}decisions/", json={"decision": "accept", "step_index": index}).raise_for_status()

        def types() -> list[str]:
            return [event["type"] for event in api.get(f"{here}events/").json()["results"]]

        until(lambda: types().count("step.performing") == 2, what="the wait to begin")
        site.kill("worker-1", "worker-2")
        site.start("worker-1", "worker-2")
        again = until(open_suggestion, what="the coach to be asked")
        assert (again["step_index"], again["attempt"], again["asked_because"]) == (1, 2, "trouble")
        assert "Nobody knows whether this was done" in again["error"]
        assert again["screenshot_url"]
        assert types().count("step.performing") == 2
        assert types()[-2:] == ["step.uncertain", "suggestion.opened"]
        api.post(f"{here}decisions/", json={"decision": "manual"}).raise_for_status()
        until(lambda: api.get(here).json()["status"] == "completed", what="the end")


def test_everything_killed_while_the_claim_is_submitted_files_it_once(site: LiveSite) -> None:
    before = len(claims(site))
    with site.client() as api:
        started = api.post("sessions/", json={"workflow_id": "file-an-expense-claim"}).raise_for_status().json()
        here = f"sessions/{started['session_id']}/"

        def open_suggestion() -> Any:
            return api.get(here).json()["open_suggestion"]

        for index in range(11):
            asked_for = until(open_suggestion, what=f"step {index}")
            assert asked_for["step_index"] == index
            api.post(f"{here}decisions/", json={"decision": "accept", "n": asked_for["n"]}).raise_for_status()
            if index < 10:
                until(lambda: (open_suggestion() or {}).get("step_index") == index + 1, what="the next")  # noqa: B023
        begun = (
            "SELECT count(*) FROM coaching_sessionevent e JOIN coaching_session s ON s.id = e.session_id "
            "WHERE s.session_id = ? AND e.type = 'step.performing'"
        )
        until(lambda: site.rows(begun, started["session_id"])[0][0] == 11, what="the submission to begin")
        site.kill("web", "worker-1", "worker-2", "sweep")
        site.start()
        until(
            lambda: open_suggestion() or api.get(here).json()["status"] == "completed", seconds=40, what="the recovery"
        )

        lost = False

        def ended() -> bool:
            """Answers as a coach would who looks whether the claim is there, and gives up where the form is gone.

            The demo is ended with the web process: a form that was on its way then is lost, with the page that had it.
            """
            nonlocal lost
            if again := open_suggestion():
                assert (again["asked_because"], again["step_index"]) == ("trouble", 10)
                lost = len(claims(site)) == before and "was not found on this page" in again["error"]
                if lost:
                    api.post(f"{here}abandon/", json={}).raise_for_status()
                    return True
                decision = "manual" if len(claims(site)) > before else "accept"
                api.post(f"{here}decisions/", json={"decision": decision, "n": again["n"]}).raise_for_status()
            return bool(api.get(here).json()["status"] == "completed")

        until(ended, what="the end")
        assert len(api.get(here).json()["decisions"]) >= 11
    assert len(claims(site)) == before + (not lost)


def test_a_body_sent_in_chunks_is_read(site: LiveSite) -> None:
    document = {"title": "In chunks", "steps": [{"type": "navigate", "url": f"{site.url}/demo/"}]}
    with site.client() as api:
        chunks = (part.encode() for part in (json.dumps(document)[:20], json.dumps(document)[20:]))
        answer = api.post("workflows/import/", content=chunks, headers={"Content-Type": "application/json"})
        assert answer.status_code == 201, answer.text
        large = (b" " * 1024 * 1024 for _ in range(12))
        assert api.post("workflows/import/", content=large).status_code == 413
