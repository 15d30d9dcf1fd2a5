"""What Prometheus is told at `/metrics`.

Requests, sockets and long polls are counted in this web process: each process is asked for itself, or all of one
machine together where `PROMETHEUS_MULTIPROC_DIR` names a folder that they share. All else is read from the database
when it is asked for, from tallies and by indexes: it costs the same at a thousand sessions and at a million.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from django_tasks_db.models import DBTaskResult
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, multiprocess
from prometheus_client import generate_latest as as_text
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from coaching.models import Host, Session, Suggestion, WebhookDelivery
from metrics.models import WorkflowLearningMetrics
from metrics.overview import ActivityCounts

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
KINDS = ("accepted", "rejected", "corrected", "manual", "skipped", "unattended")
ENDS = ("completed", "failed", "abandoned")

requests = Counter("coachsite_requests", "HTTP requests that were answered.", ["method", "status"])
seconds = Histogram("coachsite_request_seconds", "How long answers took; long polls do not count.")
sockets = Gauge("coachsite_sockets", "Web sockets that are open.", multiprocess_mode="livesum")
long_polls = Gauge("coachsite_long_polls", "Requests that asked to be kept back.", multiprocess_mode="livesum")


def count_request(method: str, status: int, took: float | None) -> None:
    """Counts an answer (status 0: there was none) that took so many seconds, None for a long poll."""
    requests.labels(method if method in METHODS else "other", status or "none").inc()
    if took is not None:
        seconds.observe(took)


class Site(Collector):
    """What the database says of the whole site. Each method is one query, or two."""

    def describe(self) -> list[Metric]:
        return []  # so that registering does not read the database

    def collect(self) -> Iterator[Metric]:
        yield from activity()
        yield sessions()
        yield from questions()
        yield from queue()
        yield _gauge("coachsite_webhook_deliveries_due", "To be sent now.", _due_deliveries)
        yield _gauge("coachsite_hosts", "Hosts whose workers give signs of life.", Host.objects.alive().count)


def _gauge(name: str, words: str, read: Callable[[], float]) -> Metric:
    return GaugeMetricFamily(name, words, value=read())


def _due_deliveries() -> int:
    return WebhookDelivery.objects.due(timezone.now()).order_by().count()


def activity() -> Iterator[Metric]:
    """From the tallies, which keep what deleted sessions have contributed."""
    counts = ActivityCounts.read(WorkflowLearningMetrics.objects.all()).counts
    decisions = CounterMetricFamily("coachsite_decisions", "Decisions, of people and unattended.", labels=["kind"])
    for kind in KINDS:
        decisions.add_metric([kind], counts[kind])
    yield decisions
    yield CounterMetricFamily("coachsite_sessions_started", "Sessions ever started.", value=counts["sessions"])
    ended = CounterMetricFamily("coachsite_sessions_ended", "Sessions ever ended.", labels=["status"])
    for status in ENDS:
        ended.add_metric([status], counts[status])
    yield ended


def sessions() -> Metric:
    """Those that go on."""
    found = dict(Session.objects.ongoing().order_by().values_list("status").annotate(Count("pk")))
    family = GaugeMetricFamily("coachsite_sessions", "Sessions that go on.", labels=["status"])
    for status in Session.ONGOING:
        family.add_metric([status.value], found.get(status, 0))
    return family


def questions() -> Iterator[Metric]:
    """What waits for a person, and what waits for a worker."""
    asked = Suggestion.objects.filter(status=Suggestion.Status.OPEN).order_by()
    open_now = asked.aggregate(count=Count("pk"), oldest=Min("opened_at"))
    yield GaugeMetricFamily("coachsite_open_suggestions", "Waiting for a person.", value=open_now["count"])
    yield GaugeMetricFamily(
        "coachsite_oldest_open_suggestion_seconds",
        "How long the oldest has been waiting for a person.",
        value=_age(open_now["oldest"]),
    )
    waiting = Session.objects.waiting_for_a_worker().order_by().aggregate(count=Count("pk"), oldest=Min("updated_at"))
    yield GaugeMetricFamily("coachsite_waiting_sessions", "Waiting for a worker.", value=waiting["count"])
    yield GaugeMetricFamily(
        "coachsite_oldest_waiting_session_seconds",
        "How long the oldest has been waiting for a worker.",
        value=_age(waiting["oldest"]),
    )


def _age(moment: datetime | None) -> float:
    return max(0.0, (timezone.now() - moment).total_seconds()) if moment else 0.0


def queue() -> Iterator[Metric]:
    """Tasks that no worker has taken yet."""
    ready = DBTaskResult.objects.ready().order_by()
    length = GaugeMetricFamily("coachsite_queued_tasks", "Tasks that no worker has begun.", labels=["queue"])
    found = {"default": 0, **dict(ready.values_list("queue_name").annotate(Count("pk")))}
    for name, count in found.items():
        length.add_metric([name], count)
    yield length


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def may_ask(request: HttpRequest) -> bool:
    """With a token set, who has it. Else a program on this machine that no proxy has let in from elsewhere."""
    token = settings.COACHSITE_METRICS_TOKEN
    if token:
        return constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {token}")
    if any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP")):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


@login_not_required
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if not may_ask(request):
        return HttpResponse("Not for you.\n", status=403, content_type="text/plain; charset=utf-8")
    site = CollectorRegistry()
    site.register(Site())
    text = as_text(_registry()) + as_text(site)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def is_long_poll(scope: dict[str, Any]) -> bool:
    return scope["method"] == "GET" and b"wait=" in scope.get("query_string", b"")
