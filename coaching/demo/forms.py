from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone

from .models import Claim, projects_in

USERNAME = "pat"
PASSWORD = "expenses-2026"  # noqa: S105 - made up, and printed on the sign-in page


class SignInForm(forms.Form):
    user_name = forms.CharField(label="User name", max_length=40, widget=forms.TextInput({"autocomplete": "username"}))
    password = forms.CharField(
        label="Password",
        max_length=80,
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        right_name = given.get("user_name") == USERNAME
        right_password = secrets.compare_digest(given.get("password", "").encode(), PASSWORD.encode())
        if not self.errors and not (right_name and right_password):
            raise forms.ValidationError("This user name and password do not belong together.")
        return given


class ClaimForm(forms.Form):
    """A new claim as `release` asks for it: the amount's name, label and id, and the projects, differ."""

    title = forms.CharField(
        label="What was it for?", min_length=3, max_length=80, widget=forms.TextInput({"autocomplete": "off"})
    )
    category = forms.ChoiceField(label="Category", choices=[("", "Please choose"), *Claim.Category.choices])
    date = forms.DateField(
        label="Date of the receipt",
        input_formats=["%Y-%m-%d"],
        initial=timezone.localdate,
        widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
    )
    project = forms.ChoiceField(label="Project to charge", error_messages={"required": "Choose the project that pays."})

    def __init__(self, data: QueryDict | None = None, *, release: int) -> None:
        super().__init__(data, auto_id="%s")
        self.release = release
        self.amount_name = "amount" if release == 1 else "total_incl_vat"
        self.fields[self.amount_name] = forms.DecimalField(
            label="Amount" if release == 1 else "Total incl. VAT",
            min_value=Decimal("0.01"),
            max_value=Decimal(10_000),
            decimal_places=2,
            widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
        )
        chosen = self.fields["project"]
        assert isinstance(chosen, forms.ChoiceField)  # noqa: S101 - tells the type checker what is declared above
        chosen.choices = [(project.code, project.name) for project in projects_in(release)]

    @property
    def amount(self) -> forms.BoundField:
        return self[self.amount_name]

    def clean_date(self) -> Any:
        date = self.cleaned_data["date"]
        if date > timezone.localdate():
            raise forms.ValidationError("The receipt cannot be from the future.")
        return date

    def save(self, *, claimant: str) -> Claim:
        """Every call files a claim of its own: a form sent twice is two claims, as the rows must show."""
        values = self.cleaned_data
        return Claim.objects.create(
            claimant=claimant,
            title=values["title"],
            amount=values[self.amount_name],
            category=values["category"],
            project=values["project"],
            date=values["date"],
            release=self.release,
        )
