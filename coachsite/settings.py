"""All settings of coachsite: one file, driven by the environment, failing loudly.

Without any variable set this is the embedded layout: SQLite, in-memory channel layer, everything below one data folder.
`DATABASE_URL` and `REDIS_URL` alone choose the grown layout.
"""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()


def _flag(name: str, *, default: bool) -> bool:
    text = env.str(name, default=str(default)).strip().lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off", ""}:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {text!r}.")


def _number(name: str, *, default: int) -> int:
    text = env.str(name, default=str(default)).strip()
    if not text.isdecimal():
        raise ImproperlyConfigured(f"{name} must be a whole number, not {text!r}.")
    return int(text)


def _data_folder() -> Path:
    folder = Path(env.str("COACHSITE_DATA", default=str(BASE_DIR / "var"))).expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"COACHSITE_DATA names {folder}, which cannot be made: {error.strerror}.") from error
    return folder


def _secret_key(folder: Path) -> str:
    """The configured key, or one made once and kept under the data folder, readable by its owner alone."""
    if "SECRET_KEY" in os.environ:
        key: str = env.str("SECRET_KEY")
        if len(key) < 32:
            raise ImproperlyConfigured("SECRET_KEY must have at least 32 characters.")
        return key
    kept = folder / "secret_key"
    try:
        # O_EXCL: of several processes starting at once, one makes the key and the others read it.
        handle = os.open(f"{kept}.new", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        handle = None
    if handle is not None:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(50))
        if kept.exists():
            Path(f"{kept}.new").unlink()
        else:
            Path(f"{kept}.new").rename(kept)
    return kept.read_text().strip()


DATA_DIR = _data_folder()
SECRET_KEY = _secret_key(DATA_DIR)
# Keys that were used before: they still read what was written under them (`manage.py reencrypt_secrets` ends that).
SECRET_KEY_FALLBACKS = [key for key in env.list("SECRET_KEY_FALLBACKS", default=[]) if key]
if any(len(key) < 32 for key in SECRET_KEY_FALLBACKS):
    raise ImproperlyConfigured("SECRET_KEY_FALLBACKS must be keys of at least 32 characters with commas between them.")
DEBUG = _flag("DEBUG", default=False)
COACHSITE_DEMO = _flag("COACHSITE_DEMO", default=True)
COACHSITE_OWNER_PASSWORD = env.str("COACHSITE_OWNER_PASSWORD", default="")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# People come by https alone: a proxy before this site speaks it, and says so of each request (see SECURITY.md).
COACHSITE_HTTPS = _flag("COACHSITE_HTTPS", default=False)
# How many proxies of ours stand before this site: so many of the last names in X-Forwarded-For are believed.
COACHSITE_PROXIES: int = _number("COACHSITE_PROXIES", default=1 if COACHSITE_HTTPS else 0)

INSTALLED_APPS = [
    "coachsite.apps.SiteConfig",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "django_filters",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "django_htmx",
    "template_partials",
    "django_tasks",
    "django_tasks_db",
    "axes",
    "csp",
    "coaching",
    "metrics",
    *(["coaching.demo"] if COACHSITE_DEMO else []),
]

MIDDLEWARE = [
    "coaching.logs.Noting",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "coachsite.csp.same_for_all",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "coaching.pages.acting.ActingMiddleware",
    "coaching.pages.signing_in.FewGuesses",
    # Everything asks for a login unless its view says otherwise.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "coaching.pages.middleware.DomainErrorMiddleware",
    "axes.middleware.AxesMiddleware",
]

# Of these, what concerns a request that comes with a token and no cookie (see coachsite/together.py).
TOKEN_MIDDLEWARE = [
    "coaching.logs.Noting",
    "django.middleware.security.SecurityMiddleware",
    "coachsite.csp.same_for_all",
    "django.middleware.common.CommonMiddleware",
    "coaching.pages.acting.ActingMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "coachsite.urls"
ASGI_APPLICATION = "coachsite.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "coaching.pages.context.navigation",
            ],
        },
    },
]


