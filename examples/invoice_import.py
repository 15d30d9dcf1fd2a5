"""Posts made-up invoices into a ledger file, and asks a coach before each.

    python examples/invoice_import.py --token TOKEN --count 5 --execution-id november

Kill it and start it again with the same --execution-id: it goes on where it was. Posting is safe to do twice (an
invoice whose number stands in the ledger already is left alone), so it says `on_uncertain="perform"`: whoever was
killed in the middle of posting simply posts again, and the coach is not bothered.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from coachsite_client import Coach, CoachError, Decision, Session


def invoices(count: int) -> list[dict[str, Any]]:
    """Made up, and the same in every run: going on with a run means asking the same questions."""
    return [
        {"number": number, "amount": f"{(number * 1733) % 90_000 / 100 + 10:.2f}"} for number in range(1, count + 1)
    ]


def post(ledger: Path, invoice: dict[str, Any]) -> None:
    """Appends a line `number amount`, once per number."""
    written = ledger.read_text(encoding="utf-8") if ledger.exists() else ""
    # A line without its end was cut short by whatever ended us: it does not count.
    whole = written[: written.rfind("\n") + 1]
    if whole != written:
        os.truncate(ledger, len(whole.encode()))
    if any(line.split()[0] == str(invoice["number"]) for line in whole.splitlines()):
        return
    with ledger.open("a", encoding="utf-8") as file:
        file.write(f"{invoice['number']} {invoice['amount']}\n")
        file.flush()
        os.fsync(file.fileno())


def ask_and_post(session: Session, invoice: dict[str, Any], arguments: argparse.Namespace) -> Decision:
    while True:
        decision = session.ask(
            "post-invoice",
            invoice,
            action_type="post_invoice",
            rationale="It is in this month's mailbox.",
            risk="irreversible",
            on_uncertain="perform",
        )
        if not decision.perform:
            return decision
        try:
            with decision.performing() as action:
                time.sleep(arguments.pause_seconds)
                post(arguments.ledger, action)
        except OSError as error:
            # Reported as failed; the same question again tells the coach why.
            print(f"  {error}: asking again")
        else:
            return decision


def run(arguments: argparse.Namespace) -> None:
    with (
        Coach(arguments.url, arguments.token) as coach,
        coach.session(
            arguments.workflow_id, arguments.execution_id, mode=arguments.mode, total_steps=arguments.count
        ) as session,
    ):
        print(f"{'going on with' if session.resumed else 'started'} {session.session_id}", flush=True)
        print(f"decide at {arguments.url.rstrip('/')}/sessions/{session.session_id}/", flush=True)
        for invoice in invoices(arguments.count):
            decision = ask_and_post(session, invoice, arguments)
            said = "nobody was asked" if decision.decided_by == "policy" else f"{decision.decided_by} said"
            print(f"invoice {invoice['number']}: {said} {decision.decision}", flush=True)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Posts made-up invoices, and asks a coach before each.")
    parser.add_argument("--url", default=os.environ.get("COACHSITE_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--token", default=os.environ.get("COACHSITE_TOKEN"), help="or COACHSITE_TOKEN")
    parser.add_argument("--workflow-id", default="invoice-import")
    parser.add_argument("--execution-id", help="your name for this run: name it again to go on with it")
    parser.add_argument("--mode", choices=["coaching", "auto"], default="coaching")
    parser.add_argument("--count", type=int, default=5, help="how many invoices")
    parser.add_argument("--ledger", type=Path, default=Path("ledger.txt"), metavar="FILE")
    parser.add_argument("--pause-seconds", type=float, default=0.0, help="how long posting one takes")
    arguments = parser.parse_args()
    if not arguments.token:
        parser.error("give --token or set COACHSITE_TOKEN; `python manage.py issue_token USER` prints one")
    return arguments


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        run(read_arguments())
    except CoachError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
