"""The Model Context Protocol: an agent that speaks it is coached without any glue (docs/mcp.md).

`door` lets requests in, `server` speaks the protocol, `tools` says what there is, `questions` and `permission` ask and
wait, `runs` knows which session is meant. Only `server` needs the library, and is imported with the first request.
"""

from __future__ import annotations
