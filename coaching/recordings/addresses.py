"""Which addresses a recording may open: the scheme rule (rules about hosts belong to the executor)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from coaching.recordings.document import RecordingError, quoted
from coaching.recordings.variables import PLACEHOLDER

# Chrome's own start page, where many recordings begin. It cannot be opened elsewhere, so the step is kept and
# marked as not supported rather than the whole recording refused.
NEW_TAB_PAGES = ("chrome://new-tab-page", "chrome://newtab")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_NEVER_EXPECTED = {"file", "javascript", "data", "vbscript", "filesystem"}


def check_url(url: str) -> None:
    """Raise RecordingError unless `url` is http, https or about:blank.

    Where a placeholder stands before the scheme is known, nothing can be said yet: check the filled URL again.
    """
    address = _as_browsers_read_it(url)
    if address == "about:blank":
        return
    first = PLACEHOLDER.search(address)
    known = address[: first.start()] if first else address
    scheme = _scheme(known)
    if not scheme:
        if first:
            return
        raise RecordingError("The address must be complete, beginning with http:// or https://.")
    if scheme not in {"http", "https"}:
        raise RecordingError(f"Addresses that begin with {quoted(scheme + ':')} are not allowed; use http or https.")
    if not re.match(r"https?://", address, re.IGNORECASE) or not (first or _host(address)):
        raise RecordingError("The address names no host.")


def check_expected_url(url: str) -> None:
    """Raise RecordingError for the address of an asserted event that no web page can have."""
    scheme = _scheme(_as_browsers_read_it(url))
    if scheme in _NEVER_EXPECTED:
        raise RecordingError(f"Addresses that begin with {quoted(scheme + ':')} are not allowed.")


def is_new_tab(url: str) -> bool:
    """Whether `url` is Chrome's own new-tab page."""
    return url.strip().rstrip("/").lower() in NEW_TAB_PAGES


def _as_browsers_read_it(url: str) -> str:
    # Browsers strip control characters and spaces at both ends and drop tabs and line ends anywhere, so that
    # "java\nscript:" is a script.
    stripped = url.strip("".join(map(chr, range(0x21))))
    return re.sub(r"[\t\n\r]", "", stripped)


def _scheme(address: str) -> str:
    match = _SCHEME.match(address)
    return match[1].lower() if match else ""


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
