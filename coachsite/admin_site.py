"""The admin site: an address of a list that asks for what cannot be leads back to the list, whichever app it is of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.db.models import Model, QuerySet
from django.http import HttpRequest

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

#: No list offers them, and the database chokes on a wrong one as if it were itself in trouble.
NOT_LOOKED_UP_BY = frozenset({"regex", "iregex"})


class Listing(ChangeList):
    """Django notices most wrong lookups when it makes the query, and some (the year 0) only when it runs it."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> QuerySet[Any]:
        with self._lookups_may_be_wrong():
            return super().get_queryset(request, exclude_parameters)

    def get_results(self, request: HttpRequest) -> None:
        with self._lookups_may_be_wrong():
            super().get_results(request)

    @contextlib.contextmanager
    def _lookups_may_be_wrong(self) -> Iterator[None]:
        lookups = self.get_filters_params()
        if any(NOT_LOOKED_UP_BY.intersection(name.split("__")) for name in lookups):
            raise IncorrectLookupParameters("Nothing is looked up by a pattern.")
        try:
            yield
        except (SuspiciousOperation, IncorrectLookupParameters, OperationalError, InterfaceError):
            # These have answers of their own: a 400, the way back to the list, and that the database is away.
            raise
        except Exception as error:
            # What a wrong lookup raises depends on the field, the lookup and the database: Django catches all, too.
            if lookups:
                raise IncorrectLookupParameters(error) from error
            raise


class Forgiving(ModelAdmin):
    def get_changelist(self, request: HttpRequest, **_: Any) -> type[Listing]:  # noqa: ARG002
        return Listing

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Model | None:
        try:
            return super().get_object(request, object_id, from_field)
        except OverflowError:
            return None  # no row has a number that large


class Site(AdminSite):
    """Whatever is registered here forgives, the lists of other packages too."""

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        admin_class = admin_class or admin.ModelAdmin
        super().register(model_or_iterable, type(admin_class.__name__, (Forgiving, admin_class), {}), **options)
