"""The demo's claim of eleven steps in the browser, and how soon an accepted step is performed.

* A run in AUTO, from the request that starts it to the event that it is completed, with suggestions, decisions, events
  and screenshots stored: against `@puppeteer/replay` on the same recording, and against a Playwright script written by
  hand. The same browser binary for all, each run starts it anew, and each has its driver or Node running before. The
  peers store nothing.
* Accepting in the panel: from the request that the panel sends to the event that the step was performed, less
  Playwright's own time for that step.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from django.conf import settings
from playwright.sync_api import sync_playwright

from coaching.demo.workflow import RECORDED_AT, RECORDING
from coaching.execution.chromium import find_chromium
from coaching.tests.live import OWNER_PASSWORD, LiveSite

from .filling import KEPT_IN
from .servers import until
from .standing_by import living
from .timing import Row, Run, Sample, ms, p50s, percentile, ratio, spread
from .written_by_hand import file_a_claim

WORKFLOW = "file-an-expense-claim"
PACKAGES = ("@puppeteer/replay@3.1.3", "puppeteer@24.43.1")
EARNED = {
    "min_decisions": 1, "confidence": 0, "confidence_irreversible": 0, "audit_rates": [0, 0, 0],
    "auto_promote": False,
}  # fmt: skip


def run(run: Run) -> list[Row]:
    chromium = find_chromium(settings.CHROMIUM_PATH)
    with ExitStack() as opened:
        site = opened.enter_context(living(run))
        api: Any = opened.enter_context(site.client())
        playwright = opened.enter_context(sync_playwright())
        panel = _panel_of(site)
        _earn_auto(api, panel)
        replay = opened.enter_context(_replaying(run, site, chromium))
        whole: dict[str, list[Sample]] = {"ours": [], "puppeteer": [], "playwright": []}
        overheads: list[float] = []
        for _ in range(run.rounds + 1):
            whole["ours"].append(Sample([_auto_run(site, api)]))
            whole["puppeteer"].append(Sample([replay()]))
            took, each = file_a_claim(playwright, chromium, site.url)
            whole["playwright"].append(Sample([took]))
            overheads += [ours - theirs for ours, theirs in zip(_coached_run(api, panel), each, strict=True)]
    whole = {name: samples[1:] for name, samples in whole.items()}
    return [*_run_rows(whole), _accept_row(overheads[len(each) :], run.rounds)]


def _run_rows(whole: dict[str, list[Sample]]) -> list[Row]:
    rows = []
    for name, words, limit in (
        ("puppeteer", "@puppeteer/replay, same recording", 0.9),
        ("playwright", "a Playwright script written by hand", 1.1),
    ):
        times = ratio(p50s(whole["ours"]), p50s(whole[name]))
        rows.append(
            Row(
                what="a run of 11 steps in AUTO, launch included", against=words, ours=ms(median(p50s(whole["ours"]))),
                theirs=ms(median(p50s(whole[name]))), ratio=f"{times:.2f} × its time", goal=f"≤ {limit} ×",
                met=times <= limit, rounds=len(whole["ours"]),
                remarks=f"ratios {spread(p50s(whole['ours']), p50s(whole[name]))}",
            )
        )  # fmt: skip
    return rows


def _accept_row(overheads: list[float], rounds: int) -> Row:
    more = percentile(overheads, 50)
    return Row(
        what="accept in the panel → action performed, p50", against="Playwright’s own time for the action",
        ours=f"+{ms(more)}", goal="≤ +150 ms", met=more <= 0.15, rounds=rounds,
        remarks=f"{len(overheads)} steps; p90 +{ms(percentile(overheads, 90))}",
    )  # fmt: skip


def _panel_of(site: LiveSite) -> httpx.Client:
    """A browser's client, signed in as the owner."""
    panel = httpx.Client(base_url=site.url, follow_redirects=True, timeout=60)
    panel.get("/login/")
    form = {"username": "owner", "password": OWNER_PASSWORD, "csrfmiddlewaretoken": panel.cookies["csrftoken"]}
    panel.post("/login/", data=form).raise_for_status()
    return panel


