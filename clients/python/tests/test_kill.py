"""The promise of it all: kill the program, kill the server, and nothing is lost or done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from coachsite_client import Coach

from coaching.tests.live import LiveSite

from .support import EXAMPLES, start_program

pytestmark = pytest.mark.live

COUNT = int(os.environ.get("KILL_COUNT", "200"))
#: When it kills follows from this; another one by `KILL_SEED=7 pytest …`.
SEED = int(os.environ.get("KILL_SEED", "20310504"))
#: All of it, in seconds, on a machine that has other things to do. Alone it takes half a minute.
ENOUGH = 110.0


@contextmanager
def running(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def wait_for(ledger: Path, count: int, caller: subprocess.Popen[bytes], deadline: float) -> None:
    """Until the ledger has so many invoices: chance decides where in the next one the killing happens."""
    while lines(ledger) < count:
        assert caller.poll() is None, f"the importer ended with {caller.returncode}"
        assert time.monotonic() < deadline, f"only {lines(ledger)} invoices in time"
        time.sleep(0.005)


def test_killed_callers_and_a_killed_server(
    site: LiveSite, token: str, coach: Coach, workflow: str, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    deadline = time.monotonic() + ENOUGH
    ledger, log = tmp_path / "ledger.txt", tmp_path / "log.txt"

    def start_importer() -> subprocess.Popen[bytes]:
        return start_program(
            EXAMPLES / "invoice_import.py", "--url", site.url, "--workflow-id", workflow, "--execution-id", "november",
            "--count", str(COUNT), "--ledger", ledger, log=log, COACHSITE_TOKEN=token,
        )  # fmt: skip

    decider_script = Path(__file__).with_name("decider.py")
    with running(start_program(decider_script, site.url, token, workflow, str(SEED), log=tmp_path / "decider.txt")):
        importer = start_importer()
        # Two deaths of the caller, one of the server between them, each somewhere in its third of the way.
        for victim, third in [("caller", 0), ("server", 1), ("caller", 2)]:
            posted = chance.randrange(5, COUNT // 3 - 5) + third * (COUNT // 3)
            wait_for(ledger, posted, importer, deadline)
            time.sleep(chance.uniform(0.0, 0.08))
            if victim == "server":
                site.kill("web")
                site.start("web")
            else:
                importer.send_signal(signal.SIGKILL)
                importer.wait()
                importer = start_importer()
        with running(importer):
            assert importer.wait(max(1.0, deadline - time.monotonic())) == 0, log.read_text()[-3000:]

    (found,) = coach.sessions(workflow_id=workflow)
    session = coach.get_session(found["session_id"])
    assert session["status"] == "completed"
    assert [decision["step_index"] for decision in session["decisions"]] == list(range(COUNT))
    assert session["stats"]["suggestions_made"] == COUNT
    suggestions = coach.suggestions(found["session_id"])
    assert [(suggestion["n"], suggestion["step_index"]) for suggestion in suggestions] == [
        (k + 1, k) for k in range(COUNT)
    ]
    assert {suggestion["outcome"] for suggestion in suggestions} == {"performed"}
    numbers = [int(line.split()[0]) for line in ledger.read_text().splitlines()]
    assert numbers == list(range(1, COUNT + 1))
    events = list(coach.events(found["session_id"], follow=False))
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert sum(event["type"] == "decision.recorded" for event in events) == COUNT
    assert log.read_text().count("going on with") == 2
