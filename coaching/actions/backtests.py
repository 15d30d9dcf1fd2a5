"""Replaying a version of a pack over the decisions of the past, without a browser."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from .. import signals
from ..afterwards import after_commit
from ..exceptions import IllegalTransition
from ..models import BackTest, BackTestFinding, Decision, PackVersion, Suggestion, Workflow
from ..packs import Applied, Rule, Situation, Verdict, apply_rules, judge
from ..packs.changes import canonical
from .corrections import why_not_to_perform
from .naming import name_of
from .pack_items import digest_of
from .pack_use import published_rules, rules_of, version_entries

logger = logging.getLogger(__name__)

Status = BackTest.Status
BATCH = 1000
CHANGED = "The corrections were changed before they could be replayed: start it again."
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
    after_commit(signals.backtest_needs_worker.send, sender=BackTest, backtest_pk=backtest_pk)


def restart_lost_backtests() -> int:
    """Asks again for those whose worker died; returns how many."""
    stale = BackTest.objects.filter(status=Status.RUNNING, progress_at__lt=timezone.now() - STALE_AFTER)
    lost = list(stale.values_list("pk", flat=True))
    for pk in lost:
        BackTest.objects.filter(pk=pk).update(progress_at=timezone.now())
        _ask_for_a_worker(pk)
    return len(lost)


def run_backtest(backtest_pk: int) -> None:
    """Replays, keeping the progress. Run again, it starts from nothing; a run that goes on elsewhere stops."""
    backtest = BackTest.objects.select_related("version__pack").filter(pk=backtest_pk, status=Status.RUNNING).first()
    if backtest is None:
        return
    replay = _Replay(backtest.version)
    if digest_of(backtest.version) != backtest.digest:
        fail_backtest(backtest_pk, CHANGED)
        return
    try:
        _replay(backtest, replay)
    except _TakenOver:
        logger.info("Back-test %s is run, or was ended, by another worker.", backtest_pk)


def _replay(backtest: BackTest, replay: _Replay) -> None:
    counts: Counter[str] = Counter()
    done = 0
    with transaction.atomic():
        _keep(backtest, total=replay.decisions().count(), done=0)
        backtest.findings.all().delete()
    for batch in replay.batches():
        findings = [finding for row in batch if (finding := replay.judged(row))]
        counts.update(finding.verdict for finding in findings)
        for finding in findings:
            finding.backtest = backtest
        done += len(batch)
        with transaction.atomic():
            _keep(backtest, done=done)
            BackTestFinding.objects.bulk_create(findings)
    results = {verdict.value: counts[verdict] for verdict in (Verdict.SAVED, Verdict.BROKEN, Verdict.ALTERED)}
    _keep(backtest, done=done, total=done, status=Status.DONE, finished_at=timezone.now(), **results)


def fail_backtest(backtest_pk: int, error: str) -> None:
    BackTest.objects.filter(pk=backtest_pk, status=Status.RUNNING).update(
        status=Status.FAILED, error=error, finished_at=timezone.now()
    )


class _TakenOver(Exception):
    """Another worker has begun the same back-test anew, or it was ended."""


def _keep(backtest: BackTest, **values: Any) -> None:
    """Writes down how far it is. Raises `_TakenOver` when somebody else has done so since this run last did."""
    mine = BackTest.objects.filter(pk=backtest.pk, status=Status.RUNNING, progress_at=backtest.progress_at)
    # Never the same moment twice: the moment of the last progress tells one run from another.
    now = max(timezone.now(), backtest.progress_at + timedelta(microseconds=1))
    if not mine.update(progress_at=now, **values):
        raise _TakenOver
    backtest.progress_at = now


class _Rules:
    """Rules by where they may apply: a decision has to do with few of them."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._by_step: defaultdict[tuple[str, str], list[Rule]] = defaultdict(list)
        self._by_target: defaultdict[str, list[Rule]] = defaultdict(list)
        for rule in rules:
            self._by_step[rule.workflow_id, rule.node_id].append(rule)
            if rule.anywhere and rule.target_key:
                self._by_target[rule.target_key].append(rule)

    def near(self, situation: Situation) -> list[Rule]:
        own = self._by_step.get((situation.workflow_id, situation.node_id), [])
        served = self._by_target.get(situation.target_key, []) if situation.target_key else []
        return own + [rule for rule in served if not rule.is_for(situation)]


