from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from coaching.actions.reencryption import reencrypt_secrets


class Command(BaseCommand):
    help = (
        "Encrypts all stored secrets anew under SECRET_KEY; those under a key of SECRET_KEY_FALLBACKS are read. "
        "Afterwards the old key is needed no more."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        done = reencrypt_secrets()
        self.stdout.write(f"{done.anew} encrypted anew, {done.current} already were under the present key.")
        if done.unreadable:
            named = ", ".join(done.unreadable[:20]) + (" …" if len(done.unreadable) > 20 else "")
            raise CommandError(f"{len(done.unreadable)} cannot be read with any configured key: {named}.")
