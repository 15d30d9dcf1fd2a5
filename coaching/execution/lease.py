"""Which worker acts for a session now: a compare-and-set lease on the session's row, with an expiry."""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from ..models import Session


class LeaseLost(Exception):
    """Another worker has taken the session over, or it was deleted: stop acting for it at once."""


@dataclass(slots=True)
class Lease:
    session_pk: int
    owner: str
    #: When it was last made to last, in monotonic seconds.
    renewed: float = field(default_factory=time.monotonic)

    def keep(self) -> None:
        """Renews when a tenth of the time is over: what is written under a lease is fenced by its owner anyway."""
        if time.monotonic() - self.renewed >= settings.LEASE_SECONDS / 10:
            self.renew()

    def renew(self) -> None:
        """Keeps the session for another `LEASE_SECONDS`. Raises `LeaseLost` when it is not ours any more."""
        renewed = time.monotonic()
        if not Session.objects.filter(pk=self.session_pk, lease_owner=self.owner).update(lease_until=_until()):
            raise LeaseLost(self.owner)
        self.renewed = renewed

    def release(self) -> None:
        Session.objects.filter(pk=self.session_pk, lease_owner=self.owner).update(lease_owner="", lease_until=None)

    def leave_host(self) -> None:
        """A session that has not had a browser yet may have its first one on any host."""
        mine = Session.objects.filter(pk=self.session_pk, lease_owner=self.owner)
        mine.exclude(browser__has_key="url").update(host="")


def claim(session_pk: int) -> Lease | None:
    """The lease of an active session, or None when it is not active, or another worker or host has it.

    A session that no host has is this host's from now on.
    """
    owner = f"{this_process()} {secrets.token_hex(4)}"
    claimed = (
        Session.objects.filter(pk=session_pk, status=Session.Status.ACTIVE)
        .unleased()
        .of_this_host()
        .update(lease_owner=owner, lease_until=_until(), host=settings.COACHSITE_HOST)
    )
    return Lease(session_pk, owner) if claimed else None


def _until() -> datetime:
    return timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)


def this_process() -> str:
    """`host pid start`: the start tells this process from a later one with the same pid."""
    return f"{_host()} {os.getpid()} {_started(os.getpid())}"


def _host() -> str:
    """This host, and which processes it can see: containers may share a name and yet not each other's processes."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{namespace.readlink()}" if namespace.is_symlink() else socket.gethostname()


def is_dead(owner: str) -> bool:
    """Whether the process behind a lease is known to be gone. Of another host nothing is known: only time tells."""
    host, _, rest = owner.partition(" ")
    if host != _host() or not Path("/proc/self").exists():
        return False
    pid, _, rest = rest.partition(" ")
    started = rest.partition(" ")[0]
    return _started(int(pid)) != started


def _started(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "gone"
    # The command's name, in parentheses, may hold spaces; the start time is the 20th field behind it (see proc(5)).
    return stat.rpartition(")")[2].split()[19]


def free_dead_leases() -> list[int]:
    """Takes the leases of killed workers of this host back at once; returns the sessions' keys."""
    held = Session.objects.filter(lease_until__isnull=False).order_by().values_list("pk", "lease_owner")
    freed = []
    for session_pk, owner in held:
        if is_dead(owner):
            Lease(session_pk, owner).release()
            freed.append(session_pk)
    return freed
