"""What the server said about a file becomes a Problem: file, line, column, caret, and what to do next."""

from collections.abc import Iterable
from dataclasses import replace

import psycopg

from dashboard.core.masking import masked, secrets_of, without
from dashboard.core.migration import Migration
from dashboard.core.run import Problem
from dashboard.core.script import OUTSIDE, Statement
from dashboard.core.text import Places
from dashboard.postgres import frame
from dashboard.postgres.ledger import TABLE
from dashboard.postgres.observe import Survey

NOTHING_KEPT = "Nothing of this file was kept."
CANCELLED_THERE = "Somebody cancelled the statement at the server."

_LONGEST = 4_000  # characters of what the server says; a file can make it say megabytes

_BY_STATE = {
    "42P01": "Check the spelling and the schema; or does the migration that creates it come later?",
    "42703": "Check the spelling; or does the migration that adds it come later?",
    "42883": "Check the name and the argument types; an extension that provides it may be missing here.",
    "42704": "Check the spelling; an extension or an earlier migration that provides it may be missing here.",
    "42P07": "It was made outside of migrations, or by another file. Compare the two before adding IF NOT EXISTS.",
    "42701": "It was made outside of migrations, or by another file. Compare the two before adding IF NOT EXISTS.",
    "42710": "It was made outside of migrations, or by another file. Compare the two before adding IF NOT EXISTS.",
    "42P06": "It was made outside of migrations, or by another file. Compare the two before adding IF NOT EXISTS.",
    "23505": "Rows that are there already stand in the way: look at them, and bring them in order first.",
    "23503": "Rows that are there already stand in the way: look at them, and bring them in order first.",
    "23502": "Rows that are there already stand in the way: give them a value first.",
    "23514": "Rows that are there already stand in the way: look at them, and bring them in order first.",
    "2BP01": "Something else hangs on it: the detail names it. Change that first, in the same file.",
    "42501": "Let the owner do it, or GRANT the right to the role that Rung connects as.",
    "42601": "Correct the statement at the caret.",
    "55P03": "Another session held the table. Try again at a quieter moment, or end that session.",
    "40P01": "Try again at a quieter moment; locking the tables in the order the application does avoids it.",
    "40001": "Try again at a quieter moment.",
    "53100": "The server's disk is full: make room there first.",
    "53200": "The server ran out of memory: look at its settings, or split the statement.",
    "55P04": "A new enum value can be used only after it was committed: put what uses it into the next file.",
    "2D000": "It calls a procedure that commits or rolls back, and a file runs in one transaction: give it a file "
    f"of its own, with {OUTSIDE!r} as its first line.",
    "22P05": "The encoding of this database has no such character: leave it out, or write another one.",
    "25P03": "The file waited too long inside its transaction: look at idle_in_transaction_session_timeout.",
    "25P04": "The file, the role or the database has a transaction_timeout: raise it in this file with SET.",
    "25001": "This statement has to run outside of a transaction: give it a file of its own, with "
    f"{OUTSIDE!r} as its first line.",
    "25006": "The file made its transaction read-only; take that out.",
    "57P01": "An administrator, or a restart of the server, ended the session. Run again when it is back.",
    "57P02": "The server crashed and restarted. Read its log before running again.",
    "57P03": "The server is not ready. Run again in a moment.",
    "0A000": "This server cannot do that; compare its version with the one the file was written for.",
}


def explain(
    environment: str, migration: Migration, statement: Statement | None, error: psycopg.Error, kept: str = NOTHING_KEPT
) -> Problem:
    """A Problem from the server's own words. `kept`: what of the file is in the database now, as a sentence."""
    said, secrets = error.diag, secrets_of(migration.text)
    message = bounded(said.message_primary or str(error).strip(), secrets)
    state = said.sqlstate
    place = _place(migration, statement, said.statement_position)
    context = f"Context: {said.context}" if said.context else ""
    more = (bounded(text, secrets) for text in (said.message_detail or "", context))
    return Problem(
        environment=environment,
        message=message,
        advice=f"{kept}{'' if kept.endswith(chr(10)) else ' '}{_advice(said, message)}".strip(),
        filename=migration.filename,
        statement=statement.index if statement else None,
        line=place[0],
        column=place[1],
        excerpt=place[2],
        sqlstate=state,
        detail="\n".join(filter(None, more)) or None,
        hint=bounded(said.message_hint or "", secrets) or None,
    )


