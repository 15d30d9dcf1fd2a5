"""The Chromium process of a session: find, start, recognise, stop. Nothing here knows Playwright or Django.

Each session has its own profile folder. The process is detached from the worker that starts it, so it survives that
worker, and is found again from what it leaves in its profile folder.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .urls import RESOLVER_RULES

START_SECONDS = 20.0
STOP_SECONDS = 5.0
STOP_ATTEMPTS = 5
PID_FILE = "coachsite.pid"
LOG_FILE = "chromium.log"
ON_PATH = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PLAYWRIGHT_INSTALLS = ("chromium_headless_shell-*/*/*headless[-_]shell", "chromium-*/*/chrome")
KEPT_ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "FONTCONFIG_PATH", "FONTCONFIG_FILE",
    "http_proxy", "https_proxy", "no_proxy", "all_proxy",
)  # fmt: skip
FLAGS = (
    "--headless",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-hang-monitor",
    "--disable-popup-blocking",
    "--disable-prompt-on-repost",
    # Tabs behind the front one must keep their timers, or waiting in them takes seconds.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-features=Translate,MediaRouter,OptimizationHints",
    # A picture is taken of the next surface instead of after two frames, and does not stall; Playwright sets it too.
    "--enable-features=CDPScreenshotNewSurface",
    "--hide-crash-restore-bubble",
    "--password-store=basic",
    "--mute-audio",
    "--force-device-scale-factor=1",
    "--remote-debugging-address=127.0.0.1",
    "--remote-debugging-port=0",
)


class ChromiumMissing(Exception):
    """No Chromium was found; the message says what to install."""


class ChromiumFailed(Exception):
    """Chromium was found but did not start; the message has its own last words."""


@dataclass(frozen=True)
class Endpoint:
    """Where a running Chromium is driven: its DevTools address, and the process that leads its process group."""

    ws_url: str
    pid: int


def find_chromium(configured: str | None) -> Path:
    """The configured binary, else Playwright's own install, else one on PATH; raises `ChromiumMissing`."""
    if configured:
        path = Path(configured)
        if path.is_file() and os.access(path, os.X_OK):
            return path
        raise ChromiumMissing(f"CHROMIUM_PATH is {configured}, which is not a program that can be run.")
    for pattern in PLAYWRIGHT_INSTALLS:
        if installed := sorted(_playwright_folder().glob(pattern), key=lambda path: path.stat().st_mtime):
            return installed[-1]
    for name in ON_PATH:
        if found := shutil.which(name):
            return Path(found)
    raise ChromiumMissing(
        "No Chromium was found: run “playwright install --only-shell chromium”, install the package "
        "chromium-headless-shell or chromium, or set CHROMIUM_PATH."
    )


def _playwright_folder() -> Path:
    configured = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "")
    return Path(configured) if configured not in ("", "0") else Path.home() / ".cache" / "ms-playwright"


def start_chromium(
    binary: Path,
    profile: Path,
    *,
    viewport: tuple[int, int],
    resolver_rules: str = RESOLVER_RULES,
    room: contextlib.AbstractContextManager[None] | None = None,
) -> Endpoint:
    """Starts a detached Chromium on `profile` (made if missing) with a window of `viewport` CSS pixels.

    It outlives the process that starts it, which happens inside of `room`. Raises `ChromiumFailed` if it does not
    answer in 20 s.
    """
    profile.mkdir(parents=True, exist_ok=True, mode=0o700)
    profile = profile.resolve()
    stop_chromium(profile)
    (profile / "DevToolsActivePort").unlink(missing_ok=True)
    arguments = [str(binary), *FLAGS, _profile_flag(profile), f"--window-size={viewport[0]},{viewport[1]}"]
    arguments.append(f"--host-resolver-rules={resolver_rules}")
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    with room or contextlib.nullcontext(), (profile / LOG_FILE).open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            [*arguments, "about:blank"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, close_fds=True, env=environment, cwd=profile,
        )  # fmt: skip
        (profile / PID_FILE).write_text(str(process.pid))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if endpoint := running_endpoint(profile):
            return endpoint
        time.sleep(0.005)
    stop_chromium(profile)
    raise ChromiumFailed(f"Chromium ({binary}) did not start: {_last_words(profile)}")


