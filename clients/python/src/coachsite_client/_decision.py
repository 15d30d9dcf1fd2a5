"""What the coach said, as the caller sees it."""

from __future__ import annotations

from typing import Literal

from ._asking import Run, Settled
from ._wire import JSON
from .errors import NothingToPerform

Kind = Literal["accept", "reject", "correct", "manual", "skip"]


class Facts:
    """The answer to one question. `perform` says whether to act now, `action` what to do."""

    def __init__(self, run: Run, settled: Settled) -> None:
        self._run, self._settled = run, settled
        self.suggestion: JSON = settled.suggestion
        """The suggestion as the server describes it."""
        self.perform: bool = settled.perform
        """True: do `action`, now. After accept and correct, unless an earlier life of the program has done it."""
        self.replayed: bool = settled.replayed
        """True: decided before this program was started again."""

    def __repr__(self) -> str:
        what = "perform" if self.perform else "nothing to perform"
        return f"<{type(self).__name__} {self.n} of {self._run.session_id}: {self.decision}, {what}>"

    @property
    def _answer(self) -> JSON:
        return self.suggestion.get("decision") or {}

    @property
    def n(self) -> int:
        """Number of the suggestion within its session, from 1 on."""
        return int(self.suggestion["n"])

    @property
    def step_index(self) -> int:
        """Place of the question in the run, from 0 on."""
        return self._settled.index

    @property
    def attempt(self) -> int:
        """From 1 on; above 1 when the step was proposed again."""
        return int(self.suggestion["attempt"])

    @property
    def decision(self) -> Kind | None:
        return self._answer.get("decision")

    @property
    def feedback(self) -> str | None:
        """What the coach wrote."""
        return self._answer.get("feedback")

    @property
    def reason_code(self) -> str | None:
        """For reject and correct: wrong_target, wrong_value, wrong_order, not_needed, unsafe, other, or None."""
        return self._answer.get("reason_code")

    @property
    def decided_by(self) -> str | None:
        """A user name, or `policy` where nobody was asked or nobody answered in time."""
        return self._answer.get("decided_by")

    @property
    def outcome(self) -> str | None:
        """What is known of the action: performed, failed, uncertain, not_performed, or None (not reported yet)."""
        return self.suggestion.get("outcome")

    @property
    def done_action(self) -> JSON | None:
        """The action that was decided on, whether or not it is still to be done.

        After accept the suggested one (as packs have made it), after correct the correction, after manual what the
        person says to have done, if anything; else None.
        """
        if self.decision == "accept":
            return dict(self.suggestion["action"])
        correction = self._answer.get("correction")
        return dict(correction) if correction is not None else None

    @property
    def action(self) -> JSON | None:
        """What to do now; None when nothing is to be performed."""
        return self.done_action if self.perform else None

    def _must_perform(self) -> JSON:
        """The action. Raises `NothingToPerform` when there is none."""
        if not self.perform or self.done_action is None:
            raise NothingToPerform(
                f"Nothing is to be performed for “{self.suggestion['description']}” ({self.decision}): look at "
                "`perform` first."
            )
        return self.done_action

    def _keep(self, suggestion: JSON) -> None:
        self.suggestion = suggestion


def error_text(error: BaseException) -> str:
    """An exception for the coach: its words, or its kind where it has none."""
    return str(error) or type(error).__name__
