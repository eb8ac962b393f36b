"""Facts: what a database says of itself, its role's rights and our two tables, and what speaks against using them."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from psycopg import sql

from dashboard.core.environment import Environment, Policy
from dashboard.core.errors import EnvironmentFault, ForeignLedger, Unusable
from dashboard.core.hosts import is_here
from dashboard.core.picture import Identity, Unwritable
from dashboard.postgres.ledger import TABLE

OLDEST = 12  # the oldest major version that the runner was tried on


class Facts(NamedTuple):
    """The columns of `query`. What concerns a table or schema that is not there is None."""

    now: datetime
    started: datetime  # the server, the last time
    version: str
    pid: int
    in_recovery: bool
    read_only: bool
    read_only_source: str | None  # as in pg_settings.source, where it is on
    user: str
    superuser: bool
    database: str
    database_oid: int
    system: str | None
    may_create_schemas: bool
    ledger_schema_use: bool | None
    ledger_schema_create: bool | None
    ledger_kind: str | None  # as in pg_class.relkind
    ledger_columns: list[str] | None  # name and type
    ledger_read: bool | None
    ledger_insert: bool | None
    ledger_lock: bool | None
    ledger_hides: bool | None  # row-level security applies to us
    keyed: bool
    history_schema_use: bool | None
    history_schema_create: bool | None
    history_exists: bool
    history_read: bool | None
    history_insert: bool | None
    history_hides: bool | None

    @property
    def identity(self) -> Identity:
        return Identity(self.system, self.database_oid)


_SYSTEM = sql.SQL("(SELECT s.system_identifier::text FROM pg_catalog.pg_control_system() AS s)")
_NO_SYSTEM = sql.SQL("NULL::text")

# Tables and schemas are looked up by name in the catalog: to_regclass fails where the role may not use the schema.
_FACTS = sql.SQL("""
SELECT clock_timestamp(), pg_postmaster_start_time(), current_setting('server_version'), pg_backend_pid(),
       pg_is_in_recovery(),
       current_setting('default_transaction_read_only')::boolean,
       CASE WHEN current_setting('default_transaction_read_only')::boolean THEN
         (SELECT s.source FROM pg_catalog.pg_settings AS s WHERE s.name = 'default_transaction_read_only') END,
       session_user::text, current_setting('is_superuser')::boolean, current_database()::text, d.oid::bigint, {system},
       has_database_privilege(d.oid, 'CREATE'),
       has_schema_privilege(n.oid, 'USAGE'), has_schema_privilege(n.oid, 'CREATE'),
       c.relkind::text,
       (SELECT array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       has_table_privilege(c.oid, 'SELECT'), has_any_column_privilege(c.oid, 'INSERT'),
       has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE'), row_security_active(c.oid),
       EXISTS (SELECT FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_attribute AS a
                   ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] AND a.attname = 'filename'
                WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                  AND i.indnkeyatts = 1 AND i.indpred IS NULL),
       has_schema_privilege(m.oid, 'USAGE'), has_schema_privilege(m.oid, 'CREATE'),
       h.oid IS NOT NULL, has_table_privilege(h.oid, 'SELECT'), has_any_column_privilege(h.oid, 'INSERT'),
       row_security_active(h.oid)
  FROM pg_catalog.pg_database AS d
  LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = {schema}
  LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = {table}
  LEFT JOIN pg_catalog.pg_namespace AS m ON m.nspname = 'rung'
  LEFT JOIN pg_catalog.pg_class AS h ON h.relnamespace = m.oid AND h.relname = 'history'
 WHERE d.datname = current_database()