def bounded(text: str, secrets: Iterable[str] = ()) -> str:
    """What the server said, without the passwords of the file, and cut where nobody reads on."""
    shown = without(text[: 2 * _LONGEST], secrets)
    return shown if len(text) <= _LONGEST else f"{shown[:_LONGEST]} ... ({len(text):,} characters in all)"


def _place(
    migration: Migration, statement: Statement | None, position: str | None
) -> tuple[int | None, int | None, str]:
    """Line, column and excerpt. The server counts characters of the statement from 1, and often says nothing."""
    if statement is None:
        return None, None, ""
    if position is None:
        return statement.line, None, statement.in_brief
    places = Places(masked(migration.text))
    offset = statement.offset + int(position) - 1
    return places.line(offset), places.column(offset), places.excerpt(offset)


def _advice(said: psycopg.errors.Diagnostic, message: str) -> str:
    if said.sqlstate == "57014":
        if "statement timeout" in message:
            return "The role or the database has a statement_timeout: raise it in this file with SET."
        return f"{CANCELLED_THERE} Run again."
    if said.sqlstate == "23505" and said.table_name == TABLE:
        return "Rung records the file itself: take the INSERT into the ledger out of it."
    known = _BY_STATE.get(said.sqlstate or "")
    return known or "Correct the file, and run again."


def broken_frame(told: Problem, ledger: str, kept: str, began: str | None) -> Problem:
    """Why a file may not be committed, although the server took all of it. Arguments as in `Session.problem`."""
    if frame.GONE not in told.message:
        message = f"the ledger cannot be read any more at the end of the file: {told.message}"
        advice = f"{kept} Take out what drops, renames or changes {ledger}, or takes away the right to read it."
        return replace(told, message=message, advice=advice)
    if began is None:
        message = f"the ledger {ledger} did not keep the row that records the file"
        advice = f"{kept} Look at its triggers and rules: one of them drops new rows."
    elif frame.same_transaction(told.message, began):
        message = f"the file removed its row from the ledger {ledger}, or hid it"
        advice = f"{kept} Rung records the file itself: take out what changes the ledger."
    else:
        message = "the file ended the transaction it runs in"
        advice = "What it committed by itself is kept, the rest is not: look at what is there. Take the transaction "
        advice += "control out of it."
    return replace(told, message=message, advice=advice, sqlstate=None)


def unwritable(told: Problem, what: str, table: str, kept: str, known: Survey) -> Problem:
    """Ledger or history does not take its row."""
    user = known.user
    schema = table.rpartition(".")[0]
    gone = "The file drops or renames it: take that out."
    if kept != NOTHING_KEPT and what == "history":
        kept, gone = (
            "",
            (
                "The file dropped or renamed it, and with it what is known of statements that are done: the next run "
                "would begin with the first. Put it back, or record the file with an INSERT into the ledger."
            ),
        )
    elif kept != NOTHING_KEPT:
        gone = "The file dropped, renamed or changed it: put it back as it was, and take that out of the file."
    advice = {
        "42501": f"Role {user} has to write there: GRANT USAGE ON SCHEMA {schema} TO {user}; "
        f"GRANT SELECT, INSERT ON {table} TO {user};",
        "42P01": gone,
        "42703": gone,
        "25006": "The file makes its transaction read-only: take that out."
        if what == "history"
        else f"default_transaction_read_only is on for role {user} or database {known.database}: turn it off.",
        "22P05": "The encoding of this database has no such character, and the history keeps the whole text of the "
        "file: leave it out.",
    }.get(told.sqlstate or "", "Look at the table and its triggers.")
    return replace(told, message=f"the {what} could not be written: {told.message}", advice=f"{kept} {advice}".strip())
