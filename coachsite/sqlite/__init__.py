"""Django's SQLite backend with one queue of writers per process."""

from __future__ import annotations
