from __future__ import annotations

from importlib import import_module

from django.contrib.auth.management import create_permissions
from django.db import migrations

ROLES = import_module("coaching.migrations.0002_roles").ROLES


def let_every_role_look(apps, schema_editor):
    config = apps.get_app_config("metrics")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0, using=schema_editor.connection.alias)
    config.models_module = None
    look = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="metrics", codename__startswith="view_"
    )
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(*look)


class Migration(migrations.Migration):
    dependencies = [("metrics", "0001_initial"), ("coaching", "0004_roles_see_levels")]

    operations = [migrations.RunPython(let_every_role_look, migrations.RunPython.noop)]
