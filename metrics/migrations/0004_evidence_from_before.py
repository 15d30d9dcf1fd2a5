"""Decisions from before there was autonomy (coaching 0003) become evidence about their steps, in the order in which they came.

They had neither step nor number among its facts, so a step that had been coached a hundred times seemed never to have
been. Steps about which more has become known since keep the evidence that they have: their earlier decisions only learn
which step they were about. `metrics.recount` counts what has become evidence here.
"""

from __future__ import annotations

from collections import defaultdict

from django.db import migrations
from django.db.models import F

BATCH = 2000
#: As a decision is counted when it is made, in milliseconds.
LONGEST_THOUGHT_MS = 5 * 60 * 1000


class _Old:
    """A step from before, with its versions, and the facts about it so far."""

    def __init__(self, step, versions):
        self.pk = step.pk
        self.versions = versions
        self.has_facts = step.last_fact > 0
        self.facts = 0
        self.unnumbered = list(versions)

    def add(self, decision, version):
        """A version is a fact from the first decision about it on: what came between cannot be known any more."""
        decision.step_id, decision.step_version_id = self.pk, version.pk
        if self.has_facts:
            return
        while self.unnumbered and self.unnumbered[0].number <= version.number:
            self.number_a_version()
        self.facts += 1
        decision.fact = self.facts
        if decision.execution_success is not None:
            self.facts += 1
            decision.outcome_fact = self.facts

    def number_a_version(self):
        self.facts += 1
        self.unnumbered.pop(0).fact = self.facts

    def version_at(self, moment):
        return next((each for each in reversed(self.versions) if each.created_at <= moment), self.versions[0])


def _old_steps(apps):
    steps = apps.get_model("coaching", "Step").objects
    versions = defaultdict(list)
    # Since coaching 0003 the first version is the first fact about a step.
    found = steps.filter(versions__number=1, versions__fact=0)
    for version in apps.get_model("coaching", "StepVersion").objects.filter(step__in=found).order_by("step", "number"):
        versions[version.step_id].append(version)
    return {(step.workflow_id, step.node_id): _Old(step, versions[step.pk]) for step in found.order_by("pk")}


def make_evidence(apps, schema_editor):
    by_name = _old_steps(apps)
    if not by_name:
        return
    by_version = {version.pk: (old, version) for old in by_name.values() for version in old.versions}
    thought = defaultdict(int)
    decisions = apps.get_model("coaching", "Decision").objects
    nameless = decisions.filter(step=None, fact=None).select_related("suggestion", "session")
    after = 0
    while batch := list(nameless.filter(pk__gt=after).order_by("pk")[:BATCH]):
        after = batch[-1].pk
        changed = [decision for decision in batch if _place(decision, by_name, by_version)]
        for decision in changed:
            thought[decision.session_id] += min(decision.latency_ms or 0, LONGEST_THOUGHT_MS)
        decisions.bulk_update(changed, ["step", "step_version", "fact", "outcome_fact"], batch_size=100)
    _keep(apps, [old for old in by_name.values() if not old.has_facts], thought)


def _place(decision, by_name, by_version):
    asked = decision.suggestion.step_version_id if decision.suggestion else None
    old, version = by_version.get(asked, (None, None))
    if asked is None and (old := by_name.get((decision.session.workflow_id, decision.node_id))):
        version = old.version_at(decision.timestamp)
    if old:
        old.add(decision, version)
    return old is not None


def _keep(apps, steps, thought):
    versions = []
    for old in steps:
        while old.unnumbered:
            old.number_a_version()
        versions += old.versions
        apps.get_model("coaching", "Step").objects.filter(pk=old.pk).update(last_fact=old.facts)
    apps.get_model("coaching", "StepVersion").objects.bulk_update(versions, ["fact"], batch_size=500)
    for session_pk, ms in thought.items():
        if ms:
            apps.get_model("coaching", "Session").objects.filter(pk=session_pk).update(
                coaching_ms=F("coaching_ms") + ms
            )


class Migration(migrations.Migration):
    dependencies = [("metrics", "0003_unanswered"), ("coaching", "0012_what_lists_and_sweep_look_for")]

    operations = [migrations.RunPython(make_evidence, migrations.RunPython.noop)]
