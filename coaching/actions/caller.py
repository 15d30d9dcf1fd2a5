"""What an outside program does in its session: it asks before it acts, and tells what became of it.

Packs and autonomy hold for its steps exactly as for those that coachsite performs itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from .. import evidence
from ..exceptions import (
    AlreadyDecided,
    IdempotencyMismatch,
    IllegalTransition,
    InvalidInput,
    NotAuto,
    ProposalOutdated,
    QuestionOpen,
    SessionNotActive,
)
from ..models import Decision, Risk, Session, Step, StepVersion, Suggestion
from ..models.session import MAX_STEPS
from ..packs import Situation
from ..packs.changes import canonical
from ..recordings import RecordingError, StepSpec, check_json
from .asking import Asking, whom_to_ask
from .caller_words import in_words
from .decisions import Answer, decide
from .facts import hold_steps
from .holding import hold, hold_ongoing
from .pack_use import with_packs
from .pictures import check_picture, size_of
from .proposing import earlier_trouble, how_sure
from .suggestions import Proposal, begin_performing, open_suggestion, record_outcome, withdraw_suggestion
from .workflows import add_version, spec_of, step_in_words, step_named

Status = Suggestion.Status
Outcome = Suggestion.Outcome

LONGEST_WAIT = timedelta(days=30)
#: What a program may report, and what that means.
OUTCOMES = {"succeeded": Outcome.PERFORMED, "failed": Outcome.FAILED, "uncertain": Outcome.UNCERTAIN}
_UNSAID = {
    Outcome.FAILED: "The program says that it failed, but not why.",
    Outcome.UNCERTAIN: "The program does not know whether this was done. Accept does it (again), manual says that it "
    "has been done.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a program asks: may I do `action` at the step `node_id`?

    `step_index` is the session's current step unless given. `confidence` (0 to 1), `rationale` and `risk` are the
    program's own view, shown to the coach; `screenshot` is a PNG or JPEG. Nobody having answered after `expires_in`,
    `on_expiry` says what happens. `reference` is the program's own name for the question: under it, it is asked once.
    """

    node_id: str
    action_type: str
    action: Mapping[str, Any]
    step_index: int | None = None
    confidence: float | None = None
    rationale: str = ""
    risk: str | None = None
    screenshot: bytes | None = None
    expires_in: timedelta | None = None
    on_expiry: str = Suggestion.OnExpiry.PAUSE
    reference: str = ""

    def check(self) -> None:
        """Raises `InvalidInput` for what cannot be asked in any session."""
        try:
            check_json(dict(self.action), "The action")
        except RecordingError as error:
            raise InvalidInput(str(error), field="action") from None
        if len(canonical(dict(self.action)).encode()) > settings.MAX_BODY_BYTES:
            raise InvalidInput(f"At most {settings.MAX_BODY_BYTES // (1024 * 1024)} MiB.", field="action")
        if self.expires_in is not None and not timedelta() < self.expires_in <= LONGEST_WAIT:
            raise InvalidInput(f"Between 0 seconds and {LONGEST_WAIT.days} days.", field="expires_in")
        if self.screenshot is not None:
            check_picture(self.screenshot, field="screenshot")

    def is_about(self, suggestion: Suggestion) -> bool:
        """Whether it asks the same again."""
        return (
            (self.node_id, self.action_type) == (suggestion.node_id, suggestion.action_type)
            and self.step_index in {None, suggestion.step_index}
            and canonical(dict(self.action)) == canonical(suggestion.original_action)
        )


def ask(session: Session, question: Question, *, by: User) -> tuple[Suggestion, bool]:
    """Puts a question of an outside program: the suggestion, and whether it is new.

    It is decided already where the step may run alone. The same question again, while it is open, is the suggestion
    that there is; under the same reference, for ever. Raises `QuestionOpen` while another one is, `SessionNotActive`,
    `IdempotencyMismatch` for another question under a reference that was used, and `InvalidInput` for what cannot be
    asked, or in a session of a browser workflow. What is refused has changed nothing.
    """
    _only_by_programs(session)
    question.check()
    while True:
        try:
            with transaction.atomic():
                return _ask(session, question, by=by)
        except (NotAuto, ProposalOutdated, _LookAgain):
            continue  # changed by somebody while we looked: what holds now?


class _LookAgain(Exception):
    """The step has changed since it was decided which rows to hold."""


def _only_by_programs(session: Session) -> None:
    if session.workflow.is_browser:
        raise InvalidInput("The steps of a browser workflow are proposed and performed by coachsite itself.")


