"""Backup and restore: on this database as it is, and a whole site that goes on elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import Settings

from coaching.models import Session, Suggestion

from .live import LiveSite, live_site, until

PICTURE = "screenshots/some-session/1.png"


@pytest.fixture(autouse=True)
def _data(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()


def picture() -> Path:
    path = Path(django_settings.MEDIA_ROOT) / PICTURE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PNG")
    return path


def another_site(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """A management command of a site with a data folder of its own, on SQLite."""
    kept = {
        name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"}
    }
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=django_settings.BASE_DIR, env={**kept, "COACHSITE_DATA": str(folder), **changes},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_holds_the_database_the_pictures_and_the_key(
    suggestion: Suggestion, settings: Settings, tmp_path: Path
) -> None:
    picture()
    (settings.DATA_DIR / "secret_key").write_text(settings.SECRET_KEY)
    folder = tmp_path / "backup"
    call_command("backup", folder)
    assert (folder / "media" / PICTURE).read_bytes() == b"PNG"
    assert json.loads((folder / "manifest.json").read_text())["database"] == connection.vendor
    if "SECRET_KEY" not in os.environ:
        assert (folder / "secret_key").read_text() == settings.SECRET_KEY
        assert (folder / "secret_key").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(CommandError, match="not empty"):
        call_command("backup", folder)
    with pytest.raises(CommandError, match="There is a database already"):
        call_command("restore", folder)


@pytest.mark.django_db(transaction=True)
def test_says_where_the_key_is_not(session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("backup", tmp_path / "backup")
    assert "SECRET_KEY" in capsys.readouterr().err
    assert not (tmp_path / "backup" / "secret_key").exists()


@pytest.mark.skipif("DATABASE_URL" in os.environ, reason="of SQLite")
@pytest.mark.django_db(transaction=True)
def test_is_restored_by_an_empty_site_alone(
    suggestion: Suggestion, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    picture()
    (settings.DATA_DIR / "secret_key").write_text(settings.SECRET_KEY)
    Session.objects.update(lease_owner="somebody", host="elsewhere")
    folder, new = tmp_path / "backup", tmp_path / "new"
    call_command("backup", folder)
    done = another_site(new, "restore", str(folder))
    assert done.returncode == 0, done.stderr
    assert "Restored 1 sessions" in done.stdout
    assert (new / "media" / PICTURE).read_bytes() == b"PNG"
    assert (new / "secret_key").read_text() == settings.SECRET_KEY
    shown = another_site(
        new,
        "shell",
        "-v0",
        "-c",
        "from coaching.models import Session; print(*Session.objects.values_list('session_id', 'host', 'lease_owner'))",
    )
    assert shown.stdout.strip() == str((suggestion.session.session_id, "", ""))
    again = another_site(new, "restore", str(folder))
    assert again.returncode == 1
    assert "There is a database already" in again.stderr


@pytest.mark.skipif("DATABASE_URL" in os.environ, reason="of SQLite")
def test_where_nothing_is_nothing_is_backed_up(tmp_path: Path) -> None:
    """As when `bin/run --data` named another folder than the one in which the command looks."""
    done = another_site(tmp_path / "empty", "backup", str(tmp_path / "backup"))
    assert done.returncode == 1
    assert f"There is no coachsite in {tmp_path / 'empty'}" in done.stderr
    assert not (tmp_path / "backup").exists()


def spoil(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))


@pytest.mark.skipif("DATABASE_URL" in os.environ, reason="of SQLite")
@pytest.mark.django_db(transaction=True)
def test_what_does_not_fit_is_not_begun(session: Session, tmp_path: Path) -> None:
    folder, new = tmp_path / "backup", tmp_path / "new"
    missing = another_site(new, "restore", str(folder))
    assert "is not a whole backup" in missing.stderr
    call_command("backup", folder)
    spoil(folder, database="postgresql")
    assert "is of postgresql" in another_site(new, "restore", str(folder)).stderr
    spoil(folder, database="sqlite", migrations=[["coaching", "9999_from_the_future"]])
    assert "9999_from_the_future" in another_site(new, "restore", str(folder)).stderr
    assert not [path for path in new.rglob("*.sqlite3") if path.stat().st_size]


@pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="of PostgreSQL")
@pytest.mark.django_db(transaction=True)
def test_postgresql_is_dumped_and_restored_by_its_own_programs(suggestion: Suggestion, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    call_command("backup", folder)
    name = f"{connection.settings_dict['NAME']}_restored"
    server = os.environ["DATABASE_URL"].rpartition("/")[0]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name}")
    try:
        there = {"DATABASE_URL": f"{server}/{name}"}
        done = another_site(tmp_path / "new", "restore", str(folder), **there)
        assert done.returncode == 0, done.stderr
        assert "Restored 1 sessions" in done.stdout
        assert "There is a database already" in another_site(tmp_path / "new", "restore", str(folder), **there).stderr
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def question(api: Any, session_id: str) -> Any:
    return api.get(f"sessions/{session_id}/").json()["open_suggestion"]


@pytest.mark.live
@pytest.mark.browser
def test_a_session_goes_on_where_it_was_restored(tmp_path: Path) -> None:
    """Backed up while it waits for its coach, restored into an empty folder, and finished there."""
    old = tmp_path / "old"
    with live_site(old) as site:
        document = {
            "title": "Goes on elsewhere",
            "steps": [
                {"type": "navigate", "url": f"{site.url}/demo/"},
                {"type": "change", "selectors": [["aria/User name"]], "value": "pat"},
                {"type": "waitForElement", "selectors": [["aria/Password"]]},
            ],
        }
        with site.client() as api:
            workflow = api.post("workflows/import/", json=document).raise_for_status().json()["workflow"]
            started = api.post("sessions/", json={"workflow_id": workflow["workflow_id"]}).raise_for_status().json()
            session_id = started["session_id"]
            until(lambda: question(api, session_id), what="the first question")
            api.post(f"sessions/{session_id}/decisions/", json={"decision": "accept"}).raise_for_status()
            until(lambda: (question(api, session_id) or {}).get("step_index") == 1, what="the second question")
            token = api.headers["Authorization"]
        print(site.manage("backup", str(tmp_path / "backup")))
        port = site.port
    with _restored(tmp_path, port) as site, site.client() as api:
        api.headers["Authorization"] = token  # the tokens of then are good now
        old_question = question(api, session_id)
        assert (old_question["step_index"], old_question["attempt"]) == (1, 1)
        picture = api.get(f"{site.url}{old_question['screenshot_url']}")
        assert picture.content.startswith(b"\x89PNG")
        api.post(f"sessions/{session_id}/decisions/", json={"decision": "accept"}).raise_for_status()
        again = until(lambda: question(api, session_id), what="the coach to be told")
        assert "The browser was lost" in again["error"]
        for index in (1, 2):
            until(lambda: (question(api, session_id) or {}).get("step_index") == index, what=f"step {index}")  # noqa: B023
            api.post(f"sessions/{session_id}/decisions/", json={"decision": "accept"}).raise_for_status()
        until(lambda: api.get(f"sessions/{session_id}/").json()["status"] == "completed", what="the end")


class _restored:  # noqa: N801
    """The site in an empty folder, from the backup, at the address of the old one."""

    def __init__(self, folder: Path, port: int) -> None:
        (folder / "new").mkdir()
        self.site = LiveSite(folder / "new", port=port)
        self.backup = folder / "backup"

    def __enter__(self) -> LiveSite:
        self.site.manage("restore", str(self.backup))
        self.site.start()
        return self.site

    def __exit__(self, *_: object) -> None:
        self.site.stop()
        print(self.site.log.read_text()[-10_000:])
