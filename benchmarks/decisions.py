"""Recording decisions in process.

* **How many sessions are stored** (`by_size`): `record_decision`, which keeps a decision with its event, tallies and
  outcome, against a store of JSON files. Both add decisions to one session; coachsite waits for the disk at each
  (`synchronous=FULL`), the files do not. Beyond 10 000 sessions a turn of the store is a few decisions, and it is not
  asked for a million: it rewrites its index of all sessions at each.
* **Threads** (`by_threads`): 8 threads × 50 decisions on one session (20 in a quick run). The store loses updates;
  coachsite must not.
* **The bare driver** (`beside_the_driver`): the statements that coachsite executes, executed again by the bare driver
  on an equal file, in the same transactions and with the same pragmas.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median as _median

from django.db import connection

from coaching.models import Decision, SessionEvent
from metrics.models import DailyTally

from . import coached, recorded_sql
from .coached import new_session, records
from .django_here import copied, use, using
from .filling import template
from .json_store import JsonStore, some_decision
from .timing import Row, Run, Sample, Samples, cpus, ms, p50s, p99s, race, ratio, spread, timed

THREADS = 8
Act = Callable[[], object]
ActsOf = Callable[[int], list[Act]]


def run(run: Run) -> list[Row]:
    return [*by_size(run), *by_threads(run), *beside_the_driver(run)]


def by_size(run: Run) -> list[Row]:
    sizes = run.size([100, 1_000, 10_000, 100_000, 1_000_000], [100, 1_000, 10_000])
    contestants: dict[str, Callable[[], Sample]] = {}
    for size in sizes:
        contestants[f"ours {size}"] = _ours(run, size)
        if size <= 100_000:
            contestants[f"files {size}"] = _files(run, size)
    samples = race(contestants, run.rounds)
    return [_size_row(size, samples) for size in sizes] + _growth_rows(sizes, samples)


def _ours(run: Run, size: int) -> Callable[[], Sample]:
    file = copied(template(size), run.folder / f"{size}.sqlite3")
    with using(file):
        session = new_session()

    def turn() -> Sample:
        use(file)
        timed(records(session, 20))
        return timed(records(session, run.size(300, 100)))

    return turn


def _files(run: Run, size: int) -> Callable[[], Sample]:
    store = JsonStore(run.folder / f"files-{size}")
    name = store.fill(size)[size // 2]
    count = {100: 200, 1_000: 50, 10_000: 8}.get(size, 2)

    def turn() -> Sample:
        return timed([partial(store.record, name, some_decision(n % 11)) for n in range(count)])

    return turn


def _size_row(size: int, samples: Samples) -> Row:
    ours, files = samples[f"ours {size}"], samples.get(f"files {size}")
    what = f"a decision recorded in process, {size:,} sessions stored"
    remarks = f"CPU {ms(_median(cpus(ours)))}"
    if files is None:
        return Row(what=what, ours=ms(_median(p50s(ours))), rounds=len(ours), remarks=remarks)
    faster = ratio(p50s(files), p50s(ours))
    goal = {100: 2.0, 10_000: 60.0}.get(size)
    return Row(
        what=what,
        against="JSON files",
        ours=ms(_median(p50s(ours))),
        theirs=ms(_median(p50s(files))),
        ratio=f"{faster:.1f} × as fast",
        goal=f"≥ {goal:g} ×" if goal else "–",
        met=faster >= goal if goal else None,
        rounds=len(ours),
        remarks=f"{remarks} against {ms(_median(cpus(files)))}; ratios {spread(p50s(files), p50s(ours))}",
    )


def _growth_rows(sizes: list[int], samples: Samples) -> list[Row]:
    largest, small = samples[f"ours {sizes[-1]}"], samples["ours 1000"]
    grown = ratio(p50s(largest), p50s(small))
    return [
        Row(
            what=f"the same at {sizes[-1]:,} sessions",
            against="itself at 1,000",
            ours=ms(_median(p50s(largest))),
            theirs=ms(_median(p50s(small))),
            ratio=f"{grown:.2f} × the time",
            goal="≤ 1.3 ×",
            met=grown <= 1.3,
            rounds=len(small),
            remarks=f"CPU {ratio(cpus(largest), cpus(small)):.2f} ×; ratios {spread(p50s(largest), p50s(small))}",
        )
    ]


def by_threads(run: Run) -> list[Row]:
    use(copied(template(100), run.folder / "threads.sqlite3"))
    each = run.size(50, 20)

    def ours() -> Sample:
        session = new_session()
        sample = _in_threads([records(session, each) for _ in range(THREADS)])
        return _with_kept(sample, session.decisions.count())

    def files() -> Sample:
        store = JsonStore(run.folder / f"files-threads-{time.monotonic_ns()}")
        name = store.fill(100)[50]
        acts: list[list[Act]] = [
            [partial(store.record, name, some_decision(n % 11)) for n in range(each)] for _ in range(THREADS)
        ]
        sample = _in_threads(acts)
        try:
            return _with_kept(sample, store.decisions_of(name) - 1)
        except ValueError:
            return _with_kept(sample, 0)  # two threads wrote into one file at once

    samples = race({"ours": ours, "files": files}, run.rounds)
    return _thread_rows(samples, each)


def _with_kept(sample: Sample, kept: int) -> Sample:
    return Sample(sample.seconds, sample.cpu, sample.wall, {"kept": kept})


def _in_threads(acts: list[list[Act]]) -> Sample:
    """Each list in a thread of its own, all at once. What an act raises counts as lost."""
    seconds: list[float] = []
    together = threading.Barrier(len(acts))

    def work(own: list[Act]) -> None:
        connection.ensure_connection()
        together.wait()
        for act in own:
            before = time.perf_counter()
            try:
                act()
            except (ValueError, OSError, KeyError):
                continue
            seconds.append(time.perf_counter() - before)
        connection.close()

    threads = [threading.Thread(target=work, args=(own,)) for own in acts]
    cpu, began = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Sample(seconds, time.process_time() - cpu, time.perf_counter() - began)


def _thread_rows(samples: Samples, each: int) -> list[Row]:
    ours, files = samples["ours"], samples["files"]
    kept, kept_by_files = ([sample.facts["kept"] for sample in each] for each in (ours, files))
    spreads = ratio(p99s(ours), p50s(ours))
    return [
        Row(
            what=f"{THREADS} threads × {each} decisions on one session: kept",
            against="JSON files",
            ours=f"{min(kept)} of {THREADS * each}",
            theirs=f"{_median(kept_by_files):g} of {THREADS * each}",
            goal="all",
            met=min(kept) == THREADS * each,
            rounds=len(ours),
            remarks=f"{_median([s.rate for s in ours]):,.0f} a second, CPU {ms(_median(cpus(ours)))} each",
        ),
        Row(
            what="the same: p99 beside p50",
            ours=ms(_median(p99s(ours))),
            theirs=ms(_median(p50s(ours))),
            ratio=f"{spreads:.1f} ×",
            goal="≤ 10 ×",
            met=spreads <= 10,
            rounds=len(ours),
            remarks=f"longest {ms(max(max(sample.seconds) for sample in ours))}",
        ),
    ]


def beside_the_driver(run: Run) -> list[Row]:
    return [
        _driver_row(run, "recorded", lambda _count: coached.new_session(), coached.records_in_newest),
        _driver_row(run, "answering a suggestion", coached.asked, coached.answers_to_newest),
    ]


def _driver_row(run: Run, name: str, prepare: Callable[[int], object], acts_of: ActsOf) -> Row:
    """One turn each to warm up, then the rounds; both go on through their files in step."""
    each, turns = run.size(300, 50), run.rounds + 1
    prepared = copied(template(1_000), run.folder / f"prepared {name}.sqlite3")
    with using(prepared):
        prepare(each * turns)
    ours_in, theirs_in, recorded_in = (copied(prepared, run.folder / f"{who} {name}.sqlite3") for who in "abc")
    with using(recorded_in):
        works = recorded_sql.record(acts_of(each * turns))
    bare = recorded_sql.bare_connection(theirs_in)
    use(ours_in)
    acts = acts_of(each * turns)
    replays: list[Act] = [partial(recorded_sql.execute, bare, work) for work in works]
    contestants = {"ours": in_turns(acts, each), "theirs": in_turns(replays, each)}
    race(contestants, 1)
    samples = race(contestants, run.rounds)
    bare.close()
    if done_in(ours_in) != done_in(theirs_in):
        raise AssertionError("the bare driver has not done the same")
    return driver_line(name, samples, works[-1])


def done_in(file: Path) -> tuple[object, ...]:
    with using(file):
        return done()


def done() -> tuple[object, ...]:
    """What is there when the work is done."""
    tallies = sorted(DailyTally.objects.values_list("workflow", "date", "accepted"))
    return Decision.objects.count(), SessionEvent.objects.count(), tallies


def in_turns(acts: list[Act], each: int) -> Callable[[], Sample]:
    parts = iter([acts[n : n + each] for n in range(0, len(acts), each)])
    return lambda: timed(next(parts))


def driver_line(name: str, samples: Samples, work: recorded_sql.Work, *, driver: str = "the bare driver") -> Row:
    ours, theirs = samples["ours"], samples["theirs"]
    times = ratio(p50s(ours), p50s(theirs))
    return Row(
        what=f"a decision in process: {name}",
        against=f"{driver}, same SQL",
        ours=ms(_median(p50s(ours))),
        theirs=ms(_median(p50s(theirs))),
        ratio=f"{times:.2f} × its time",
        goal="≤ 4 ×",
        met=times <= 4,
        rounds=len(ours),
        remarks=f"CPU {ms(_median(cpus(ours)))} against {ms(_median(cpus(theirs)))} "
        f"({ratio(cpus(ours), cpus(theirs)):.2f} ×), {len(work)} statements; ratios {spread(p50s(ours), p50s(theirs))}",
    )
