"""Webhooks by the Standard Webhooks convention: what is sent, how it is signed, and where it may go.

Plain Python without Django; `coaching.actions.webhooks` and `coaching.actions.webhook_deliveries` are the verbs.
"""

from __future__ import annotations

from .addresses import METADATA, AllowedHosts, Refused, is_private_name, refuse_address
from .payload import MAX_BODY_BYTES, body_of
from .schedule import delay_before
from .sending import Answer, Letter, Limits, send
from .signing import SECRET_PREFIX, new_secret, sign
from .urls import BadAddress, check_url, host_of, origin_of

__all__ = [
    "MAX_BODY_BYTES",
    "METADATA",
    "SECRET_PREFIX",
    "AllowedHosts",
    "Answer",
    "BadAddress",
    "Letter",
    "Limits",
    "Refused",
    "body_of",
    "check_url",
    "delay_before",
    "host_of",
    "is_private_name",
    "new_secret",
    "origin_of",
    "refuse_address",
    "send",
    "sign",
]
