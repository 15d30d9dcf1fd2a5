"""What is to happen once a transaction is committed, and must not undo or deny it."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from typing import Any, ParamSpec

from django.db import transaction

logger = logging.getLogger(__name__)

P = ParamSpec("P")


def after_commit(function: Callable[P, Any], *arguments: P.args, **named: P.kwargs) -> None:
    """Calls the function after the commit. Whatever it raises is logged, and no more: the commit stands.

    In the context of the call: whoever commits may do so for several requests, and what is logged is about one of them.
    """
    context = contextvars.copy_context()

    def call() -> None:
        try:
            function(*arguments, **named)
        except Exception:
            name = getattr(function, "__qualname__", repr(function))
            logger.exception("%s failed after the commit, which stands.", name)

    transaction.on_commit(lambda: context.run(call), robust=True)
