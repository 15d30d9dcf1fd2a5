"""Limits of the browsers of one host: how many run, how much memory one takes; and word of why one was closed.

Nothing here knows Playwright or Django. The word is left in the profile folder, on the host whose browser it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path

from .chromium import members_of, noted_pid, profiles_with_a_browser, stop_chromium

ROOM_FILE = ".room"
CLOSED_FILE = "coachsite-closed.json"
#: A page that has had its browser closed so often is not opened again by itself.
OFTEN = 2


class NoRoom(Exception):
    """So many browsers run on this host already that no other is started; the message is for the coach."""


@contextlib.contextmanager
def room_beside(profile: Path, most: int) -> Iterator[None]:
    """To start a browser in. Counting and starting are one: of two workers at the last place, one gets it.

    Raises `NoRoom` when `most` browsers run already (0: any number may).
    """
    if not most:
        yield
        return
    with (profile.parent / ROOM_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if running_in(profile.parent) >= most:
            words = "1 browser runs" if most == 1 else f"{most} browsers run"
            raise NoRoom(
                f"{words} on this machine already, and no more may at a time. This session goes on by itself as soon "
                "as another has ended."
            )
        yield


def running_in(root: Path) -> int:
    """How many browsers run whose profiles are below `root`."""
    return sum(noted_pid(profile.resolve()) is not None for profile in profiles_with_a_browser(root))


def memory_of(profile: Path) -> int:
    """How much memory this profile's browser takes, all its processes together, in bytes; 0 if none runs."""
    pid = noted_pid(profile.resolve())
    return sum(map(_memory, members_of(pid))) if pid is not None else 0


def _memory(pid: int) -> int:
    # What several processes share counts in parts; where the kernel does not say so, it counts whole in each.
    for file, name in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        with contextlib.suppress(OSError, ValueError):
            lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
            return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)
    return 0


def close_because(profile: Path, why: str) -> None:
    """Ends this profile's browser, and leaves word of the reason (a sentence for the coach) for who opens the next."""
    _, times = why_closed(profile)
    _leave_word(profile, why, times + 1)
    stop_chromium(profile)


def why_closed(profile: Path) -> tuple[str, int]:
    """Why the last browser of this profile was closed (empty: it was not, or was told), and how often one was."""
    try:
        word = json.loads((profile / CLOSED_FILE).read_text())
        return str(word["why"]), int(word["times"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0


def closing_was_told(profile: Path) -> None:
    """The coach knows why the last browser was closed; how often it happened stays."""
    why, times = why_closed(profile)
    if why:
        _leave_word(profile, "", times)


def _leave_word(profile: Path, why: str, times: int) -> None:
    # A full disk must not keep a browser that is too large open.
    with contextlib.suppress(OSError):
        (profile / CLOSED_FILE).write_text(json.dumps({"why": why, "times": times}))
