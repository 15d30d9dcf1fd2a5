"""Structured logs: each line says which request, person, session or task it is about."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from a2wsgi import WSGIMiddleware
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client
from django_tasks.signals import task_finished, task_started
from knox.models import AuthToken

from coaching.logs import JsonFormatter, about, facts, note
from coaching.models import Session
from coachsite.observed import Observed


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter("north"))
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Any:
    handler = Lines()
    logger = logging.getLogger("coachsite.requests")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)


async def get(path: str, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    """The start of the answer to a GET through the site's door."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"secret=1",
        "headers": [(b"host", b"localhost"), *headers], "server": ("localhost", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    door = Observed(cast("Any", WSGIMiddleware(cast("Any", WSGIHandler()), workers=1)))
    client: Any = cast("Any", ApplicationCommunicator)(door, scope)
    await client.send_input({"type": "http.request", "body": b"", "more_body": False})
    start: dict[str, Any] = await client.receive_output(timeout=60)
    await client.wait()
    return start


@pytest.mark.django_db(transaction=True)
async def test_a_request_is_one_line_that_says_all(lines: list[dict[str, Any]], coach: User, session: Session) -> None:
    token = (await sync_to_async(AuthToken.objects.create)(coach))[1]
    address = f"/api/v1/sessions/{session.session_id}/"
    start = await get(address, (b"authorization", f"Token {token}".encode()), (b"x-request-id", b"from-the-proxy-7"))
    assert start["status"] == 200
    assert (b"x-request-id", b"from-the-proxy-7") in start["headers"]
    (line,) = lines
    assert line.pop("at").endswith("Z")
    assert line.pop("ms") > 0
    assert line == {
        "level": "info",
        "logger": "coachsite.requests",
        "message": f"GET {address} 200",
        "host": "north",
        "request": "from-the-proxy-7",
        "session": session.session_id,
        "user": "carl",
        "method": "GET",
        "path": address,
        "status": 200,
    }


@pytest.mark.django_db(transaction=True)
async def test_a_person_who_is_signed_in_is_named(
    lines: list[dict[str, Any]], coach: User, sign_in: Callable[[User], Client]
) -> None:
    client = await sync_to_async(sign_in)(coach)
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    await get("/sessions/", (b"cookie", cookies.encode()))
    assert lines[0]["user"] == "carl"
    await get("/sessions/")
    assert "user" not in lines[1]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("bad", [b"", b"short", b"x" * 65, b'"}{ injected', b"caf\xe9-latin-1"])
async def test_an_id_of_the_caller_is_taken_only_where_it_is_a_good_one(
    lines: list[dict[str, Any]], bad: bytes
) -> None:
    start = await get("/healthz", (b"x-request-id", bad))
    given = dict(start["headers"])[b"x-request-id"].decode()
    assert len(given) == 16
    assert lines[0]["request"] == given


def test_a_line_is_one_object_whatever_it_says() -> None:
    handler = Lines()
    record = logging.LogRecord("some.where", logging.ERROR, "f.py", 1, "two\nlines “%s”", ("here",), None)
    try:
        raise ValueError("why")
    except ValueError:
        record.exc_info = sys.exc_info()
    with about(request="r-1"):
        note(session="s-1")
        handler.emit(record)
    (line,) = handler.lines
    assert line["message"] == "two\nlines “here”"
    assert (line["level"], line["request"], line["session"]) == ("error", "r-1", "s-1")
    assert line["exception"].endswith("ValueError: why")
    assert facts() == {}
    note(session="of nobody")
    assert facts() == {}


def test_what_a_worker_logs_names_the_task() -> None:
    result = SimpleNamespace(id="t-1", status="RUNNING", task=SimpleNamespace(name="advance", module_path="x.advance"))
    task_started.send(sender=None, task_result=result)
    note(session="s-1")
    assert facts() == {"task": "advance", "task_id": "t-1", "session": "s-1"}
    task_finished.send(sender=None, task_result=result)
    assert facts() == {}


@pytest.mark.parametrize(("chosen", "ok"), [("json", True), ("plain", True), ("xml", False)])
def test_the_setting_chooses(chosen: str, ok: bool, tmp_path: Path) -> None:
    program = "import django, logging; django.setup(); logging.getLogger('coaching').info('hello')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=django_settings.BASE_DIR, capture_output=True, text=True, check=False,
        env={"PATH": "", "DJANGO_SETTINGS_MODULE": "coachsite.settings", "COACHSITE_LOG": chosen, "COACHSITE_DATA": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode == 0) is ok, done.stderr
    if chosen == "json":
        assert json.loads(done.stderr)["message"] == "hello"
    elif ok:
        assert done.stderr.strip().endswith("INFO coaching: hello")
    else:
        assert "COACHSITE_LOG must be plain or json" in done.stderr


def test_no_line_is_so_long_that_it_is_cut() -> None:
    try:
        raise ValueError("\0" * 100_000 + "the end")
    except ValueError as error:
        record = logging.LogRecord(
            "coaching", logging.ERROR, "", 1, "x" * 100_000, None, (ValueError, error, error.__traceback__)
        )
    text = JsonFormatter().format(record)
    assert len(text) < 48 * 1024
    assert json.loads(text)["exception"].startswith("Traceback")
    assert json.loads(text)["exception"].endswith("the end")
