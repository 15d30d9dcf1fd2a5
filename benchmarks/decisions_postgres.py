"""Recording decisions in process on PostgreSQL, beside psycopg with the same SQL.

The statements that coachsite executes are executed again by psycopg, as it is by default, on an equal database: a copy
that the server makes. Databases are made on the server of `BENCHMARK_DATABASE_URL` (default: 127.0.0.1:5432 as
`postgres`) and dropped at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connection

from . import coached, recorded_sql
from .decisions import Act, ActsOf, done, driver_line, in_turns
from .django_here import POSTGRES
from .filling import empty_workflow
from .timing import Row, Run, race

CONTESTANTS = ("ours", "theirs", "recorded")


def run(run: Run) -> list[Row]:
    try:
        _execute("SELECT 1")
    except psycopg.OperationalError:
        return [Row(what="a decision in process, on PostgreSQL", ours="not measured", remarks="no server answers")]
    return [
        _row(run, "recorded", lambda _count: coached.new_session(), coached.records_in_newest),
        _row(run, "answering a suggestion", coached.asked, coached.answers_to_newest),
    ]


def _row(run: Run, name: str, prepare: Callable[[int], object], acts_of: ActsOf) -> Row:
    each, turns = run.size(300, 50), run.rounds + 1
    with _databases() as databases:
        _fill(databases["prepared"])
        prepare(each * turns)
        _close()
        _copy(databases["prepared"], [databases[who] for who in CONTESTANTS])
        _use(databases["recorded"])
        works = recorded_sql.record(acts_of(each * turns))
        _use(databases["ours"])
        acts = acts_of(each * turns)
        bare = psycopg.connect(_address(databases["theirs"]))
        replays: list[Act] = [partial(recorded_sql.execute_with_psycopg, bare, work) for work in works]
        contestants = {"ours": in_turns(acts, each), "theirs": in_turns(replays, each)}
        race(contestants, 1)
        samples = race(contestants, run.rounds)
        bare.close()
        ours = done()
        _use(databases["theirs"])
        if done() != ours:
            raise AssertionError("psycopg has not done the same")
    return driver_line(f"{name}, on PostgreSQL", samples, works[-1], driver="psycopg")


@contextmanager
def _databases() -> Iterator[dict[str, str]]:
    names = {who: f"coachsite_benchmark_{os.getpid()}_{who}" for who in ("prepared", *CONTESTANTS)}
    _execute(f"CREATE DATABASE {names['prepared']}")
    try:
        yield names
    finally:
        _close()
        for name in names.values():
            _execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _copy(database: str, copies: list[str]) -> None:
    for copy in copies:
        _execute(f"CREATE DATABASE {copy} TEMPLATE {database}")


def _execute(statement: str) -> None:
    with psycopg.connect(POSTGRES, autocommit=True) as server:
        server.execute(statement)


def _fill(database: str) -> None:
    _use(database)
    call_command("migrate", verbosity=0)
    owner = User.objects.create_user("owner", password="a long benchmark password")
    owner.groups.add(Group.objects.get(name="owner"))
    empty_workflow(0, owner)


def _use(database: str) -> None:
    _close()
    connection.settings_dict["NAME"] = database


def _close() -> None:
    here: Any = connection
    here.close()
    here.close_pool()


def _address(database: str) -> str:
    return psycopg.conninfo.make_conninfo(POSTGRES, dbname=database)
