"""OBSERVATION → COACHING → AUTO and back, with everything real: the way of one workflow."""

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
    import_and_start,
    recording,
)
from coaching.tests.live import LiveSite, until

pytestmark = [pytest.mark.live, pytest.mark.browser]

NAME = "Claims that run alone"
WORKFLOW = "claims-that-run-alone"
SENTENCES = (
    "Set the window", "Open ", "User name", "Password", "Sign in", "New claim", "What was it for?", "Amount", "Category",
    "Aurora", "Submit claim",
)  # fmt: skip


def accept_all(api: Any, workflow_id: str) -> None:
    """A whole coached session, every step accepted by a program of the coach's."""
    started = api.post("sessions/", json={"workflow_id": workflow_id}).raise_for_status().json()
    here = f"sessions/{started['session_id']}/"

    def question() -> Any:
        session = api.get(here).json()
        return session["open_suggestion"] or session["status"] != "active"

    while (waiting := until(question, what="the next question")) is not True:
        assert waiting["asked_because"] == "coaching", waiting
        api.post(f"{here}decisions/", json={"decision": "accept", "n": waiting["n"]}).raise_for_status()
    assert api.get(here).json()["status"] == "completed"


def run_alone(page: Page) -> None:
    page.goto(f"/workflows/{WORKFLOW}/start/")
    page.get_by_label("auto").check()
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/sessions/coaching_*/")


def test_from_the_recording_to_a_run_alone_and_back(site: LiveSite, coach_page: Page, tmp_path: Path) -> None:
    page, before = coach_page, len(claims(site))
    import_and_start(page, recording(site, tmp_path, name=NAME), name=NAME)
    for sentence in SENTENCES:
        asked(page, sentence)
        answer(page, "a")
    expect(page.locator("#panel-status")).to_contain_text("completed", ignore_case=True, timeout=SLOW_MS)

    # Observed once by its demonstration, coached once by now, and far from running alone.
    page.goto(f"/workflows/{WORKFLOW}/")
    levels = page.get_by_role("table").filter(has=page.get_by_role("columnheader", name="From → to"))
    expect(levels.get_by_role("row").nth(1)).to_contain_text("OBSERVATION → COACHING")
    expect(levels.get_by_role("row").nth(1)).to_contain_text("1 demonstration of it.")
    expect(page.get_by_role("heading", name="Why not AUTO yet?")).to_be_visible()
    expect(page.locator(".blocking li").first).to_contain_text("about 27 more accepted")
    expect(page.locator(".blocking li").first).to_contain_text("irreversible")
    expect(page.get_by_role("button", name="Let it run alone")).to_have_count(0)

    # Three decisions shall do for this test; a refused promotion names what is missing.
    page.get_by_role("link", name="policy").click()
    for label, value in (
        ("Decisions that must count", "3"), ("How sure that the rate is reached", "0.4"),
        ("The same for an irreversible step", "0.45"), ("Shares of automatic runs", "0, 0, 0"),
    ):  # fmt: skip
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#notice")).to_contain_text("The policy is saved")
    with site.client() as api:
        refused = api.post(f"workflows/{WORKFLOW}/promote/", json={})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "not_ready")
        assert len(refused.json()["unmet"]) == 11
        accept_all(api, WORKFLOW)
        page.goto(f"/workflows/{WORKFLOW}/")
        expect(page.locator(".blocking li").first).to_contain_text("about 1 more accepted")
        accept_all(api, WORKFLOW)

    page.goto("/dashboard/")
    expect(page.get_by_text("11 steps wait for an owner")).to_be_visible()
    page.get_by_role("link", name=NAME).first.click()
    page.get_by_role("button", name="Let it run alone").first.click()
    expect(page.get_by_role("heading", name="All 11 steps run alone")).to_be_visible()
    assert len(claims(site)) == before + 3

    run_alone(page)
    expect(page.locator("#panel-status")).to_contain_text("completed", ignore_case=True, timeout=60_000)
    expect(page.locator("#panel-record")).to_contain_text("policy")
    assert len(claims(site)) == before + 4
    with site.client() as api:
        metrics = api.get(f"workflows/{WORKFLOW}/metrics/").json()
        assert (metrics["level"], metrics["ready"], metrics["blocking"]) == ("AUTO", True, [])
        assert metrics["decisions"]["total"] == 33, "what the policy accepted is no evidence"
        assert metrics["unattended_share"] == pytest.approx(11 / 44)

    # The application moves on. The step that opens it is another one now, and must earn its way anew.
    page.goto(f"/workflows/{WORKFLOW}/")
    page.get_by_role("link", name="Edit step 2").click()
    action = json.loads(page.get_by_label("Action, as").input_value())
    action["url"] = f"{site.url}/demo/?release=2"
    action.pop("assertedEvents", None)
    page.get_by_label("Action, as").fill(json.dumps(action))
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#autonomy")).to_contain_text("10 of 11 steps run alone")
    expect(page.locator("#autonomy .blocking")).to_contain_text("no decision yet")
    levels = page.get_by_role("table").filter(has=page.get_by_role("columnheader", name="From → to"))
    expect(levels.get_by_role("row").nth(1)).to_contain_text("Version 2 does something else")

    run_alone(page)
    asked(page, "Open ")
    expect(page.locator("#panel-status")).to_contain_text("not earned AUTO yet")
    answer(page, "a")
    asked(page, "“Amount” was not found")
    assert len(claims(site)) == before + 4
    renamed = page.locator("#decide .which label", has_text="Total incl. VAT")
    page.keyboard.press(str(renamed.locator("b").inner_text()))
    page.get_by_role("button", name="Do it with the chosen one").click()
    asked(page, "was found twice. Which one?")
    right = page.locator("#decide .which label").filter(has_not_text="closed")
    page.keyboard.press(str(right.first.locator("b").inner_text()))
    page.get_by_role("button", name="Do it with the chosen one").click()
    expect(page.locator("#panel-status")).to_contain_text("completed", ignore_case=True, timeout=60_000)
    new = claims(site)[before + 4 :]
    assert [(float(amount), project, release) for _, amount, _, project, release in new] == [(42.5, "AUR-26", 2)]
    assert "All metrics are right." in site.manage("rebuild_metrics", "--check")
