"""The hosts that an owner allows the browser of a workflow to visit, beyond those of its own steps."""

from __future__ import annotations

import re
from collections.abc import Collection

from ..exceptions import InvalidInput
from ..webhooks import BadAddress, host_of

MAX_HOSTS = 200
_ENTRY = re.compile(r"(?P<wild>\*\.)?(?P<host>\[[0-9a-fA-F:.]+\]|[^:\s/?#@\[\]*]+)(?::(?P<port>[0-9]{1,5}))?")


def checked_hosts(entries: Collection[str]) -> list[str]:
    """Each as `host`, `host:port`, `*.host` or `[IPv6]:port`, in the form that is compared. Raises `InvalidInput`."""
    if len(entries) > MAX_HOSTS:
        raise InvalidInput(f"At most {MAX_HOSTS} hosts.", field="allowed_hosts")
    return sorted({_checked(entry) for entry in entries})


def _checked(entry: str) -> str:
    found = _ENTRY.fullmatch(entry.strip())
    if found is None or (found["port"] and not 0 < int(found["port"]) < 2**16):
        raise InvalidInput(f"“{entry[:100]}” is no host: write host, host:port or *.host.", field="allowed_hosts")
    try:
        host = host_of(found["host"])
    except BadAddress:
        raise InvalidInput(f"“{entry[:100]}” is not the name of a host.", field="allowed_hosts") from None
    if found["wild"] and ("." not in host or host.rpartition(".")[2].isdigit()):
        raise InvalidInput(f"“{entry[:100]}” would allow too much.", field="allowed_hosts")
    host = f"[{host}]" if ":" in host else host
    return f"{found['wild'] or ''}{host}{':' + found['port'] if found['port'] else ''}"
