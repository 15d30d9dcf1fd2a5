"""The whole path on a running site: an event, the outbox, a worker, a real receiver that fails twice and then accepts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..actions.webhook_deliveries import AT_ONCE_TO_ONE
from .live import LiveSite, live_site, until
from .webhook_receiver import Held, Receiver, status, webhook_receiver

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("COACHSITE_WEBHOOK_RETRY_SECONDS", "0.2,0.4,1,1,1,1,1,1")
        with live_site(tmp_path_factory.mktemp("webhooks")) as running:
            yield running


@pytest.fixture
def owner(site: LiveSite) -> Iterator[httpx.Client]:
    with site.client() as client:
        yield client
        for webhook in client.get("webhooks/").json()["results"]:
            client.delete(f"webhooks/{webhook['webhook_id']}/")


@pytest.fixture
def receiver(owner: httpx.Client) -> Iterator[Receiver]:
    with webhook_receiver() as running:
        allowed = {"host": "127.0.0.1", "port": running.port, "reason": "The receiver of a test."}
        assert owner.post("webhooks/allowed-hosts/", json=allowed).status_code == 201
        yield running


def make(owner: httpx.Client, receiver: Receiver, **options: Any) -> dict[str, Any]:
    answer = owner.post("webhooks/", json={"url": receiver.url, **options})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def start(owner: httpx.Client, name: str) -> str:
    """A session of an external workflow of that name."""
    made = owner.post("workflows/", json={"workflow_id": name, "name": name, "executor": "external"})
    assert made.status_code == 201, made.text
    session: str = owner.post("sessions/", json={"workflow_id": name}).json()["session_id"]
    return session


def deliveries(owner: httpx.Client, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = owner.get(f"webhooks/{webhook['webhook_id']}/deliveries/").json()["results"]
    return found


def test_it_fails_twice_and_then_arrives(owner: httpx.Client, receiver: Receiver) -> None:
    receiver.replies[:] = [status(500, "Out of order"), status(503)]
    webhook = make(owner, receiver, event_types=["session.paused"])
    session = start(owner, "twice")
    asked_at = time.time()
    assert owner.post(f"sessions/{session}/pause/").status_code == 200
    until(lambda: len(receiver.received) >= 1, what="the first attempt")
    assert time.time() - asked_at < 10
    (delivery,) = until(
        lambda: [row for row in deliveries(owner, webhook) if row["status"] == "delivered"], what="the delivery"
    )
    assert (delivery["attempts"], delivery["answer_status"], delivery["error"]) == (3, 204, None)
    assert [received.message_id for received in receiver.received] == [delivery["message_id"]] * 3
    for received in receiver.received:
        content = received.verified(webhook["secret"])
        assert content["type"] == "session.paused"
        assert (content["data"]["session_id"], content["data"]["seq"]) == (session, 2)
        assert abs(int(received.headers["webhook-timestamp"]) - time.time()) < 60
    # Sent again, it is the same message.
    again = owner.post(f"webhooks/{webhook['webhook_id']}/deliveries/{delivery['message_id']}/resend/")
    assert again.status_code == 200
    until(lambda: len(receiver.received) == 4, what="it to be sent again")
    assert receiver.received[3].message_id == delivery["message_id"]
    assert receiver.received[3].verified(webhook["secret"])["data"]["seq"] == 2


def test_killed_workers_lose_nothing(site: LiveSite, owner: httpx.Client, receiver: Receiver) -> None:
    """Workers die by `kill -9` while they send; every message arrives all the same, at least once."""
    receiver.replies[:] = [lambda _handler: time.sleep(30)] * 2
    webhook = make(owner, receiver, workflow_id=None)
    session = start(owner, "killed")
    owner.post(f"sessions/{session}/pause/")
    until(lambda: len(receiver.received) >= 1, what="a worker to send")
    site.kill("worker-1", "worker-2")
    owner.post(f"sessions/{session}/resume/")
    owner.post(f"sessions/{session}/pause/")
    owner.post(f"sessions/{session}/abandon/")
    receiver.replies.clear()
    site.start("worker-1", "worker-2")
    until(
        lambda: {row["status"] for row in deliveries(owner, webhook)} == {"delivered"},
        what="everything to be delivered",
    )
    told = {
        content["data"]["seq"]: content["type"]
        for content in (received.verified(webhook["secret"]) for received in receiver.received)
        if content["data"]["session_id"] == session
    }
    listed = owner.get(f"sessions/{session}/events/").json()["results"]
    assert told == {event["seq"]: event["type"] for event in listed}
    assert len(told) == 5


def test_a_dead_receiver_does_not_hold_up_sessions(site: LiveSite, owner: httpx.Client) -> None:
    """Forty messages to one that never answers occupy one worker, and a browser session gets the other."""
    held = Held()
    with webhook_receiver(*[held] * 100) as dead:
        owner.post("webhooks/allowed-hosts/", json={"host": "127.0.0.1", "port": dead.port, "reason": "Dead."})
        webhook = make(owner, dead)
        for _ in range(40):
            assert owner.post(f"webhooks/{webhook['webhook_id']}/test/").status_code == 201
        until(lambda: held.now == AT_ONCE_TO_ONE, what="a worker to hang")
        started = owner.post("sessions/", json={"workflow_id": "file-an-expense-claim"})
        assert started.status_code == 201, started.text
        session = started.json()["session_id"]
        until(lambda: owner.get(f"sessions/{session}/").json()["open_suggestion"], what="a suggestion")
        assert held.most == AT_ONCE_TO_ONE, "one worker sends, whatever waits"
        listed = deliveries(owner, webhook)
        assert not [row for row in listed if row["status"] == "delivered"]
        owner.post(f"sessions/{session}/abandon/")


def test_the_secret_is_nowhere_on_disk(site: LiveSite, owner: httpx.Client, receiver: Receiver) -> None:
    webhook = make(owner, receiver)
    owner.post(f"webhooks/{webhook['webhook_id']}/test/")
    until(lambda: receiver.received, what="a message")
    key = webhook["secret"].removeprefix("whsec_").encode()
    files: list[Path] = [file for file in site.folder.rglob("*") if file.is_file()]
    assert any(file.name == "live.log" for file in files)
    assert not [file for file in files if key in file.read_bytes()]
