"""One attempt, against receivers that behave badly; TLS; what is signed; and how large a body is. No database."""

from __future__ import annotations

import base64
import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from coaching.webhooks import (
    MAX_BODY_BYTES,
    AllowedHosts,
    Answer,
    Letter,
    Limits,
    body_of,
    delay_before,
    new_secret,
    send,
    sign,
)
from coaching.webhooks.sending import MAX_KEPT, MAX_READ, _trust

from .webhook_receiver import Receiver, Reply, status, webhook_receiver

HERE = AllowedHosts([("127.0.0.1", None), ("localhost", None)])
DAY = [5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800]


def attempt(reply: Reply, limits: Limits = Limits(connect=2, whole=5)) -> tuple[Answer, Receiver]:  # noqa: B008
    with webhook_receiver(reply) as receiver:
        return send(Letter(receiver.url, {"X-Test": "1"}, b'{"a": 1}'), HERE, limits), receiver


class TestAnswers:
    @pytest.mark.parametrize("code", [200, 201, 202, 204])
    def test_2xx_is_delivered(self, code: int) -> None:
        answer, receiver = attempt(status(code))
        assert answer.delivered
        assert (answer.status, answer.error, answer.refused) == (code, "", False)
        (received,) = receiver.received
        assert (received.path, received.body) == ("/hook?who=coachsite", b'{"a": 1}')
        assert received.headers["x-test"] == "1"
        assert received.headers["content-length"] == "8"

    @pytest.mark.parametrize("code", [400, 401, 404, 410, 429, 500, 503])
    def test_everything_else_is_not(self, code: int) -> None:
        answer, _ = attempt(status(code, "No, thank you.\0"))
        assert not answer.delivered
        assert answer.status == code
        assert answer.text == "No, thank you.�"
        assert f"Answered {code}" in answer.error
        assert answer.gone == (code == 410)

    @pytest.mark.parametrize("code", [301, 302, 307, 308])
    def test_redirects_are_not_followed(self, code: int) -> None:
        with webhook_receiver() as elsewhere:
            answer, receiver = attempt(status(code, Location=elsewhere.url))
        assert not elsewhere.received
        assert len(receiver.received) == 1
        assert not answer.delivered
        assert "redirects are not followed" in answer.error

    def test_an_endless_answer_is_left_alone(self) -> None:
        sent = 0

        def endless(handler: BaseHTTPRequestHandler) -> None:
            nonlocal sent
            handler.send_response(200)
            handler.end_headers()
            while True:
                handler.wfile.write(b"x" * 4096)
                sent += 4096

        answer, _ = attempt(endless)
        assert answer.delivered
        assert answer.text == "x" * MAX_KEPT
        assert answer.took < 4
        assert sent < 100 * MAX_READ

    def test_an_endless_header_is_refused(self) -> None:
        def endless(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                handler.wfile.write(b"X-More: " + b"x" * 4096 + b"\r\n")

        answer, _ = attempt(endless)
        assert answer.status is None
        assert answer.error

    def test_who_never_answers_is_given_up(self) -> None:
        done = threading.Event()

        def silent(_handler: BaseHTTPRequestHandler) -> None:
            done.wait(10)

        answer, _ = attempt(silent, Limits(connect=1, whole=0.5))
        done.set()
        assert answer.status is None
        assert answer.error == "No answer within 0.5 s (1 s to connect)."
        assert 0.4 < answer.took < 2

    def test_who_drips_is_given_up_just_as_well(self) -> None:
        """Each byte comes in time, but not all of them."""

        def drip(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            for _ in range(100):
                handler.wfile.write(b".")
                handler.wfile.flush()
                time.sleep(0.05)

        answer, _ = attempt(drip, Limits(connect=1, whole=0.6))
        assert not answer.delivered
        assert answer.took < 2

    def test_who_hangs_up(self) -> None:
        answer, _ = attempt(lambda handler: handler.connection.close())
        assert answer.status is None
        assert answer.error.startswith("It could not be sent: ")

    def test_who_speaks_something_else(self) -> None:
        def mail(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"220 mail.example ESMTP\r\n")

        answer, _ = attempt(mail)
        assert answer.status is None
        assert answer.error.startswith("It could not be sent: ")

    def test_nobody_is_there(self) -> None:
        with webhook_receiver() as receiver:
            url = receiver.url
        answer = send(Letter(url, {}, b"{}"), HERE, Limits())
        assert answer.status is None
        assert "refused" in answer.error


class TestTLS:
    def test_a_certificate_of_nobody_we_know_is_refused(self, tmp_path: Path) -> None:
        with tls_receiver(tmp_path, "localhost") as receiver:
            answer = send(Letter(f"https://localhost:{receiver.port}/", {}, b"{}"), HERE, Limits())
        assert not receiver.received
        assert "certificate verify failed" in answer.error.lower()

    @pytest.mark.parametrize(("name", "right"), [("localhost", True), ("somebody.else", False)])
    def test_it_must_be_for_the_name_in_the_address(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, right: bool
    ) -> None:
        with tls_receiver(tmp_path, name) as receiver:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
            _trust.cache_clear()
            answer = send(Letter(f"https://localhost:{receiver.port}/", {}, b"{}"), HERE, Limits())
            _trust.cache_clear()
        assert answer.delivered == right
        assert len(receiver.received) == right
        assert right or "mismatch" in answer.error.lower()


@contextlib.contextmanager
def tls_receiver(folder: Path, name: str) -> Iterator[Receiver]:
    """A receiver behind TLS with a certificate of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    with webhook_receiver(tls=context) as receiver:
        yield receiver


class TestSigning:
    def test_the_library_of_receivers_agrees(self) -> None:
        secret, body = new_secret(), b'{"type": "webhook.test"}'
        now = int(time.time())
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(now),
            "webhook-signature": sign([secret], message_id="msg_1", timestamp=now, body=body),
        }
        assert Webhook(secret).verify(body, headers) == {"type": "webhook.test"}
        assert headers["webhook-signature"] == Webhook(secret).sign(
            "msg_1", datetime.fromtimestamp(now, UTC), body.decode()
        )
        for wrong in ({"webhook-id": "msg_2"}, {"webhook-timestamp": str(now + 1)}):
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(body, headers | wrong)
        with pytest.raises(WebhookVerificationError):
            Webhook(new_secret()).verify(body, headers)

    def test_the_example_of_the_convention(self) -> None:
        """The published test vector."""
        signature = sign(
            ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp=1614265330,
            body=b'{"test": 2432232314}',
        )
        assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    def test_several_secrets_are_several_signatures(self) -> None:
        old, new = new_secret(), new_secret()
        both = sign([new, old], message_id="m", timestamp=1, body=b"{}")
        assert both == " ".join(sign([secret], message_id="m", timestamp=1, body=b"{}") for secret in (new, old))

    def test_secrets_are_random_and_long_enough(self) -> None:
        secrets = {new_secret() for _ in range(50)}
        assert len(secrets) == 50
        assert all(24 <= len(base64.b64decode(secret.removeprefix("whsec_"))) <= 64 for secret in secrets)


class TestSchedule:
    def test_it_lasts_about_a_day(self) -> None:
        for chance, day in ((0.0, 0.8), (0.5, 1.0), (1.0, 1.2)):
            delays = [delay_before(retry, DAY, chance=chance) for retry in range(1, 11)]
            assert sum(delay or 0 for delay in delays) == pytest.approx(day * 85_355)
        assert delay_before(11, DAY) is None

    @given(st.integers(1, 10))
    def test_it_strays_by_a_fifth_at_most(self, retry: int) -> None:
        delay = delay_before(retry, DAY)
        assert delay is not None
        assert 0.8 * DAY[retry - 1] <= delay <= 1.2 * DAY[retry - 1]


class TestBody:
    AT = datetime(2031, 1, 7, 9, 30, tzinfo=UTC)
    ABOUT = {"session_id": "coaching_1", "workflow_id": "w", "execution_id": "e", "seq": 3}

    def test_shape(self) -> None:
        body = orjson.loads(body_of("decision.recorded", self.AT, self.ABOUT, {"decision": "accept"}))
        assert body == {
            "type": "decision.recorded",
            "timestamp": "2031-01-07T09:30:00.000000Z",
            "data": {**self.ABOUT, "decision": "accept"},
        }

    def test_long_texts_are_shortened(self) -> None:
        data = {"error": "é" * 30_000, "n": 1, "more": {"deep": ["y" * 30_000]}}
        body = body_of("step.failed", self.AT, self.ABOUT, data)
        assert len(body) <= MAX_BODY_BYTES
        shortened = orjson.loads(body)["data"]
        assert shortened["truncated"] is True
        assert shortened["n"] == 1
        assert shortened["error"].startswith("ééé")
        assert shortened["error"].endswith("…")

    @given(
        st.dictionaries(
            st.text(max_size=20).filter(lambda key: key.encode("utf-8", "ignore").decode() == key),
            st.one_of(
                st.integers(-(2**53), 2**53), st.lists(st.just("z" * 400), max_size=100), st.just("w" * 20_000),
                st.just({"a": ["q" * 9000]}), st.none(),
            ),
            max_size=30,
        )
    )  # fmt: skip
    def test_nothing_is_ever_too_large(self, data: dict[str, Any]) -> None:
        body = body_of("step.failed", self.AT, self.ABOUT, data)
        assert len(body) <= MAX_BODY_BYTES
        assert orjson.loads(body)["data"].items() >= self.ABOUT.items()
