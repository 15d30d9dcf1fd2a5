from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from coaching.actions.sessions import complete_session, pause_session
from coaching.execution import lease
from coaching.execution.lease import Lease, LeaseLost, claim, free_dead_leases, is_dead, this_process
from coaching.models import Session

from .domain import together


def owner_of(session: Session) -> str:
    session.refresh_from_db()
    return session.lease_owner


def expire(session: Session) -> None:
    Session.objects.filter(pk=session.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_is_exclusive_until_it_is_released(session: Session) -> None:
    held = claim(session.pk)
    assert held
    assert owner_of(session) == held.owner
    assert session not in Session.objects.unleased()
    assert claim(session.pk) is None
    held.release()
    assert owner_of(session) == ""
    assert claim(session.pk)


@pytest.mark.parametrize("move", [pause_session, complete_session])
def test_only_of_an_active_session(session: Session, coach: User, move: object) -> None:
    move(session, by=coach)  # type: ignore[operator]
    assert claim(session.pk) is None
    assert claim(0) is None


def test_lasts_for_the_set_time(session: Session, settings: Settings) -> None:
    settings.LEASE_SECONDS = 120
    assert claim(session.pk)
    session.refresh_from_db()
    assert session.lease_until
    assert timedelta(seconds=115) < session.lease_until - timezone.now() <= timedelta(seconds=120)


def test_an_expired_one_can_be_taken_over(session: Session) -> None:
    slow = claim(session.pk)
    assert slow
    expire(session)
    taken = claim(session.pk)
    assert taken
    assert taken.owner != slow.owner
    with pytest.raises(LeaseLost):
        slow.renew()
    slow.release()
    assert owner_of(session) == taken.owner, "the loser cannot release what is another's"
    taken.renew()


def test_renewing_makes_it_last(session: Session) -> None:
    held = claim(session.pk)
    assert held
    expire(session)
    held.renew()
    assert session not in Session.objects.unleased()


def test_is_kept_without_writing_until_a_tenth_of_its_time_is_over(session: Session, settings: Settings) -> None:
    held = claim(session.pk)
    assert held
    with CaptureQueriesContext(connection) as queries:
        held.keep()
    assert not queries
    settings.LEASE_SECONDS = 100
    expire(session)
    held.renewed -= 11
    held.keep()
    assert session not in Session.objects.unleased()
    expire(session)
    taken = claim(session.pk)
    assert taken
    held.renewed -= 11
    with pytest.raises(LeaseLost):
        held.keep()


def test_of_a_deleted_session_is_lost(session: Session) -> None:
    held = claim(session.pk)
    assert held
    session.delete()
    with pytest.raises(LeaseLost):
        held.renew()
    held.release()


def test_a_living_process_is_not_dead() -> None:
    assert this_process() == this_process()
    assert not is_dead(f"{this_process()} 12345678")


def test_a_killed_worker_s_lease_is_free_at_once(session: Session, external_session: Session) -> None:
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = f"{lease._host()} {worker.pid} {lease._started(worker.pid)} 0badcafe"
    Session.objects.filter(pk=session.pk).update(lease_owner=owner, lease_until=timezone.now() + timedelta(minutes=1))
    own = claim(external_session.pk)
    assert own
    assert free_dead_leases() == []
    worker.kill()
    worker.communicate()
    assert is_dead(owner)
    assert free_dead_leases() == [session.pk]
    assert owner_of(session) == ""
    assert owner_of(external_session) == own.owner


def test_a_pid_that_was_given_out_again_is_another_process() -> None:
    assert is_dead(f"{lease._host()} {os.getpid()} 1 12345678")


def test_of_another_machine_only_time_tells(session: Session) -> None:
    Session.objects.filter(pk=session.pk).update(
        lease_owner="elsewhere 1 1 12345678", lease_until=timezone.now() + timedelta(minutes=1)
    )
    assert free_dead_leases() == []
    expire(session)
    assert claim(session.pk)


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_at_once_one_gets_it(session: Session) -> None:
    for _ in range(20):
        (won,) = [held for held in together(*[lambda: claim(session.pk)] * 6) if held is not None]
        assert isinstance(won, Lease)
        won.release()
