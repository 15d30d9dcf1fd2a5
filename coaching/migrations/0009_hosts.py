from __future__ import annotations

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("coaching", "0008_roles_manage_webhooks")]

    operations = [
        migrations.CreateModel(
            name="Host",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="Its COACHSITE_HOST.", max_length=200, unique=True)),
                (
                    "seen_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="When a worker of it gave its last sign of life.",
                    ),
                ),
                (
                    "key_print",
                    models.CharField(
                        help_text="By which hosts find out whether their SECRET_KEY is one.", max_length=64
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="session",
            name="host",
            field=models.CharField(
                blank=True,
                help_text="The host that has its browser; empty where there is one host only.",
                max_length=200,
            ),
        ),
    ]
