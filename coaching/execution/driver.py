"""The thread of Playwright's synchronous driver: warm, replaced when it dies, and shared by all sessions of a worker.

Playwright's synchronous API runs an event loop in its thread, and Django refuses database work wherever a loop runs.
So the driver has a thread of its own.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import ParamSpec, TypeVar

from playwright.sync_api import Playwright, sync_playwright

P = ParamSpec("P")
T = TypeVar("T")

START_SECONDS = 60.0
#: Longer than any step may take (30 s to find, 30 s to perform, and loading): past it the page hangs.
LIMIT_SECONDS = 120.0


class BrowserLost(Exception):
    """The browser, or the way to it, is gone; the message is for the coach."""


class BrowserHangs(BrowserLost):
    """A page keeps its browser so busy that nothing can be asked of it: only ending the browser helps."""


class _Worker:
    """One thread with one driver process. Ends for good when either does."""

    def __init__(self) -> None:
        self.playwright: Future[Playwright] = Future()
        self._driver_pids: list[int] = []
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._killed = False
        self._thread = threading.Thread(target=self._work, name="browser", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            playwright = sync_playwright().start()
            self._driver_pids = _children_of_this_thread()
        except Exception as error:  # whoever waits for the driver gets it
            self.playwright.set_exception(error)
            return
        self.playwright.set_result(playwright)
        while job := self._jobs.get():
            job()
        playwright.stop()

    @property
    def here(self) -> bool:
        return threading.current_thread() is self._thread

    @property
    def healthy(self) -> bool:
        # A killed driver takes a moment to be gone, and its thread may never come back.
        if self._killed or not self._thread.is_alive():
            return False
        return not self.playwright.done() or all(_running(pid) for pid in self._driver_pids)

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def job() -> None:
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as error:  # raised again where it was asked for
                future.set_exception(error)

        self._jobs.put(job)
        return future

    def end(self) -> None:
        self._jobs.put(None)

    def kill(self) -> None:
        """Ends the driver process under a call that does not come back; the call then fails."""
        self._killed = True
        for pid in self._driver_pids:
            if _running(pid):
                os.kill(pid, signal.SIGKILL)
        self.end()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)


class BrowserThread:
    """Runs functions on the thread that owns the Playwright driver. Safe to use from any thread."""

    def __init__(self, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._limit = limit_seconds
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._started = 0

    @property
    def generation(self) -> int:
        """Counts the drivers: what was made with an earlier one can no longer be used."""
        self._healthy_worker()
        return self._started

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run_within` the thread's own limit."""
        return self.run_within(self._limit, function, *args, **kwargs)

    def run_within(self, seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns or raises on the browser thread.

        Raises `BrowserHangs` if it takes longer: the page hangs, and the driver is replaced.
        """
        seconds = min(seconds, self._limit)
        worker = self._healthy_worker()
        if worker.here:
            return function(*args, **kwargs)
        worker.playwright.result(START_SECONDS)
        try:
            return worker.submit(function, *args, **kwargs).result(seconds)
        except FutureTimeout:
            worker.kill()
            raise BrowserHangs(f"The page has not answered for {seconds:g} seconds.") from None

    @property
    def playwright(self) -> Playwright:
        """The warm driver; only for functions that run on this thread."""
        return self._healthy_worker().playwright.result(START_SECONDS)

    def close(self) -> None:
        """Ends driver and thread; browsers stay. A later `run` starts anew."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()
            worker.join(10)

    def _healthy_worker(self) -> _Worker:
        with self._lock:
            if self._worker is not None and self._worker.here:
                return self._worker
            if self._worker is None or not self._worker.healthy:
                self._worker = _Worker()
                self._started += 1
            return self._worker


def _children_of_this_thread() -> list[int]:
    path = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children")
    return [int(pid) for pid in path.read_text().split()]


def _running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return False
    return state not in ("Z", "X", "")
