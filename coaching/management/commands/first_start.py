from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    help = "Creates the account “owner” and the demo workflow where they are missing. Safe to run at every start."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--site-url", required=True, help="where this site answers, e.g. http://127.0.0.1:8000")

    def handle(self, *args: Any, site_url: str, **options: Any) -> None:
        if not User.objects.filter(username="owner").exists():
            self._create_owner()
        if settings.COACHSITE_DEMO:
            from coaching.demo.workflow import load_demo  # noqa: PLC0415 - the app is only there with the demo on

            load_demo(site_url.rstrip("/"))

    def _create_owner(self) -> None:
        password = settings.COACHSITE_OWNER_PASSWORD or secrets.token_urlsafe(12)
        owner = User.objects.create_superuser("owner", password=password)
        owner.groups.add(Group.objects.get(name="owner"))
        if not settings.COACHSITE_OWNER_PASSWORD:
            self.stdout.write(f"\n  Sign in as  owner  with the password  {password}  (shown only this once)\n")
