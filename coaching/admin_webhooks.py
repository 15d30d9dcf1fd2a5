"""Webhooks in the admin site, for owners alone: endpoints, what was delivered to them, and the hosts they may reach.

Deliveries are looked at and never edited; the buttons call the verbs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import ngettext

from .actions.webhooks import (
    allow_host,
    change_webhook,
    check_host,
    check_url,
    create_webhook,
    delete_webhook,
    event_types,
    forbid_host,
    rotate_secret,
    secret_of,
    send_again,
    send_test,
)
from .admin import LookOnly, ModelAdmin, link, link_to_list, pretty
from .exceptions import DomainError
from .models import AllowedHost, Webhook, WebhookDelivery
from .roles import MANAGE_WEBHOOKS


class ForOwners(LookOnly):
    """Nobody but whoever manages webhooks sees anything here."""

    def has_manage_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(MANAGE_WEBHOOKS)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_manage_permission(request)

    def has_view_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return self.has_manage_permission(request)


class MadeByOwners(ForOwners):
    """They add rows and delete them."""

    def has_add_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return self.has_manage_permission(request)

    def has_delete_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return self.has_manage_permission(request)


def by(request: HttpRequest) -> User:
    return cast("User", request.user)


class ChecksInput(forms.ModelForm):  # type: ignore[type-arg]
    """A form whose fields are judged by the checks of the verbs."""

    def checked(self, check: Callable[[str], str], text: str) -> str:
        try:
            return check(text)
        except DomainError as error:
            raise forms.ValidationError(str(error)) from None


class WebhookForm(ChecksInput):
    event_types = forms.MultipleChoiceField(
        choices=lambda: [(name, name) for name in event_types()],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="None chosen: all of them, those of later versions too.",
    )

    class Meta:
        model = Webhook
        fields = ["url", "description", "event_types", "workflow", "enabled"]

    def clean_url(self) -> str:
        return self.checked(check_url, self.cleaned_data["url"])


@admin.register(Webhook)
class WebhookAdmin(MadeByOwners, ModelAdmin):
    form = WebhookForm
    list_display = ["url", "description", "workflow", "events", "enabled", "failing_since", "created_by", "created_at"]
    list_filter = ["enabled"]
    list_select_related = ["workflow", "created_by"]
    search_fields = ["url", "description", "workflow__workflow_id"]
    ordering = ["-pk"]
    show_full_result_count = False
    actions = ["test", "replace_secret", "show_secret"]
    #: What is only shown, and only of one that there is.
    SHOWN = ("see", "disabled_because", "failing_since", "created_by", "created_at", "updated_at")

    def has_change_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return self.has_manage_permission(request)

    def get_fields(self, _request: HttpRequest, obj: Webhook | None = None) -> Any:
        return [*WebhookForm.Meta.fields, *(self.SHOWN if obj else ())]

    def get_readonly_fields(self, _request: HttpRequest, _obj: Any = None) -> tuple[str, ...]:
        return self.SHOWN

    @admin.display(description="events")
    def events(self, webhook: Webhook) -> str:
        return ", ".join(webhook.event_types) or "all"

    @admin.display(description="see")
    def see(self, webhook: Webhook) -> SafeString:
        return link_to_list(WebhookDelivery, "deliveries", webhook__id__exact=webhook.pk)

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        if change:
            change_webhook(obj, **{name: form.cleaned_data[name] for name in form.changed_data}, by=by(request))
            return
        made, secret = create_webhook(**form.cleaned_data, by=by(request))
        obj.pk = made.pk
        obj.refresh_from_db()
        obj.secret = secret  # type: ignore[attr-defined] # for the answer to this request alone

    def response_add(self, request: HttpRequest, obj: Webhook, _post_url_continue: str | None = None) -> HttpResponse:
        return self._show(request, obj, obj.secret, "Made")  # type: ignore[attr-defined]

    def _show(self, request: HttpRequest, webhook: Webhook, secret: str, done: str) -> HttpResponse:
        """The secret as the answer itself: a message would leave it in a cookie or in the session's row."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Secret of a webhook",
            "opts": self.opts,
            "webhook": webhook,
            "secret": secret,
            "done": done,
        }
        headers = {"Cache-Control": "no-store"}
        return TemplateResponse(request, "admin/coaching/webhook_secret.html", context, headers=headers)

    def delete_model(self, request: HttpRequest, obj: Webhook) -> None:
        delete_webhook(obj, by=by(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        for webhook in queryset:
            delete_webhook(webhook, by=by(request))

    def get_deleted_objects(self, objs: Any, _request: HttpRequest) -> Any:
        """The endpoints by name; their deliveries, of which there may be many, go with them."""
        return [f"{webhook} with the log of its deliveries" for webhook in objs], {}, set(), []

    @admin.action(description="Send a test message", permissions=["manage"])
    def test(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        do_each(self, request, queryset, send_test)

    @admin.action(description="Replace the secret", permissions=["manage"])
    def replace_secret(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> HttpResponse | None:
        return self._of_one(request, queryset, rotate_secret, "Replaced")

    @admin.action(description="Show the secret", permissions=["manage"])
    def show_secret(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> HttpResponse | None:
        return self._of_one(request, queryset, secret_of, "")

    def _of_one(
        self, request: HttpRequest, webhooks: QuerySet[Webhook], do: Callable[..., str], done: str
    ) -> HttpResponse | None:
        webhook, *others = webhooks[:2]
        if others:
            self.message_user(request, "Choose one webhook: each has a secret of its own.", messages.ERROR)
            return None
        try:
            return self._show(request, webhook, do(webhook, by=by(request)), done)
        except DomainError as error:
            self.message_user(request, str(error), messages.ERROR)
            return None


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ForOwners, ModelAdmin):
    list_display = [
        "event_type", "message_id", "webhook_link", "session_link", "seq", "status", "attempts", "answer",
        "next_attempt", "created_at",
    ]  # fmt: skip
    list_filter = ["status"]
    list_select_related = ["webhook", "session"]
    search_fields = ["=message_id", "=event_type", "=session__session_id", "webhook__url"]
    ordering = ["-pk"]
    show_full_result_count = False
    actions = ["send_again"]
    fields = [
        "message_id", "webhook_link", "session_link", "seq", "event_type", "status", "attempts", "next_attempt",
        "last_attempt_at", "took_ms", "answer_status", "answer_text", "error", "delivered_at", "created_at", "content",
    ]  # fmt: skip

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "webhook__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="webhook", ordering="webhook__url")
    def webhook_link(self, delivery: WebhookDelivery) -> SafeString | str:
        return link(delivery.webhook)

    @admin.display(description="session", ordering="session__session_id")
    def session_link(self, delivery: WebhookDelivery) -> SafeString | str:
        return link(delivery.session)

    @admin.display(description="last answer")
    def answer(self, delivery: WebhookDelivery) -> str:
        if delivery.error:
            return Truncator(delivery.error).chars(100)
        return f"{delivery.answer_status} in {delivery.took_ms} ms" if delivery.answer_status else "-"

    @admin.display(description="next attempt", ordering="next_attempt_at")
    def next_attempt(self, delivery: WebhookDelivery) -> Any:
        return delivery.next_attempt_at if delivery.is_pending else None

    @admin.display(description="body")
    def content(self, delivery: WebhookDelivery) -> SafeString:
        return pretty(delivery.content)

    @admin.action(description="Send again", permissions=["manage"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        do_each(self, request, queryset, send_again)


class AllowedHostForm(ChecksInput):
    class Meta:
        model = AllowedHost
        fields = ["host", "port", "reason"]

    def clean_host(self) -> str:
        return self.checked(check_host, self.cleaned_data["host"])


@admin.register(AllowedHost)
class AllowedHostAdmin(MadeByOwners, ModelAdmin):
    """Added and taken back, never changed: who allowed what stays true."""

    form = AllowedHostForm
    list_display = ["host", "port", "reason", "by", "at"]
    search_fields = ["host", "reason", "=by"]
    show_full_result_count = False

    def get_fields(self, _request: HttpRequest, obj: AllowedHost | None = None) -> Any:
        return [*AllowedHostForm.Meta.fields, *(("by", "at") if obj else ())]

    def save_model(self, request: HttpRequest, obj: AllowedHost, form: Any, change: bool) -> None:  # noqa: ARG002
        obj.pk = allow_host(**form.cleaned_data, by=by(request)).pk
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: AllowedHost) -> None:
        forbid_host(obj, by=by(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AllowedHost]) -> None:
        for allowed in queryset:
            forbid_host(allowed, by=by(request))


def do_each(site: ModelAdmin, request: HttpRequest, rows: QuerySet[Any], do: Callable[..., Any]) -> None:
    """Does it to each row; one that refuses is named, and holds up none of the others."""
    done = 0
    for row in rows:
        try:
            do(row, by=by(request))
            done += 1
        except DomainError as error:
            site.message_user(request, f"{row}: {error}", messages.ERROR)
    if done:
        words = ngettext("%d message is on its way.", "%d messages are on their way.", done) % done
        site.message_user(request, words, messages.SUCCESS)
