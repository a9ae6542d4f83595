"""Statements: built by SQLAlchemy Core, compiled once per dialect, executed by the drivers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import Any

import msgspec
from sqlalchemy import ARRAY, BigInteger, Text, bindparam, literal_column
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement, ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

Insert = Callable[[Any], Any]
_SQLITE = sqlite.dialect(paramstyle="named")
_encode = msgspec.json.Encoder().encode


class Statement:
    """One statement for both dialects, compiled when first used.

    Takes the construct, or, where it needs ON CONFLICT, a function from the dialect's `insert` to the construct.
    """

    def __init__(self, construct: ClauseElement | Callable[[Insert], ClauseElement]) -> None:
        self._construct = construct

    @cached_property
    def sqlite(self) -> Named:
        """The statement for sqlite3."""
        return Named(self._built(sqlite_insert).compile(dialect=_SQLITE))

    @cached_property
    def postgresql(self) -> Numbered:
        """The statement for asyncpg."""
        dialect, insert = _postgresql()
        return Numbered(self._built(insert).compile(dialect=dialect))

    def _built(self, insert: Insert) -> ClauseElement:
        return self._construct if isinstance(self._construct, ClauseElement) else self._construct(insert)


@cache
def _postgresql() -> tuple[Any, Insert]:
    """Loaded when first needed: a hub on SQLite starts faster and stays smaller without it."""
    dialects = importlib.import_module("sqlalchemy.dialects.postgresql")
    driver = importlib.import_module("sqlalchemy.dialects.postgresql.asyncpg")
    return driver.dialect(), dialects.insert


class Named:
    """SQL with `:name` parameters; lists travel as JSON text."""

    __slots__ = ("_defaults", "_lists", "sql")

    def __init__(self, compiled: Any) -> None:
        self.sql: str = str(compiled)
        self._defaults = _defaults(compiled)
        self._lists = tuple(name for bind, name in compiled.bind_names.items() if isinstance(bind.type, ARRAY))

    def fill(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return what sqlite3 takes for `params`."""
        for name in self._lists:
            params[name] = _encode(params[name]).decode()
        return {**self._defaults, **params} if self._defaults else params


class Numbered:
    """SQL with `$n` parameters."""

    __slots__ = ("_defaults", "_order", "sql")

    def __init__(self, compiled: Any) -> None:
        self.sql: str = str(compiled)
        self._defaults = _defaults(compiled)
        self._order: tuple[str, ...] = tuple(compiled.positiontup or ())

    def fill(self, params: Mapping[str, Any]) -> list[Any]:
        """Return what asyncpg takes for `params`."""
        if self._defaults:
            params = {**self._defaults, **params}
        return [params[name] for name in self._order]


def _defaults(compiled: Any) -> dict[str, Any]:
    return {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}


class AnyOf(ColumnElement[bool]):
    """`column` is one of the list that is bound as `name`; one parameter, so the statement stays the same."""

    inherit_cache = False

    def __init__(self, column: ColumnElement[Any], name: str, item: type[BigInteger] | type[Text] = BigInteger) -> None:
        self.column = column
        self.items = bindparam(name, type_=ARRAY(item))


@compiles(AnyOf, "sqlite")
def _any_sqlite(element: AnyOf, compiler: SQLCompiler, **kw: Any) -> str:
    column, items = compiler.process(element.column, **kw), compiler.process(element.items, **kw)
    return f"{column} IN (SELECT value FROM json_each({items}))"  # noqa: S608


@compiles(AnyOf, "postgresql")
def _any_postgresql(element: AnyOf, compiler: SQLCompiler, **kw: Any) -> str:
    return f"{compiler.process(element.column, **kw)} = ANY ({compiler.process(element.items, **kw)})"


class json_list(FunctionElement[str]):  # noqa: N801 - reads as an SQL function
    """Aggregate: the values as the text of a JSON list."""

    type = Text()
    inherit_cache = True
    name = "json_list"


@compiles(json_list, "sqlite")
def _json_list_sqlite(element: json_list, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_group_array({compiler.process(element.clauses, **kw)})"


@compiles(json_list, "postgresql")
def _json_list_postgresql(element: json_list, compiler: SQLCompiler, **kw: Any) -> str:
    return f"coalesce(json_agg({compiler.process(element.clauses, **kw)}), '[]')::text"


class least(FunctionElement[float]):  # noqa: N801 - reads as an SQL function
    """The smallest of the arguments that are not null."""

    inherit_cache = True
    name = "least"


@compiles(least, "sqlite")
def _least_sqlite(element: least, compiler: SQLCompiler, **kw: Any) -> str:
    first, second = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"coalesce(min({first}, {second}), {first}, {second})"


@compiles(least, "postgresql")
def _least_postgresql(element: least, compiler: SQLCompiler, **kw: Any) -> str:
    return f"least({compiler.process(element.clauses, **kw)})"


def word(text: str) -> ColumnElement[str]:
    """A constant of ours inside a statement, where a parameter would hide it from the planner."""
    return literal_column(f"'{text}'", Text())
