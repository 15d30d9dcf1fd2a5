"""The loop of one session: perform what was decided, propose what comes next, until a person is needed.

`advance` may be called at any time and any number of times, by any worker: it reads the rows, takes the session's
lease, and does what the rows say is due. So recovery after a crash and resuming after a pause are the same code.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from .. import logs
from ..actions.decisions import Answer, decide
from ..actions.proposing import earlier_trouble
from ..actions.risk import sends_a_form
from ..actions.secrecy import keep_secret, secret_names, without_secrets
from ..actions.sessions import complete_session, keep_last_picture, remember_browser, wait_for_a_browser
from ..actions.suggestions import Proposal, begin_performing, open_suggestion, record_outcome, withdraw_suggestion
from ..exceptions import IllegalTransition, NotAuto, ProposalOutdated, SessionNotActive
from ..models import Decision, Session, StepVersion, Suggestion
from ..recordings import MissingVariable, fill_known, names_in
from ..secrets import decrypt
from .browser import BrowserHangs, BrowserLost, SessionBrowser, attach
from .chromium import ChromiumFailed, ChromiumMissing, find_chromium, running_endpoint
from .destinations import destinations_of
from .lease import Lease, LeaseLost, claim
from .limits import NoRoom, close_because
from .locate import Located
from .proposals import build_proposal, filled, plan, timeout_of

logger = logging.getLogger(__name__)

Outcome = Suggestion.Outcome

BROWSER_LOST = (
    "The browser was lost, and a new one was opened at the last address: the page may differ from what it was. "
    "Look at the picture before you decide."
)
UNCERTAIN = (
    "Nobody knows whether this was done: the program stopped in the middle of it. Look at the picture. "
    "Accept does it (again), manual says that it has been done."
)
OWN_FAULT = "coachsite itself failed here ({name}); nothing was done that is not shown. Accept tries again."


#: What ends a turn without being anything that the coach could do something about.
NOT_THE_PAGE_S = (OperationalError, InterfaceError, LeaseLost, NoRoom, SessionNotActive, IllegalTransition)


def advance(session_pk: int) -> None:
    """Does whatever is due for a session without a person; returns at once when another worker is at it."""
    while lease := claim(session_pk):
        try:
            _take_turn(lease)
        except LeaseLost:
            logger.warning("Session %s was taken over by another worker.", session_pk)
            return
        except NoRoom as no_room:
            # The sweep asks again when a browser has gone.
            wait_for_a_browser(session_pk, why=str(no_room))
            lease.leave_host()
            return
        except (SessionNotActive, IllegalTransition, Session.DoesNotExist):
            logger.info("Session %s was paused, ended or deleted during its turn.", session_pk)
        finally:
            lease.release()
        # An answer that came in before the release found the lease taken: look once more.
        if not Session.objects.filter(pk=session_pk).waiting_for_a_worker().exists():
            return


def _take_turn(lease: Lease) -> None:
    session = Session.objects.select_related("workflow").get(pk=lease.session_pk)
    logs.note(session=session.session_id)
    latest = session.latest_suggestion()
    if latest and latest.is_open and running_endpoint(profile_of(session.session_id)):
        return
    if latest and latest.awaits_outcome and latest.performing_since:
        # Begun under a lease that is gone now: its worker died between the action and the note of its outcome.
        record_outcome(latest, Outcome.UNCERTAIN, error=UNCERTAIN)
        session.refresh_from_db()
    try:
        try:
            _with_browser(session, lease)
        except BrowserLost as error:
            # Lost while it was only looked at: a new one shows the coach where we are.
            _close_if_it_hangs(session, error)
            lease.renew()
            _with_browser(session, lease)
    except (*NOT_THE_PAGE_S, Session.DoesNotExist):
        raise
    except (ChromiumMissing, ChromiumFailed, BrowserLost) as error:
        _close_if_it_hangs(session, error)
        _ask_without_browser(session, lease, str(error))
    except Exception as error:
        # Whatever it was, the coach is told and the session goes on from its rows; the log has the details.
        logger.exception("Session %s could not go on.", session.session_id)
        _ask_without_browser(session, lease, OWN_FAULT.format(name=type(error).__name__))


def _close_if_it_hangs(session: Session, error: Exception) -> None:
    """Nothing else helps: whoever attaches to it next would wait as long, for nothing."""
    if isinstance(error, BrowserHangs):
        close_because(profile_of(session.session_id), f"{error} So its browser was closed.")


def _with_browser(session: Session, lease: Lease) -> None:
    with open_browser(session) as browser:
        _Turn(session, browser, lease).run()


def profile_of(session_id: str) -> Path:
    return Path(settings.BROWSER_PROFILES) / session_id


def open_browser(session: Session) -> AbstractContextManager[SessionBrowser]:
    """The session's Chromium: the one that is running, else a new one on the same profile at the last address."""
    last = session.browser
    width, height = last.get("viewport") or settings.BROWSER_VIEWPORT
    in_addresses = {name: quote(value, safe="") for name, value in decrypt(session.encrypted_secrets).items()}
    return attach(
        profile_of(session.session_id),
        chromium=find_chromium(settings.CHROMIUM_PATH),
        viewport=(width, height),
        last_url=fill_known(last.get("url"), in_addresses),
        expected=bool(last.get("url")),
        most=settings.MAX_BROWSERS,
        patience=settings.PAGE_SECONDS,
        allowed=destinations_of(session),
    )