def _earn_auto(api: Any, panel: httpx.Client) -> None:
    """One coached run, a policy that asks for no more, and an owner's word."""
    api.patch(f"workflows/{WORKFLOW}/policy/", json=EARNED).raise_for_status()
    _coached_run(api, panel)
    api.post(f"workflows/{WORKFLOW}/promote/", json={}).raise_for_status()


def _auto_run(site: LiveSite, api: Any) -> float:
    """Seconds from the request to the event of completion, by the clock that both use.

    Nobody watches meanwhile, as nobody watches the peers: each of the sixty events would be an answer to a long poll,
    which `delivery` measures. The end is seen in the row, and the events are asked for then.
    """
    began = time.time()
    here = _started(api, "auto")
    ended = "SELECT 1 FROM coaching_session WHERE session_id = ? AND status <> 'active'"
    until(lambda: site.rows(ended, here.split("/")[1]), "the end of the run")
    events = _events(api, here, "session.completed")
    return _moment(events[-1]) - began


def _coached_run(api: Any, panel: httpx.Client) -> list[float]:
    """Every step accepted in the panel; the seconds from each request to the event that it was performed."""
    here, sent = _started(api, "coaching"), []
    while api.get(here).json()["status"] == "active":
        # `until` asks every 20 ms.
        waiting: dict[str, Any] = {}
        until(lambda waiting=waiting: _waits(api, here, waiting), "the next question")  # type: ignore[misc]
        if not waiting.get("n"):
            break
        sent.append(time.time())
        form = {"n": waiting["n"], "decision": "accept", "csrfmiddlewaretoken": panel.cookies["csrftoken"]}
        session_id = here.split("/")[1]
        panel.post(f"/sessions/{session_id}/decide/", data=form, headers={"HX-Request": "true"}).raise_for_status()
    performed = [event for event in _events(api, here, "session.completed") if event["type"] == "step.performed"]
    return [_moment(event) - began for event, began in zip(performed, sent, strict=True)]


def _waits(api: Any, here: str, waiting: dict[str, Any]) -> bool:
    session = api.get(here).json()
    waiting.update(session["open_suggestion"] or {})
    return bool(waiting) or session["status"] != "active"


def _started(api: Any, mode: str) -> str:
    started = api.post("sessions/", json={"workflow_id": WORKFLOW, "mode": mode}).raise_for_status().json()
    return f"sessions/{started['session_id']}/"


def _events(api: Any, here: str, last: str) -> list[Any]:
    """All events, when one of the type `last` is there; a long poll, which costs the site nothing while it waits."""
    found: list[Any] = []
    while not found or found[-1]["type"] != last:
        after = found[-1]["seq"] if found else 0
        fresh = api.get(f"{here}events/", params={"after": after, "wait": 25}).json()["results"]
        found += fresh
        if any(event["data"].get("asked_because") not in {None, "", "coaching"} for event in fresh):
            raise RuntimeError(f"a person was asked: {fresh}")
    return found


def _moment(event: Any) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


@contextmanager
def _replaying(run: Run, site: LiveSite, chromium: Path) -> Iterator[Callable[[], float]]:
    """A Node process that replays the demo's recording when asked, and says how many seconds it took."""
    folder = _packages()
    recording = run.folder / "recording.json"
    recording.write_text(RECORDING.read_text().replace(RECORDED_AT, site.url))
    script = Path(__file__).with_name("replay.mjs")
    node = subprocess.Popen(
        ["node", str(script), str(folder), str(recording), str(chromium)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def replay() -> float:
        assert node.stdin is not None
        assert node.stdout is not None
        node.stdin.write("\n")
        node.stdin.flush()
        return float(node.stdout.readline()) / 1000

    try:
        yield replay
    finally:
        node.communicate(timeout=20)


def _packages() -> Path:
    """Where the peer is installed; by npm, once."""
    folder = KEPT_IN / "node"
    if not (folder / "node_modules" / "@puppeteer" / "replay").exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("This benchmark needs Node and npm.")
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *PACKAGES]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PUPPETEER_SKIP_DOWNLOAD": "1"}
        )
    (folder / "package.json").touch()
    return folder
