"""Where the browser of a session may go: the hosts of its workflow's own steps, and those that an owner has allowed.

What a coach types counts for nothing here: neither a session's variables nor a correction open a new host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..models import Session, StepVersion
from ..recordings import fill_known
from .guard import as_entry
from .urls import host_and_port

#: A site that is recorded by one of these is found by the other too: http leads to https.
USUAL_PORTS = (80, 443)


def destinations_of(session: Session) -> list[str]:
    """As `guard.Places` reads them, sorted. Two queries."""
    workflow = session.workflow
    defaults = dict(workflow.variables.filter(secret=False).values_list("name", "default"))
    actions = StepVersion.objects.filter(pk__in=set(session.plan)).values_list("action", flat=True)
    found = set(workflow.allowed_hosts)
    for url in [workflow.start_url, *(url for action in actions for url in _addresses_in(action))]:
        place = host_and_port(str(fill_known(url, defaults)))
        if place:
            host, port = place
            found |= {as_entry(host, each) for each in (port, *USUAL_PORTS)}
    return sorted(found)


def _addresses_in(action: Mapping[str, Any]) -> Iterator[str]:
    """The addresses that a step opens, names its tab by, or was seen to lead to."""
    yield str(action.get("url") or "")
    yield str(action.get("target") or "")
    for event in action.get("assertedEvents") or []:
        if isinstance(event, Mapping):
            yield str(event.get("url") or "")
