"""What the tests of faults break, and how they look at what is left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from coaching.tests.live import OWNER_PASSWORD, LiveSite, free_port, until

#: How much longer than usual the tests go on.
TIMES = max(1, int(os.environ.get("COACHSITE_FAULTS", "1")))
ACTION = {"node_id": "post", "action_type": "post", "action": {"number": 1}}
PATIENCE = 60.0


def alive(site: LiveSite) -> dict[str, bool]:
    return {name: process.poll() is None for name, process in site.processes.items()}


# ---------------------------------------------------------------------------------------------- small file systems


@contextlib.contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[bool]:
    """Mounts a file system of its own at the folder where this may be done; says whether it was."""
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={megabytes}m".encode()
    mounted = libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options) == 0
    try:
        yield mounted
    finally:
        if mounted:
            # The last processes may still be leaving it.
            until(lambda: libc.umount2(os.fsencode(folder), 0) == 0, seconds=10, what="the unmounting")


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 65536) == 65536:
            pass
    return filler


# ------------------------------------------------------------------------------------------------ an outside program


@dataclass
class Acknowledged:
    """What the site has said was done; none of it may be missing afterwards, and none be there twice."""

    decisions: list[tuple[str, int, str]] = field(default_factory=list)
    #: How often each status was answered, 0 for no answer at all.
    answers: Counter[int] = field(default_factory=Counter)
    refusals: list[httpx.Response] = field(default_factory=list)


class Program:
    """Goes on whatever the site answers: what was not acknowledged is sent again, with the same key."""

    def __init__(self, site: LiveSite, token: str, kept: Acknowledged, *, stop: threading.Event | None = None) -> None:
        self.kept, self.stop = kept, stop or threading.Event()
        self.client = httpx.Client(
            base_url=f"{site.url}/api/v1/", headers={"Authorization": f"Token {token}"}, timeout=30
        )

    def call(self, method: str, path: str, body: Any = None, *, patience: float = PATIENCE) -> httpx.Response:
        """The answer that counts. Asks again where there was none, or 503."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        end = time.monotonic() + patience
        while True:
            try:
                answer = self.client.request(method, path, json=body, headers=headers)
            except httpx.TransportError:
                self.kept.answers[0] += 1
            else:
                self.kept.answers[answer.status_code] += 1
                if answer.status_code < 500:
                    return answer
                self.kept.refusals.append(answer)
            assert time.monotonic() < end, f"{method} {path} was never answered: {self.kept.answers}"
            time.sleep(0.1)

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.call("POST", path, body)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def decide(self, session_id: str, n: int, decision: str, **more: Any) -> bool:
        """Whether this answer was taken; what the site acknowledges is kept."""
        body = {"decision": decision, "n": n, **more}
        answer = self.call("POST", f"sessions/{session_id}/decisions/", body)
        if answer.status_code in {200, 201}:
            self.kept.decisions.append((session_id, n, decision))
            return True
        assert answer.status_code == 409, answer.text
        return False

    def start(self, workflow_id: str = "invoices", **more: Any) -> str:
        return str(self.post("sessions/", {"workflow_id": workflow_id, **more})["session_id"])

    def ask_and_decide(self, session_id: str, decision: str = "accept") -> int:
        """One question of an external session with its answer; returns its number."""
        n = int(self.post(f"sessions/{session_id}/suggestions/", ACTION)["n"])
        self.decide(session_id, n, decision)
        if decision == "accept":
            self.post(f"sessions/{session_id}/suggestions/{n}/outcome/", {"status": "succeeded"})
        return n

    def keep_deciding(self, session_id: str) -> None:
        while not self.stop.is_set():
            self.ask_and_decide(session_id, random.choice(["accept", "reject", "skip"]))


def token_of(site: LiveSite) -> str:
    return site.manage("issue_token", "owner").split()[-1]


def with_invoices(site: LiveSite) -> str:
    """A token of the owner, once there is a workflow `invoices` of an outside program."""
    token = token_of(site)
    program = Program(site, token, Acknowledged())
    program.post("workflows/", {"workflow_id": "invoices", "name": "Invoices", "executor": "external"})
    return token


@contextlib.contextmanager
def deciding(site: LiveSite, token: str, *, programs: int = 3) -> Iterator[Acknowledged]:
    """Programs that decide all the while, and at the end have got through."""
    kept, stop = Acknowledged(), threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        program = Program(site, token, kept, stop=stop)
        try:
            program.keep_deciding(program.start())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(programs)]
    for thread in threads:
        thread.start()
    try:
        yield kept
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert not failed, failed


