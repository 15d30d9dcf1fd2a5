from __future__ import annotations

from datetime import UTC

from django.db import migrations, models
from django.db.models import Count, F
from django.db.models.functions import TruncDate

UNANSWERED = models.PositiveBigIntegerField(
    default=0, help_text="Rejected or skipped by the policy, because nobody answered in time."
)


def count_unanswered(apps, schema_editor):
    """Of the sessions that are kept: what deleted ones had is not known any more, and nobody asks for it."""
    decisions = apps.get_model("coaching", "Decision").objects.filter(unattended=True).exclude(decision="accept")
    groups = decisions.order_by().values(
        workflow=F("session__workflow_id"), date=TruncDate("timestamp", tzinfo=UTC)
    )  # fmt: skip
    for group in groups.annotate(count=Count("pk")):
        for model, keys in (("WorkflowLearningMetrics", {}), ("DailyTally", {"date": group["date"]})):
            row, _ = apps.get_model("metrics", model).objects.get_or_create(
                workflow_id=group["workflow"], source="live", **keys
            )
            row.unanswered += group["count"]
            row.save(update_fields=["unanswered"])


class Migration(migrations.Migration):
    dependencies = [("metrics", "0002_roles_see_metrics"), ("coaching", "0011_audit_only_grows")]

    operations = [
        migrations.AddField("dailytally", "unanswered", UNANSWERED),
        migrations.AddField("workflowlearningmetrics", "unanswered", UNANSWERED),
        migrations.RunPython(count_unanswered, migrations.RunPython.noop),
    ]
