from __future__ import annotations

from django.contrib.auth.management import create_permissions
from django.db import migrations

ROLES = {
    "viewer": [
        "view_workflow",
        "view_step",
        "view_stepversion",
        "view_variable",
        "view_recording",
        "view_session",
        "view_suggestion",
        "view_decision",
        "view_sessionevent",
    ],
    "coach": ["decide_session"],
    "reviewer": [],
    "owner": ["add_workflow", "change_workflow", "delete_workflow", "promote_workflow", "delete_session"],
}


def make_roles(apps, schema_editor):
    # Permissions are otherwise made after all migrations, and groups could not be given them here.
    config = apps.get_app_config("coaching")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0, using=schema_editor.connection.alias)
    config.models_module = None
    group_model = apps.get_model("auth", "Group")
    permission_model = apps.get_model("auth", "Permission")
    granted = []
    for role, codenames in ROLES.items():
        granted += codenames
        group, _ = group_model.objects.get_or_create(name=role)
        group.permissions.add(
            *permission_model.objects.filter(content_type__app_label="coaching", codename__in=granted)
        )


class Migration(migrations.Migration):
    dependencies = [("coaching", "0001_initial"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
