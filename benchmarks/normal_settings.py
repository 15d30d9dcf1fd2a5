"""coachsite's settings with `synchronous=NORMAL`: a commit does not wait for the disk, and a power cut may undo it."""

from __future__ import annotations

from coachsite.settings import *  # noqa: F403
from coachsite.settings import DATABASES

OPTIONS = DATABASES["default"]["OPTIONS"]
OPTIONS["init_command"] = OPTIONS["init_command"].replace("synchronous=FULL", "synchronous=NORMAL")
if "NORMAL" not in OPTIONS["init_command"]:
    raise ValueError("the settings do not say synchronous=FULL any more")
