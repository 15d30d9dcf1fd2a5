"""Names for people and for programs: words, labels, variable names and node ids."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Collection

_MAX_NAME = 40
_MAX_NODE = 60
_SPELLED_OUT = str.maketrans(
    {"ß": "ss", "æ": "ae", "ø": "o", "œ": "oe", "ł": "l", "đ": "d", "&": " and ", "%": " percent "}
)


def words(text: str) -> list[str]:
    """The lower-case words of a label or an identifier: `newPassword1` → new, password."""
    parted = re.sub(r"(?<=[a-zß-ÿ])(?=[A-Z])", " ", text)
    return re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", parted).lower())


def has_phrase(text: str, phrases: Collection[str]) -> bool:
    """Whether one of the phrases (lower-case words) stands in the text, whole words only."""
    line = f" {' '.join(words(text))} "
    return any(f" {phrase} " in line for phrase in phrases)


def humanise(identifier: str) -> str:
    """`claim-amount`, `claimAmount` → “Claim amount”."""
    parted = re.sub(r"(?<=[a-z\d])(?=[A-Z])", " ", identifier)
    line = " ".join(re.split(r"[\s_\-.:\[\]]+", parted)).strip()
    return line[:1].upper() + line[1:].lower() if line else ""


def slug_name(label: str) -> str:
    """A variable name for a label: matches `[a-z][a-z0-9_]*`, no Python keyword, at most 40 characters."""
    name = _ascii(re.sub(r"(?<=[a-z\d])(?=[A-Z])", " ", label), "_", _MAX_NAME)
    if not name:
        return "value"
    if not name[0].isalpha():
        name = f"value_{name}"
    return f"{name}_value" if keyword.iskeyword(name) else name


def slug_node(*parts: str) -> str:
    """A readable node id: lower-case words joined by hyphens, at most 60 characters."""
    return _ascii(" ".join(parts), "-", _MAX_NODE) or "step"


def unique(base: str, taken: Collection[str], *, joiner: str = "_") -> str:
    """`base`, or the first of base_2, base_3 … that is not taken."""
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}{joiner}{number}"
    return name


def _ascii(text: str, joiner: str, limit: int) -> str:
    spelled = unicodedata.normalize("NFKD", text.lower().translate(_SPELLED_OUT))
    plain = spelled.encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", joiner, plain).strip(joiner)
    if len(slug) > limit:
        # Cut at a word rather than inside one, unless the first word alone is too long.
        slug = slug[: limit + 1].rpartition(joiner)[0] or slug[:limit]
    return slug.strip(joiner)
