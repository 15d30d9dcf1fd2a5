"""All sessions as files, one each."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ..models import Session
from ..session_files import write_session
from .reading import with_decisions
from .rows import session_row


def export_sessions(folder: Path) -> int:
    """Writes every session to `<session_id>.json` in `folder`, which is made if need be; returns how many.

    A file that is there already is replaced as a whole: a reader finds the old one or the new one. Others stay. Raises
    `OSError` when the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for group in with_decisions(Session.objects.all()):
        for session, decisions in group:
            _replace(folder / f"{session.session_id}.json", write_session(session_row(session, decisions)))
            count += 1
    return count


def _replace(file: Path, content: bytes) -> None:
    # Not ending in .json: what a crash leaves behind is nobody's session.
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        with draft.open("xb") as opened:
            opened.write(content)
        os.replace(draft, file)  # noqa: PTH105 - one call that does both, replacing a link instead of following it
    finally:
        draft.unlink(missing_ok=True)
