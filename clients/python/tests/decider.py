"""Decides whatever waits in the inbox, until it is ended: decider.py URL TOKEN WORKFLOW SEED"""

from __future__ import annotations

import random
import sys
import time

from coachsite_client import AlreadyDecided, Coach, SessionNotActive, StaleStep

URL, TOKEN, WORKFLOW, SEED = sys.argv[1:]
chance = random.Random(int(SEED))

with Coach(URL, TOKEN) as coach:
    while True:
        waiting = [item for item in coach.inbox() if item["workflow_id"] == WORKFLOW]
        for item in waiting:
            try:
                coach.decide(item["session_id"], item["n"], "accept", feedback=f"seen {item['n']}")
            except (AlreadyDecided, StaleStep, SessionNotActive) as late:
                print(item["n"], late, flush=True)
        # Every look costs the server as much as an answer does: not as fast as it can.
        time.sleep(chance.uniform(0.02, 0.05))
