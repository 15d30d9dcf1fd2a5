"""How soon a decision reaches those who watch, and whether all of it does.

* one watcher: from the moment the decision is sent to the moment the watcher has the news, beside the time in which
  HTTP answers the decision itself;
* many sockets on one session: until the last one has it, against plain `group_send` (see `group_asgi`);
* 2 000 events at once: how many messages arrive. coachsite's are written by another process, so that its web process
  finds them without being told; the peer's are sent in the web process itself, which is the easier way.

Both kinds of sockets are measured: JSON events for programs, and rendered panels. The peer's text is as long as
coachsite's message was. All servers run under Daphne; the clients are one process on the same machine.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median

from django.conf import settings
from django.db import connection, transaction
from knox.models import AuthToken

from coaching.events import SessionResumed, record_event
from coaching.models import Session

from .coached import new_session, owner
from .django_here import copied, use, using
from .filling import template
from .load import answer, request
from .servers import Server, all_running
from .sockets import Watcher, watch
from .timing import Row, Run, Sample, ms, p50s, ratio, spread

BURST = 2_000
KINDS = ("events", "panel")


@dataclass(frozen=True, slots=True)
class Place:
    """A server, the socket's address on it, and what its requests carry."""

    server: Server
    session_id: str
    socket: str
    headers: Sequence[str]

    def decision(self, n: int, length: int) -> bytes:
        body = {"decision": "accept", "step_index": n % 11, "node_id": f"step-{n % 11}", "action_type": "click"}
        headers = [*self.headers, f"X-Length: {length}"]
        return request("POST", f"/api/v1/sessions/{self.session_id}/decisions/", headers=headers, body=body)


def run(run: Run) -> list[Row]:
    prepared = run.folder / "prepared.sqlite3"
    with using(copied(template(1_000), prepared)):
        _, token = AuthToken.objects.create(owner())
        session_id = new_session().session_id
    variables = {"SECRET_KEY": settings.SECRET_KEY}
    servers = []
    for name, application in (("ours", "coachsite.asgi"), ("group", "benchmarks.group_asgi")):
        copied(prepared, run.folder / name / "coachsite.sqlite3")
        servers.append(Server(f"{application}:application", data=run.folder / name, variables=variables))
    ours, group = servers
    headers = [f"Authorization: Token {token}"]
    places = {
        "events": Place(ours, session_id, f"/ws/v1/sessions/{session_id}/events/", headers),
        "panel": Place(ours, session_id, f"/ws/sessions/{session_id}/panel/", headers),
        "group": Place(group, session_id, f"/ws/{session_id}/", headers),
    }
    with all_running(servers):
        return asyncio.run(_measure(run, places))


async def _measure(run: Run, places: dict[str, Place]) -> list[Row]:
    lengths = dict.fromkeys(KINDS, 300)
    return [
        *[await _one_watcher(run, places[kind], kind, lengths) for kind in KINDS],
        *[await _many(run, places[kind], places["group"], kind, lengths[kind]) for kind in KINDS],
        await _burst(run, places),
    ]


async def _one_watcher(run: Run, place: Place, kind: str, lengths: dict[str, int]) -> Row:
    heard, answered = [], []
    async with _Watched(place, 1) as watched:
        await watched.decide(0)
        for _ in range(run.rounds):
            times = [await watched.decide(0) for _ in range(run.size(40, 10))]
            answered.append(Sample([to_answer for to_answer, _ in times]))
            heard.append(Sample([max(to_watchers) for _, to_watchers in times]))
        lengths[kind] = int(median(watched.watchers[0].lengths[1:]))
    later = ratio(p50s(heard), p50s(answered))
    return Row(
        what=f"decision → {'panel of another browser' if kind == 'panel' else 'JSON event at a program'}, p50",
        against="the HTTP answer to the decision",
        ours=ms(median(p50s(heard))),
        theirs=ms(median(p50s(answered))),
        ratio=f"{later:.2f} × its time",
        goal="≤ 2 ×",
        met=later <= 2,
        rounds=run.rounds,
        remarks=f"{lengths[kind]:,} bytes; ratios {spread(p50s(heard), p50s(answered))}",
    )