class _Replay:
    """A version's rules, beside those of all other published packs, as they would be if it were published.

    Compared with what would be proposed without this pack, and with the version of it that is applied today.
    """

    def __init__(self, version: PackVersion) -> None:
        pack = version.pack
        own = rules_of(version_entries(version))
        today = rules_of(version_entries(pack.active)) if pack.active else []
        self.own, self.today, self.others = _Rules(own), _Rules(today), _Rules(published_rules(without=pack))
        self.touching = [*own, *today]

    def decisions(self) -> QuerySet[Decision]:
        """The decisions that it could have made another: on its steps, and on its targets where they are meant."""
        node_ids: defaultdict[str, set[str]] = defaultdict(set)
        for rule in self.touching:
            node_ids[rule.workflow_id].add(rule.node_id)
        places = Q(pk__in=[])
        for workflow_id, names in node_ids.items():
            places |= Q(session__workflow__workflow_id=workflow_id, node_id__in=names)
        if keys := {rule.target_key for rule in self.touching if rule.anywhere and rule.target_key}:
            places |= Q(suggestion__target_key__in=keys)
        return Decision.objects.filter(places, suggestion__status=Suggestion.Status.DECIDED)

    def batches(self) -> Iterator[list[_Row]]:
        """The decisions as rows. Each batch is a query of its own: with one read all along, SQLite would refuse to
        write down the progress as soon as anybody else has written.
        """
        rows: Any = self.decisions().order_by("pk").values_list(
            "pk", "decision", "correction", "session__workflow__workflow_id", "node_id", "suggestion__action_type",
            "suggestion__target_key", "suggestion__action", "suggestion__unchanged_action", "session__variables",
            "session__workflow__executor",
        )  # fmt: skip
        last = 0
        while batch := [_Row(*row) for row in rows.filter(pk__gt=last)[:BATCH]]:
            yield batch
            last = batch[-1].pk

    def judged(self, row: _Row) -> BackTestFinding | None:
        """A finding for a decision that would have been another; None where this pack has no part in it."""
        situation = row.situation
        others, own, today = (rules.near(situation) for rules in (self.others, self.own, self.today))
        if not own and not today:
            return None
        after = row.proposed_by([*others, *own])
        now = row.proposed_by([*others, *today])
        without = row.proposed_by(others) if today else now
        proposed = canonical(after.action)
        if proposed == canonical(now.action) == canonical(without.action):
            return None
        verdict = judge(row.kind, proposed=row.action, now=after.action, done=row.correction)
        if verdict == Verdict.SAME:
            return None
        number = _responsible(own, after) or _responsible(today, now)
        return BackTestFinding(decision_id=row.pk, verdict=verdict, item_number=number, now=after.action)


class _Row(NamedTuple):
    pk: int
    kind: str
    correction: dict[str, Any] | None
    workflow_id: str
    node_id: str
    action_type: str
    target_key: str
    action: dict[str, Any]
    unchanged_action: dict[str, Any] | None
    variables: dict[str, str]
    executor: str

    def proposed_by(self, rules: Iterable[Rule]) -> Applied:
        """What would be proposed: nothing that could not be performed, as whoever proposes sees to."""
        applied = apply_rules(self.original, self.situation, rules)
        if not applied.used or self.executor != Workflow.Executor.BROWSER:
            return applied
        secrets = [name for name, value in self.variables.items() if value == "***"]
        refused = why_not_to_perform(applied.action, self.original, variables=self.variables, secrets=secrets)
        return replace(applied, action=self.original) if refused else applied

    @property
    def original(self) -> dict[str, Any]:
        return self.action if self.unchanged_action is None else self.unchanged_action

    @property
    def situation(self) -> Situation:
        # A pack may have put another kind of action in place of the step's own.
        replaced = self.unchanged_action is not None and self.executor == Workflow.Executor.BROWSER
        own_type = str(self.original.get("type") or "") if replaced else self.action_type
        return Situation(
            workflow_id=self.workflow_id, node_id=self.node_id, action_type=own_type, target_key=self.target_key
        )


def _responsible(rules: Iterable[Rule], applied: Applied) -> int:
    """The number of the first of these rules that has changed the action, or kept another from it; 0 if none has."""
    ours = {rule.key for rule in rules}
    involved = [*applied.used, *(rule for conflict in applied.conflicts for rule in conflict.rules)]
    return next((rule.key[1] for rule in involved if rule.key in ours), 0)
