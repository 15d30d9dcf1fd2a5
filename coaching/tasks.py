"""What workers do. Tasks may be lost or run twice: the rows are the truth, and the sweep asks again."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.dispatch import receiver
from django.utils import timezone
from django_tasks import task

from .actions import backtests, webhook_deliveries
from .execution.hosts import queue_of
from .models import Session
from .signals import backtest_needs_worker, session_ended, session_needs_worker, webhooks_need_worker


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
    advance.using(queue_name=_queue_of(pk=session_pk)).enqueue(session_pk)


@receiver(session_ended)
def _enqueue_close_browser(session_id: str, **_: Any) -> None:
    close_browser.using(queue_name=_queue_of(session_id=session_id)).enqueue(session_id)


def _queue_of(**session: Any) -> str:
    """Only workers of the host that has a session's browser can reach it. Of a deleted one, its sweep closes it."""
    one_host = not settings.COACHSITE_HOST
    host = None if one_host else Session.objects.filter(**session).values_list("host", flat=True).first()
    return queue_of(host or "")


@task()
def run_backtest(backtest_pk: int) -> None:
    try:
        backtests.run_backtest(backtest_pk)
    except Exception as error:
        backtests.fail_backtest(backtest_pk, f"The back-test broke off: {type(error).__name__}.")
        raise


@receiver(backtest_needs_worker)
def _enqueue_backtest(backtest_pk: int, **_: Any) -> None:
    run_backtest.enqueue(backtest_pk)


@task()
def send_webhooks() -> None:
    from .execution.lease import this_process  # noqa: PLC0415

    webhook_deliveries.send_due(sender=this_process())


@receiver(webhooks_need_worker)
def _enqueue_webhooks(**_: Any) -> None:
    send_webhooks.enqueue()
