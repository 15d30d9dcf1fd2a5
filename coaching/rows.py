"""The statements that every decision runs, each built once.

The ORM builds a query anew each time, which costs several times what running it does. Reads and writes that are not on
this path stay with the ORM. No `save` is overridden and no `post_save` awaited for the models that are written here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import (
    BooleanField,
    CharField,
    Field,
    FloatField,
    ForeignKey,
    IntegerField,
    Model,
    QuerySet,
    TextField,
)
from django.db.models.query import get_related_populators

Row = TypeVar("Row", bound=Model)
#: The fields of a statement's parameters, and whether each takes plain values as they are.
Parameters = tuple[tuple[Field[Any, Any], bool], ...]


def update(
    model: type[Model],
    where: Mapping[str, Any],
    *,
    to: Mapping[str, Any] | None = None,
    add: Mapping[str, int] | None = None,
    at_least: Mapping[str, int] | None = None,
    not_null: Collection[str] = (),
    returning: str | tuple[str, ...] = "pk",
) -> Any:
    """Changes the row that is as `where` says, and returns its column `returning`, or a tuple of its columns; None when
    there is no such row, or one of `not_null` is.

    Columns go `to` a value, have a number `add`ed, or are raised to a number that they must have `at_least`. All by the
    names of the model's columns.
    """
    to, add, at_least = to or {}, add or {}, at_least or {}
    sql, parameters = _update(model, tuple(to), tuple(add), tuple(at_least), tuple(where), tuple(not_null), returning)
    raised = [number for each in at_least.values() for number in (each, each)]
    values = [*to.values(), *add.values(), *raised, *where.values()]
    found = _executed(sql, parameters, values)
    if found is None or isinstance(returning, tuple):
        return found
    return found[0]


@lru_cache(maxsize=512)
def _update(  # noqa: PLR0917 - a key for the cache
    model: type[Model],
    to: tuple[str, ...],
    add: tuple[str, ...],
    at_least: tuple[str, ...],
    where: tuple[str, ...],
    not_null: tuple[str, ...],
    returning: str | tuple[str, ...],
) -> tuple[str, Parameters]:
    changes = [f"{_column(model, name)} = %s" for name in to]
    changes += [f"{_column(model, name)} = {_column(model, name)} + %s" for name in add]
    changes += [
        f"{column} = CASE WHEN {column} < %s THEN %s ELSE {column} END"
        for column in (_column(model, name) for name in at_least)
    ]
    conditions = [f"{_column(model, name)} = %s" for name in where]
    conditions += [f"{_column(model, name)} IS NOT NULL" for name in not_null]
    told = (returning,) if isinstance(returning, str) else returning
    sql = (
        f"UPDATE {_quoted(model._meta.db_table)} SET {', '.join(changes)} "  # noqa: S608 - names of columns
        f"WHERE {' AND '.join(conditions)} RETURNING {', '.join(_column(model, name) for name in told)}"
    )
    names = [*to, *add, *(name for name in at_least for _ in range(2)), *where]
    return sql, _parameters(_field(model, name) for name in names)


def insert(row: Model) -> None:
    """Inserts a row whose key the database gives, and sets it."""
    model = type(row)
    sql, parameters = _insert(model)
    (row.pk,) = _executed(sql, parameters, [field.pre_save(row, True) for field, _ in parameters]) or (None,)
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS  # noqa: SLF001 - as `save` does


def insert_values(model: type[Model], values: Mapping[str, Any]) -> None:
    """Inserts a row that nobody needs as an object: every column but the key is given, by its name."""
    sql, parameters = _insert(model)
    _executed(sql, parameters, [values[field.attname] for field, _ in parameters])


@lru_cache(maxsize=16)
def _insert(model: type[Model]) -> tuple[str, Parameters]:
    fields = tuple(field for field in model._meta.local_concrete_fields if not field.primary_key)
    columns = ", ".join(_quoted(field.column) for field in fields)
    values = ", ".join(["%s"] * len(fields))
    sql = (
        f"INSERT INTO {_quoted(model._meta.db_table)} ({columns}) VALUES ({values}) "  # noqa: S608 - names of columns
        f"RETURNING {_column(model, 'pk')}"
    )
    return sql, _parameters(fields)


class Read(Generic[Row]):
    """One row of `rows` by the values of `names`, with what `rows` selects beside it.

    Of several the one whose `last` column is the greatest, or any one.
    """

    def __init__(self, rows: QuerySet[Row], *names: str, last: str = "") -> None:
        self._rows, self._names, self._last = rows, names, last
        self._compiled: Any = None

    def get(self, *values: Any) -> Row | None:
        """The row, None when there is none."""
        if self._compiled is None:
            self._compiled = self._compile()
        compiler, sql, parameters, names, related, converters = self._compiled
        found = _executed(sql, parameters, values)
        if found is None:
            return None
        if converters:
            (found,) = compiler.apply_converters([found], converters)
        row: Row = compiler.klass_info["model"].from_db(DEFAULT_DB_ALIAS, names, found[: len(names)])
        for populator in related:
            populator.populate(found, row)
        return row

    def _compile(self) -> Any:
        """As Django's own iteration over models reads rows; the conditions are added as text, with our parameters."""
        model = self._rows.model
        compiler = self._rows.order_by().query.get_compiler(DEFAULT_DB_ALIAS)
        sql, given = compiler.as_sql()
        if given:
            raise ValueError("rows that are read by their names have no other conditions")
        table = _quoted(model._meta.db_table)
        conditions = " AND ".join(f"{table}.{_column(model, name)} = %s" for name in self._names)
        width = len(compiler.klass_info["select_fields"])
        names = [selected[0].target.attname for selected in compiler.select[:width]]
        related = cast("Any", get_related_populators)(compiler.klass_info, compiler.select, DEFAULT_DB_ALIAS)
        converters = compiler.get_converters([selected[0] for selected in compiler.select])
        parameters = _parameters(_field(model, name) for name in self._names)
        order = f" ORDER BY {table}.{_column(model, self._last)} DESC LIMIT 1" if self._last else ""
        return compiler, f"{sql} WHERE {conditions}{order}", parameters, names, related, converters


