"""What a coach does in a browser on a live site: signing in, importing, starting, answering."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from coaching.tests.live import LiveSite

BUNDLED = Path(__file__).parents[1] / "demo" / "recordings" / "file-an-expense-claim.json"
HOVER = {"type": "hover", "selectors": [["aria/Amount"], ["#id_amount"]], "target": "main"}
SLOW_MS = 20_000


def recording(site: LiveSite, folder: Path, *, name: str, start: str = "/demo/", extra: int = 0) -> Path:
    """The bundled recording at this site's address, with `extra` harmless steps on the claim's form."""
    document = json.loads(BUNDLED.read_text().replace("http://127.0.0.1:8000", site.url))
    document["title"] = name
    document["steps"][1]["url"] = f"{site.url}{start}"
    document["steps"][6:6] = [HOVER] * extra
    file = folder / f"{name}.json"
    file.write_text(json.dumps(document))
    return file


def import_and_start(page: Page, file: Path, *, name: str) -> str:
    """Imports the recording, presses "Start coaching", and returns the session's id."""
    page.goto("/workflows/import/")
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("main").get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    page.goto("/workflows/")
    page.get_by_role("row", name=name).get_by_role("button", name="Start coaching").click()
    page.wait_for_url("**/sessions/coaching_*/")
    return page.url.rstrip("/").rpartition("/")[2]


def asked(page: Page, sentence: str) -> None:
    """Waits until this is what the coach is asked."""
    expect(page.locator('#panel-status[data-kind="asked"]')).to_contain_text(sentence, timeout=SLOW_MS)
    expect(page.locator("#decide")).to_be_visible(timeout=SLOW_MS)


def answer(page: Page, key: str) -> None:
    """Presses a key and waits until the answer was taken."""
    n = page.locator("#decide").get_attribute("data-n")
    page.keyboard.press(key)
    expect(page.locator(f'#decide[data-n="{n}"]')).to_have_count(0, timeout=SLOW_MS)


def claims(site: LiveSite) -> list[tuple[Any, ...]]:
    return site.rows("SELECT title, amount, category, project, release FROM demo_claim")


def decisions(site: LiveSite, session_id: str) -> list[str]:
    query = (
        "SELECT d.decision FROM coaching_decision d JOIN coaching_session s ON s.id = d.session_id "
        "WHERE s.session_id = ? ORDER BY d.id"
    )
    return [kind for (kind,) in site.rows(query, session_id)]


def status(site: LiveSite, session_id: str) -> str:
    [(word,)] = site.rows("SELECT status FROM coaching_session WHERE session_id = ?", session_id)
    return str(word)
