"""What a coach put in place of a suggested action: checked, and free of secrets before it is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..exceptions import InvalidInput
from ..models import Session, Suggestion
from ..recordings import RecordingError, Redactor, check_json, describe, names_in, types_a_secret, unmask, validate_step
from ..secrets import decrypt, encrypt
from .naming import free_name
from .secrecy import masked_action

SCRIPT = "In a session with secrets an expression stays as the recording has it: an owner may change the step."


def describe_correction(suggestion: Suggestion, correction: Mapping[str, Any] | None) -> str:
    """What was decided on, in words: the corrected action, else the suggested one."""
    if correction is None or not suggestion.session.workflow.is_browser:
        return suggestion.description
    return describe(masked_action(dict(correction), suggestion.session))


def keep_correction(suggestion: Suggestion, given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """`given` as it may be stored. Raises `InvalidInput` when it is not an action that could be performed.

    `***` where the suggestion has a secret means that secret; another text there becomes the secret's new value for
    this session, encrypted. Must run inside the deciding transaction.
    """
    if given is None:
        return None
    session = suggestion.session
    if not session.workflow.is_browser:
        try:
            check_json(given, "The correction")
        except RecordingError as error:
            raise InvalidInput(str(error), field="correction") from None
        return dict(given)
    # Another worker may have made a variable secret since the suggestion was read.
    session.refresh_from_db(fields=["encrypted_secrets", "variables"])
    secrets = decrypt(session.encrypted_secrets)
    fresh: dict[str, str] = {}
    correction = unmask(dict(given), suggestion.action, frozenset(secrets))
    correction = Redactor.of(secrets).value(_take_new_secrets(correction, suggestion.action, secrets, fresh))
    try:
        correction = validate_step(correction)
    except RecordingError as error:
        raise InvalidInput(f"This correction is not a valid action: {error}", field="correction") from None
    if types_a_secret(correction) and correction.get("value") and not names_in(correction["value"]):
        correction["value"] = _new_secret("typed_secret", correction["value"], secrets, fresh)
    _check_what_it_names(correction, suggestion, secrets=secrets, fresh=fresh)
    if fresh:
        session.encrypted_secrets = encrypt(secrets | fresh)
        session.variables = session.variables | dict.fromkeys(fresh, "***")
        Session.objects.filter(pk=session.pk).update(
            encrypted_secrets=session.encrypted_secrets, variables=session.variables
        )
    return correction


def _check_what_it_names(
    correction: Mapping[str, Any], suggestion: Suggestion, *, secrets: Collection[str], fresh: Collection[str]
) -> None:
    """Its secrets stay where they were, the `fresh` ones where they are typed; and every variable is one there is."""
    if _moves_a_secret(correction, suggestion.action, {*secrets, *fresh}, fresh=fresh):
        raise InvalidInput(
            "A secret can only be typed by a step that types it already, or stay where the recording has it.",
            field="correction",
        )
    if (secrets or fresh) and _brings_a_script(correction, suggestion.action):
        raise InvalidInput(SCRIPT, field="correction")
    if unknown := sorted(names_in(correction) - set(suggestion.session.variables) - set(fresh)):
        raise InvalidInput(f"There is no variable “{unknown[0]}” in this session.", field="correction")


def why_not_to_perform(
    changed: Mapping[str, Any], original: Mapping[str, Any], *, variables: Collection[str], secrets: Collection[str]
) -> str:
    """What is wrong with a browser action that a pack has changed, in words; empty when it could be performed.

    Packs are edited, and come from other sites: what they make of an action is held to the rules for a coach.
    """
    try:
        valid = validate_step(dict(changed))
    except RecordingError as error:
        return f"it is not a valid action: {error}"
    if _moves_a_secret(valid, original, secrets):
        return "it would move a secret to where the recording has none."
    if secrets and _brings_a_script(valid, original):
        return SCRIPT
    if unknown := sorted(names_in(valid) - set(variables)):
        return f"there is no variable “{unknown[0]}” in this session."
    return ""


def _moves_a_secret(
    correction: Mapping[str, Any],
    suggested: Mapping[str, Any],
    secrets: Collection[str],
    *,
    fresh: Collection[str] = (),
) -> bool:
    """Whether a secret would go where it was not: into an address or a script it could be sent anywhere, and a field
    that was not for it may show or store it. Those that came with the correction (`fresh`) may be typed anywhere.
    """
    typed = {*fresh, *(names_in(suggested.get("value")) if suggested.get("type") == "change" else ())}
    for key, value in correction.items():
        found = names_in(value) & set(secrets)
        # Looked for on the page, it stays where it is; and so it does in the step that types it.
        stays = key == "selectors" or (key == "value" and correction["type"] == "change" and found <= typed)
        if found and not stays and value != suggested.get(key):
            return True
    return False


def _brings_a_script(correction: Mapping[str, Any], suggested: Mapping[str, Any]) -> bool:
    """Whether it runs a script of its own in the page, which could read a secret there and say it in other words."""
    return correction.get("expression") not in {None, suggested.get("expression")}


def _take_new_secrets(given: Any, stored: Any, secrets: Mapping[str, str], fresh: dict[str, str]) -> Any:
    """`given` with what was typed in place of a secret moved to `fresh`, a placeholder left there."""
    if isinstance(given, dict):
        other = stored if isinstance(stored, dict) else {}
        return {key: _take_new_secrets(value, other.get(key), secrets, fresh) for key, value in given.items()}
    if isinstance(given, list):
        others = [*(stored if isinstance(stored, list) else ()), *([None] * len(given))][: len(given)]
        return [_take_new_secrets(value, other, secrets, fresh) for value, other in zip(given, others, strict=True)]
    if not isinstance(given, str) or not given or not isinstance(stored, str):
        return given
    there = sorted(names_in(stored) & set(secrets))
    if there and not names_in(given) & set(secrets):
        return _new_secret(there[0], given, secrets, fresh)
    return given


def _new_secret(base: str, value: str, secrets: Mapping[str, str], fresh: dict[str, str]) -> str:
    name = free_name(base, {*secrets, *fresh})
    fresh[name] = value
    return f"{{{{ {name} }}}}"
