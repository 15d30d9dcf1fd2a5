"""The settings of the peer: those that `startproject` writes, and tokens kept as hashes.

coachsite's stay for what has to be equal: its tables, and what SQLite is told about writing to the disk.
"""

from __future__ import annotations

from coachsite.settings import *  # noqa: F403
from coachsite.settings import DATABASES

DATABASES["default"]["ENGINE"] = "django.db.backends.sqlite3"
DATABASES["default"]["CONN_MAX_AGE"] = 0
ROOT_URLCONF = "benchmarks.stock_api"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["knox.auth.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
