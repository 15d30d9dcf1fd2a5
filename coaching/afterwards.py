"""What is to happen once a transaction is committed, and must not undo or deny it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from django.db import transaction

P = ParamSpec("P")


def after_commit(function: Callable[P, Any], *arguments: P.args, **named: P.kwargs) -> None:
    """Calls the function after the commit. Whatever it raises is logged, and no more: the commit stands.

    Not by a `partial`: Django names the function that failed when it logs it, and a partial has no name. So the failure
    became an error of the request, though all of it was committed.
    """

    @wraps(function)
    def call() -> None:
        function(*arguments, **named)

    transaction.on_commit(call, robust=True)
