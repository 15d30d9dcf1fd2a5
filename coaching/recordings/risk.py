"""A first guess at what cannot be undone, from the words on the element; owners can change it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from coaching.recordings.naming import has_phrase, words
from coaching.recordings.sensitive import types_a_secret
from coaching.recordings.targets import Target, target_of

Risk = Literal["reversible", "irreversible"]

_HARMLESS = (
    "sign in", "sign up", "sign on", "sign out", "log in", "log on", "log out", "login", "logout", "search", "filter",
    "order by", "order details", "order history", "sort order",
    "anmelden", "einloggen", "abmelden", "suchen", "suche",
    "se connecter", "connexion", "rechercher", "iniciar sesión", "iniciar sesion", "buscar",
)  # fmt: skip
_ENGLISH = (
    "submit", "pay", "delete", "remove", "erase", "send", "publish", "confirm", "place order", "buy", "purchase",
    "checkout", "check out", "withdraw", "approve", "deploy", "terminate", "destroy", "unsubscribe", "finalize",
    "finalise",
)  # fmt: skip
# Nouns as well as verbs: only where they lead, as in “Book flight”, not in “My first book”.
_ENGLISH_LEADING = {
    "apply", "book", "order", "post", "refund", "release", "reserve", "sign", "transfer", "wire",
}  # fmt: skip
_GERMAN = (
    "absenden", "abschicken", "senden", "einreichen", "übermitteln", "bezahlen", "zahlen", "löschen", "loeschen",
    "entfernen", "veröffentlichen", "bestätigen", "bestellen", "kostenpflichtig", "kaufen", "überweisen", "genehmigen",
    "freigeben", "buchen", "reservieren", "unterschreiben", "unterzeichnen", "kündigen", "stornieren",
)  # fmt: skip
_FRENCH = (
    "soumettre", "payer", "supprimer", "effacer", "retirer", "envoyer", "publier", "confirmer", "commander", "acheter",
    "transférer", "virer", "approuver", "valider", "réserver", "signer", "résilier",
)  # fmt: skip
_SPANISH = (
    "enviar", "pagar", "eliminar", "borrar", "suprimir", "quitar", "publicar", "confirmar", "pedir", "comprar",
    "transferir", "aprobar", "reservar", "firmar",
)  # fmt: skip
_IRREVERSIBLE = (*_ENGLISH, *_GERMAN, *_FRENCH, *_SPANISH)
_LEADING = [[word] for word in _ENGLISH_LEADING]
_PRESSES = {"Enter", "NumpadEnter", "\r", "\n"}


def guess_risk(action: Mapping[str, Any], focused: Target) -> Risk:
    """The risk of an action; `focused` is the element the last action was about, which a pressed Enter goes to."""
    if action["type"] in {"click", "doubleClick"}:
        return _of_target(target_of(action))
    if action["type"] == "keyDown" and action["key"] in _PRESSES:
        return _of_target(focused)
    return "reversible"


def sending_is_harmless(action: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether a form that this action sends only signs in or searches; `before` is the action that came before it."""
    if action["type"] == "keyDown":
        # Enter goes to the field that was typed into last.
        return types_a_secret(before) or _is_harmless(target_of(before))
    return _is_harmless(target_of(action))


def _is_harmless(target: Target) -> bool:
    return any(has_phrase(text, _HARMLESS) for text in (*target.names, *target.labels))


def _of_target(target: Target) -> Risk:
    if _is_harmless(target):
        return "reversible"
    if not target.names and not target.labels and "submit" in target.types:
        return "irreversible"
    texts = (*target.names, *target.labels, *target.identifiers)
    says_so = any(has_phrase(text, _IRREVERSIBLE) or words(text)[:1] in _LEADING for text in texts)
    return "irreversible" if says_so else "reversible"
