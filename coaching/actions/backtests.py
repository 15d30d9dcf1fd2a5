"""Replaying a version of a pack over the decisions of the past, without a browser."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from .. import signals
from ..exceptions import IllegalTransition
from ..models import BackTest, BackTestFinding, CorrectionPack, Decision, PackVersion
from ..packs import Rule, Situation, Verdict, apply_rules, judge
from ..packs.changes import canonical
from .naming import name_of
from .pack_items import digest_of
from .pack_use import published_rules, rules_of, version_entries

Status = BackTest.Status
BATCH = 1000
#: A back-test that has not gone on for so long has lost its worker.
STALE_AFTER = timedelta(seconds=60)


def start_backtest(version: PackVersion, *, by: User) -> BackTest:
    """Asks a worker to replay this version as it is now; one that is under way for the same corrections is returned.

    Raises `IllegalTransition` for a version without corrections.
    """
    if not version_entries(version):
        raise IllegalTransition("There is no correction in this version that could be tested.")
    digest = digest_of(version)
    with transaction.atomic():
        running = version.backtests.filter(status=Status.RUNNING, digest=digest).first()
        if running:
            return running
        backtest = BackTest.objects.create(version=version, digest=digest, started_by=name_of(by))
        _ask_for_a_worker(backtest.pk)
    return backtest


def _ask_for_a_worker(backtest_pk: int) -> None:
    send = partial(signals.backtest_needs_worker.send, sender=BackTest, backtest_pk=backtest_pk)
    transaction.on_commit(send, robust=True)


def restart_lost_backtests() -> int:
    """Asks again for those whose worker died; returns how many."""
    stale = BackTest.objects.filter(status=Status.RUNNING, progress_at__lt=timezone.now() - STALE_AFTER)
    lost = list(stale.values_list("pk", flat=True))
    for pk in lost:
        BackTest.objects.filter(pk=pk).update(progress_at=timezone.now())
        _ask_for_a_worker(pk)
    return len(lost)


def run_backtest(backtest_pk: int) -> None:
    """Replays, keeping the progress. Run twice, the second starts from nothing and comes to the same."""
    backtest = BackTest.objects.select_related("version__pack").filter(pk=backtest_pk, status=Status.RUNNING).first()
    if backtest is None:
        return
    backtest.findings.all().delete()
    replay = _Replay(backtest.version)
    decisions = replay.decisions()
    counts: Counter[str] = Counter()
    total, done, findings = decisions.count(), 0, []
    _keep(backtest, total=total, done=0)
    for finding in replay.judged(decisions):
        done += 1
        if finding is not None:
            counts[finding.verdict] += 1
            finding.backtest = backtest
            findings.append(finding)
        if done % BATCH == 0:
            BackTestFinding.objects.bulk_create(findings)
            findings = []
            _keep(backtest, done=done)
    with transaction.atomic():
        BackTestFinding.objects.bulk_create(findings)
        results = {verdict.value: counts[verdict] for verdict in (Verdict.SAVED, Verdict.BROKEN, Verdict.ALTERED)}
        _keep(backtest, done=done, status=Status.DONE, finished_at=timezone.now(), **results)


def fail_backtest(backtest_pk: int, error: str) -> None:
    BackTest.objects.filter(pk=backtest_pk, status=Status.RUNNING).update(
        status=Status.FAILED, error=error, finished_at=timezone.now()
    )


def _keep(backtest: BackTest, **values: Any) -> None:
    BackTest.objects.filter(pk=backtest.pk, status=Status.RUNNING).update(progress_at=timezone.now(), **values)


class _Replay:
    """A version's rules, beside those of all other published packs, as they would be if it were published."""

    def __init__(self, version: PackVersion) -> None:
        self.own = rules_of(version_entries(version))
        self.others = published_rules(without=version.pack)
        self.everywhere = version.pack.scope == CorrectionPack.Scope.TARGET

    def decisions(self) -> QuerySet[Decision]:
        """The decisions that it could have made another: on its steps, and on its targets where they are meant."""
        places = Q(pk__in=[])
        for workflow_id in {rule.workflow_id for rule in self.own}:
            node_ids = {rule.node_id for rule in self.own if rule.workflow_id == workflow_id}
            places |= Q(session__workflow__workflow_id=workflow_id, node_id__in=node_ids)
        keys = {rule.target_key for rule in self.own if rule.target_key}
        if self.everywhere and keys:
            places |= Q(suggestion__target_key__in=keys)
        return Decision.objects.filter(places, suggestion__isnull=False)

    def judged(self, decisions: QuerySet[Decision]) -> Iterator[BackTestFinding | None]:
        """A finding for each decision that would have been another, None for the others."""
        rows: Any = decisions.order_by("pk").values_list(
            "pk", "decision", "correction", "session__workflow__workflow_id", "node_id", "suggestion__action_type",
            "suggestion__target_key", "suggestion__action", "suggestion__unchanged_action",
        )  # fmt: skip
        for pk, kind, correction, workflow_id, node_id, action_type, key, action, unchanged in rows.iterator(BATCH):
            situation = Situation(
                workflow_id=workflow_id, node_id=node_id, action_type=action_type, target_key=key
            )  # fmt: skip
            found = self._judge(kind, situation, action if unchanged is None else unchanged, action, correction)
            if found:
                verdict, rule, now = found
                yield BackTestFinding(decision_id=pk, verdict=verdict, item_number=rule.key[1], now=now)
            else:
                yield None

    def _judge(
        self, kind: str, situation: Situation, original: Any, proposed: Any, done: Any
    ) -> tuple[Verdict, Rule, dict[str, Any]] | None:
        before = apply_rules(original, situation, self.others)
        after = apply_rules(original, situation, [*self.others, *self.own])
        used = [rule for rule in after.used if rule in self.own]
        if not used or canonical(before.action) == canonical(after.action):
            return None
        verdict = judge(kind, proposed=proposed, now=after.action, done=done)
        return None if verdict == Verdict.SAME else (verdict, used[0], after.action)