# How long a request waits for a database that is locked, or has no connection free.
DATABASE_WAIT_SECONDS = _number("COACHSITE_DATABASE_WAIT_SECONDS", default=30)
if not 1 <= DATABASE_WAIT_SECONDS <= 300:
    raise ImproperlyConfigured("COACHSITE_DATABASE_WAIT_SECONDS must be from 1 to 300.")


def _database() -> dict[str, Any]:
    if "DATABASE_URL" not in os.environ:
        return {
            "ENGINE": "coachsite.sqlite",
            "NAME": DATA_DIR / "coachsite.sqlite3",
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                # Longer than anything of ours writes; past it the request is answered with 503.
                "timeout": DATABASE_WAIT_SECONDS,
                # A transaction that starts as a reader and then writes can fail at once with "locked"; IMMEDIATE waits.
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
            # A file, because threads of one test share it as they would share a real one.
            "TEST": {"NAME": DATA_DIR / "test.sqlite3"},
        }
    try:
        database: dict[str, Any] = dict(env.db_url("DATABASE_URL"))
    except (ImproperlyConfigured, ValueError, KeyError) as error:
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {error}.") from error
    if database.get("ENGINE") != "django.db.backends.postgresql":
        raise ImproperlyConfigured("DATABASE_URL must start with postgres:// (leave it out for SQLite).")
    pool = {"min_size": 1, "max_size": 20, "timeout": DATABASE_WAIT_SECONDS}
    database["OPTIONS"] = {**database.get("OPTIONS", {}), "pool": pool}
    # A restart of PostgreSQL leaves dead connections in the pool: each is looked at before it is used.
    database["CONN_HEALTH_CHECKS"] = True
    return database


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def _host() -> str:
    """Which of several hosts this is; empty where SQLite makes it the only one."""
    several = "DATABASE_URL" in os.environ
    name: str = env.str("COACHSITE_HOST", default=f"{socket.gethostname()}:{DATA_DIR}" if several else "").strip()
    if len(name) > 200:
        raise ImproperlyConfigured("COACHSITE_HOST must be a name of at most 200 characters, each host its own.")
    return name


# Sessions stay with the host of their browser; one whose workers gave no sign of life for so long has lost them.
COACHSITE_HOST = _host()
HOST_DEAD_SECONDS = _number("COACHSITE_HOST_DEAD_SECONDS", default=60)
if HOST_DEAD_SECONDS < 3:
    raise ImproperlyConfigured("COACHSITE_HOST_DEAD_SECONDS must be 3 at least.")

REDIS_URL = env.str("REDIS_URL", default="")
if REDIS_URL and not REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
    raise ImproperlyConfigured("REDIS_URL must start with redis://, rediss:// or unix://.")
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL]},
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

CACHES: dict[str, dict[str, Any]] = {
    # What is counted of callers is counted once for all web processes. Nobody waits long for a Redis that is away.
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 1.0, "socket_connect_timeout": 1.0},
    }
    if REDIS_URL
    # By default it holds 300 numbers, and forgets some of them when there are more callers.
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 20_000}}
}

TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": []}}
COACHSITE_WORKER_COMMAND = ["work"]

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
# Or whoever goes on guessing keeps a person out for ever, and the row of their guesses grows with each.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_CLIENT_IP_CALLABLE = "coaching.client_address.of_request"
AXES_LOCKOUT_TEMPLATE = "registration/locked_out.html"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "inbox"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
# Pictures of pages. Of several hosts, all must reach the same folder.
MEDIA_ROOT = Path(env.str("COACHSITE_MEDIA", default=str(DATA_DIR / "media"))).expanduser().resolve()

# Recordings and screenshots may be 10 MiB; every other body is held to 1 MiB by the door it comes through.
MAX_BODY_BYTES = 1024 * 1024
MAX_UPLOAD_BYTES = 10 * 1024 * 1024
# A picture comes as base64 in JSON, which is a third longer.
MAX_QUESTION_BYTES = MAX_UPLOAD_BYTES * 4 // 3 + 64 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_QUESTION_BYTES

