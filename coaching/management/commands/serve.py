"""`manage.py serve`: web, workers and the periodic sweep of one machine, in the foreground."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.http.request import validate_host

from coachsite.supervisor import CannotStart, JsonLog, Log, Plan, Program, Supervisor, listen, only_one

WORKERS = 2
SWEEP_SECONDS = 5
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - compared with, never the default


class Command(BaseCommand):
    help = "Start everything on this machine: migrations, web, two workers and the sweep. Ctrl-C ends all of it."
    # The children check themselves; checking here too would only make the start slower.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument(
            "--port", default="8000", help="port to listen on; 0 picks a free one (default: %(default)s)"
        )
        parser.add_argument("--no-demo", action="store_true", help="leave the demo application out")

    def handle(self, *, host: str, port: str, no_demo: bool, **_options: Any) -> None:
        if host == EVERY_ADDRESS and "ALLOWED_HOSTS" not in os.environ:
            self.stdout.write("Other machines get an answer only under the host names you list in ALLOWED_HOSTS.")
        try:
            # Binding first: a start that cannot succeed leaves the running instance's data alone.
            with listen(host, _number(port)) as door, only_one(settings.DATA_DIR):
                plan = make_plan(door, host, demo=settings.COACHSITE_DEMO and not no_demo)
                code = asyncio.run(_supervise(plan))
        except CannotStart as reason:
            self.stderr.write(str(reason))
            code = 1
        sys.exit(code)


def make_plan(door: socket.socket, host: str, *, demo: bool) -> Plan:
    """Return what to run behind the listening socket `door`, opened for `host`."""
    port = door.getsockname()[1]
    hostname = "127.0.0.1" if host == EVERY_ADDRESS else host
    allowed = list(settings.ALLOWED_HOSTS)
    if "ALLOWED_HOSTS" not in os.environ and hostname not in allowed:
        allowed.append(hostname)
    manage = [sys.executable, "manage.py"]
    door_number = door.fileno()
    web = [sys.executable, "-m", "coachsite.web", "--fd", str(door_number), "-v", "0", "coachsite.asgi:application"]
    return Plan(
        site_url=f"http://{hostname}:{port}/",
        address=(hostname, port),
        health_host=hostname if validate_host(hostname, allowed) or not allowed else allowed[0].lstrip("."),
        folder=settings.BASE_DIR,
        env={
            **os.environ,
            "ALLOWED_HOSTS": ",".join(allowed),
            "COACHSITE_DATA": str(settings.DATA_DIR),
            "COACHSITE_DEMO": "1" if demo else "0",
            "PYTHONUNBUFFERED": "1",
        },
        prepare=[
            Program("migrate", [*manage, "migrate", "--noinput", "--verbosity", "0"]),
            Program("start", [*manage, "first_start", "--site-url", f"http://{hostname}:{port}"]),
        ],
        keep=[
            Program("web", web, inherits=[door_number]),
            *(Program(f"worker-{n + 1}", [*manage, *settings.COACHSITE_WORKER_COMMAND]) for n in range(WORKERS)),
            Program("sweep", [*manage, "sweep", "--every", str(SWEEP_SECONDS)]),
        ],
        finish=[Program("browsers", [*manage, "close_browsers"])],
    )


async def _supervise(plan: Plan) -> int:
    as_json = settings.COACHSITE_LOG == "json"
    log = JsonLog(plan, sys.stdout, host=settings.COACHSITE_HOST) if as_json else Log(plan, sys.stdout)
    return await Supervisor(plan, log).run()


def _number(port: str) -> int:
    """Read a port number, 0 to 65535. Raises CannotStart."""
    if not port.isdecimal() or int(port) > 65535:
        raise CannotStart(f"--port {port} is not a port: give a number from 0 to 65535.")
    return int(port)
