"""What is read often, at 1 000 and at 1 000 000 decisions (as many sessions): it must not grow with them.

Each is a whole request through Django's handler, in this process and without a socket, login included. Both files are
alike but for their history: as many workflows, steps, days, sessions under way and open questions (see `filling`).
The sweep is there too: every five seconds it asks the database what is to be done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median

from django.contrib.auth.models import User
from django.test import Client

from coaching.execution.recovery import sweep

from .django_here import copied, use
from .filling import template
from .timing import Row, Run, Sample, cpus, ms, p50s, race, ratio, spread, timed

Act = Callable[[], object]

SMALL = 1_000
#: Turns are short and many: what else the machine does must hit both.
TURNS = 3
PATHS = {
    "overall statistics (API)": "/api/v1/statistics/",
    "learning metrics of a workflow (API)": "/api/v1/workflows/invoices-0/metrics/",
    "learning metrics of the site (API)": "/api/v1/metrics/",
    "first page of sessions (API)": "/api/v1/sessions/",
    "first page of sessions that are completed (API)": "/api/v1/sessions/?status=completed",
    "first page of a workflow’s sessions (API)": "/api/v1/sessions/?workflow_id=invoices-0",
    "sessions (page)": "/sessions/",
    "dashboard (page)": "/dashboard/",
    "inbox (page)": "/",
}


def run(run: Run) -> list[Row]:
    large = run.size(1_000_000, 100_000)
    files = {size: copied(template(size), run.folder / f"{size}.sqlite3") for size in (SMALL, large)}
    reads = {what: _requests(path, files) for what, path in PATHS.items()}
    reads["one round of the sweep"] = dict.fromkeys(files, sweep)
    return [_row(run, what, acts, files) for what, acts in reads.items()]


def _row(run: Run, what: str, acts: Mapping[int, Act], files: Mapping[int, Path]) -> Row:
    small, large = files
    samples = race({str(size): _turns(run, acts[size], file) for size, file in files.items()}, run.rounds * TURNS)
    at_large, at_small = samples[str(large)], samples[str(small)]
    grown = ratio(p50s(at_large), p50s(at_small))
    return Row(
        what=f"{what} at {large:,} decisions",
        against=f"itself at {small:,}",
        ours=ms(median(p50s(at_large))),
        theirs=ms(median(p50s(at_small))),
        ratio=f"{grown:.2f} × the time",
        goal="≤ 1.3 ×",
        met=grown <= 1.3,
        rounds=run.rounds * TURNS,
        remarks=f"CPU {ratio(cpus(at_large), cpus(at_small)):.2f} ×; ratios {spread(p50s(at_large), p50s(at_small))}",
    )


def _requests(path: str, files: Mapping[int, Path]) -> dict[int, Act]:
    """A request for each file, by a client that is signed in there."""
    clients = {size: Client(SERVER_NAME="127.0.0.1") for size in files}
    for size, file in files.items():
        use(file)
        owner = User.objects.get(username="owner")
        clients[size].force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    return {size: partial(_get, client, path) for size, client in clients.items()}


def _turns(run: Run, act: Act, file: Path) -> Callable[[], Sample]:
    def turn() -> Sample:
        use(file)
        act()
        return timed([act] * run.size(5, 3))

    return turn


def _get(client: Client, path: str) -> None:
    response = client.get(path)
    if response.status_code != 200:
        raise RuntimeError(f"{path} answered {response.status_code}: {response.content[:500]!r}")
