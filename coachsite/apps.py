from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class SiteConfig(AdminConfig):
    """Django's admin with lists that forgive a wrong address (`coachsite.admin_site`)."""

    default_site = "coachsite.admin_site.Site"
