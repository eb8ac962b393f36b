"""The ledger: `_migrations_applied(filename, applied_at)`, what is true now, kept as other tools know it."""

from dataclasses import dataclass

from psycopg import sql

from dashboard.postgres.flight import Message, Part

TABLE = "_migrations_applied"
NOT_BEFORE = "rung: the file before is not in the ledger"
TAKEN = "rung: the ledger has this file"  # the text by which a fence without a unique key reports itself


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where the ledger is, and how a row is fenced.

    Attributes
    ----------
    schema: unquoted.
    keyed: a unique key on the file name makes a second runner wait and fail. Without one (another runner's table) the
        table is locked against other writers, and the row is only written where there is none.
    schema_exists: it need not be made, which takes a right of its own.

    """

    schema: str
    keyed: bool = True
    schema_exists: bool = False

    @property
    def name(self) -> str:
        """Schema-qualified and quoted."""
        return sql.Identifier(self.schema, TABLE).as_string()

    def creation(self) -> tuple[Message, ...]:
        """Make it, with our own settings in force, under the lock."""
        schema = sql.Identifier(self.schema).as_string()
        made = () if self.schema_exists else (Message(f"CREATE SCHEMA IF NOT EXISTS {schema}", Part.SCHEMA),)
        return (
            *made,
            Message(
                f"CREATE TABLE IF NOT EXISTS {self.name} "
                "(filename text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
                Part.SCHEMA,
            ),
            Message(f"COMMENT ON TABLE {self.name} IS 'The migrations that this database has'", Part.SCHEMA),
        )

    def insert(self, filename: str, after: str | None = None) -> tuple[Message, ...]:
        """Record a file, whatever the session's search_path is. Answers when its transaction began, as epoch.

        after: another file without whose row this one is refused; needs a ledger with a key.
        """
        began = "RETURNING pg_catalog.date_part('epoch', pg_catalog.now())"
        if self.keyed:
            row = f"""
INSERT INTO {self.name} (filename, applied_at)
SELECT CASE WHEN $2::pg_catalog.text IS NULL
              OR EXISTS (SELECT FROM {self.name} AS l WHERE l.filename::pg_catalog.text OPERATOR(pg_catalog.=) $2)
       THEN $1 ELSE pg_catalog.concat('{NOT_BEFORE} ', pg_catalog.txid_current())::pg_catalog.int4::pg_catalog.text END,
       pg_catalog.now() {began}"""  # noqa: S608  # quoted
            return (Message(row, Part.LEDGER, (filename, after), name="ledger"),)
        row = f"""
WITH inserted AS (
  INSERT INTO {self.name} (filename, applied_at) SELECT $1::pg_catalog.text, pg_catalog.now()
   WHERE NOT EXISTS (SELECT FROM {self.name} AS l WHERE l.filename::pg_catalog.text OPERATOR(pg_catalog.=) $1)
  RETURNING 1
)
SELECT CASE WHEN EXISTS (SELECT FROM inserted) THEN pg_catalog.date_part('epoch', pg_catalog.now())
       ELSE pg_catalog.concat('{TAKEN} ', $1)::pg_catalog.float8 END"""  # noqa: S608  # quoted above
        return (
            Message(f"LOCK TABLE {self.name} IN SHARE ROW EXCLUSIVE MODE", Part.LEDGER),
            Message(row, Part.LEDGER, (filename,)),
        )

    def has(self, filename: str) -> Message:
        """Ask for one file. Answers t or f."""
        return Message(
            f"SELECT EXISTS (SELECT FROM {self.name} AS l "  # noqa: S608  # quoted
            "WHERE l.filename::pg_catalog.text OPERATOR(pg_catalog.=) $1)",
            Part.ASK,
            (filename,),
        )

    def written_here(self, filename: str) -> tuple[str, tuple[str]]:
        """SQL condition and its parameter: this very transaction wrote the row. Needs our own search_path.

        A file that ended its transaction and began another one is found out this way.
        """
        condition = (
            f"EXISTS (SELECT FROM {self.name} AS l WHERE l.filename::text = $1 "  # quoted
            "AND l.xmin::text::bigint = txid_current() % 4294967296)"
        )
        return condition, (filename,)