def _hold_active(session: Session) -> None:
    active = hold(session.pk, status=Session.Status.ACTIVE)
    session.refresh_from_db()
    if not active:
        raise SessionNotActive(f"The session is {session.status}.")


def _asked_before(session: Session, question: Question) -> Suggestion | None:
    if not question.reference:
        return None
    before = session.suggestions.filter(reference=question.reference).first()
    if before and not question.is_about(before):
        raise IdempotencyMismatch(f"“{question.reference}” was the name of another question before.")
    return before


def _ask(session: Session, question: Question, *, by: User) -> tuple[Suggestion, bool]:
    if before := _asked_before(session, question):
        return before, False
    # Sessions are held before steps: all that are under way where the step is about to change.
    step = _named(session, question)
    tell = hold_ongoing(session.workflow) if step and _adapted(step, question) != spec_of(step) else []
    _hold_active(session)
    # Of two at once, the second finds what the first has asked.
    if before := _asked_before(session, question):
        return before, False
    if standing_open := session.open_suggestion():
        if question.is_about(standing_open) and question.reference == standing_open.reference:
            return standing_open, False
        raise QuestionOpen(standing_open)
    index = _step_index(session, question)
    proposal = _proposal(session, question, index, _adapt_step(session, question, tell, by=by))
    suggestion = open_suggestion(session, proposal)
    if not proposal.asked_because:
        try:
            decide(suggestion, Answer(decision=Decision.Kind.ACCEPT), by=None)
        except NotAuto:
            suggestion.screenshot.delete(save=False)
            raise
        suggestion.refresh_from_db()
    return suggestion, True


def _named(session: Session, question: Question) -> Step | None:
    steps = session.workflow.steps.select_related("workflow", "current")
    return steps.filter(node_id=question.node_id, step_index__isnull=False).first()


def _proposal(session: Session, question: Question, index: int, step: Step) -> Proposal:
    """What packs and evidence make of a question. The session must be held."""
    workflow_id = session.workflow.workflow_id
    packs = with_packs(
        question.action,
        Situation(workflow_id=workflow_id, node_id=question.node_id, action_type=question.action_type),
    )
    standing = evidence.standing(step)
    sure, reasons = how_sure(step.version, standing)
    error = " ".join(part for part in (_trouble(session, index), packs.trouble) if part)
    asking = whom_to_ask(session, step.version, standing, step_index=index, in_trouble=bool(error))
    if not asking.because and _owes_an_audit(session, question.node_id):
        asking = Asking(because=Suggestion.AskedBecause.AUDIT, words="Audit: the one before was not answered.")
    confidence = sure if question.confidence is None else question.confidence
    words = (question.rationale, reasons if question.confidence is None else "", asking.words)
    return Proposal(
        step_index=index,
        node_id=question.node_id,
        action_type=question.action_type,
        action=packs.applied.action,
        description=in_words(question.action_type, packs.applied.action),
        risk=_riskier(question.risk, step.version),
        confidence=0.0 if error else confidence,
        rationale=question.rationale if error else " ".join(part for part in words if part),
        provenance=packs.provenance if packs.entries else _FROM_CALLER,
        asked_because=asking.because,
        error=error,
        page=_page_of(question.screenshot),
        screenshot=question.screenshot,
        step_version=step.version,
        packs=packs,
        pack_changes=step.pack_changes,
        expires_at=timezone.now() + question.expires_in if question.expires_in else None,
        on_expiry=question.on_expiry,
        reference=question.reference,
    )


_FROM_CALLER: dict[str, Any] = {
    "source": "caller", "pack": None, "version": None, "correction": None, "changed": []
}  # fmt: skip


def _page_of(screenshot: bytes | None) -> dict[str, Any]:
    size = size_of(screenshot) if screenshot else None
    return {"viewport": list(size)} if size else {}


def _step_index(session: Session, question: Question) -> int:
    index = session.current_step_index if question.step_index is None else question.step_index
    if session.total_steps and index >= session.total_steps:
        raise InvalidInput(f"Step {index + 1} is beyond the {session.total_steps} of this session.", field="step_index")
    if index >= MAX_STEPS:
        raise InvalidInput(f"A session has at most {MAX_STEPS} steps.", field="step_index")
    return index


def _trouble(session: Session, step_index: int) -> str:
    """What went wrong at this step before, or at another one since the last question."""
    # Questions that were withdrawn or have expired say nothing of the step.
    answered = session.suggestions.filter(step_index=step_index, status=Status.DECIDED).order_by("-n").first()
    if earlier := earlier_trouble(step_index, answered):
        return earlier
    telling = session.events.filter(type__in=["suggestion.opened", "step.failed", "step.uncertain"])
    last = telling.order_by("-seq").first()
    if last is None or last.type == "suggestion.opened":
        return ""
    return f"Step {last.data['step_index'] + 1} before this: {last.data['error']}"


