"""Several hosts on one database: whose browser a session has, and what becomes of it when that host is gone.

A session stays with the host that has opened its browser (`Session.host`), because only the workers there can reach
it. Workers give signs of life for their host; when there were none for `HOST_DEAD_SECONDS`, the sweep of any other
host takes its sessions over, and the coach is told that the browser was lost.

With one host only (`COACHSITE_HOST` is empty, as on SQLite) there is none of this.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac
from django_tasks import DEFAULT_TASK_QUEUE_NAME

from ..models import Host, Session
from ..models.host import moments_ago
from ..signals import session_needs_worker

logger = logging.getLogger(__name__)

#: A host that was away for so long and has no sessions is forgotten.
FORGET_AFTER_SECONDS = 24 * 3600.0


class DifferentKey(Exception):
    """Another host that lives has another SECRET_KEY: neither could read what the other has encrypted or signed."""


def queue_of(host: str) -> str:
    """The queue of the tasks that only workers of `host` can do; every worker's queue for none."""
    # Names of queues have 32 characters at most.
    return f"host-{hashlib.sha256(host.encode()).hexdigest()[:20]}" if host else DEFAULT_TASK_QUEUE_NAME


def queues_here() -> str:
    """What a worker of this host listens to."""
    return f"{DEFAULT_TASK_QUEUE_NAME},{queue_of(settings.COACHSITE_HOST)}" if settings.COACHSITE_HOST else "*"


def give_sign_of_life() -> None:
    """Notes that workers of this host are at work. Raises `DifferentKey`."""
    mine, key = settings.COACHSITE_HOST, salted_hmac("coachsite.hosts", "one key for all").hexdigest()
    others = Host.objects.alive().exclude(name=mine).exclude(key_print=key)
    if stranger := others.values_list("name", flat=True).first():
        raise DifferentKey(f"The host {stranger} has another SECRET_KEY than {mine}: give both the same.")
    if not Host.objects.filter(name=mine).update(seen_at=Now(), key_print=key):
        Host.objects.bulk_create([Host(name=mine, key_print=key)], ignore_conflicts=True)


@contextlib.contextmanager
def signs_of_life() -> Iterator[None]:
    """Gives them at once, and then again and again on a thread of its own. Raises `DifferentKey` at the start."""
    if not settings.COACHSITE_HOST:
        yield
        return
    give_sign_of_life()
    over = threading.Event()
    threading.Thread(target=_keep_giving, args=[over], name="signs-of-life", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _keep_giving(over: threading.Event) -> None:
    while not over.wait(settings.HOST_DEAD_SECONDS / 6):
        try:
            give_sign_of_life()
        except DatabaseError:
            logger.warning("This host could not give a sign of life; it tries again.", exc_info=True)
        except DifferentKey as problem:
            logger.error("%s", problem)  # noqa: TRY400 - the message says it all
        finally:
            connection.close()


def take_over() -> list[int]:
    """Takes the sessions of hosts that are dead, so that any worker may go on with them; returns their keys.

    What their workers were doing is settled as after any worker's death; those that wait for a coach are asked anew,
    because their browser is lost.
    """
    if not settings.COACHSITE_HOST:
        return []
    lost = Session.objects.ongoing().exclude(host="").exclude(host__in=Host.objects.alive().values("name"))
    taken = []
    for pk, host in lost.values_list("pk", "host"):
        # The WHERE clause is the lock: of two sweeps one takes it, and one that has a new host is left alone.
        if Session.objects.filter(pk=pk, host=host).update(host="", lease_owner="", lease_until=None):
            logger.warning("Session %s is taken over: its host %s is dead.", pk, host)
            taken.append(pk)
    for pk in Session.objects.filter(pk__in=taken, status=Session.Status.ACTIVE).values_list("pk", flat=True):
        session_needs_worker.send(Session, session_pk=pk)
    Host.objects.filter(seen_at__lt=moments_ago(FORGET_AFTER_SECONDS)).delete()
    return taken


class Watch:
    """Who is dead is judged only by whom has itself been watching for as long.

    After a failure of the database, or a start of all hosts together, every sign of life is old: nobody is dead yet.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = self._last = clock()

    def interrupted(self) -> None:
        """The database did not answer."""
        self._since = self._last = self._clock()

    def look(self) -> list[int]:
        """Takes over what there is to be taken over. To be called again and again, at short intervals."""
        now = self._clock()
        if now - self._last > settings.HOST_DEAD_SECONDS / 2:
            self._since = now  # this process itself was held up
        self._last = now
        return take_over() if now - self._since >= settings.HOST_DEAD_SECONDS else []