def decided_since(kept: Acknowledged) -> None:
    """Waits until the site acknowledges decisions again."""
    before = len(kept.decisions)
    until(lambda: len(kept.decisions) >= before + 3, what=f"decisions to go on; answers so far: {kept.answers}")


# ------------------------------------------------------------------------------------------------------- what is left


def assert_nothing_is_lost(rows: Any, acknowledged: list[tuple[str, int, str]]) -> None:
    """Every acknowledged decision is there exactly once, and events are numbered without gaps. `rows(sql)` reads."""
    there = Counter(
        (session_id, n, decision)
        for session_id, n, decision in rows(
            "SELECT s.session_id, g.n, d.decision FROM coaching_decision d "
            "JOIN coaching_session s ON s.id = d.session_id JOIN coaching_suggestion g ON g.id = d.suggestion_id"
        )
    )
    lost = [each for each in acknowledged if each not in there]
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged decisions are missing"
    assert not [each for each, times in there.items() if times > 1]
    assert not rows(
        "SELECT s.session_id, s.last_seq, count(e.id), min(e.seq), max(e.seq) FROM coaching_session s "
        "LEFT JOIN coaching_sessionevent e ON e.session_id = s.id GROUP BY s.id, s.session_id, s.last_seq "
        "HAVING count(e.id) <> s.last_seq OR min(e.seq) <> 1 OR max(e.seq) <> s.last_seq"
    ), "events have a gap"
    assert not rows(
        "SELECT s.session_id FROM coaching_session s LEFT JOIN coaching_decision d ON d.session_id = s.id "
        "GROUP BY s.id, s.session_id, s.accepted, s.rejected, s.corrected, s.manual_executions, s.skipped "
        "HAVING count(d.id) <> s.accepted + s.rejected + s.corrected + s.manual_executions + s.skipped"
    ), "counters of a session differ from its decisions"


def assert_refused_in_words(refusals: list[httpx.Response], words: str) -> None:
    """Every refusal was a 503 in the API's one shape, and says what is the matter."""
    assert refusals
    for answer in refusals:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        body = answer.json()
        assert (body["type"], body["errors"][0]["code"]) == ("server_error", "unavailable")
    said = {answer.json()["errors"][0]["detail"] for answer in refusals}
    assert any(words in detail for detail in said), said


def signed_in(site: LiveSite) -> httpx.Client:
    """The browser of the owner, as far as forms and links go."""
    browser = httpx.Client(base_url=site.url, follow_redirects=True, timeout=30)
    browser.get("/login/")
    form = {"username": "owner", "password": OWNER_PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    assert browser.post("/login/", data=form).status_code == 200
    return browser


def memory_of(pid: int) -> int:
    """MiB that the process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def browsers_of(folder: Path) -> list[int]:
    """The processes whose command line names a profile below the folder."""
    found = []
    for pid in every_pid():
        with contextlib.suppress(OSError):
            if f"--user-data-dir={folder}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def every_pid() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


# ----------------------------------------------------------------------------------- servers of our own, elsewhere


class Server:
    """A server process in a folder and on a port of its own, which a test may end and start again."""

    def __init__(self, command: list[str], *, user: str | None = None) -> None:
        self.command, self.user = command, user
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self.user,
            cwd="/",
        )  # fmt: skip

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None


@contextlib.contextmanager
def postgresql() -> Iterator[tuple[Server, str]]:
    """A PostgreSQL of our own and its address. Skips where its programs are not installed."""
    programs = [shutil.which("initdb"), shutil.which("postgres")]
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").is_dir() else []
    if not all(programs) and newest:
        programs = [str(newest[-1] / "initdb"), str(newest[-1] / "postgres")]
    initdb, postgres = programs
    if not initdb or not postgres:
        pytest.skip("PostgreSQL's own programs, initdb and postgres, are not installed")
    folder = Path(tempfile.mkdtemp(prefix="coachsite-pg-"))
    # It refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    try:
        data, port = folder / "data", free_port()
        subprocess.run(
            [initdb, "-D", str(data), "-U", "coach", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, capture_output=True, user=user, cwd="/",
        )  # fmt: skip
        server = Server(
            [postgres, "-D", str(data), "-p", str(port), "-c", f"unix_socket_directories={folder}"], user=user
        )
        server.start()
        try:
            yield server, f"postgres://coach@127.0.0.1:{port}/postgres"
        finally:
            server.end(signal.SIGINT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[tuple[Server, str]]:
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("redis-server is not installed")
    port = free_port()
    server = Server([program, "--port", str(port), "--save", "", "--dir", str(folder), "--bind", "127.0.0.1"])
    server.start()
    try:
        yield server, f"redis://127.0.0.1:{port}/0"
    finally:
        server.end()