def _owes_an_audit(session: Session, node_id: str) -> bool:
    """Whether the last audit of this step in the session was taken back or not answered: it cannot be dodged so."""
    audits = session.suggestions.filter(node_id=node_id, asked_because=Suggestion.AskedBecause.AUDIT)
    last = audits.order_by("-n").first()
    return last is not None and last.status in {Status.WITHDRAWN, Status.EXPIRED}


def _riskier(given: str | None, version: StepVersion) -> str:
    return Risk.IRREVERSIBLE if Risk.IRREVERSIBLE in {given, version.risk} else Risk.REVERSIBLE


def _adapt_step(session: Session, question: Question, tell: Collection[Session], *, by: User) -> Step:
    """The step, which comes into being with the first question that names it.

    Later, another kind of action, or a risk that nobody has spoken of before, makes a new version of it: what was
    decided on the old one says nothing of the new. The session must be held, and those in `tell` for a new version.
    """
    content: dict[str, Any] = {"action_type": question.action_type, "action": question.action, "risk": question.risk}
    step = _named(session, question) or step_named(session.workflow, question.node_id, **content)
    if _adapted(step, question) != spec_of(step):
        if not tell:
            raise _LookAgain
        (held,) = hold_steps(Step.objects.filter(pk=step.pk))
        if (spec := _adapted(held, question)) != spec_of(held):
            add_version(held, spec, by=by, tell=tell)
    return Step.objects.select_related("workflow", "current").get(pk=step.pk)


def _adapted(step: Step, question: Question) -> StepSpec:
    spec = spec_of(step)
    if question.action_type != spec.action_type:
        spec = replace(
            spec,
            action_type=question.action_type,
            action=dict(question.action),
            description=step_in_words(question.action_type, step.node_id),
        )
    # An owner who has chosen the risk knows better than the program.
    if question.risk == Risk.IRREVERSIBLE and not step.version.risk_chosen:
        spec = replace(spec, risk="irreversible")
    return spec


def begin(suggestion: Suggestion) -> None:
    """The program is about to act: should it stop in the middle, everybody knows that it may have acted.

    Raises `IllegalTransition` when it has begun before or there is nothing to perform, `SessionNotActive`.
    """
    _only_by_programs(suggestion.session)
    if begin_performing(suggestion):
        return
    suggestion.session.refresh_from_db()
    suggestion.refresh_from_db()
    if suggestion.awaits_outcome and suggestion.performing_since is None:
        raise SessionNotActive(f"The session is {suggestion.session.status}.")
    raise IllegalTransition(f"Suggestion {suggestion.n} {_where_it_stands(suggestion)}.")


def _where_it_stands(suggestion: Suggestion) -> str:
    if suggestion.status != Status.DECIDED:
        return f"is {suggestion.status}, not decided"
    if suggestion.outcome:
        return f"has its outcome: {suggestion.outcome}".replace("_", " ")
    return "is being performed already"


def report_outcome(suggestion: Suggestion, status: str, *, error: str = "") -> None:
    """What became of a decided action: `succeeded`, `failed` or `uncertain`. The same again changes nothing.

    After `failed` and `uncertain` the session stands at this step again, and the coach is asked. Raises
    `IllegalTransition` when another outcome is known, or nothing was to be performed.
    """
    _only_by_programs(suggestion.session)
    outcome = OUTCOMES[status]
    took = timezone.now() - suggestion.performing_since if suggestion.performing_since else None
    words = error or _UNSAID.get(outcome, "")
    if record_outcome(suggestion, outcome, error=words, took=took):
        return
    suggestion.refresh_from_db()
    if suggestion.outcome != outcome:
        raise IllegalTransition(f"Suggestion {suggestion.n} {_where_it_stands(suggestion)}.")


def take_back(suggestion: Suggestion, *, reason: str = "") -> None:
    """The program does not want to know any more. Raises `AlreadyDecided`, `IllegalTransition` if expired."""
    _only_by_programs(suggestion.session)
    if withdraw_suggestion(suggestion, reason=reason or "The program took its question back."):
        return
    suggestion.refresh_from_db()
    if suggestion.status == Status.DECIDED:
        raise AlreadyDecided(suggestion.decision)
    if suggestion.status != Status.WITHDRAWN:
        raise IllegalTransition(f"Suggestion {suggestion.n} {_where_it_stands(suggestion)}.")
