"""Runs coachsite's processes together: one command, one log, one Ctrl-C.

Knows nothing of Django. `manage.py serve` says what to run (a `Plan`), `Supervisor` keeps it running.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

GRACE_SECONDS = 10.0
FINISH_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
# A process that ran this long was healthy: its next death is a new trouble, not the old one again.
HEALTHY_SECONDS = 30.0
LONGEST_LINE_BYTES = 64 * 1024

_PR_SET_PDEATHSIG = 1
# Looked up before any fork: between fork and exec as little as possible may happen.
_prctl = ctypes.CDLL(None).prctl


class CannotStart(Exception):
    """A reason not to start, as one sentence for the person at the terminal."""


@dataclass(frozen=True)
class Program:
    """One command and the short name its log lines carry; `inherits` lists the file descriptors it needs."""

    name: str
    command: Sequence[str]
    inherits: Sequence[int] = ()


@dataclass(frozen=True)
class Plan:
    """What to run: `prepare` one after the other, `keep` for ever and side by side, `finish` at the end.

    `site_url` is the address people open; it is announced when `GET /healthz` with the header
    `Host: health_host` answers 200 at `address` (host, port).
    """

    site_url: str
    address: tuple[str, int]
    health_host: str
    folder: Path
    env: dict[str, str]
    keep: Sequence[Program]
    prepare: Sequence[Program] = ()
    finish: Sequence[Program] = ()
    grace_seconds: float = GRACE_SECONDS


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket on `host` and `port` (0 picks a free one).

    The supervisor holds it and the web process inherits it, so that nobody else can take the port meanwhile,
    and a request that arrives while the web process restarts waits instead of being refused. IPv4 only: Daphne
    reads the addresses of clients wrongly from an inherited IPv6 socket, and throttling of logins goes by them.
    Raises CannotStart when the port is taken or the host is not an address of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise CannotStart(f"--host {host} is not a known host name or IPv4 address.") from error
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(found[0][4])
        door.listen(1024)
    except OSError as error:
        door.close()
        raise CannotStart(_why_not_listening(host, port, error)) from error
    door.setblocking(False)
    return door


def _why_not_listening(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is used by another program: end that one, or choose a port with --port."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host} is not an address of this machine."
    return f"Cannot listen on {host}, port {port}: {error.strerror}."


@contextlib.contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Hold the data folder for this process; the kernel lets go when the process ends, however it ends.

    Raises CannotStart when another supervisor holds it.
    """
    with (data / "serve.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise CannotStart(
                f"coachsite already runs on the data folder {data} (process {file.read().strip()}): "
                "end that one, or choose another folder with --data."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class Log:
    """The one log: whole lines, each with the name of the program that wrote it."""

    def __init__(self, plan: Plan, out: TextIO) -> None:
        names = [program.name for program in (*plan.prepare, *plan.keep, *plan.finish)]
        self._out = out
        self._prefixes = {name: f"{name:<{max(map(len, names))}} |" for name in names}
        if out.isatty() and "NO_COLOR" not in os.environ:
            for n, name in enumerate(names):
                self._prefixes[name] = f"\x1b[{31 + n % 6}m{self._prefixes[name]}\x1b[0m"

    def say(self, text: str) -> None:
        """Write a line of the supervisor's own, without a prefix."""
        # A full disk, or a reader of the log that went away, must not end people's sessions.
        with contextlib.suppress(OSError):
            self._out.write(f"{text}\n")
            self._out.flush()

    def line(self, name: str, text: str) -> None:
        """Write a line of, or about, the program `name`."""
        self.say(f"{self._prefixes[name]} {text}".rstrip())

    async def copy(self, name: str, reader: asyncio.StreamReader) -> None:
        """Write what `reader` gives, line by line, until its end; endless lines are cut into pieces."""
        rest = b""
        while chunk := await reader.read(LONGEST_LINE_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE_BYTES:
                lines.append(rest)
                rest = b""
            for line in lines:
                self.line(name, line.decode(errors="replace"))
        if rest:
            self.line(name, rest.decode(errors="replace"))


class JsonLog(Log):
    """The same, each line one JSON object: a program's own with its name as `process`, and what else is said as one."""

    def __init__(self, plan: Plan, out: TextIO, *, host: str = "") -> None:
        super().__init__(plan, out)
        self._host = {"host": host} if host else {}

    def say(self, text: str) -> None:
        if text:
            super().say(self._object(text))

    def line(self, name: str, text: str) -> None:
        if text.strip():
            super().say(_with_process(text, name) or self._object(text.strip(), process=name))

    def _object(self, text: str, **more: str) -> str:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        known = {"at": at, "level": "info", "logger": __name__, "message": text, **self._host, **more}
        return json.dumps(known, ensure_ascii=False)


def _with_process(text: str, name: str) -> str:
    """A line that is a JSON object already, with `process`; empty if it is none."""
    try:
        known = json.loads(text)
    except ValueError:
        return ""
    return json.dumps({**known, "process": name}, ensure_ascii=False) if isinstance(known, dict) else ""


def _die_with_the_parent(parent: int) -> None:
    """Run in the child between fork and exec: the kernel kills it when the supervisor dies.

    After a `kill -9` the supervisor cannot clean up, and workers left behind would go on acting in browsers
    with nobody to end them, beside those of the next start. SIGKILL, because a worker answers SIGTERM by
    finishing its task first, and being killed at any moment is what sessions are built to survive.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the call above: then no signal will come.
    if os.getppid() != parent:
        os._exit(1)


def ending(code: int) -> str:
    """Say how a process ended, from its return code (negative: the signal that killed it)."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


class Supervisor:
    """Runs one plan until it is told to stop."""

    def __init__(self, plan: Plan, log: Log) -> None:
        self.plan = plan
        self.log = log
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Run the plan until SIGINT, SIGTERM or SIGHUP.

        Returns the exit code: 0, or 1 when a program of `prepare` failed.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop)
        for program in self.plan.prepare:
            code = await self._run(program, until=self._stop)
            if self._stop.is_set():
                return 0
            if code != 0:
                self.log.say(f"coachsite did not start: {program.name} {ending(code)}.")
                return 1
        try:
            async with asyncio.TaskGroup() as group:
                for program in self.plan.keep:
                    group.create_task(self._keep(program))
                group.create_task(self._announce())
        finally:
            for program in self.plan.finish:
                await self._finish(program)
        self.log.say("coachsite has ended.")
        return 0

    def stop(self) -> None:
        """Begin to end everything; once is enough."""
        if not self._stop.is_set():
            self.log.say("coachsite is ending.")
            self._stop.set()

    async def _keep(self, program: Program) -> None:
        """Run a program, again and again if it ends by itself."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            started = time.monotonic()
            code = await self._run(program, until=self._stop)
            if self._stop.is_set():
                return
            if time.monotonic() - started > HEALTHY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self.log.line(program.name, f"{ending(code)}; it starts again in {pause:g} s")
            if await self._stopped_within(pause):
                return
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _finish(self, program: Program) -> None:
        """Run a program of the end; it may fail or hang, but not keep the others from ending."""
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                code = await self._run(program, until=asyncio.Event())
        except TimeoutError:
            self.log.line(program.name, f"took longer than {FINISH_SECONDS:g} s and was ended")
        else:
            if code != 0:
                self.log.line(program.name, ending(code))

    async def _run(self, program: Program, *, until: asyncio.Event) -> int:
        """Run a program to its end, or end it when `until` is set; return its return code."""
        reader = asyncio.StreamReader()
        # A pipe of our own: with asyncio's, waiting for a process can mean waiting for a browser it started.
        reading, writing = os.pipe()
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0)
        )
        copying = asyncio.create_task(self.log.copy(program.name, reader))
        try:
            process = await self._spawn(program, writing)
            try:
                await _first(process.wait(), until.wait())
            finally:
                await self._end(process)
            return await process.wait()
        except OSError as error:
            self.log.line(program.name, f"cannot be started: {error.strerror}")
            return 127
        finally:
            # The last words of the process are in the pipe already; a browser it started may never close it.
            await asyncio.wait({copying}, timeout=0.5)
            copying.cancel()
            pipe.close()

    async def _spawn(self, program: Program, writing: int) -> asyncio.subprocess.Process:
        """Start a program whose output goes to the descriptor `writing`, which is closed here."""
        parent = os.getpid()
        try:
            return await asyncio.create_subprocess_exec(
                *program.command,
                cwd=self.plan.folder,
                env=self.plan.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                pass_fds=program.inherits,
                # Ctrl-C in a terminal goes to its whole process group, but the supervisor ends the children.
                start_new_session=True,
                preexec_fn=lambda: _die_with_the_parent(parent),
            )
        finally:
            os.close(writing)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """End a process if it still runs: TERM, and KILL when that did not help in time."""
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self.plan.grace_seconds):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _announce(self) -> None:
        """Say the address once, when a request really gets its answer."""
        await _first(self._answered(), self._stop.wait())
        if not self._stop.is_set():
            self.log.say(f"coachsite is ready: {self.plan.site_url}")

    async def _answered(self) -> None:
        """Return when `GET /healthz` has answered 200."""
        request = f"GET /healthz HTTP/1.0\r\nHost: {self.plan.health_host}\r\n\r\n".encode()
        while True:
            # A web process that dies, or is slow to come up, gets the same question again.
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(5):
                    if await _status(self.plan.address, request) == "200":
                        return
            await asyncio.sleep(0.1)

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        return self._stop.is_set()


async def _first(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Wait until one of the coroutines is through, and cancel the others."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _status(address: tuple[str, int], request: bytes) -> str:
    """Send an HTTP request and return the status code of the answer, "" if there was none."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request)
        return (await reader.readline()).decode("latin-1").partition(" ")[2][:3]
    finally:
        writer.close()
