"""Counts in windows of time, kept in the cache that all web processes share: one number for each key."""

from __future__ import annotations

from django.core.cache import cache


def counted(key: str, *, seconds: int, by: int = 1) -> int:
    """The count of `key`, this one included (with `by=0` it is only looked at), forgotten after `seconds`.

    Raises what the cache's own library raises when it does not answer.
    """
    if by and cache.add(key, by, timeout=seconds):
        return by
    try:
        # Never `get`: it would unpickle whatever somebody has put into Redis.
        return int(cache.incr(key, by))
    except ValueError:
        return by  # nothing counted yet, or dropped from the cache between the two
