"""A program that posts three invoices and asks before each; it kills itself with SIGKILL at a moment of its choice.

    program.py URL TOKEN WORKFLOW EXECUTION LEDGER MOMENT ON_UNCERTAIN

MOMENT is about the second invoice: `asked` (the question has arrived, its answer is not read), `waiting`, `told` (the
decision has arrived, nothing is begun), `begun` (announced, not performed), `performed` (not reported), `reported`;
`completed` is the end of the run, `never` none of them. Prints one JSON line per decision.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import httpx
from coachsite_client import Coach

URL, TOKEN, WORKFLOW, EXECUTION, LEDGER, MOMENT, ON_UNCERTAIN = sys.argv[1:]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def watch(response: httpx.Response) -> None:
    """Dies when the server has answered, before the client reads the answer."""
    path, method = response.request.url.path, response.request.method
    body = json.loads(response.read()) if response.status_code < 300 else {}
    second = body.get("step_index") == 1
    happened = {
        "asked": method == "POST" and path.endswith("/suggestions/") and second,
        "told": method == "GET" and body.get("status") == "decided" and second,
        "begun": path.endswith("/performing/") and second,
        "reported": path.endswith("/outcome/") and second,
        "completed": path.endswith("/complete/"),
    }
    if happened.get(MOMENT):
        die()


def post(number: int) -> None:
    with Path(LEDGER).open("a") as ledger:
        ledger.write(f"{number}\n")


with (
    Coach(URL, TOKEN, http=httpx.Client(event_hooks={"response": [watch]})) as coach,
    coach.session(WORKFLOW, EXECUTION, total_steps=3) as session,
):
    for number in range(3):
        if MOMENT == "waiting" and number == 1:
            threading.Timer(0.5, die).start()
        decision = session.ask("post", {"number": number}, on_uncertain=ON_UNCERTAIN)  # type: ignore[arg-type]
        if decision.perform and decision.action:
            post(decision.action["number"])
            if MOMENT == "performed" and number == 1:
                die()
            decision.succeeded()
        facts = {"n": decision.n, "attempt": decision.attempt, "decision": decision.decision}
        print(json.dumps(facts | {"perform": decision.perform, "replayed": decision.replayed}), flush=True)