class _Turn:
    """One worker's turn at one session, its browser attached and the lease held."""

    def __init__(self, session: Session, browser: SessionBrowser, lease: Lease) -> None:
        self.session, self.browser, self.lease = session, browser, lease
        self.trouble = ""

    def run(self) -> None:
        if self.browser.reopened:
            self._tell_that_the_browser_was_lost()
        while self._one_step():
            self.lease.keep()

    def _tell_that_the_browser_was_lost(self) -> None:
        words = self.browser.why_reopened or BROWSER_LOST
        latest = self.session.latest_suggestion()
        if latest and latest.awaits_outcome:
            record_outcome(latest, Outcome.NOT_PERFORMED, error=words)
            return
        if latest and latest.is_open:
            withdraw_suggestion(latest, reason=words)
        else:
            self.trouble = words

    def _one_step(self) -> bool:
        """Does the one thing that is due; False when a person, or nobody, has to go on."""
        self.session.refresh_from_db()
        latest = self.session.latest_suggestion()
        if self.session.status != Session.Status.ACTIVE or (latest and latest.is_open):
            return False
        if latest and latest.awaits_outcome:
            self._perform(latest)
            return True
        if self.session.is_at_its_end:
            if not self.browser.reopened:
                self._keep_last_picture()
            complete_session(self.session, by=None)
            return False
        return self._propose(latest)

    def _keep_last_picture(self) -> None:
        """How the page looks in the end: what the last step has led to, which no suggestion shows."""
        _, picture = self._look()
        keep_last_picture(self.session, picture)

    def _propose(self, latest: Suggestion | None) -> bool:
        """Puts the current step to the coach, or to the policy where it may run alone (see `actions.asking`)."""
        planned = plan(self.session, page_url=self._shown(self.browser.url))
        earlier = earlier_trouble(self.session.current_step_index, latest)
        self.trouble = f"{self.trouble} {self._shown(self.browser.refused())}".strip()
        trouble = f"{self.trouble} {earlier}".strip()
        found, action = None, planned.action
        if planned.supported:
            try:
                found = self._locate(filled(planned.action, self.session))
                if found.password:
                    self._keep_typed_secret(planned.version)
                    planned = plan(self.session, page_url=self._shown(self.browser.url))
                action = filled(planned.action, self.session)
            except MissingVariable as error:
                trouble = f"{trouble} {error}".strip()
        page, picture = self._look()
        proposal = build_proposal(self.session, planned, found=found, trouble=trouble, page=page, screenshot=picture)
        self.lease.keep()
        suggestion = self._ask(proposal)
        if suggestion is None:
            return True
        self.trouble = ""
        if proposal.asked_because:
            return False
        self._act(suggestion, action, found)
        return True

    def _keep_typed_secret(self, version: StepVersion) -> None:
        """A recording does not say which fields are for passwords; the page does, before anything is shown of it."""
        typed = names_in(version.action.get("value")) - secret_names(self.session)
        if typed:
            keep_secret(self.session.workflow, typed)
            self.session.refresh_from_db()

    def _ask(self, proposal: Proposal) -> Suggestion | None:
        """The suggestion, which the coach is asked about, or which the policy accepted and whose action has begun.

        None when it has to be made anew: its step, or what packs make of it, was changed while we looked at the page.
        """
        suggestion = None
        try:
            # In one: nothing may come between that would leave a question which nobody is to answer.
            with transaction.atomic():
                suggestion = open_suggestion(self.session, proposal, lease_owner=self.lease.owner)
                if not proposal.asked_because:
                    decide(suggestion, Answer(decision=Decision.Kind.ACCEPT), by=None)
                    self._begin(suggestion)
        except BaseException as error:
            if suggestion:
                suggestion.screenshot.delete(save=False)
            if isinstance(error, (NotAuto, ProposalOutdated)):
                return None
            raise
        return suggestion

    def _perform(self, suggestion: Suggestion) -> None:
        """Does what a person has decided."""
        template = suggestion.decision.correction or suggestion.action
        try:
            action = filled(template, self.session)
        except MissingVariable as error:
            record_outcome(suggestion, Outcome.NOT_PERFORMED, error=str(error))
            return
        found = self._locate(action)
        if not found.found:
            record_outcome(suggestion, Outcome.NOT_PERFORMED, error=self._shown(found.problem or ""))
            return
        self.lease.keep()
        self._begin(suggestion)
        self._act(suggestion, action, found)

    def _begin(self, suggestion: Suggestion) -> None:
        if not begin_performing(suggestion, lease_owner=self.lease.owner):
            raise SessionNotActive("The session was paused or ended before the action.")

    def _act(self, suggestion: Suggestion, action: Mapping[str, Any], found: Located | None) -> None:
        """Performs what has begun, and keeps what came of it."""
        started = time.monotonic()
        performed = self.browser.perform(action, found, timeout_ms=timeout_of(action, self.session))
        took = timedelta(seconds=time.monotonic() - started)
        outcome = Outcome.PERFORMED if performed.ok else Outcome.UNCERTAIN if performed.uncertain else Outcome.FAILED
        words = self._shown(performed.reason or "")
        record_outcome(suggestion, outcome, error=words, took=took)
        if performed.sent and suggestion.decision.decision == Decision.Kind.ACCEPT:
            self._note_that_it_sends(suggestion)
        if performed.ok and words:
            # What the page said meanwhile (a message box) is for a person to read before the next step.
            self.trouble = words

    def _note_that_it_sends(self, suggestion: Suggestion) -> None:
        """What a recording does not tell: the request that the step causes."""
        before = self.session.plan[max(0, suggestion.step_index - 1)]
        if suggestion.step_version:
            sends_a_form(suggestion.step_version, after=StepVersion.objects.get(pk=before).action)

    def _locate(self, action: Mapping[str, Any]) -> Located:
        return self.browser.locate(action, timeout_ms=timeout_of(action, self.session))

    def _look(self) -> tuple[dict[str, Any], bytes]:
        """`({url, title, viewport}, PNG)` of the page as it is, free of secrets."""
        view = self.browser.look(hide=self._secrets())
        remember_browser(self.session, url=view.url, viewport=view.viewport)
        page = {"url": self._shown(view.url), "title": self._shown(view.title), "viewport": view.viewport}
        return page, view.picture

    def _secrets(self) -> list[str]:
        return list(decrypt(self.session.encrypted_secrets).values())

    def _shown(self, text: str) -> str:
        """`text` without the values of secrets."""
        return str(without_secrets(text, self.session))


def _ask_without_browser(session: Session, lease: Lease, words: str) -> None:
    """Puts the current step to the coach with what went wrong, when there is no page to look at."""
    lease.renew()
    session.refresh_from_db()
    if session.status != Session.Status.ACTIVE:
        return
    latest = session.latest_suggestion()
    if latest and latest.awaits_outcome:
        begun = latest.performing_since is not None
        record_outcome(
            latest,
            Outcome.UNCERTAIN if begun else Outcome.NOT_PERFORMED,
            error=f"{words} {UNCERTAIN}" if begun else words,
        )
        session.refresh_from_db()
    elif latest and latest.is_open:
        withdraw_suggestion(latest, reason=words)
    if session.is_at_its_end:
        complete_session(session, by=None)
        return
    trouble = earlier_trouble(session.current_step_index, latest) or words
    planned = plan(session, page_url="")
    proposal = build_proposal(session, planned, found=None, trouble=trouble, page={}, screenshot=None)
    open_suggestion(session, proposal, lease_owner=lease.owner)
