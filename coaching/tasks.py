"""What workers do. Tasks may be lost or run twice: the rows are the truth, and the sweep asks again."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver
from django.utils import timezone
from django_tasks import task

from .models import Session
from .signals import session_ended, session_needs_worker


@task()
def advance(session_pk: int) -> None:
    from .execution.runner import advance as advance_session  # noqa: PLC0415 - only workers load Playwright

    advance_session(session_pk)


@task()
def close_browser(session_id: str) -> None:
    from .execution.recovery import close_browser_of  # noqa: PLC0415

    close_browser_of(session_id)


@receiver(session_needs_worker)
def _enqueue_advance(session_pk: int, **_: Any) -> None:
    Session.objects.filter(pk=session_pk).update(enqueued_at=timezone.now())
    advance.enqueue(session_pk)


@receiver(session_ended)
def _enqueue_close_browser(session_id: str, **_: Any) -> None:
    close_browser.enqueue(session_id)
