"""Sessions and decisions for other programs: rows in the contract's shapes, as CSV, JSON Lines and session files."""

from __future__ import annotations
