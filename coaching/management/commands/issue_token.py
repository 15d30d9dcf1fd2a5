from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from knox.models import AuthToken

from coaching.roles import VIEW

DEFAULT_DAYS = 365
MAX_DAYS = 3650


class Command(BaseCommand):
    help = "Prints a new API token of a user, once: only its hash is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="user name; the token may do what this user may")
        parser.add_argument(
            "--days", type=int, default=DEFAULT_DAYS, help="days until it expires (default: %(default)s)"
        )

    def handle(self, *args: Any, user: str, days: int, **options: Any) -> None:
        if not 1 <= days <= MAX_DAYS:
            raise CommandError(f"--days must be from 1 to {MAX_DAYS}.")
        person = User.objects.filter(username=user).first()
        if person is None:
            raise CommandError(f"There is no user “{user}”.")
        if not person.is_active:
            raise CommandError(f"The account of “{user}” is disabled.")
        stored, token = AuthToken.objects.create(person, expiry=timedelta(days=days))
        # The token alone on standard output, so that a script can take it from there.
        self.stdout.write(token)
        self.stderr.write(f"Expires on {stored.expiry:%Y-%m-%d}. It is not shown again.")
        if not person.has_perm(VIEW):
            self.stderr.write(f"“{user}” has no role yet: until an owner gives one, every call is refused.")
