from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from coaching.actions.tokens import issue_token
from coaching.exceptions import InvalidInput
from coaching.roles import VIEW

DEFAULT_DAYS = 365


class Command(BaseCommand):
    help = "Prints a new API token of a user, once: only its hash is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="user name; the token may do what this user may")
        parser.add_argument(
            "--days", type=int, default=DEFAULT_DAYS, help="days until it expires (default: %(default)s)"
        )

    def handle(self, *args: Any, user: str, days: int, **options: Any) -> None:
        person = User.objects.filter(username=user).first()
        if person is None:
            raise CommandError(f"There is no user “{user}”.")
        try:
            stored, token = issue_token(person, days=days)
        except InvalidInput as error:
            raise CommandError(f"--days: {error}" if error.field else str(error)) from None
        # The token alone on standard output, so that a script can take it from there.
        self.stdout.write(token)
        self.stderr.write(f"Expires on {stored.expiry:%Y-%m-%d}. It is not shown again.")
        if not person.has_perm(VIEW):
            self.stderr.write(f"“{user}” has no role yet: until an owner gives one, every call is refused.")