def running_endpoint(profile: Path, *, patience: float = 0.0) -> Endpoint | None:
    """The endpoint of this profile's browser, or None if its process is gone or does not answer for `patience` s."""
    profile = profile.resolve()
    deadline = time.monotonic() + patience
    while (pid := _own_pid(profile)) is not None:
        if endpoint := _answering(profile, pid):
            return endpoint
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.05)
    return None


def _answering(profile: Path, pid: int) -> Endpoint | None:
    try:
        port, path = (profile / "DevToolsActivePort").read_text().split()[:2]
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=2)
        connection.request("GET", "/json/version")
        answer = connection.getresponse().read().decode(errors="replace")
        connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    # The path holds an id made at start, so a port taken over by another program is not mistaken for it.
    return Endpoint(f"ws://127.0.0.1:{port}{path}", pid) if path in answer else None


def stop_chromium(profile: Path) -> bool:
    """Ends this profile's Chromium and waits for it. False if there was none; never touches another process."""
    profile = profile.resolve()
    found = False
    # More than one, when a worker was killed between starting its Chromium and noting its pid.
    for _attempt in range(STOP_ATTEMPTS):
        if (pid := _own_pid(profile)) is None:
            break
        found = True
        _end(pid)
    (profile / PID_FILE).unlink(missing_ok=True)
    (profile / "DevToolsActivePort").unlink(missing_ok=True)
    return found


def devtools_ports(root: Path) -> frozenset[int]:
    """The ports at which the browsers of all profiles below `root` are driven: no page may go there."""
    ports = set()
    for profile in profiles_in(root):
        with contextlib.suppress(OSError, ValueError, IndexError):
            ports.add(int((profile / "DevToolsActivePort").read_text().split()[0]))
    return frozenset(ports)


def _end(pid: int) -> None:
    try:
        group = os.getpgid(pid)
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            os.killpg(group, signal_number)
            if _wait_gone(group):
                return
    except ProcessLookupError:
        _reap(pid)


def profiles_in(root: Path) -> Iterator[Path]:
    """The profile folders below `root`, running or not, in name order."""
    yield from (root / name for name in profile_names(root))


def profiles_with_a_browser(root: Path) -> Iterator[Path]:
    """Those in whose folder a browser is noted, running or not: most sessions wait without one."""
    yield from (root / name for name in profile_names(root) if os.path.exists(f"{root}/{name}/{PID_FILE}"))  # noqa: PTH110 (a Path each is slow)


def profile_names(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def _profile_flag(profile: Path) -> str:
    return f"--user-data-dir={profile}"


def _own_pid(profile: Path) -> int | None:
    """A process that really is the Chromium of this profile: noted pids are used again by others.

    Some distributions start Chromium from a shell script. Should that script be gone, its Chromium is searched for.
    """
    noted = noted_pid(profile)
    return noted if noted is not None else next((pid for pid in _pids() if _is_ours(pid, profile)), None)


def noted_pid(profile: Path) -> int | None:
    """The leader of this profile's browser by what is noted in its folder; None if that is gone."""
    with contextlib.suppress(OSError, ValueError):
        noted = int((profile / PID_FILE).read_text())
        if _is_ours(noted, profile):
            return noted
    return None


def members_of(leader: int) -> list[int]:
    """The processes of the browser that `leader` leads, it among them."""
    return [pid for pid in _pids() if _in_group(pid, leader)]


def _pids() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdigit())  # noqa: PTH208 (a Path each is slow)


def _is_ours(pid: int, profile: Path) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(_profile_flag(profile)) in arguments


def _wait_gone(group: int) -> bool:
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        _reap(group)
        if not any(_in_group(pid, group) for pid in _pids()):
            return True
        time.sleep(0.01)
    return False


def _in_group(pid: int, group: int) -> bool:
    """Whether the process runs in the group. The dead that nobody collects (a container without init) do not count."""
    try:
        state, _parent, its_group = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return int(its_group) == group and state not in "ZX"


def _reap(pid: int) -> None:
    """Collects the process if this very worker started it; anybody else's child is collected elsewhere."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _last_words(profile: Path) -> str:
    lines = (profile / LOG_FILE).read_text(errors="replace").strip().splitlines()
    return lines[-1][-300:] if lines else "it said nothing."
