"""The peer: `POST decisions/` as the tutorials of Django and DRF write it.

The rows that coachsite keeps of a decision are kept here too, in its tables (the benchmark counts them): the session's
counters and number, the step's, the event, the tallies, the decision. Of what coachsite does besides, webhooks, secrets
and whether the step has become ready, the peer does nothing.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from rest_framework import generics, serializers

from coaching.models import Decision, Session, SessionEvent, Step
from metrics.models import DailyTally, Source, StepTally, WorkflowLearningMetrics


class DecisionSerializer(serializers.ModelSerializer[Decision]):
    class Meta:
        model = Decision
        fields = (
            "step_index", "node_id", "action_type", "decision", "correction", "feedback", "reason_code", "timestamp",
            "execution_success", "decided_by", "latency_ms",
        )  # fmt: skip
        read_only_fields = ("decided_by", "latency_ms")


class Decisions(generics.CreateAPIView[Decision]):
    serializer_class = DecisionSerializer
    queryset = Decision.objects.all()

    @transaction.atomic
    def perform_create(self, serializer: serializers.BaseSerializer[Decision]) -> None:
        given: dict[str, Any] = serializer.validated_data
        counter = Decision.Kind(given["decision"]).counter
        active = Session.objects.select_for_update().select_related("workflow").filter(status=Session.Status.ACTIVE)
        session = get_object_or_404(active, session_id=self.kwargs["session_id"])
        session.last_seq += 1
        session.current_step_index = max(session.current_step_index, given["step_index"] + 1)
        session.updated_at = timezone.now()
        setattr(session, counter, getattr(session, counter) + 1)
        session.save()
        steps = Step.objects.select_for_update().select_related("current")
        step = steps.get(workflow=session.workflow, node_id=given["node_id"], step_index__isnull=False)
        step.last_fact += 2
        step.save()
        SessionEvent.objects.create(
            session=session, seq=session.last_seq, type="decision.recorded", data=self._told(given)
        )
        serializer.save(
            session=session, step=step, step_version=step.current, fact=step.last_fact - 1,
            outcome_fact=step.last_fact, user=self.request.user, decided_by=self.request.user.get_username(),
        )  # fmt: skip
        self._tally(session, step, "manual" if counter == "manual_executions" else counter)

    def _told(self, given: dict[str, Any]) -> dict[str, Any]:
        return {
            "n": None, "step_index": given["step_index"], "node_id": given["node_id"], "decision": given["decision"],
            "decided_by": self.request.user.get_username(),
            "description": f"{given['action_type']} {given['node_id']}", "latency_ms": None,
        }  # fmt: skip

    @staticmethod
    def _tally(session: Session, step: Step, counter: str) -> None:
        tally, _ = StepTally.objects.select_for_update().get_or_create(step=step)
        setattr(tally, counter, getattr(tally, counter) + 1)
        if counter == "accepted":
            tally.epoch_accepted += 1
        elif counter in {"rejected", "corrected"}:
            tally.epoch_refused += 1
        tally.save()
        here: dict[str, Any] = {"workflow": session.workflow, "source": Source.LIVE}
        whole, _ = WorkflowLearningMetrics.objects.get_or_create(**here)
        WorkflowLearningMetrics.objects.filter(pk=whole.pk).update(**{counter: F(counter) + 1})
        day, _ = DailyTally.objects.get_or_create(**here, date=timezone.now().date())
        DailyTally.objects.filter(pk=day.pk).update(**{counter: F(counter) + 1})


urlpatterns = [path("api/v1/sessions/<slug:session_id>/decisions/", Decisions.as_view())]
