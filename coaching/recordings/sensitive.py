"""Which fields hold secrets, and how their values are kept out of everything that is stored or shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from coaching.recordings.naming import has_phrase
from coaching.recordings.targets import Target, target_of
from coaching.recordings.variables import PLACEHOLDER, placeholder

# Safe as parts of longer words too: nothing harmless contains them.
_STEMS = (
    "password", "passwort", "passwd", "passcode", "passphrase", "kennwort", "contraseña", "contrasena",
    "motdepasse", "wachtwoord", "losenord", "apikey", "api_key", "api-key",
)  # fmt: skip
# Only as whole words: “shipping” holds “pin”, “secretary” holds “secret”.
_PHRASES = (
    "pass word", "pass code", "pass phrase", "pwd", "psw", "pin", "pincode", "pin code", "secret", "secrets", "token",
    "api key", "access key", "private key", "secret key", "client secret", "cvv", "cvc", "csc", "card verification",
    "security code", "verification code", "one time code", "otp", "totp", "tan", "geheimzahl", "geheimnis",
    "sicherheitscode", "mot de passe", "mdp", "code secret", "code pin", "clave", "clave secreta", "codigo secreto",
    "código secreto", "passe",
)  # fmt: skip
# Only in identifiers, where people write `user_pass`; on a page a pass may be a boarding pass.
_IDENTIFIER_PHRASES = (*_PHRASES, "pass", "pw", "passw")
# Strings of a step with a fixed meaning: replacing in them could only break the step.
_FIXED_FIELDS = {"type", "key", "button", "deviceType", "operator"}


def is_secret_field(target: Target) -> bool:
    """Whether what is typed into this element is a secret (password, PIN, token, card code …)."""
    if "password" in target.types:
        return True
    if any(_says_secret(text, _PHRASES) for text in (*target.names, *target.labels)):
        return True
    if any(_says_secret(text, _IDENTIFIER_PHRASES) for text in target.identifiers):
        return True
    if any(_says_secret(text, ()) for text in target.classes):
        return True
    # An element without any name of its own is known by its classes and by what surrounds it.
    unnamed = not target.names and not target.labels and not target.identifiers
    around = (*target.classes, *target.surroundings)
    return unnamed and any(_says_secret(text, _IDENTIFIER_PHRASES) for text in around)


def types_a_secret(action: Mapping[str, Any]) -> bool:
    """Whether the action types into a field for secrets, as far as its selectors tell."""
    return action.get("type") == "change" and is_secret_field(target_of(action))


def is_secret_name(name: str) -> bool:
    """Whether a variable's own name says that it holds a secret."""
    return _says_secret(name, _IDENTIFIER_PHRASES)


def _says_secret(text: str, phrases: Iterable[str]) -> bool:
    lower = text.lower()
    return any(stem in lower for stem in _STEMS) or has_phrase(text, tuple(phrases))


@dataclass(frozen=True, slots=True)
class Redactor:
    """Replaces secret values in texts by the placeholders of their variables, all in one pass.

    A value unlikely to stand anywhere by chance is replaced wherever it stands, also URL-encoded. A short or
    ordinary word (`test`, `1234`) is replaced only as a whole word, and never in selectors: there it is far more
    likely page text, and an element that cannot be found any more helps nobody.
    """

    anywhere: re.Pattern[str] | None
    in_selectors: re.Pattern[str] | None
    placeholders: Mapping[str, str]

    @classmethod
    def of(cls, secrets: Mapping[str, str], *, public: Iterable[str] = ()) -> Redactor:
        """`secrets`: variable name → value; `public`: texts of the page in which a value may stand."""
        forms: dict[str, str] = {}
        distinctive: list[str] = []
        shown = list(public)
        for name, value in secrets.items():
            for form in _forms(value):
                forms.setdefault(form, placeholder(name))
                if _is_distinctive(value) and not any(value in text for text in shown):
                    distinctive.append(form)
        return cls(_pattern(forms), _pattern(distinctive), forms)

    def text(self, text: str, *, selector: bool = False) -> str:
        """`text` with every secret value replaced; placeholders that stand in it stay whole."""
        pattern = self.in_selectors if selector else self.anywhere
        if pattern is None:
            return text
        return pattern.sub(lambda found: self.placeholders.get(found[0], found[0]), text)

    def value(self, value: Any, *, selector: bool = False) -> Any:
        """A deep copy of JSON `value` with every secret replaced in its string values."""
        if isinstance(value, str):
            return self.text(value, selector=selector)
        if isinstance(value, list):
            return [self.value(item, selector=selector) for item in value]
        if isinstance(value, dict):
            return {key: self._field(key, item, selector=selector) for key, item in value.items()}
        return value

    def _field(self, key: str, item: Any, *, selector: bool) -> Any:
        if key in _FIXED_FIELDS or (key == "target" and item == "main"):
            return item
        return self.value(item, selector=selector or key == "selectors")


def _forms(value: str) -> list[str]:
    """The value as it may stand in texts, addresses and scripts; longest first."""
    in_script = json.dumps(value, ensure_ascii=False)[1:-1]
    in_form = quote_plus(value, safe="*").replace("~", "%7E")  # as a browser sends a form's fields
    in_component = quote(value, safe="!'()*~")  # as encodeURIComponent writes it
    forms = {value, quote(value, safe=""), quote(value), quote_plus(value), in_form, in_component, in_script}
    return sorted((form for form in forms if form), key=len, reverse=True)


def _is_distinctive(value: str) -> bool:
    mixed = bool(re.search(r"[^\W\d_]", value)) and bool(re.search(r"[\W\d_]", value))
    return len(value) >= 8 or (len(value) >= 5 and mixed)


def _pattern(forms: Iterable[str]) -> re.Pattern[str] | None:
    ordered = sorted(forms, key=len, reverse=True)
    if not ordered:
        return None
    return re.compile("|".join([PLACEHOLDER.pattern, *map(_bounded, ordered)]))


def _bounded(form: str) -> str:
    if _is_distinctive(form):
        return re.escape(form)
    left = r"(?<!\w)" if re.match(r"\w", form) else ""
    right = r"(?!\w)" if re.match(r"\w", form[-1]) else ""
    return f"{left}{re.escape(form)}{right}"
