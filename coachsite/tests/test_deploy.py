"""Behind https: Django's own checks find nothing, cookies and answers are what they should be; and without, it works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "ALLOWED_HOSTS",
    "CSRF_TRUSTED_ORIGINS",
    "DEBUG",
    "DATABASE_URL",
    "REDIS_URL",
)

ASK = """
import django, json; django.setup()
from django.conf import settings
from django.test import Client
client = Client(headers={"host": "coach.example"})
def said(answer):
    return {"status": answer.status_code, "headers": dict(answer.headers),
            "cookies": {name: dict(value) for name, value in answer.cookies.items()}}
print(json.dumps({
    "plain": said(client.get("/login/")),
    "health": said(client.get("/healthz")),
    "metrics": said(client.get("/metrics", headers={"x-forwarded-for": "203.0.113.1"})),
    "forwarded": said(client.get("/login/", headers={"x-forwarded-proto": "https"})),
}))
"""


def manage(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in NAMES and not name.startswith("COACHSITE_")
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT, env=kept | {"COACHSITE_DATA": str(tmp_path), "DJANGO_SETTINGS_MODULE": "coachsite.settings"} | environment,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def asked(tmp_path: Path, **environment: str) -> dict[str, dict[str, object]]:
    import json  # noqa: PLC0415

    done = manage(tmp_path, "-c", ASK, ALLOWED_HOSTS="coach.example", **environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_django_s_checks_find_nothing(tmp_path: Path) -> None:
    done = manage(
        tmp_path, "manage.py", "check", "--deploy", "--fail-level", "INFO",
        COACHSITE_HTTPS="1", ALLOWED_HOSTS="coach.example", COACHSITE_HSTS_SECONDS="31536000",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no issues (2 silenced)" in done.stdout + done.stderr


def test_behind_https(tmp_path: Path) -> None:
    said = asked(tmp_path, COACHSITE_HTTPS="1")
    assert said["plain"]["status"] == 301
    assert said["plain"]["headers"]["Location"] == "https://coach.example/login/"  # type: ignore[index]
    assert said["health"]["status"] == 200
    # Led nowhere: a program on this machine asks by http, and this one is refused because it came from elsewhere.
    assert said["metrics"]["status"] == 403
    assert said["forwarded"]["status"] == 200
    headers = said["forwarded"]["headers"]
    assert headers["Strict-Transport-Security"] == "max-age=3600"  # type: ignore[index]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"  # type: ignore[index]
    assert headers["X-Content-Type-Options"] == "nosniff"  # type: ignore[index]
    assert headers["X-Frame-Options"] == "DENY"  # type: ignore[index]
    cookie = said["forwarded"]["cookies"]["__Host-csrftoken"]  # type: ignore[index]
    assert cookie["secure"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    assert cookie["domain"] == ""


def test_on_plain_http_it_stays_usable(tmp_path: Path) -> None:
    said = asked(tmp_path)
    assert said["plain"]["status"] == 200
    assert "Strict-Transport-Security" not in said["plain"]["headers"]  # type: ignore[operator]
    cookie = said["plain"]["cookies"]["csrftoken"]  # type: ignore[index]
    assert not cookie["secure"]
    assert cookie["httponly"]
    # Without a proxy of ours anybody could say so.
    assert "Strict-Transport-Security" not in said["forwarded"]["headers"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("COACHSITE_HTTPS", "perhaps", "must be 1 or 0"),
        ("COACHSITE_PROXIES", "-1", "must be a whole number"),
        ("SECRET_KEY_FALLBACKS", "short", "at least 32 characters"),
        ("COACHSITE_WRONG_TOKENS", "many", "must be a whole number"),
        ("COACHSITE_WRONG_PASSWORDS", "many", "must be a whole number"),
        ("COACHSITE_STEP_SECONDS", "31", "must be from 1 to 30"),
        ("COACHSITE_PAGE_SECONDS", "4", "must be from 5 to 90"),
        ("COACHSITE_BROWSER_MEMORY_MB", "100", "must be 256 at least"),
    ],
)
def test_what_makes_no_sense_stops_the_start(tmp_path: Path, name: str, value: str, words: str) -> None:
    done = manage(tmp_path, "manage.py", "check", **{name: value})
    assert done.returncode != 0
    assert words in done.stderr
