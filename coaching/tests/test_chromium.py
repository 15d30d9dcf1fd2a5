"""The Chromium process of a session: found, started, recognised, stopped, and outliving whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coaching.execution.browser import BrowserLost, BrowserThread
from coaching.execution.chromium import (
    PID_FILE,
    ChromiumFailed,
    ChromiumMissing,
    find_chromium,
    profiles_in,
    running_endpoint,
    start_chromium,
    stop_chromium,
)

from .browser_pages import VIEWPORT, browser_thread, own_desk, serve  # noqa: F401
from .live import until

pytestmark = pytest.mark.browser

CLIENT = """
    import os, signal, sys
    from pathlib import Path
    from coaching.execution.browser import attach
    from coaching.execution.chromium import find_chromium

    profile, url = Path(sys.argv[1]), sys.argv[2]
    with attach(profile, chromium=find_chromium(None), viewport=(1000, 700)) as browser:
        browser.perform({"type": "navigate", "url": url})
        browser.perform({"type": "change", "selectors": [["aria/Amount"]], "value": "42.50"})
        browser.perform({"type": "setViewport", "width": 900, "height": 600})
        print("ready", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "profiles" / "one"
    yield path
    stop_chromium(path)


def test_a_configured_program_comes_first(tmp_path: Path) -> None:
    program = tmp_path / "my-chromium"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_chromium(str(program)) == program


def test_playwrights_own_install_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "chromium_headless_shell-1200" / "chrome-linux" / "headless_shell"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    assert find_chromium(None) == program


def test_a_missing_browser_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    with pytest.raises(ChromiumMissing, match="playwright install"):
        find_chromium(None)
    with pytest.raises(ChromiumMissing, match="not a program"):
        find_chromium(str(tmp_path / "nothing"))


def test_start_find_again_and_stop(profile: Path) -> None:
    assert running_endpoint(profile) is None
    endpoint = start_chromium(find_chromium(None), profile, viewport=VIEWPORT)
    assert running_endpoint(profile) == endpoint
    assert endpoint.ws_url.startswith("ws://127.0.0.1:")
    assert list(profiles_in(profile.parent)) == [profile]
    assert stop_chromium(profile) is True
    assert running_endpoint(profile) is None
    assert not Path(f"/proc/{endpoint.pid}/cmdline").exists()
    assert stop_chromium(profile) is False


def test_a_program_that_is_no_chromium_fails_with_its_last_words(profile: Path, tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho missing libnss3 >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(ChromiumFailed, match="missing libnss3"):
        start_chromium(program, profile, viewport=VIEWPORT)


def test_stop_never_ends_another_process(profile: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        profile.mkdir(parents=True)
        (profile / PID_FILE).write_text(str(bystander.pid))
        assert running_endpoint(profile) is None
        assert stop_chromium(profile) is False
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_each_profile_has_its_own_browser(profile: Path) -> None:
    other = profile.parent / "two"
    one = start_chromium(find_chromium(None), profile, viewport=VIEWPORT)
    two = start_chromium(find_chromium(None), other, viewport=VIEWPORT)
    try:
        assert stop_chromium(profile)
        assert running_endpoint(other) == two
        assert one.pid != two.pid
    finally:
        stop_chromium(other)


def test_the_browser_does_not_see_the_servers_environment(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "not-for-browsers")
    endpoint = start_chromium(find_chromium(None), profile, viewport=VIEWPORT)
    assert b"not-for-browsers" not in Path(f"/proc/{endpoint.pid}/environ").read_bytes()


def test_pages_survive_the_kill_of_their_client(profile: Path, browser_thread: BrowserThread) -> None:  # noqa: F811
    with serve() as site:
        site.pages["/"] = "<label for=a>Amount</label><input id=a>"
        client = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(CLIENT), str(profile), f"{site.origin}/"],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=Path(__file__).parents[2],
            check=False,
        )
        assert (client.stdout.strip(), client.returncode) == ("ready", -signal.SIGKILL), client.stderr
        with own_desk(profile, browser_thread, site, expected=True) as desk:
            assert desk.browser.reopened is False
            assert desk.browser.url == f"{site.origin}/"
            assert desk.js("document.querySelector('#a').value") == "42.50"
            assert desk.browser.look().viewport == (900, 600)


def test_a_lost_browser_is_opened_again_at_the_last_address(
    profile: Path,
    browser_thread: BrowserThread,  # noqa: F811
) -> None:
    with serve() as site:
        site.pages["/claims/"] = "<h1>Claims</h1>"
        with own_desk(profile, browser_thread, site) as desk:
            assert desk.browser.reopened is False
            assert desk.browser.look().viewport == VIEWPORT
        endpoint = running_endpoint(profile)
        assert endpoint
        os.killpg(os.getpgid(endpoint.pid), signal.SIGKILL)
        with own_desk(profile, browser_thread, site, expected=True, last_url=f"{site.origin}/claims/") as desk:
            assert desk.browser.reopened is True
            assert desk.browser.url == f"{site.origin}/claims/"


def test_a_browser_lost_in_the_middle_leaves_an_uncertain_outcome(
    profile: Path,
    browser_thread: BrowserThread,  # noqa: F811
) -> None:
    with serve() as site, own_desk(profile, browser_thread, site) as desk:
        desk.show("<button>Save</button>")
        located = desk.locate("aria/Save")
        assert stop_chromium(profile)
        done = desk.browser.perform({"type": "click", "selectors": [["aria/Save"]]}, located)
        assert (done.ok, done.uncertain) == (False, True)
        with pytest.raises(BrowserLost):
            desk.browser.look()


def test_a_browser_lost_under_a_press_is_not_a_button_that_closes_its_tab(
    profile: Path,
    browser_thread: BrowserThread,  # noqa: F811
) -> None:
    """Playwright tells of the tabs that closed before it tells that the browser is gone."""
    with serve() as site, own_desk(profile, browser_thread, site) as desk:
        site.held["/slow"] = threading.Event()
        waits = "const asked = new XMLHttpRequest(); asked.open('GET', '/slow', false); asked.send();"
        desk.show(f'<button onclick="{waits}">Save</button>')
        located = desk.locate("aria/Save")

        def kill() -> None:
            until(lambda: "GET /slow" in site.visits, what="the press")
            endpoint = running_endpoint(profile)
            assert endpoint
            os.killpg(os.getpgid(endpoint.pid), signal.SIGKILL)

        with ThreadPoolExecutor(1) as threads:
            killed = threads.submit(kill)
            done = desk.browser.perform({"type": "click", "selectors": [["aria/Save"]]}, located)
            killed.result()
        site.held["/slow"].set()
        assert (done.ok, done.uncertain) == (False, True), done


def test_a_button_may_close_its_own_tab(profile: Path, browser_thread: BrowserThread) -> None:  # noqa: F811
    with serve() as site, own_desk(profile, browser_thread, site) as desk:
        site.pages["/pop"] = "<button onclick='window.close()'>Done</button>"
        desk.show("<a href=/pop target=_blank rel=opener>Open</a>")
        assert desk.do("click", "aria/Open").ok
        assert desk.do("click", "aria/Done", target=f"{site.origin}/pop").ok
        assert desk.browser.url == f"{site.origin}/"


def test_a_hanging_page_does_not_hold_the_worker(profile: Path) -> None:
    thread = BrowserThread(limit_seconds=3)
    try:
        with serve() as site:
            with own_desk(profile, thread, site) as desk:
                desk.show("<button>Save</button>")
                desk.js("setTimeout(() => { for (;;); }, 0)")
                with pytest.raises(BrowserLost, match="has not answered"):
                    desk.locate("aria/Save")
                with pytest.raises(BrowserLost):
                    desk.browser.look()
            stop_chromium(profile)
            with own_desk(profile, thread, site, expected=True) as desk:
                desk.show("<button>Save</button>")
                assert desk.locate("aria/Save").found
    finally:
        thread.close()
