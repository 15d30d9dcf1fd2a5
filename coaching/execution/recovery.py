"""What the sweep does: brings every session back from its rows alone, and ends browsers that nobody needs."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from ..actions.backtests import restart_lost_backtests
from ..actions.expiry import expire_overdue
from ..actions.suggestions import record_outcome
from ..actions.webhook_deliveries import ask_again, delete_old_deliveries, free_dead_claims
from ..models import Session, Suggestion, Workflow
from ..signals import session_needs_worker
from .chromium import profile_names, profiles_in, profiles_with_a_browser, stop_chromium
from .lease import free_dead_leases, is_dead
from .limits import close_because, memory_of, running_in
from .runner import UNCERTAIN, profile_of

logger = logging.getLogger(__name__)

#: A session whose task is this old and was not begun is enqueued again: the task may be lost.
ASK_AGAIN_AFTER = timedelta(seconds=5)
#: How many profiles one query asks for.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Swept:
    freed: int
    enqueued: int
    uncertain: int
    expired: int
    browsers_closed: int
    browsers_too_large: int


def sweep() -> Swept:
    """One round. Safe to run at any time, beside other sweeps and workers."""
    freed = free_dead_leases()
    too_large = close_oversized()
    uncertain, expired = _settle_ended_sessions(), expire_overdue()
    overdue = Q(enqueued_at=None) | Q(enqueued_at__lt=timezone.now() - ASK_AGAIN_AFTER) | Q(pk__in=freed)
    waiting = _that_have_room(Session.objects.waiting_for_a_worker().filter(overdue))
    for session_pk in waiting:
        session_needs_worker.send(Session, session_pk=session_pk)
    restart_lost_backtests()
    free_dead_claims(is_dead)
    ask_again()
    delete_old_deliveries()
    return Swept(len(freed), len(waiting), uncertain, expired, close_orphans(), too_large)


def _that_have_room(sessions: QuerySet[Session]) -> list[int]:
    """The keys of those that a worker can go on with: of those that wait for a browser, as many as may have one."""
    found = list(sessions.order_by("pk").values_list("pk", "browser"))
    keys = [pk for pk, browser in found if "waiting" not in browser]
    if len(keys) == len(found):
        return keys
    room = settings.MAX_BROWSERS - running_in(Path(settings.BROWSER_PROFILES)) if settings.MAX_BROWSERS else None
    # Room on another host is for the sweep there to know.
    here = sessions.filter(browser__has_key="waiting", pk__in=Session.objects.of_this_host())
    longest = here.order_by("enqueued_at", "pk").values_list("pk", flat=True)
    return [*keys, *longest[: room and max(0, room)]]


def close_oversized() -> int:
    """Closes the browsers that take more memory than one may, and asks for workers to tell the coaches."""
    limit, closed = settings.BROWSER_MEMORY_MB, 0
    if not limit:
        return 0
    for profile in profiles_with_a_browser(Path(settings.BROWSER_PROFILES)):
        used = memory_of(profile) // 2**20
        if used <= limit:
            continue
        logger.warning("The browser of session %s took %d MiB and was closed.", profile.name, used)
        close_because(profile, f"The browser was closed because its page took too much memory: {used} MiB of {limit}.")
        closed += 1
        session = Session.objects.filter(session_id=profile.name, status=Session.Status.ACTIVE).first()
        if session:
            session_needs_worker.send(Session, session_pk=session.pk)
    return closed


def _settle_ended_sessions() -> int:
    """An action that was begun when its session ended and whose worker died: its outcome stays unknown."""
    # Asked for by itself, it comes from its own small index: few actions are under way at any moment.
    begun = list(Suggestion.objects.filter(outcome=None, performing_since__isnull=False).order_by().values_list("pk"))
    if not begun:
        return 0
    dangling = Suggestion.objects.filter(
        pk__in=[pk for (pk,) in begun],
        # An outside program may still tell.
        session__in=Session.objects.filter(
            status__in=Session.ENDED, workflow__executor=Workflow.Executor.BROWSER
        ).unleased(),
    ).select_related("session")
    return sum(record_outcome(suggestion, Suggestion.Outcome.UNCERTAIN, error=UNCERTAIN) for suggestion in dangling)


def close_orphans() -> int:
    """Closes the browsers and removes the profiles of sessions that ended or are gone; returns how many."""
    names = profile_names(Path(settings.BROWSER_PROFILES))
    # A session that another host has taken over has its browser there.
    here = Session.objects.ongoing().of_this_host().order_by()
    kept: set[str] = set()
    for start in range(0, len(names), BATCH):
        kept.update(here.filter(session_id__in=names[start : start + BATCH]).values_list("session_id", flat=True))
    return sum(close_browser_of(name) for name in names if name not in kept)


def close_browser_of(session_id: str) -> bool:
    """Ends the Chromium of an ended session and removes its profile; False while the session needs them."""
    profile = profile_of(session_id)
    kept = Session.objects.of_this_host().filter(session_id=session_id)
    if kept.exists() and not kept.filter(status__in=Session.ENDED).unleased().exists():
        return False
    if not profile.exists():
        return False
    stop_chromium(profile)
    shutil.rmtree(profile, ignore_errors=True)
    return True


def close_all_browsers() -> int:
    """Ends every Chromium of this data folder; profiles of sessions that go on stay, to be opened again."""
    return sum(stop_chromium(profile) for profile in profiles_in(Path(settings.BROWSER_PROFILES)))
