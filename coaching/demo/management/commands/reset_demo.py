from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from coaching.demo.models import Claim


class Command(BaseCommand):
    help = "Deletes every claim of the demo application; nothing of coachsite itself is touched."

    def handle(self, *_args: Any, **_options: Any) -> None:
        deleted, _ = Claim.objects.all().delete()
        self.stdout.write(f"{deleted} demo {'claim' if deleted == 1 else 'claims'} deleted.")
