"""Several hosts on one database: sessions stay with the host of their browser until it is dead."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from pytest_django.fixtures import Settings

from coaching.actions.sessions import abandon_session, pause_session
from coaching.execution import hosts
from coaching.execution.chromium import stop_chromium
from coaching.execution.hosts import DifferentKey, Watch, give_sign_of_life, queue_of, take_over
from coaching.execution.lease import claim
from coaching.execution.recovery import close_orphans, sweep
from coaching.execution.runner import profile_of
from coaching.models import Host, Session, Suggestion
from coaching.signals import session_needs_worker

Here = Callable[[str], None]


@pytest.fixture
def on(settings: Settings, tmp_path: Path) -> Here:
    """From now on this process belongs to that host, with a data folder of its own."""

    def become(name: str) -> None:
        settings.COACHSITE_HOST = name
        settings.BROWSER_PROFILES = tmp_path / name / "browsers"

    become("north")
    return become


def die(name: str) -> None:
    Host.objects.filter(name=name).update(seen_at=timezone.now() - timedelta(seconds=61))


def host_of(session: Session) -> str:
    session.refresh_from_db()
    return session.host


def queues(session: Session) -> list[str]:
    """The queues in which tasks for the session have been put, the oldest first."""
    tasks = DBTaskResult.objects.order_by("enqueued_at")
    return [task.queue_name for task in tasks if session.pk in task.args_kwargs["args"]]


@pytest.fixture
def of_north(on: Here, session: Session) -> Session:
    """A session whose browser is in the north, where nobody acts for it at the moment."""
    give_sign_of_life()
    held = claim(session.pk)
    assert held
    held.release()
    assert host_of(session) == "north"
    return session


def test_a_session_is_of_the_host_that_claims_it_first(on: Here, of_north: Session) -> None:
    on("south")
    assert claim(of_north.pk) is None
    assert host_of(of_north) == "north"
    on("north")
    assert claim(of_north.pk)


def test_with_one_host_only_no_session_has_one(settings: Settings, session: Session) -> None:
    settings.COACHSITE_HOST = ""
    held = claim(session.pk)
    assert held
    held.release()
    assert host_of(session) == ""
    Session.objects.filter(pk=session.pk).update(host="from former times")
    assert claim(session.pk)
    assert host_of(session) == ""
    assert take_over() == []


def test_its_tasks_are_for_its_own_workers(on: Here, session: Session) -> None:
    before = len(queues(session))
    session_needs_worker.send(Session, session_pk=session.pk)
    assert claim(session.pk)
    on("south")
    session_needs_worker.send(Session, session_pk=session.pk)
    assert queues(session)[before:] == ["default", queue_of("north")]
    assert queue_of("north") != queue_of("south")
    assert len(queue_of("n" * 200)) <= 32


@pytest.mark.django_db(transaction=True)
def test_a_worker_of_another_host_leaves_the_task(on: Here, session: Session, suggestion: Suggestion) -> None:
    Session.objects.filter(pk=session.pk).update(host="north")
    give_sign_of_life()
    on("south")
    DBTaskResult.objects.all().delete()
    session_needs_worker.send(Session, session_pk=session.pk)
    call_command("work", batch=True, verbosity=0)
    assert DBTaskResult.objects.get().status == "READY"
    on("north")
    try:
        call_command("work", batch=True, verbosity=0)
        assert DBTaskResult.objects.get().status == "SUCCESSFUL"
    finally:
        stop_chromium(profile_of(session.session_id))


def test_of_a_host_that_lives_nothing_is_taken(on: Here, of_north: Session) -> None:
    on("south")
    assert take_over() == []
    assert host_of(of_north) == "north"


def test_of_a_dead_host_all_that_goes_on_is_taken_over(
    on: Here, of_north: Session, external_session: Session, coach: User
) -> None:
    assert claim(of_north.pk)
    die("north")
    on("south")
    give_sign_of_life()
    assert take_over() == [of_north.pk]
    of_north.refresh_from_db()
    assert (of_north.host, of_north.lease_owner, of_north.lease_until) == ("", "", None)
    assert queues(of_north)[-1] == "default"
    assert take_over() == [], "once is enough"
    assert claim(of_north.pk)
    assert host_of(of_north) == "south"


def test_what_waits_for_a_coach_is_asked_anew_and_what_is_paused_rests(
    on: Here, of_north: Session, coach: User, suggestion: Suggestion
) -> None:
    die("north")
    on("south")
    before = len(queues(of_north))
    assert take_over() == [of_north.pk]
    assert queues(of_north)[before:] == ["default"]
    Session.objects.filter(pk=of_north.pk).update(host="north")
    pause_session(of_north, by=coach)
    assert take_over() == [of_north.pk]
    assert len(queues(of_north)) == before + 1


def test_what_has_ended_stays_as_it_is(on: Here, of_north: Session, coach: User) -> None:
    abandon_session(of_north, by=coach)
    die("north")
    on("south")
    assert take_over() == []


def test_a_host_that_nobody_knows_is_dead(on: Here, session: Session) -> None:
    Session.objects.filter(pk=session.pk).update(host="somewhere")
    assert take_over() == [session.pk]


def test_the_browser_here_of_a_session_that_went_elsewhere_is_closed(on: Here, of_north: Session) -> None:
    profile = profile_of(of_north.session_id)
    profile.mkdir(parents=True)
    close_orphans()
    assert profile.exists()
    Session.objects.filter(pk=of_north.pk).update(host="")
    close_orphans()
    assert profile.exists(), "nobody has opened another one yet"
    Session.objects.filter(pk=of_north.pk).update(host="south")
    sweep()
    assert not profile.exists()


def test_a_sign_of_life_is_one_row_per_host(on: Here, db: None) -> None:
    give_sign_of_life()
    die("north")
    assert not Host.objects.alive().exists()
    give_sign_of_life()
    assert Host.objects.alive().get().name == "north"
    on("south")
    give_sign_of_life()
    assert Host.objects.alive().count() == 2


def test_a_host_that_went_for_good_is_forgotten(on: Here, db: None) -> None:
    give_sign_of_life()
    Host.objects.update(seen_at=timezone.now() - timedelta(hours=25))
    on("south")
    give_sign_of_life()
    take_over()
    assert Host.objects.get().name == "south"


def test_another_secret_key_is_noticed_before_it_does_harm(on: Here, db: None, settings: Settings) -> None:
    give_sign_of_life()
    on("south")
    settings.SECRET_KEY = "another key, which is long enough for one"
    with pytest.raises(DifferentKey, match="north"):
        give_sign_of_life()
    with pytest.raises(CommandError, match="SECRET_KEY"):
        call_command("work", batch=True, verbosity=0)
    die("north")
    give_sign_of_life()


def test_workers_give_signs_of_life_again_and_again(
    on: Here, transactional_db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOST_DEAD_SECONDS = 0.3  # a sign every 50 ms
    with hosts.signs_of_life():
        first = Host.objects.get().seen_at
        end = timezone.now() + timedelta(seconds=20)
        while Host.objects.get().seen_at == first:
            assert timezone.now() < end


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_who_has_not_watched_for_long_enough_takes_nobody_for_dead(on: Here, of_north: Session) -> None:
    """After an outage of the database, or a start of all hosts, nobody has had the time to give a sign."""
    die("north")
    on("south")
    clock = Clock()
    watch = Watch(clock)

    def rounds(seconds: float) -> list[int]:
        end = clock.now + seconds
        taken = []
        while clock.now < end:
            clock.now += 5
            taken += watch.look()
        return taken

    assert rounds(55) == []
    watch.interrupted()
    assert rounds(55) == []
    clock.now += 40  # held up
    assert rounds(55) == []
    assert rounds(10) == [of_north.pk]


def test_a_host_without_room_leaves_a_session_that_has_no_browser_yet_to_others(on: Here, of_north: Session) -> None:
    held = claim(of_north.pk)
    assert held
    held.leave_host()
    assert host_of(of_north) == ""
    held.release()
    Session.objects.filter(pk=of_north.pk).update(browser={"url": "http://127.0.0.1:1/"})
    held = claim(of_north.pk)
    assert held
    held.leave_host()
    assert host_of(of_north) == "north", "its profile, with its logins, is here"