async def _many(run: Run, ours: Place, group: Place, kind: str, length: int) -> Row:
    count = run.size(1_000, 100)
    found: dict[str, list[Sample]] = {"ours": [], "group": []}
    cpu: dict[str, list[float]] = {"ours": [], "group": []}
    async with _Watched(ours, count) as watched, _Watched(group, count) as grouped:
        opened = f"opening took {watched.opening:.1f} s against {grouped.opening:.1f} s"
        for _ in range(run.rounds):
            for name, each in (("ours", watched), ("group", grouped)):
                before = each.place.server.cpu()
                lasts = [max((await each.decide(length))[1]) for _ in range(3)]
                await each.settled()
                cpu[name].append((each.place.server.cpu() - before) / 3)
                found[name].append(Sample(lasts))
    share = ratio(p50s(found["ours"]), p50s(found["group"]))
    return Row(
        what=f"decision → last of {count:,} {'panels' if kind == 'panel' else 'event sockets'}",
        against="plain group_send",
        ours=ms(median(p50s(found["ours"]))),
        theirs=ms(median(p50s(found["group"]))),
        ratio=f"{share:.2f} × its time",
        goal="≤ 0.17 ×",
        met=share <= 1 / 6,
        rounds=run.rounds,
        remarks=f"CPU {ms(median(cpu['ours']))} against {ms(median(cpu['group']))}; {opened}; ratios "
        f"{spread(p50s(found['ours']), p50s(found['group']))}",
    )


async def _burst(run: Run, places: dict[str, Place]) -> Row:
    ours, group = places["events"], places["group"]
    arrived: dict[str, list[int]] = {"ours": [], "group": []}
    took = []
    async with _Watched(ours, 1) as watched, _Watched(group, 1) as grouped:
        for _ in range(run.rounds):
            began = time.perf_counter()
            arrived["ours"].append(await watched.burst(lambda: _write(ours)))
            took.append(watched.watchers[0].came[-1] - began)
            arrived["group"].append(await grouped.burst(lambda: _post_burst(group)))
    return Row(
        what=f"{BURST:,} events at once: delivered",
        against="plain group_send",
        ours=f"{min(arrived['ours']):,}",
        theirs=f"{median(arrived['group']):,.0f}",
        goal=f"{BURST:,}",
        met=min(arrived["ours"]) == BURST,
        rounds=len(took),
        remarks=f"the last after {ms(median(took))}, writing them included",
    )


async def _write(place: Place) -> None:
    """All events in one transaction, by this process, straight into the database of the server."""
    await asyncio.to_thread(_write_here, place)


def _write_here(place: Place) -> None:
    use(place.server.log.parent / "coachsite.sqlite3")
    session = Session.objects.get(session_id=place.session_id)
    with transaction.atomic():
        for _ in range(BURST):
            record_event(session, SessionResumed(by="owner"))
    connection.close()


async def _post_burst(place: Place) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.server.port)
    writer.write(request("POST", f"/burst/{BURST}/{place.session_id}", headers=["X-Length: 200"]))
    await answer(reader)
    writer.close()


class _Watched:
    """So many sockets at one place, and a connection on which decisions are sent."""

    def __init__(self, place: Place, count: int) -> None:
        self.place, self.count, self.sent = place, count, 0
        self.opening = 0.0

    async def __aenter__(self) -> _Watched:
        began = time.perf_counter()
        server, after = self.place.server, "?after=999999999999999"
        path = self.place.socket + (after if "/events/" in self.place.socket else "")
        if after in path:
            path = self.place.socket + f"?after={await self._last_seq()}"
        self.watchers: list[Watcher] = await watch(server.port, path, self.place.headers, self.count)
        await self.settled()
        self.opening = time.perf_counter() - began
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", server.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        for watcher in self.watchers:
            watcher.transport.abort()
        await asyncio.sleep(0.3)
        await self.settled()

    async def _last_seq(self) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.place.server.port)
        last = 0
        while True:
            path = f"/api/v1/sessions/{self.place.session_id}/events/?after={last}"
            writer.write(request("GET", path, headers=self.place.headers))
            _, body = await answer(reader)
            events = json.loads(body)["results"]
            if not events:
                writer.close()
                return last
            last = events[-1]["seq"]

    async def settled(self) -> None:
        """Returns when the server has nothing to do."""
        server = self.place.server
        for _ in range(300):
            before = server.cpu()
            await asyncio.sleep(0.3)
            if server.cpu() - before <= 0.06:
                return
        raise TimeoutError("the server does not come to rest")

    async def decide(self, length: int) -> tuple[float, list[float]]:
        """Seconds until the answer, and until each watcher had its next message."""
        expected = [len(watcher.came) + 1 for watcher in self.watchers]
        began = time.perf_counter()
        self.writer.write(self.place.decision(self.sent, length))
        self.sent += 1
        status, body = await answer(self.reader)
        answered = time.perf_counter() - began
        if status != 201:
            raise RuntimeError(f"{status}: {body[:300]!r}")
        moments = [await watcher.until(n) for watcher, n in zip(self.watchers, expected, strict=True)]
        return answered, [moment - began for moment in moments]

    async def burst(self, send: Callable[[], Awaitable[None]]) -> int:
        """How many messages come to the first watcher until no more do."""
        watcher = self.watchers[0]
        before = len(watcher.came)
        await send()
        while True:
            so_far = len(watcher.came)
            await asyncio.sleep(1.0)
            if len(watcher.came) == so_far:
                return so_far - before
