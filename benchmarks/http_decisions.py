"""`POST decisions/` with a token, 16 clients at once, each in a session of its own. All servers run under Daphne.

* **stock**: Django and DRF as their tutorials have it (`stock_api.py`), keeping the same rows in the same tables.
* **plain**: coachsite's own views in Django's own ASGI application, which makes a thread and a connection per request:
  what is left when only the way of serving is stock.
* **bare**: an ASGI application without Django that executes the same SQL on one connection in one thread.
* **normal**: coachsite with `synchronous=NORMAL`, to see what waiting for the disk costs.

Each has an equal database file of its own, and they take turns. The clients run on the same machine and cost each the
same. The limit of requests per token is off for all. Afterwards the rows in the files are counted: nobody was faster by
keeping less.
"""

from __future__ import annotations

import contextlib
import pickle
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from django.conf import settings
from knox.models import AuthToken

from coaching.actions.answers import Addressed, answer_session
from coaching.api.views import session_or_404

from . import recorded_sql
from .coached import ACCEPT, new_session, owner
from .django_here import copied, using
from .filling import template
from .load import load, request
from .servers import Server, all_running
from .timing import Row, Run, Sample, Samples, cpus, ms, p50s, p99s, race, rates, ratio, spread

CLIENTS, STEPS = 16, 11
NAMES = ("ours", "stock", "plain", "bare", "normal")
#: What each decision adds to: a row in each of these, and one to each of these numbers.
ADDED = (
    "SELECT count(*) FROM coaching_decision",
    "SELECT count(*) FROM coaching_sessionevent WHERE type = 'decision.recorded'",
    "SELECT sum(accepted) FROM coaching_session",
    "SELECT sum(last_fact) / 2 FROM coaching_step",
    "SELECT sum(accepted) FROM metrics_steptally",
    "SELECT sum(accepted) FROM metrics_workflowlearningmetrics",
    "SELECT sum(accepted) FROM metrics_dailytally",
)


def run(run: Run) -> list[Row]:
    each = {name: run.size(40, 10) for name in NAMES} | dict.fromkeys(("stock", "plain"), run.size(15, 5))
    token, sessions = _prepare(run.folder / "prepared.sqlite3")
    work = _record(run, sessions, each["bare"] * (run.rounds + 1))
    before = _added(run.folder / "prepared.sqlite3")
    servers = {name: _server(name, run, work) for name in NAMES}
    with all_running(servers.values()):
        contestants = {name: _turns(servers[name], token, sessions, each[name]) for name in NAMES}
        race(contestants, 1)
        samples = race(contestants, run.rounds)
    for name in NAMES:
        kept = [now - then for now, then in zip(_added(_database_of(name, run)), before, strict=True)]
        if set(kept) != {each[name] * CLIENTS * (run.rounds + 1)}:
            raise RuntimeError(f"{name} was asked to keep {each[name] * CLIENTS * (run.rounds + 1)}, and kept {kept}")
    return _rows(samples)


def _database_of(name: str, run: Run) -> Path:
    return run.folder / name / "coachsite.sqlite3"


def _added(file: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(file)) as database:
        return [database.execute(sql).fetchone()[0] for sql in ADDED]


def _prepare(file: Path) -> tuple[str, list[str]]:
    """A token, and a session for each client."""
    with using(copied(template(1_000), file)):
        _, token = AuthToken.objects.create(owner())
        return token, [new_session().session_id for _ in range(CLIENTS)]


def _record(run: Run, sessions: Sequence[str], each: int) -> Path:
    """What a request executes to find its session and to keep its decision: the work of the bare application."""

    def act(session_id: str, n: int) -> None:
        to = Addressed(step_index=n % STEPS, node_id=f"step-{n % STEPS}", action_type="click")
        answer_session(session_or_404(session_id), ACCEPT, to, execution_success=True, by=by)

    with using(copied(run.folder / "prepared.sqlite3", run.folder / "recorded.sqlite3")):
        by = owner()
        works = recorded_sql.record([partial(act, session, n) for n in range(each) for session in sessions])
    file = run.folder / "work.pickle"
    file.write_bytes(pickle.dumps(recorded_sql.plain(works)))
    return file


