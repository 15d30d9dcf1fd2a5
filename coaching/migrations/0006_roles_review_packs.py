from __future__ import annotations

from importlib import import_module

from django.contrib.auth.management import create_permissions
from django.db import migrations

ROLES = import_module("coaching.migrations.0002_roles").ROLES
REVIEWERS = ("reviewer", "owner")


def give_permissions(apps, schema_editor):
    config = apps.get_app_config("coaching")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0, using=schema_editor.connection.alias)
    config.models_module = None
    ours = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="coaching")
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(*ours.filter(codename__startswith="view_"))
        if group.name in REVIEWERS:
            group.permissions.add(ours.get(codename="review_correctionpack"))


class Migration(migrations.Migration):
    dependencies = [("coaching", "0005_correction_packs")]

    operations = [migrations.RunPython(give_permissions, migrations.RunPython.noop)]
