"""What becomes of a session when the program leaves it."""

from __future__ import annotations

import logging

from ._calls import Calls
from ._decision import error_text
from ._wire import Steps
from .errors import IllegalTransition

logger = logging.getLogger("coachsite_client")


def leave(calls: Calls, session_id: str, error: BaseException | None, *, named: bool) -> Steps[None]:
    """Completes it, or after an error leaves it open if it has a name to be found by, and else marks it failed."""
    if error is not None and named:
        logger.warning(
            "session %s stays open (%s): run the program again with the same execution_id to go on",
            session_id,
            error_text(error),
        )
        return
    try:
        if error is None:
            yield from calls.move(session_id, "complete", {"success": True})
        else:
            yield from calls.fail(session_id, f"{type(error).__name__}: {error}")
    except IllegalTransition:
        # It has ended already: by somebody else, or by an earlier run of a program that is started again.
        logger.info("session %s had ended before", session_id)
