"""Facts that the domain announces to whoever listens."""

from __future__ import annotations

from django.dispatch import Signal

# ---- within the transaction of the fact: a receiver that fails undoes it

#: Somebody (or the policy) has decided. Sent with `decision`, its `session`, its `step` as it is now, and `in_trouble`:
#: whether it answered a question about something that was wrong. The decision may get its row only afterwards.
decision_recorded = Signal()

#: What became of a decided action is known for certain. Sent with `decision` and its `step` as it is now.
outcome_recorded = Signal()

#: A step has a new version. Sent with `step`, and `anew`: whether what was known of it does not count any more.
step_versioned = Signal()

#: A step came to another level. Sent with `change`, a `LevelChange`.
level_changed = Signal()

#: The autonomy policy of a workflow has changed. Sent with `workflow`.
policy_changed = Signal()

#: A session was started, or has ended. Sent with `session`.
session_started = Signal()
session_closed = Signal()

#: A session is about to be deleted with all its decisions. Sent with `session`.
session_deleting = Signal()

#: An event was recorded. Sent with its `session`, `seq`, `type`, `at` and `data`, several times for each decision.
event_recorded = Signal()

# ---- after the commit

#: A browser session has something to do without a person. Sent with `session_pk`; `coaching.tasks` listens.
session_needs_worker = Signal()

#: A back-test waits to be run. Sent with `backtest_pk`; `coaching.tasks` listens.
backtest_needs_worker = Signal()

#: Webhook deliveries wait to be sent; `coaching.tasks` listens.
webhooks_need_worker = Signal()

#: A session has ended or was deleted: its browser may be closed. Sent with `session_id`; `coaching.tasks` listens.
session_ended = Signal()
