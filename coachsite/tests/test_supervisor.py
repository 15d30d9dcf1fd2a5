"""The supervisor with real child processes: restart, shutdown, one log, one instance, death of the parent."""

from __future__ import annotations

import io
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from coachsite.supervisor import CannotStart, JsonLog, Log, Plan, Program, Supervisor, ending, listen, only_one

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 30

# Children are short Python programs. This one says its process id, so that a test can follow it, and stays.
SLEEPER = "import os, signal; print('pid', os.getpid(), flush=True); signal.pause()"
# The same, deaf to SIGTERM.
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
# Leaves a process behind that holds the same standard output, as a worker leaves a browser.
PARENT = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {SLEEPER!r}])
import signal; signal.pause()
"""
# Answers every request with 200, on the socket it inherits.
WEB = """
import os, socket, sys
door = socket.socket(fileno=int(sys.argv[1]))
door.setblocking(True)
print("pid", os.getpid(), flush=True)
while True:
    guest, _ = door.accept()
    guest.recv(4096)
    guest.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nok")
    guest.close()
"""
# Runs a supervisor over the children described in its arguments.
SUPERVISE = """
import asyncio, json, os, sys
from pathlib import Path
from coachsite.supervisor import Log, Plan, Program, Supervisor, listen

folder, grace, children = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])
door = listen("127.0.0.1", 0)
port, number = door.getsockname()[1], door.fileno()
programs = {
    part: [Program(name, [sys.executable, "-c", source, str(number)], inherits=[number]) for name, source in pairs]
    for part, pairs in children.items()
}
plan = Plan(
    site_url=f"http://127.0.0.1:{port}/", address=("127.0.0.1", port), health_host="localhost",
    folder=Path(folder), env=dict(os.environ), grace_seconds=grace, **programs,
)
sys.exit(asyncio.run(Supervisor(plan, Log(plan, sys.stdout)).run()))
"""


class Running:
    """A supervisor in a process of its own, and what it has logged so far."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read the log on until a line matches."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"no line with {pattern!r} in:\n" + "\n".join(self.lines))

    def pid_of(self, name: str) -> int:
        return int(self.wait_for(rf"^{name} *\| pid (\d+)$")[1])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, read the rest of the log, return the exit code."""
        self.process.send_signal(number)
        return self.rest()

    def rest(self) -> int:
        """Read the log to its end and return the exit code."""
        assert self.process.stdout is not None
        self.lines += self.process.stdout.read().splitlines()
        return self.process.wait(SECONDS)


class Start(Protocol):
    def __call__(self, *, grace: float = 10, **children: dict[str, str]) -> Running: ...


@pytest.fixture
def running() -> Iterator[list[Running]]:
    """What is appended here is gone after the test."""
    started: list[Running] = []
    yield started
    for one in started:
        one.process.kill()
        one.process.wait(SECONDS)
        assert one.process.stdout is not None
        one.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path, running: list[Running]) -> Start:
    """Start a supervisor over children given as {name: source} for each part of the plan."""

    def start_one(*, grace: float = 10, **children: dict[str, str]) -> Running:
        described = {part: list(sources.items()) for part, sources in children.items()}
        running.append(Running("-c", SUPERVISE, str(tmp_path), str(grace), json.dumps(described)))
        return running[-1]

    return start_one


def assert_dies(handle: int) -> None:
    """Wait for the end of the process behind a pidfd (it becomes readable then)."""
    ready, _, _ = select.select([handle], [], [], SECONDS)
    os.close(handle)
    assert ready, "the process still runs"


def assert_gone(pid: int) -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_children_log_with_their_name_and_readiness_is_a_real_answer(start: Start) -> None:
    site = start(prepare={"migrate": "print('one\\ntwo')"}, keep={"web": WEB})
    site.wait_for(r"^coachsite is ready: http://127.0.0.1:\d+/$")
    assert site.end() == 0
    assert site.lines[:2] == ["migrate | one", "migrate | two"]
    assert any(line.startswith("web     | pid ") for line in site.lines)
    assert sum("is ready" in line for line in site.lines) == 1
    assert not any("\x1b" in line for line in site.lines)


def test_not_ready_before_the_web_process_answers(start: Start) -> None:
    site = start(keep={"web": SLEEPER})
    site.pid_of("web")
    assert site.end() == 0
    assert not any("is ready" in line for line in site.lines)


def test_a_child_that_dies_is_started_again_with_growing_pauses(start: Start) -> None:
    site = start(keep={"broken": "raise SystemExit(3)", "good": SLEEPER})
    site.wait_for(r"^broken \| ended with exit code 3; it starts again in 0.2 s$")
    site.wait_for(r"^broken \| ended with exit code 3; it starts again in 0.4 s$")
    site.wait_for(r"^broken \| ended with exit code 3; it starts again in 0.8 s$")
    assert site.end() == 0
    assert sum(line.startswith("good   | pid") for line in site.lines) == 1


def test_a_killed_web_process_comes_back_and_requests_wait_for_it(start: Start) -> None:
    site = start(keep={"web": WEB})
    first = site.pid_of("web")
    port = int(site.wait_for(r"is ready: http://127.0.0.1:(\d+)/")[1])
    os.kill(first, signal.SIGKILL)
    site.wait_for(r"^web \| was ended by SIGKILL; it starts again in 0.2 s$")
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 200")
    assert site.pid_of("web") != first


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_and_then_runs_the_finish(start: Start, tmp_path: Path, number: int) -> None:
    site = start(keep={"a": SLEEPER, "b": SLEEPER}, finish={"close": "open('closed', 'w'); print('bye')"})
    # The two come up in any order.
    pids = [int(site.wait_for(r"pid (\d+)")[1]) for _ in range(2)]
    assert site.end(number) == 0
    assert (tmp_path / "closed").exists()
    assert site.lines[-3:] == ["coachsite is ending.", "close | bye", "coachsite has ended."]
    for pid in pids:
        assert_gone(pid)


def test_a_finish_that_fails_is_logged_and_the_end_is_still_clean(start: Start) -> None:
    site = start(keep={"a": SLEEPER}, finish={"close": "raise SystemExit(2)"})
    site.pid_of("a")
    assert site.end() == 0
    assert "close | ended with exit code 2" in site.lines


def test_a_child_deaf_to_sigterm_is_killed_after_the_grace_time(start: Start) -> None:
    site = start(keep={"deaf": DEAF}, grace=0.3)
    child = site.pid_of("deaf")
    assert site.end() == 0
    assert_gone(child)


def test_children_do_not_survive_a_kill_of_the_supervisor(start: Start) -> None:
    site = start(keep={"deaf": DEAF})
    child = os.pidfd_open(site.pid_of("deaf"))
    site.process.kill()
    assert_dies(child)


def test_a_grandchild_that_keeps_the_log_open_does_not_delay_the_end(start: Start) -> None:
    site = start(keep={"worker": PARENT})
    grandchild = site.pid_of("worker")
    try:
        site.process.terminate()
        site.wait_for("^coachsite has ended.$")
        assert site.process.wait(SECONDS) == 0
    finally:
        os.kill(grandchild, signal.SIGKILL)


def test_preparing_runs_in_order_and_a_failure_stops_the_start(start: Start) -> None:
    steps = {"one": "print(1)", "two": "raise SystemExit('no database')", "three": "print(3)"}
    site = start(prepare=steps, keep={"web": SLEEPER})
    assert site.rest() == 1
    assert site.lines == [
        "one   | 1",
        "two   | no database",
        "coachsite did not start: two ended with exit code 1.",
    ]


def test_a_signal_while_preparing_ends_the_start(start: Start) -> None:
    site = start(prepare={"slow": SLEEPER}, keep={"web": SLEEPER})
    site.pid_of("slow")
    assert site.end(signal.SIGINT) == 0
    assert not any(line.startswith("web") for line in site.lines)


def test_a_long_line_is_cut_into_pieces_and_the_last_needs_no_newline(start: Start) -> None:
    writer = "import sys; sys.stdout.write('x' * 300_000 + chr(10) + 'end'); sys.exit(1)"
    site = start(prepare={"big": writer}, keep={})
    assert site.rest() == 1
    big = [line.removeprefix("big | ") for line in site.lines if line.startswith("big")]
    assert sum(map(len, big[:-1])) == 300_000
    assert big[-1] == "end"


async def test_a_program_that_cannot_be_started_is_a_log_line(tmp_path: Path) -> None:
    ghost = Program("ghost", ["/nowhere/ghost"])
    plan = Plan("http://x/", ("x", 1), "x", tmp_path, {}, prepare=[ghost], keep=[])
    out = io.StringIO()
    assert await Supervisor(plan, Log(plan, out)).run() == 1
    assert out.getvalue().splitlines()[0] == "ghost | cannot be started: No such file or directory"


def test_only_one_instance_per_data_folder(tmp_path: Path) -> None:
    message = rf"already runs on the data folder .* \(process {os.getpid()}\)"
    with only_one(tmp_path), pytest.raises(CannotStart, match=message), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        assert (tmp_path / "serve.lock").read_text() == str(os.getpid())


def test_a_taken_port_and_a_foreign_host_are_one_sentence() -> None:
    with listen("127.0.0.1", 0) as door:
        port = door.getsockname()[1]
        with pytest.raises(CannotStart, match=f"Port {port} on 127.0.0.1 is used by another program"):
            listen("127.0.0.1", port)
    with pytest.raises(CannotStart, match="not an address of this machine"):
        listen("192.0.2.1", 0)
    with pytest.raises(CannotStart, match="not a known host name"):
        listen("no such host", 0)
    with pytest.raises(CannotStart, match="--host ::1 is not a known host name or IPv4 address"):
        listen("::1", 0)


def test_ways_to_end() -> None:
    assert [ending(0), ending(3), ending(-9), ending(-250)] == [
        "ended with exit code 0",
        "ended with exit code 3",
        "was ended by SIGKILL",
        "was ended by signal 250",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_only_on_a_terminal_and_unless_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan("http://x/", ("x", 1), "x", tmp_path, {}, keep=[Program("web", [])])

    def written(out: io.StringIO) -> str:
        Log(plan, out).line("web", "hello")
        return out.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert written(Terminal()) == "\x1b[31mweb |\x1b[0m hello\n"
    assert written(io.StringIO()) == "web | hello\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert written(Terminal()) == "web | hello\n"


def test_as_json_every_line_is_an_object(tmp_path: Path) -> None:
    out = io.StringIO()
    log = JsonLog(Plan("http://x/", ("x", 1), "x", tmp_path, {}, keep=[Program("web", [])]), out, host="north")
    own = {"at": "2026-11-26T04:00:00.000Z", "level": "error", "logger": "coaching", "message": "so"}
    log.say("coachsite is ready: http://x/")
    for text in (json.dumps(own), "Traceback (most recent call last):", "", "[1, 2]", '{"cut in pie'):
        log.line("web", text)
    ready, told, *plain = map(json.loads, out.getvalue().splitlines())
    assert told == own | {"process": "web"}
    assert ready.pop("at").endswith("Z")
    said = {"level": "info", "logger": "coachsite.supervisor", "host": "north"}
    assert ready == said | {"message": "coachsite is ready: http://x/"}
    assert [line.items() >= (said | {"process": "web"}).items() for line in plain] == [True] * 3
    assert [line["message"] for line in plain] == ["Traceback (most recent call last):", "[1, 2]", '{"cut in pie']


@pytest.mark.live
def test_serve_starts_the_whole_site_once_and_ends_it(tmp_path: Path, running: list[Running]) -> None:
    own = {"COACHSITE_DATA": str(tmp_path), "COACHSITE_OWNER_PASSWORD": "correct horse battery"}
    # The databases of the suite are not for a whole site to write to.
    env = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}} | own

    def serve(*arguments: str) -> Running:
        running.append(Running("manage.py", "serve", *arguments, env=env))
        return running[-1]

    site = serve("--port", "0")
    port = site.wait_for(r"^coachsite is ready: http://127.0.0.1:(\d+)/$")[1]
    refusals = {
        ("--port", "0"): f"coachsite already runs on the data folder {tmp_path} (process {site.process.pid}): ",
        ("--port", port): f"Port {port} on 127.0.0.1 is used by another program: ",
        ("--port", "65536"): "--port 65536 is not a port: ",
        ("--host", "::1"): "--host ::1 is not a known host name or IPv4 address.",
    }
    for arguments, sentence in refusals.items():
        second = serve(*arguments)
        assert second.rest() == 1
        assert len(second.lines) == 1
        assert second.lines[0].startswith(sentence)
    assert site.end() == 0
    assert site.lines[-1] == "coachsite has ended."