# Requests to the API per minute and token (or person); 0 for any number.
COACHSITE_API_RATE = _number("COACHSITE_API_RATE", default=6000)
# Wrong tokens in five minutes from one address, before the answer is 429; 0 for any number.
COACHSITE_WRONG_TOKENS = _number("COACHSITE_WRONG_TOKENS", default=30)
# Wrong passwords in five minutes from one address, whatever the names, before none is looked at; 0 for any number.
COACHSITE_WRONG_PASSWORDS = _number("COACHSITE_WRONG_PASSWORDS", default=100)
# How many days expired tokens and what is known of attempts to sign in are kept; the audit log is kept for ever.
LOGIN_KEEP_DAYS = _number("COACHSITE_LOGIN_KEEP_DAYS", default=30)
if not 1 <= LOGIN_KEEP_DAYS <= 3650:
    # Who is locked out is so for a quarter of an hour, by what is kept.
    raise ImproperlyConfigured("COACHSITE_LOGIN_KEEP_DAYS must be from 1 to 3650.")

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["coaching.api.permissions.RolePermission"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "coaching.api.schema.Schema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
DRF_STANDARDIZED_ERRORS = {"EXCEPTION_HANDLER_CLASS": "coaching.api.errors.ExceptionHandler"}
REST_KNOX = {"AUTH_HEADER_PREFIX": "Token", "TOKEN_TTL": None, "TOKEN_PREFIX": "coach_"}
SPECTACULAR_SETTINGS = {
    "TITLE": "coachsite",
    "DESCRIPTION": (
        "Coach an automation, step by step, until it may run alone.\n\n"
        "Of all texts and names in a body: no NUL characters, no half characters (lone surrogates), no name twice in "
        "one object, at most 50 levels."
    ),
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "coaching.api.schema.put_together",
    ],
    "ENUM_NAME_OVERRIDES": {
        "Level": "coaching.models.Level",
        "DecisionKind": "coaching.models.Decision.Kind",
        "SessionStatus": "coaching.models.Session.Status",
        "SuggestionStatus": "coaching.models.Suggestion.Status",
        "PackStatus": "coaching.models.CorrectionPack.Status",
        "BackTestStatus": "coaching.models.BackTest.Status",
        "DeliveryStatus": "coaching.models.WebhookDelivery.Status",
    },
}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
# Pages put the token into their forms; no script needs the cookie.
CSRF_COOKIE_HTTPONLY = True

if COACHSITE_HTTPS:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    # With this prefix browsers take the cookie from this very host alone, never from a neighbour of its domain.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    SECURE_SSL_REDIRECT = True
    # Asked by a load balancer, a supervisor or a Prometheus on this machine.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
    if COACHSITE_PROXIES:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # An hour at first: raise it to a year (31536000) once all works, for browsers do not forget it before.
    SECURE_HSTS_SECONDS = _number("COACHSITE_HSTS_SECONDS", default=3600)
    # These two bind other hosts of the same domain, which is for its owner to say and never for an application.
    SECURE_HSTS_INCLUDE_SUBDOMAINS = _flag("COACHSITE_HSTS_SUBDOMAINS", default=False)
    SECURE_HSTS_PRELOAD = _flag("COACHSITE_HSTS_PRELOAD", default=False)
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# What a step must show before it runs alone; a workflow may override each (docs/autonomy.md says what each means).
AUTONOMY: dict[str, Any] = {
    "target": 0.85,
    "min_decisions": 20,
    "confidence": 0.95,
    "confidence_irreversible": 0.99,
    "min_demonstrations": 1,
    "audit_rates": [0.20, 0.10, 0.05],
    "audit_clean_runs": [20, 40],
    "auto_promote": False,
}

