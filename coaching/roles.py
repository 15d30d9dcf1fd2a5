"""The four roles are Django groups, made by migration 0002: viewer, coach, reviewer and owner, each with what those
before it may. This module names the permission that each door asks for.
"""

from __future__ import annotations

VIEW = "coaching.view_session"
DECIDE = "coaching.decide_session"
IMPORT = "coaching.add_workflow"
EDIT_WORKFLOW = "coaching.change_workflow"
REVIEW_PACKS = "coaching.review_correctionpack"
PROMOTE = "coaching.promote_workflow"
DELETE_WORKFLOW = "coaching.delete_workflow"
DELETE_SESSION = "coaching.delete_session"
MANAGE_WEBHOOKS = "coaching.manage_webhook"
SEE_AUDIT = "coaching.see_audit"
