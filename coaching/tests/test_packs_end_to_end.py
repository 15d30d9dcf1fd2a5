"""What was corrected twice is not corrected a third time: from the coach's browser over the packs to the admin."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from coaching.tests.journeys import SLOW_MS, answer, asked, claims, decisions, import_and_start, recording, status
from coaching.tests.live import LiveSite

pytestmark = [pytest.mark.live, pytest.mark.browser]

NAME = "Claims after the release"
WORKFLOW = "claims-after-the-release"
BEFORE = ("Set the window", "Open ", "User name", "Password", "Sign in", "New claim", "What was it for?")
AFTERWARDS = ("into “Category”", "Borealis", "Submit claim")


def recorded(site: LiveSite, folder: Path) -> Path:
    """The bundled recording on release 2 with another project: of all its fields only “Amount” is called otherwise."""
    file = recording(site, folder, name=NAME, start="/demo/?release=2")
    file.write_text(file.read_text().replace("Aurora", "Borealis").replace("project-1", "project-3"))
    return file


def start_again(page: Page) -> str:
    page.goto("/workflows/")
    page.get_by_role("row", name=NAME).get_by_role("button", name="Start coaching").click()
    page.wait_for_url("**/sessions/coaching_*/")
    return page.url.rstrip("/").rpartition("/")[2]


def accept(page: Page, *sentences: str) -> None:
    for sentence in sentences:
        asked(page, sentence)
        answer(page, "a")


def completed(page: Page) -> None:
    expect(page.locator("#panel-status")).to_contain_text("completed", ignore_case=True, timeout=SLOW_MS)


def coach_the_renamed_field(page: Page) -> None:
    accept(page, *BEFORE)
    asked(page, "“Amount” was not found")
    renamed = page.locator("#decide .which label", has_text="Total incl. VAT")
    page.keyboard.press(str(renamed.locator("b").inner_text()))
    page.get_by_role("button", name="Do it with the chosen one").click()
    accept(page, *AFTERWARDS)
    completed(page)


def test_what_was_corrected_twice_is_proposed_by_itself(site: LiveSite, coach_page: Page, tmp_path: Path) -> None:
    page, before = coach_page, len(claims(site))
    sessions = [import_and_start(page, recorded(site, tmp_path), name=NAME)]
    coach_the_renamed_field(page)
    page.goto("/packs/")
    expect(page.locator("#packs-suggested")).not_to_contain_text(NAME)
    sessions.append(start_again(page))
    coach_the_renamed_field(page)
    assert [decisions(site, session).count("correct") for session in sessions] == [1, 1]

    # Made twice in the same way: the suggested pack appears.
    page.goto("/packs/")
    suggested = page.locator("#packs-suggested .suggested", has_text=NAME)
    expect(suggested).to_contain_text("1 correction")
    expect(suggested).to_contain_text("2 times")
    suggested.get_by_role("button", name="Make a pack").click()
    page.wait_for_url(f"**/packs/{WORKFLOW}/")
    expect(page.locator("#corrections")).to_contain_text("Total incl. VAT")

    # Nobody publishes blind.
    page.get_by_role("button", name="Submit version 1 for review").click()
    expect(page.locator("#backtest")).to_contain_text("Not tested yet")
    page.get_by_role("button", name="Back-test").click()
    verdicts = page.locator("#backtest .verdicts")
    expect(verdicts).to_contain_text("2 corrections saved", timeout=SLOW_MS)
    expect(verdicts).to_contain_text("0 accepted suggestions broken")

    page.goto("/admin/coaching/correctionpack/")
    page.get_by_role("row", name=NAME).locator("input[name=_selected_action]").check()
    page.locator("select[name=action]").select_option("publish")
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_role("row", name=NAME)).to_contain_text("Published")

    third = start_again(page)
    accept(page, *BEFORE)
    asked(page, "Total incl. VAT")
    changed = page.locator(".from-pack")
    expect(changed).to_contain_text(f"changed by pack “{NAME}” v1, correction 1, not judged yet")
    expect(changed).to_contain_text("Amount")
    answer(page, "a")
    accept(page, *AFTERWARDS)
    completed(page)
    assert decisions(site, third) == ["accept"] * 11
    assert status(site, third) == "completed"
    new = claims(site)[before:]
    assert [(float(amount), project, release) for _, amount, _, project, release in new] == [(42.5, "BOR-26", 2)] * 3
    assert site.rows('SELECT "right", wrong FROM coaching_packitem') == [(1, 0)]
    page.goto("/packs/")
    expect(page.get_by_role("row", name=NAME)).to_contain_text("1 of 1")
    assert "All metrics are right." in site.manage("rebuild_metrics", "--check")
