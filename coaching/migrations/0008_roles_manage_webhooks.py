from __future__ import annotations

from django.contrib.auth.management import create_permissions
from django.db import migrations


def give_permission(apps, schema_editor):
    config = apps.get_app_config("coaching")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0, using=schema_editor.connection.alias)
    config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects
    manage = permissions.get(content_type__app_label="coaching", codename="manage_webhook")
    for group in apps.get_model("auth", "Group").objects.filter(name="owner"):
        group.permissions.add(manage)


class Migration(migrations.Migration):
    dependencies = [("coaching", "0007_outside_programs")]

    operations = [migrations.RunPython(give_permission, migrations.RunPython.noop)]
