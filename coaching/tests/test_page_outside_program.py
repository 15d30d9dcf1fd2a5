"""What a coach sees of a program's session at each moment."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from coaching.actions.caller import Question, ask, report_outcome, take_back
from coaching.actions.decisions import Answer, decide
from coaching.actions.expiry import expire_overdue
from coaching.actions.pictures import size_of
from coaching.actions.sessions import complete_session, resume_session
from coaching.exceptions import InvalidInput
from coaching.models import Session, Suggestion


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(b"\0" * (width + 1) * height))
        + chunk(b"IEND", b"")
    )


JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    b"\xff\xc0\x00\x0b\x08\x01\x2c\x02\x80\x01\x01\x11\x00\xff\xd9"
)


class Panel:
    def __init__(self, client: Client, session: Session, coach: User) -> None:
        self.client, self.session, self.coach = client, session, coach

    def asked(self, **more: Any) -> Suggestion:
        question = Question(**({"node_id": "post", "action_type": "post", "action": {"number": 7}} | more))
        return ask(self.session, question, by=self.coach)[0]

    def unanswered(self, on_expiry: str) -> None:
        suggestion = self.asked(expires_in=timedelta(minutes=5), on_expiry=on_expiry)
        Suggestion.objects.filter(pk=suggestion.pk).update(expires_at=timezone.now())
        expire_overdue()

    def text(self, address: str = "") -> str:
        return self.client.get(address or self.session.get_absolute_url()).content.decode()


@pytest.fixture
def panel(external_session: Session, coach: User, sign_in: Callable[[User], Client]) -> Panel:
    return Panel(sign_in(coach), external_session, coach)


def test_nothing_asked_yet(panel: Panel) -> None:
    assert "The program has not asked anything yet." in panel.text()


def test_its_question_says_when_it_expires_and_what_then(panel: Panel) -> None:
    panel.asked(expires_in=timedelta(hours=1), on_expiry="skip", rationale="It is new.", confidence=0.8)
    for text in (panel.text(), panel.text("/")):
        assert "then skipped" in text
        assert "sure 0.80" in text
    assert "It is new." in panel.text()


def test_paused_because_nobody_answered_is_in_the_inbox_and_says_why(panel: Panel) -> None:
    panel.unanswered("pause")
    assert "Nobody answered in time; the program asks again once somebody resumes." in panel.text()
    inbox = panel.text("/")
    assert "Paused, because nobody answered in time" in inbox
    assert panel.session.get_absolute_url() in inbox
    panel.session.refresh_from_db()
    resume_session(panel.session, by=panel.coach)
    assert "Nobody answered its last question in time." in panel.text()
    assert panel.session.get_absolute_url() not in panel.text("/")


def test_decided_for_lack_of_an_answer(panel: Panel) -> None:
    panel.unanswered("reject")
    assert "Nobody answered its last question in time, which it takes for a no." in panel.text()


def test_taken_back(panel: Panel) -> None:
    take_back(panel.asked(), reason="Cancelled.")
    assert "It took its last question back: Cancelled." in panel.text()


def test_a_failure_is_said_before_it_is_asked_about(panel: Panel) -> None:
    suggestion = panel.asked()
    decide(suggestion, Answer(decision="accept"), by=panel.coach)
    report_outcome(suggestion, "failed", error="The portal was down.")
    assert "Step 1: The portal was down." in panel.text()


def test_the_record_says_what_was_not_reported(panel: Panel) -> None:
    decide(panel.asked(), Answer(decision="accept"), by=panel.coach)
    panel.session.refresh_from_db()
    complete_session(panel.session, by=panel.coach)
    text = panel.text()
    assert "outcome not reported" in text
    assert "1 suggestion was decided; 0 actions were performed, 1 not reported on." in text


@pytest.mark.parametrize(
    ("picture", "content_type", "size"), [(png(300, 900), "image/png", (300, 900)), (JPEG, "image/jpeg", (640, 300))]
)
def test_its_picture_is_shown_as_large_as_it_is(
    panel: Panel, picture: bytes, content_type: str, size: tuple[int, int]
) -> None:
    panel.asked(screenshot=picture)
    assert size_of(picture) == size
    text = panel.text()
    assert f'width="{size[0]}" height="{size[1]}"' in text
    address = f"{panel.session.get_absolute_url()}screenshots/1.png"
    assert panel.client.get(address)["Content-Type"] == content_type


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", JPEG[:12], png(3, 4)[:20], b"GIF89a"])
def test_a_picture_that_does_not_say_its_size(data: bytes) -> None:
    assert size_of(data) is None


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (JPEG[:12], "broken"),
        (png(3, 4)[:20], "broken"),
        (b"GIF89a", "neither"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 20_001, 1), "pixels"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 10_000, 10_000), "million"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 2**32 - 1, 2**32 - 1), "million"),
    ],
)
def test_a_picture_that_no_browser_should_open_is_refused(panel: Panel, picture: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        panel.asked(screenshot=picture)
    assert not Suggestion.objects.exists()


def test_a_whole_action_is_shown_beside_a_picture(panel: Panel) -> None:
    panel.asked(action={"lines": [{"account": "6300"}]}, screenshot=png(2, 2))
    assert "6300" in panel.text()