""")


def query(environment: Environment, *, identified: bool = True) -> sql.Composable:
    """SQL that gives one row of Facts. identified: False where the role may not ask which cluster it is."""
    return _FACTS.format(
        system=_SYSTEM if identified else _NO_SYSTEM,
        schema=sql.Literal(environment.ledger_schema),
        table=sql.Literal(TABLE),
    )


# --- what cannot be read ---

_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "c": "a type"}


def refuse_old(environment: Environment, server_version: int) -> None:
    """Raises Unusable for a server that is older than the oldest one that was tried."""
    major = server_version // 10000
    if major < OLDEST:
        reason = f"its server is PostgreSQL {major}, and Rung needs {OLDEST} or newer"
        raise Unusable(environment.name, reason, "Upgrade the server.")


def refuse_unreadable(environment: Environment, facts: Facts) -> None:
    """Raises ForeignLedger or Unusable where ledger or history are not what we could read."""
    if facts.ledger_columns is not None:
        _refuse_foreign(environment, facts)
    missing = list(_missing_to_read(environment, facts))
    if missing:
        reason = f"role {facts.user} may not read what Rung keeps there"
        raise Unusable(environment.name, reason, _grants(missing))
    for hides, name in ((facts.ledger_hides, _ledger(environment)), (facts.history_hides, "rung.history")):
        if hides:
            raise Unusable(
                environment.name,
                f"row-level security of {name} may hide rows of it from role {facts.user}",
                f"As its owner: ALTER TABLE {name} DISABLE ROW LEVEL SECURITY; or as a superuser: "
                f"ALTER ROLE {_quoted(facts.user)} BYPASSRLS;",
            )


def _refuse_foreign(environment: Environment, facts: Facts) -> None:
    if facts.ledger_kind not in ("r", "p"):
        kind = _KINDS.get(facts.ledger_kind or "", "not a table")
        advice = "Rename it, or point ledger_schema in rung.toml at another schema."
        name = f"{environment.ledger_schema}.{TABLE}"
        raise Unusable(environment.name, f"its {name} is {kind}, and the ledger has to be a table", advice)
    names = {column.split(" ", 1)[0] for column in facts.ledger_columns or ()}
    if not {"filename", "applied_at"} <= names:
        raise foreign(environment, facts)


def foreign(environment: Environment, facts: Facts) -> EnvironmentFault:
    table = f"{environment.ledger_schema}.{TABLE}"
    return ForeignLedger(environment.name, table, ", ".join(facts.ledger_columns or []) or "none")


def _missing_to_read(environment: Environment, facts: Facts) -> Iterator[str]:
    """GRANT statements, without their semicolons."""
    role = _quoted(facts.user)
    if facts.ledger_columns is not None and not facts.ledger_schema_use:
        yield f"GRANT USAGE ON SCHEMA {_quoted(environment.ledger_schema)} TO {role}"
    if facts.ledger_read is False:
        yield f"GRANT SELECT, INSERT ON {_ledger(environment)} TO {role}"
    if facts.history_exists and not facts.history_schema_use:
        yield f"GRANT USAGE ON SCHEMA rung TO {role}"
    if facts.history_read is False:
        yield f"GRANT SELECT, INSERT ON rung.history TO {role}"


# --- what cannot be written ---

_SOURCES = {
    "user": "set for role {user}: ALTER ROLE {role} RESET default_transaction_read_only;",
    "database": "set for database {database}: ALTER DATABASE {name} RESET default_transaction_read_only;",
    "database user": "set for role {user} in database {database}: "
    "ALTER ROLE {role} IN DATABASE {name} RESET default_transaction_read_only;",
    "configuration file": "set in the server's configuration (postgresql.conf, or ALTER SYSTEM): take it out there, "
    "and reload.",
    "command line": "set by an option that the server was started with.",
    "client": "set by the address itself (options) or by PGOPTIONS: take it out there.",
}


def unwritable(environment: Environment, facts: Facts) -> Unwritable | None:
    """Why nothing can be applied on a database that can be read."""
    if facts.in_recovery:
        return Unwritable("it is a standby (in recovery)", "Give the address of the primary server.")
    if facts.read_only:
        where = _SOURCES.get(facts.read_only_source or "", "set for all sessions of this role in this database.")
        known = {"user": facts.user, "database": facts.database}
        said = where.format(**known, role=_quoted(facts.user), name=_quoted(facts.database))
        return Unwritable("default_transaction_read_only is on", f"It is {said}")
    missing = list(_missing_to_write(environment, facts))
    if missing:
        return Unwritable(f"role {facts.user} may not write there", _grants(missing), idle=False)
    if facts.superuser and environment.policies.superuser is Policy.REFUSE:
        return Unwritable(f"role {facts.user} is a superuser, which rung.toml refuses", _OWN_ROLE, idle=False)
    return None


_OWN_ROLE = "Give Rung a role of its own that owns what the migrations change, and nothing else."


def remark_on_superuser(environment: Environment, facts: Facts, host: str) -> str | None:
    """Worth saying of everything but an unprotected database on this machine."""
    if not facts.superuser or (is_here(host) and not environment.policies.protected):
        return None
    return f"Role {facts.user} is a superuser: a migration could read and change anything on that server. {_OWN_ROLE}"


def _missing_to_write(environment: Environment, facts: Facts) -> Iterator[str]:
    """GRANT statements, without their semicolons."""
    role, schema = _quoted(facts.user), _quoted(environment.ledger_schema)
    new_ledger, new_history = facts.ledger_columns is None, not facts.history_exists
    no_schema = (new_ledger and facts.ledger_schema_use is None) or (new_history and facts.history_schema_use is None)
    if no_schema and not facts.may_create_schemas:
        yield f"GRANT CREATE ON DATABASE {_quoted(facts.database)} TO {role}"
    if new_ledger and facts.ledger_schema_use is not None and not facts.ledger_schema_create:
        yield f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}"
    if new_history and facts.history_schema_use is not None and not facts.history_schema_create:
        yield f"GRANT USAGE, CREATE ON SCHEMA rung TO {role}"
    if facts.ledger_insert is False:
        yield f"GRANT INSERT ON {_ledger(environment)} TO {role}"
    if facts.ledger_lock is False and not facts.keyed:  # LOCK TABLE asks for more than INSERT
        yield f"GRANT UPDATE ON {_ledger(environment)} TO {role}"
    if facts.history_insert is False:
        yield f"GRANT INSERT ON rung.history TO {role}"


def _grants(missing: list[str]) -> str:
    return f"As the owner: {'; '.join(missing)};"


def _ledger(environment: Environment) -> str:
    return sql.Identifier(environment.ledger_schema, TABLE).as_string()


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()
