"""What a coach put in place of a suggested action: checked, and free of secrets before it is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..exceptions import InvalidInput
from ..models import Session, Suggestion
from ..recordings import RecordingError, describe, mask, names_in, unmask, validate_step
from ..secrets import decrypt, encrypt

#: A shorter value occurs in other texts by chance, so it is only recognised in the place where it was asked for.
SHORTEST_RECOGNISED_SECRET = 4


def describe_correction(suggestion: Suggestion, correction: Mapping[str, Any] | None) -> str:
    """What was decided on, in words: the corrected action, else the suggested one."""
    if correction is None or not suggestion.session.workflow.is_browser:
        return suggestion.description
    return describe(masked_action(dict(correction), suggestion.session))


def masked_action(action: Any, session: Session) -> Any:
    """`action` as it may be shown: secrets as `***`."""
    return mask(action, secret_names(session))


def secret_names(session: Session) -> frozenset[str]:
    """The names of the session's secret variables. Their values stay encrypted."""
    return frozenset(name for name, value in session.variables.items() if value == "***")


def keep_correction(suggestion: Suggestion, given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """`given` as it may be stored. Raises `InvalidInput` when it is not an action that could be performed.

    `***` where the suggestion has a secret means that secret; another text there becomes the secret's new value for
    this session, encrypted. Must run inside the deciding transaction.
    """
    if given is None:
        return None
    session = suggestion.session
    if not session.workflow.is_browser:
        return dict(given)
    secrets = decrypt(session.encrypted_secrets)
    correction = unmask(dict(given), suggestion.action, frozenset(secrets))
    fresh: dict[str, str] = {}
    correction = _hide_secrets(correction, suggestion.action, secrets, fresh)
    try:
        correction = validate_step(correction)
    except RecordingError as error:
        raise InvalidInput(f"This correction is not a valid action: {error}", field="correction") from None
    if unknown := sorted(names_in(correction) - set(session.variables) - set(fresh)):
        raise InvalidInput(f"There is no variable “{unknown[0]}” in this session.", field="correction")
    if fresh:
        session.encrypted_secrets = encrypt(secrets | fresh)
        session.variables = session.variables | dict.fromkeys(fresh, "***")
        Session.objects.filter(pk=session.pk).update(
            encrypted_secrets=session.encrypted_secrets, variables=session.variables
        )
    return correction


def _hide_secrets(given: Any, stored: Any, secrets: Mapping[str, str], fresh: dict[str, str]) -> Any:
    """`given` with every secret replaced by its placeholder; values typed in place of a secret go to `fresh`."""
    if isinstance(given, dict):
        return {
            key: _hide_secrets(value, stored.get(key) if isinstance(stored, dict) else None, secrets, fresh)
            for key, value in given.items()
        }
    if isinstance(given, list):
        pairs = enumerate(given)
        return [
            _hide_secrets(value, stored[i] if isinstance(stored, list) and i < len(stored) else None, secrets, fresh)
            for i, value in pairs
        ]
    if not isinstance(given, str):
        return given
    secret_there = sorted(names_in(stored) & set(secrets)) if isinstance(stored, str) else []
    if secret_there and given and not names_in(given) & set(secrets):
        name = f"{secret_there[0]}_{_next_number(secret_there[0], secrets)}"
        fresh[name] = given
        return f"{{{{ {name} }}}}"
    for name, value in secrets.items():
        if len(value) >= SHORTEST_RECOGNISED_SECRET:
            given = given.replace(value, f"{{{{ {name} }}}}")
    return given


def _next_number(name: str, taken: Mapping[str, str]) -> int:
    numbers = [int(found[1]) for other in taken if (found := re.fullmatch(rf"{re.escape(name)}_(\d+)", other))]
    return max(numbers, default=1) + 1
