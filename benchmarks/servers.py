"""Processes of their own: a server under Daphne, and what a process costs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
START_SECONDS = 60.0
TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(question: Callable[[], object], what: str, *, seconds: float = START_SECONDS) -> None:
    """Returns when `question` is answered with something true."""
    end = time.monotonic() + seconds
    while not question():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


class Process:
    """A program in the background, with its output in a file."""

    def __init__(self, command: Sequence[str], *, data: Path, variables: Mapping[str, str] | None = None) -> None:
        self.log = data / f"{free_port()}.log"
        without = {"DATABASE_URL", "REDIS_URL"}
        environment = {name: value for name, value in os.environ.items() if name not in without}
        environment |= {"COACHSITE_DATA": str(data), "COACHSITE_API_RATE": "0", **(variables or {})}
        environment.setdefault("DJANGO_SETTINGS_MODULE", "coachsite.settings")
        with self.log.open("wb") as log:
            self.running = subprocess.Popen(
                command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        return self.running.pid

    def cpu(self) -> float:
        """CPU seconds of the process so far."""
        return cpu_of([self.pid])

    def stop(self) -> None:
        if self.running.poll() is None:
            self.running.send_signal(signal.SIGTERM)
            try:
                self.running.wait(5)
            except subprocess.TimeoutExpired:
                self.running.kill()
                self.running.wait()


class Server(Process):
    """An ASGI application under Daphne; coachsite's own under its own start of Daphne, as it is served."""

    def __init__(self, application: str, *, data: Path, variables: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        program = "coachsite.web" if application.startswith("coachsite.") else "daphne"
        command = [sys.executable, "-m", program, "-b", "127.0.0.1", "-p", str(self.port), "-v", "0", application]
        super().__init__(command, data=data, variables=variables)

    def wait(self) -> None:
        until(self._listens, f"the server; its log:\n{self.log.read_text()[-2000:]}")

    def _listens(self) -> bool:
        if self.running.poll() is not None:
            raise RuntimeError(f"the server has ended:\n{self.log.read_text()[-2000:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextlib.contextmanager
def all_running(processes: Iterable[Process]) -> Iterator[None]:
    """Waits for the servers among them; ends all of them."""
    started = list(processes)
    try:
        for process in started:
            if isinstance(process, Server):
                process.wait()
        yield
    finally:
        for process in started:
            process.stop()


def cpu_of(pids: Iterable[int]) -> float:
    """CPU seconds of these processes so far; what has ended counts as nothing."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def pss_of(pids: Iterable[int]) -> float:
    """Proportional set size in MB: memory that is shared counts once in all, divided among those who share it."""
    kilobytes = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kilobytes += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1024


def family_of(pid: int, *, without: str = "--user-data-dir=") -> list[int]:
    """The process and its descendants, but not those whose command holds `without`: the browsers."""
    found, waiting = [], [pid]
    while waiting:
        member = waiting.pop()
        with contextlib.suppress(OSError):
            if without in Path(f"/proc/{member}/cmdline").read_bytes().decode(errors="replace"):
                continue
            found.append(member)
            for children in Path(f"/proc/{member}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())
    return found
