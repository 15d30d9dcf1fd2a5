from __future__ import annotations

from django.contrib.auth.management import create_permissions
from django.db import migrations

SQLITE = [
    """CREATE TRIGGER coaching_auditentry_update BEFORE UPDATE ON coaching_auditentry
       BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END""",
    """CREATE TRIGGER coaching_auditentry_delete BEFORE DELETE ON coaching_auditentry
       BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END""",
    # INSERT OR REPLACE deletes a row without telling the trigger of deletions.
    """CREATE TRIGGER coaching_auditentry_replace BEFORE INSERT ON coaching_auditentry
       WHEN EXISTS (SELECT 1 FROM coaching_auditentry WHERE id = NEW.id)
       BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END""",
]
POSTGRESQL = [
    """CREATE FUNCTION coaching_auditentry_refuse() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'the audit log is only ever added to'; END $$""",
    """CREATE TRIGGER coaching_auditentry_update BEFORE UPDATE OR DELETE ON coaching_auditentry
       FOR EACH ROW EXECUTE FUNCTION coaching_auditentry_refuse()""",
    """CREATE TRIGGER coaching_auditentry_truncate BEFORE TRUNCATE ON coaching_auditentry
       FOR EACH STATEMENT EXECUTE FUNCTION coaching_auditentry_refuse()""",
]
UNDO_SQLITE = [
    "DROP TRIGGER IF EXISTS coaching_auditentry_update",
    "DROP TRIGGER IF EXISTS coaching_auditentry_delete",
    "DROP TRIGGER IF EXISTS coaching_auditentry_replace",
]
UNDO_POSTGRESQL = [
    "DROP TRIGGER IF EXISTS coaching_auditentry_update ON coaching_auditentry",
    "DROP TRIGGER IF EXISTS coaching_auditentry_truncate ON coaching_auditentry",
    "DROP FUNCTION IF EXISTS coaching_auditentry_refuse()",
]


def _run(schema_editor, sqlite, postgresql):
    for statement in {"sqlite": sqlite, "postgresql": postgresql}[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def make_triggers(_apps, schema_editor):
    _run(schema_editor, SQLITE, POSTGRESQL)


def drop_triggers(_apps, schema_editor):
    _run(schema_editor, UNDO_SQLITE, UNDO_POSTGRESQL)


def give_permission(apps, schema_editor):
    config = apps.get_app_config("coaching")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0, using=schema_editor.connection.alias)
    config.models_module = None
    see = apps.get_model("auth", "Permission").objects.get(content_type__app_label="coaching", codename="see_audit")
    for group in apps.get_model("auth", "Group").objects.filter(name="owner"):
        group.permissions.add(see)


class Migration(migrations.Migration):
    dependencies = [("coaching", "0010_audit")]

    operations = [
        migrations.RunPython(make_triggers, drop_triggers),
        migrations.RunPython(give_permission, migrations.RunPython.noop),
    ]
