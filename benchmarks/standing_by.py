"""What coachsite costs while it waits: CPU with 1 000 sessions that wait for a person, and memory.

The processes are those of `bin/run`: web, two workers, and the sweep every 5 seconds. Browsers count neither for the
CPU nor for the memory, and none are started for the 1 000; but each has the profile folder that its browser would
have. Memory is the proportional set size.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

from django.conf import settings
from django.db import connection

from coaching.models import Session, Suggestion, Workflow
from coaching.tests.live import LiveSite

from .coached import owner
from .servers import cpu_of, family_of, pss_of, until
from .timing import Row, Run

WAITING = 1_000
RESIDENTS = ("web", "worker-1", "worker-2")


def run(run: Run) -> list[Row]:
    return [*_idle(run), *_coached(run)]


@contextmanager
def living(run: Run, *, start: bool = True) -> Iterator[LiveSite]:
    """A site of its own in the run's folder, with the demo; ended afterwards with its browsers."""
    site = LiveSite(run.folder)
    site.environment["COACHSITE_API_RATE"] = "0"
    site.commands["sweep"][-1] = "5"
    site.manage("migrate", "--noinput", "-v0")
    site.manage("first_start", "--site-url", site.url)
    try:
        if start:
            site.start()
        yield site
    finally:
        site.stop()


def _idle(run: Run) -> list[Row]:
    with living(run, start=False) as site:
        _make_waiting()
        site.start()
        time.sleep(run.size(10, 6))
        memory = {name: pss_of(_family(site, [name])) for name in RESIDENTS}
        shares = [_cpu_share(site, run.size(30, 5)) for _ in range(run.rounds)]
        _end_all()
    busiest = {name: median(share[name] for share in shares) for name in shares[0]}
    total = median(sum(share.values()) for share in shares)
    parts = ", ".join(f"{name} {share:.1%}" for name, share in busiest.items())
    return [
        Row(
            what=f"CPU of one core, {WAITING:,} sessions waiting for a person", ours=f"{total:.1%}", goal="≤ 2 %",
            met=total <= 0.02, rounds=len(shares), remarks=parts,
        ),
        Row(
            what="memory of web and two workers, idle", ours=f"{sum(memory.values()):,.0f} MB", goal="≤ 400 MB",
            met=sum(memory.values()) <= 400, remarks=", ".join(f"{name} {size:,.0f}" for name, size in memory.items()),
        ),
    ]  # fmt: skip


def _make_waiting() -> None:
    """Sessions of the demo, each with an open question and a profile folder, and no task for a worker."""
    workflow = Workflow.objects.get(workflow_id="file-an-expense-claim")
    versions = [step.version for step in workflow.current_steps()]
    sessions = Session.objects.bulk_create(
        Session(
            workflow=workflow, execution_id=f"claim-{n}", plan=[version.pk for version in versions],
            current_step_index=1, total_steps=len(versions), started_by=owner(), browser={"url": "about:blank"},
        )
        for n in range(WAITING)
    )  # fmt: skip
    Suggestion.objects.bulk_create(
        Suggestion(
            session=session, n=1, step_index=1, step_version=versions[1], node_id="open", action_type="navigate",
            action=versions[1].action, description=versions[1].description, provenance={"source": "workflow"},
        )
        for session in sessions
    )  # fmt: skip
    for session in sessions:
        (settings.BROWSER_PROFILES / session.session_id).mkdir(parents=True)


def _end_all() -> None:
    Session.objects.all().delete()
    connection.close()


def _family(site: LiveSite, names: Sequence[str]) -> list[int]:
    return [pid for name in names for pid in family_of(site.processes[name].pid)]


def _cpu_share(site: LiveSite, seconds: float) -> dict[str, float]:
    """CPU seconds per second of each process with its children."""
    families = {name: _family(site, [name]) for name in site.processes}
    before, began = {name: cpu_of(pids) for name, pids in families.items()}, time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return {name: (cpu_of(pids) - before[name]) / took for name, pids in families.items()}


def _coached(run: Run) -> list[Row]:
    """Memory with some coached sessions beside the memory before them, when both workers have driven a browser."""
    sessions = run.size(12, 5)
    with living(run) as site, ExitStack() as opened:
        api: Any = opened.enter_context(site.client())
        while not all(len(_family(site, [name])) > 1 for name in RESIDENTS[1:]):
            _start(api, 1)
        time.sleep(3)
        before = pss_of(_family(site, RESIDENTS))
        _start(api, sessions)
        time.sleep(3)
        after = pss_of(_family(site, RESIDENTS))
        each = (after - before) / sessions
    return [
        Row(
            what="memory per coached session, without its Chromium", ours=f"{each:.2f} MB", goal="≤ 1 MB",
            met=each <= 1,
            remarks=f"{sessions} sessions more: from {before:,.0f} to {after:,.0f} MB, both drivers (Node) included",
        )
    ]  # fmt: skip


def _start(api: Any, count: int) -> None:
    """Starts sessions of the demo and waits until each asks its first question."""
    for _ in range(count):
        body = {"workflow_id": "file-an-expense-claim"}
        started = api.post("sessions/", json=body).raise_for_status().json()
        here = f"sessions/{started['session_id']}/"
        until(lambda here=here: api.get(here).json()["open_suggestion"], "the first question")  # type: ignore[misc]