def _server(name: str, run: Run, work: Path) -> Server:
    data = copied(run.folder / "prepared.sqlite3", _database_of(name, run)).parent
    applications = {
        "stock": "benchmarks.django_asgi:application",
        "plain": "benchmarks.django_asgi:application",
        "bare": "benchmarks.bare_asgi:application",
    }
    modules = {name: f"benchmarks.{name}_settings" for name in ("stock", "plain", "normal")}
    variables = {
        "DJANGO_SETTINGS_MODULE": modules.get(name, "coachsite.settings"),
        "SECRET_KEY": settings.SECRET_KEY,
        "BENCHMARK_WORK": str(work),
        "BENCHMARK_INIT": settings.DATABASES["default"]["OPTIONS"]["init_command"],
    }
    return Server(applications.get(name, "coachsite.asgi:application"), data=data, variables=variables)


def _turns(server: Server, token: str, sessions: Sequence[str], each: int) -> Callable[[], Sample]:
    headers = [f"Authorization: Token {token}"]
    per_client = [
        [
            request("POST", f"/api/v1/sessions/{session}/decisions/", headers=headers, body=_decision(n % STEPS))
            for n in range(each)
        ]
        for session in sessions
    ]
    return lambda: load(server.port, per_client, expected=201, cpu=server.cpu)


def _decision(step: int) -> dict[str, object]:
    return {
        "decision": "accept", "step_index": step, "node_id": f"step-{step}", "action_type": "click",
        "execution_success": True,
    }  # fmt: skip


def _rows(samples: Samples) -> list[Row]:
    ours, stock, plain, bare, normal = (samples[name] for name in NAMES)
    faster, tail = ratio(rates(ours), rates(stock)), ratio(p99s(ours), p99s(stock))
    share, full = ratio(rates(ours), rates(bare)), ratio(rates(ours), rates(normal))
    what, rounds = f"POST decisions/, {CLIENTS} clients", len(ours)
    return [
        Row(
            what=f"{what}: a second", against="stock Django and DRF", ours=_rate(ours), theirs=_rate(stock),
            ratio=f"{faster:.1f} ×", goal="≥ 8 ×", met=faster >= 8, rounds=rounds,
            remarks=f"CPU per request {_cpu(ours)} against {_cpu(stock)}; ratios {spread(rates(ours), rates(stock))}",
        ),
        Row(
            what=f"{what}: p99", against="stock Django and DRF", ours=ms(median(p99s(ours))),
            theirs=ms(median(p99s(stock))), ratio=f"{tail:.2f} × its p99", goal="≤ 0.1 ×", met=tail <= 0.1,
            rounds=rounds, remarks=f"p50 {ms(median(p50s(ours)))} against {ms(median(p50s(stock)))}",
        ),
        Row(
            what=f"{what}: a second", against="its own views in Django’s own ASGI application", ours=_rate(ours),
            theirs=_rate(plain), ratio=f"{ratio(rates(ours), rates(plain)):.1f} ×", rounds=rounds,
            remarks=f"CPU per request {_cpu(ours)} against {_cpu(plain)}; p99 {ms(median(p99s(ours)))} against "
            f"{ms(median(p99s(plain)))}",
        ),
        Row(
            what=f"{what}: a second", against="a bare ASGI application, same SQL", ours=_rate(ours), theirs=_rate(bare),
            ratio=f"{share:.0%} of it", goal="≥ 40 %", met=share >= 0.4, rounds=rounds,
            remarks=f"CPU per request {_cpu(ours)} against {_cpu(bare)}; p99 {ms(median(p99s(ours)))} against "
            f"{ms(median(p99s(bare)))}",
        ),
        Row(
            what=f"{what}: a second", against="itself with synchronous=NORMAL", ours=_rate(ours), theirs=_rate(normal),
            ratio=f"{full:.0%} of it", goal="≥ 90 %", met=full >= 0.9, rounds=rounds,
            remarks=f"ratios {spread(rates(ours), rates(normal))}",
        ),
    ]  # fmt: skip


def _rate(samples: Sequence[Sample]) -> str:
    return f"{median(rates(samples)):,.0f}/s"


def _cpu(samples: Sequence[Sample]) -> str:
    return ms(median(cpus(samples)))
