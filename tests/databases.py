"""A database for every test: copies of templates, and what becomes of them."""

import collections
import contextlib
import itertools
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from dashboard.postgres import embedded

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Database:
    """A copy of a template. `row` is what the catalog says of it: changed by every ALTER DATABASE."""

    name: str
    copied: str
    row: tuple[Any, ...]


class Databases:
    """Gives every test databases of its own; those that nobody ever visited are given to the next one."""

    def __init__(self, server: embedded.EmbeddedServer) -> None:
        self.server = server
        self._connection: psycopg.Connection[Any] | None = None
        self._unvisited: dict[str, list[Database]] = collections.defaultdict(list)

    def give(self, copied: str) -> Database:
        while self._unvisited[copied]:
            database = self._unvisited[copied].pop()
            if self._is_unvisited(database):
                return database
            self._drop(database)
        name = f"test_{next(_numbers)}"
        # The other strategy writes every page to the log as well, and takes twice as long.
        making = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        self._execute(making.format(sql.Identifier(name), sql.Identifier(copied)))
        return Database(name, copied, self._row(name))

    def take_back(self, database: Database) -> None:
        if self._is_unvisited(database):
            self._unvisited[database.copied].append(database)
        else:
            self._drop(database)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _is_unvisited(self, database: Database) -> bool:
        return self._row(database.name) == database.row

    def _row(self, name: str) -> tuple[Any, ...]:
        """Sessions are counted when they end; what goes on is in the list of activity."""
        question = sql.SQL(
            "SELECT d.oid, d.xmin::text, s.sessions,"
            " EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid),"
            " EXISTS (SELECT FROM pg_catalog.pg_db_role_setting r WHERE r.setdatabase = d.oid)"
            " FROM pg_catalog.pg_database d JOIN pg_catalog.pg_stat_database s ON s.datid = d.oid WHERE d.datname = {}"
        )
        return self._execute(question.format(sql.Literal(name))).fetchone() or ()

    def _drop(self, database: Database) -> None:
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database.name)))

    def _execute(self, statement: sql.Composed) -> psycopg.Cursor[Any]:
        with contextlib.suppress(psycopg.OperationalError):  # a test may have ended every session, or the server
            return self._connected().execute(statement)
        return self._connected().execute(statement)

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self.server.url("postgres").reveal(), autocommit=True)
        return self._connection