def _field(model: type[Model], name: str) -> Field[Any, Any]:
    if name == "pk":
        key: Field[Any, Any] = model._meta.pk
        return key
    return next(field for field in model._meta.concrete_fields if name in {field.name, field.attname})


def _column(model: type[Model], name: str) -> str:
    return _quoted(_field(model, name).column)


def _quoted(name: str | None) -> str:
    return connection.ops.quote_name(str(name))


def _parameters(fields: Iterable[Field[Any, Any]]) -> Parameters:
    return tuple((field, isinstance(field, _PLAIN_FIELDS)) for field in fields)


#: What these fields take from the program as it is; of values of other types, the field makes what the driver takes.
_PLAIN_FIELDS = (IntegerField, CharField, TextField, BooleanField, FloatField, ForeignKey)
_PLAIN_VALUES = frozenset({int, str, bool, float, type(None)})


def _executed(sql: str, parameters: Parameters, values: Collection[Any]) -> tuple[Any, ...] | None:
    """The first row that the statement answers with."""
    # The connection itself: `connection` looks it up anew at each use, fifty times a statement.
    database = connections[DEFAULT_DB_ALIAS]
    prepared = [
        value if plain and type(value) in _PLAIN_VALUES else field.get_db_prep_save(value, database)
        for (field, plain), value in zip(parameters, values, strict=True)
    ]
    found: tuple[Any, ...] | None
    if first_row := getattr(database, "first_row", None):
        found = first_row(sql, prepared)
        return found
    with database.cursor() as cursor:
        cursor.execute(sql, prepared)
        found = cursor.fetchone()
    return found
