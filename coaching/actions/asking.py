"""Whether a person is asked about a step before it happens, and why."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..evidence import Standing
from ..models import Level, Session, StepVersion, Suggestion

Because = Suggestion.AskedBecause


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """`because` is empty when nobody is asked; `words` explain an audit, or that there was none."""

    because: str
    words: str = ""


def whom_to_ask(
    session: Session, version: StepVersion, standing: Standing, *, step_index: int, in_trouble: bool
) -> Asking:
    """In a coaching session the coach, always. In mode auto: at trouble, at steps that are not AUTO, and at audits.

    `version` is what the session runs, which may be older than what has become AUTO since; `step_index` is where.
    """
    if in_trouble:
        return Asking(because=Because.TROUBLE)
    if session.mode == Session.Mode.COACHING:
        return Asking(because=Because.COACHING)
    if standing.step.level != Level.AUTO or version.number < standing.epoch_version:
        return Asking(because=Because.NOT_AUTO)
    drawn, rate = audit_draw(session, step_index), standing.audit_rate
    share = f"{rate * 100:g} % of its runs are audited; drew {drawn:.3f}"
    if drawn < rate:
        return Asking(because=Because.AUDIT, words=f"Audit: {share}.")
    return Asking(because="", words=f"Runs alone: {share}.")


def audit_draw(session: Session, step_index: int) -> float:
    """A number from 0 up to 1 for a step of the session: below the step's audit rate, it is audited.

    It follows from the session's seed and the step's index alone: a step that is proposed again after a crash is not
    drawn again, and a run can be explained afterwards.
    """
    return random.Random(f"{session.audit_seed}:{step_index}").random()  # noqa: S311 - to be repeatable