# Where the browsers of sessions keep their profiles, and which Chromium they are.
CHROMIUM_PATH = env.str("CHROMIUM_PATH", default="") or None
if CHROMIUM_PATH and not Path(CHROMIUM_PATH).is_file():
    raise ImproperlyConfigured(f"CHROMIUM_PATH names {CHROMIUM_PATH}, which is not a file.")
BROWSER_PROFILES = DATA_DIR / "browsers"
BROWSER_VIEWPORT = (1280, 720)
# How many browsers this host runs at once (0: any number); further sessions wait until there is room. And how much
# memory one of them may take, in MiB (0: any): the sweep closes a larger one, and the coach is told.
MAX_BROWSERS = _number("COACHSITE_MAX_BROWSERS", default=20)
BROWSER_MEMORY_MB = _number("COACHSITE_BROWSER_MEMORY_MB", default=2048)
if 0 < BROWSER_MEMORY_MB < 256:
    raise ImproperlyConfigured("COACHSITE_BROWSER_MEMORY_MB must be 256 at least, or 0: an empty browser needs 200.")
# How long a step that names no time of its own waits for its target and its outcome; and how long a page may keep its
# browser so busy that it cannot be looked at, before the browser is closed and the coach told.
STEP_SECONDS = _number("COACHSITE_STEP_SECONDS", default=5)
if not 1 <= STEP_SECONDS <= 30:
    raise ImproperlyConfigured("COACHSITE_STEP_SECONDS must be from 1 to 30.")
PAGE_SECONDS = _number("COACHSITE_PAGE_SECONDS", default=30)
if not 5 <= PAGE_SECONDS <= 90:
    raise ImproperlyConfigured("COACHSITE_PAGE_SECONDS must be from 5 to 90.")
# Longer than any call to a browser may take (120 s), so that only a dead worker loses its lease.
LEASE_SECONDS = 180


def _seconds(name: str, default: list[float]) -> list[float]:
    texts = env.list(name, default=None)
    if texts is None:
        return default
    try:
        seconds = [float(text) for text in texts]
    except ValueError:
        seconds = []
    if not seconds or not all(0 <= each <= 7 * 24 * 3600 for each in seconds):
        raise ImproperlyConfigured(f"{name} must be numbers of seconds with commas between them, such as 5,30,120.")
    return seconds


# How long after each failure a webhook is tried again, about a day in all; and how long its deliveries are kept.
WEBHOOK_RETRY_SECONDS = _seconds(
    "COACHSITE_WEBHOOK_RETRY_SECONDS", [5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800]
)
WEBHOOK_KEEP_DAYS = 30
WEBHOOK_CONNECT_SECONDS = 5
WEBHOOK_TOTAL_SECONDS = 15
# How many workers may send webhooks at a time, each several at once: the others are there for sessions.
WEBHOOK_SENDERS = 1

# What may ask for /metrics: with a token, who sends it ("Authorization: Bearer …"); without one, this machine alone.
COACHSITE_METRICS_TOKEN = env.str("COACHSITE_METRICS_TOKEN", default="")

# Lines for people, or with COACHSITE_LOG=json one JSON object a line, and one for each request.
COACHSITE_LOG = env.str("COACHSITE_LOG", default="plain").strip().lower()
if COACHSITE_LOG not in {"plain", "json"}:
    raise ImproperlyConfigured(f"COACHSITE_LOG must be plain or json, not {COACHSITE_LOG!r}.")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {"()": "coaching.logs.JsonFormatter", "host": COACHSITE_HOST},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": COACHSITE_LOG},
        "failures": {"class": "logging.StreamHandler", "formatter": COACHSITE_LOG, "level": "ERROR"},
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "coaching": {"level": "INFO"},
        "coachsite.requests": {"level": "INFO" if COACHSITE_LOG == "json" else "WARNING"},
        "django.request": {"level": "ERROR"},
        # Workers raise these to INFO, a line for each start and end of a task; only failures matter here.
        "django_tasks": {"handlers": ["failures"], "propagate": False},
        "django_tasks_db": {"handlers": ["failures"], "propagate": False},
        "axes": {"level": "WARNING"},
    },
}
