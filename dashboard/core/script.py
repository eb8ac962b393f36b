"""SQL text becomes a script: statements with kind, line and transaction mode, or a refusal that says where."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dashboard.core.body import read_body
from dashboard.core.commands import switched_on
from dashboard.core.masking import masked, secrets_of, without
from dashboard.core.migration import PLACEHOLDER, Migration, Refusal
from dashboard.core.parser import SyntaxFault
from dashboard.core.statement import Statement, cut, parse_fragment
from dashboard.core.text import Places
from dashboard.core.tree import Node

__all__ = ["Script", "Statement", "parse"]


@dataclass(frozen=True, slots=True)
class Script:
    """A migration's text, cut into statements.

    Attributes
    ----------
    transactional: True: one transaction holds them all. False: each runs alone, in autocommit.
    begin: the statement that opens the file's transaction; carries the options of the file's own BEGIN, if it has one
        (`BEGIN ISOLATION LEVEL SERIALIZABLE`).
    notes: sentences for people: "it has no statement; it is recorded as applied". That a file's own BEGIN and COMMIT
        are left out is no news: most files have them.
    committing: the procedures, by their last name, that are known after this file to end transactions.

    """

    filename: str
    statements: tuple[Statement, ...]
    transactional: bool = True
    begin: str = "BEGIN"
    notes: tuple[str, ...] = ()
    committing: frozenset[str] = frozenset()


def parse(migration: Migration, committing: frozenset[str] = frozenset()) -> Script | Refusal:
    """Cut a migration into statements, or say with line, column and caret why it cannot be.

    committing: procedures of the files before it that end transactions, see `Script.committing`.
    """
    source = _Source(migration)
    statements = source.cut()
    if isinstance(statements, Refusal):
        return statements
    return _refuse_client_copy(source, statements) or _script(source, statements, committing)


# --- what cannot be read: syntax, psql's own words, rows for COPY ---

_HARMLESS = re.compile(r"[ \t]*\\set[ \t]+ON_ERROR_STOP\b[^\r\n\\]*")
_HARMLESS_MOST = 20  # such lines in one file; each costs one more reading
OUTSIDE = "-- rung: no transaction"
_DIRECTIVE = re.compile(r"(?i)\s*--\s*rung:\s*(.*?)\s*$")
_NO_TRANSACTION = ["no", "transaction"]
ALLOW = r"--[ \t]*rung:[ \t]*allow\b"
"""How a line begins that is about a finding, as a pattern; see `safety.allowing`."""
_ALLOW = re.compile(rf"\s*{ALLOW}", re.IGNORECASE)
_COPY_IN = re.compile(r"(?:^|;)\s*copy\b[^;]{0,2000}?\bfrom\s+stdin\b[^;]{0,500};", re.IGNORECASE | re.MULTILINE)
_PSQL_COMMAND = re.compile(r"\\\S*")
_PSQL_VARIABLE = re.compile(r":['\"]?[A-Za-z_]")


class _Source:
    """A migration's text while it is cut; knows how to refuse with a place."""

    def __init__(self, migration: Migration) -> None:
        self.filename = migration.filename
        self.text = migration.text
        self.places = Places(masked(migration.text))
        self._mark = migration.size - len(migration.text.encode())  # the byte-order mark, where the file has one

    def refuse(self, code: str, message: str, advice: str, offset: int | None) -> Refusal:
        if offset is None:
            return Refusal(self.filename, code, message, advice)
        return Refusal(
            self.filename,
            code,
            message,
            advice,
            line=self.places.line(offset),
            column=self.places.column(offset),
            byte=self._mark + len(self.text[:offset].encode()),
            excerpt=self.places.excerpt(offset),
        )

    def cut(self) -> tuple[Statement, ...] | Refusal:
        """The file's statements, its own BEGIN and COMMIT among them."""
        text = self.text
        for _ in range(_HARMLESS_MOST):
            try:
                return cut(text, self.places)
            except SyntaxFault as fault:
                blanked = _without_setting(text, fault)
                if blanked is None:
                    return self._refuse_syntax(fault)
                text = blanked
        return self._refuse_psql(text.index("\\"))

    def _refuse_syntax(self, fault: SyntaxFault) -> Refusal:
        offset = fault.offset
        if offset is not None:
            copy = self._copy_before(offset)
            if copy is not None:
                return self.refuse_copy_in(copy)
            if _is_backslash(fault):
                return self._refuse_psql(offset)
            if _PSQL_VARIABLE.match(self.text, offset):
                message = "it uses a psql variable, and only psql replaces those"
                return self.refuse("psql-variable", message, "Write the value itself.", offset)
        return self.refuse(
            "syntax-error",
            without(fault.message, secrets_of(self.text)),
            "Correct the statement at the caret. Rung reads files with the grammar of PostgreSQL 18.",
            offset,
        )

    def _refuse_psql(self, offset: int) -> Refusal:
        command = _PSQL_COMMAND.match(self.text, offset)
        return self.refuse(
            "psql-command",
            f"it holds a psql command, {command.group() if command else 'a backslash'}, and only psql knows those",
            "Leave only SQL in the file; put in what the command would bring.",
            offset,
        )

    def refuse_copy_in(self, offset: int) -> Refusal:
        return self.refuse(
            "copy-data",
            "it reads rows from the client with COPY, and a migration has no client to read from",
            "Write the rows as INSERT … VALUES, or load them separately.",
            offset,
        )

    def _copy_before(self, offset: int) -> int | None:
        """The start of a COPY … FROM STDIN that ends just before a syntax error: its rows are the error."""
        copies = [found.end() for found in _COPY_IN.finditer(self.text, 0, offset)]
        for end in copies[:1] + copies[-1:]:  # the first one, or one of a text that quotes such a statement
            try:
                *_, last = parse_fragment(self.text[:end])
            except (SyntaxFault, ValueError):
                continue
            if _is_client_copy(last.tree):
                return last.offset
        return None


def _is_backslash(fault: SyntaxFault) -> bool:
    """The parser stopped at a backslash, so it stands outside of quotes, bodies and comments."""
    return fault.message == 'syntax error at or near "\\"'


def _without_setting(text: str, fault: SyntaxFault) -> str | None:
    r"""The text with a harmless `\set ON_ERROR_STOP …` line at that place blanked out; None where there is none."""
    offset = fault.offset
    if offset is None or not _is_backslash(fault):
        return None
    start = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    line = _HARMLESS.match(text, start)
    if line is None or line.end() <= offset:
        return None
    return text[:start] + " " * (line.end() - start) + text[line.end() :]


def _is_client_copy(tree: Node | None) -> bool:
    return tree is not None and tree.type == "CopyStmt" and not tree.filename and not tree.is_program


def _refuse_client_copy(source: _Source, statements: Sequence[Statement]) -> Refusal | None:
    copy = next((statement for statement in statements if _is_client_copy(statement.tree)), None)
    if copy is None:
        return None
    if copy.tree.is_from:
        return source.refuse_copy_in(copy.offset)
    message = "it sends rows to the client with COPY, and a migration has no client to send to"
    return source.refuse("copy-data", message, "Leave it out, or export the rows separately.", copy.offset)


# --- transactions ---

_CONTROL = {
    "TRANS_STMT_BEGIN": "it opens a transaction",
    "TRANS_STMT_START": "it opens a transaction",
    "TRANS_STMT_COMMIT": "it commits by itself, and a later failure would leave half a migration",
    "TRANS_STMT_ROLLBACK": "it rolls back what it did before, and would still count as applied",
    "TRANS_STMT_SAVEPOINT": "it sets a savepoint",
    "TRANS_STMT_RELEASE": "it releases a savepoint",
    "TRANS_STMT_ROLLBACK_TO": "it rolls back to a savepoint",
    "TRANS_STMT_PREPARE": "it prepares its transaction for two-phase commit",
    "TRANS_STMT_COMMIT_PREPARED": "it commits a prepared transaction",
    "TRANS_STMT_ROLLBACK_PREPARED": "it rolls back a prepared transaction",
}
_NO_CONTROL = (
    "Rung runs the file in a transaction of its own: leave transaction control out, or wrap the whole file in one "
    "BEGIN … COMMIT. What has to be committed in between belongs in two files."
)
_OPENS = ("TRANS_STMT_BEGIN", "TRANS_STMT_START")


def _script(source: _Source, statements: tuple[Statement, ...], committing: frozenset[str]) -> Script | Refusal:
    inner, begin = _own_transaction(statements)
    outside, refusal = _asks_for_none(source)
    refusal = refusal or _refuse_read_only(source, begin) or _refuse_control(source, inner)
    if refusal is not None:
        return refusal
    inner, committing = _with_committing_blocks(inner, committing)
    if not inner and PLACEHOLDER in source.text:
        return _refuse_template(source)
    alone = next((statement for statement in inner if not statement.transactional), None)
    if alone is not None and begin is not None:
        return _refuse_wrapped(source, alone)
    if outside and begin is not None:
        message = "it asks for no transaction, and opens one"
        return source.refuse(
            "transaction-control", message, f"Take BEGIN and COMMIT out, or the line {OUTSIDE}.", begin.offset
        )
    return Script(
        filename=source.filename,
        statements=tuple(_numbered(inner)),
        transactional=alone is None and not outside,
        begin=_begin_with_options(begin.tree) if begin else "BEGIN",
        notes=tuple(_notes(inner, alone, outside=outside)),
        committing=committing,
    )


def _numbered(statements: tuple[Statement, ...]) -> Iterator[Statement]:
    for index, one in enumerate(statements, start=1):
        place, kind = (one.line, one.column, one.offset), one.kind
        yield Statement(
            index, one.text, *place, kind, one.transactional, one.tree
        )  # `replace` takes three times as long


def _refuse_template(source: _Source) -> Refusal:
    message = "it is still the template, with no statement in it"
    advice = f"Write its statements. If it is to stay empty, take the line {PLACEHOLDER!r} out."
    return source.refuse("untouched-template", message, advice, source.text.index(PLACEHOLDER))


def _asks_for_none(source: _Source) -> tuple[bool, Refusal | None]:
    """Whether the comment lines on top of the file ask for no transaction; a refusal where they ask for nonsense."""
    offset, asked = 0, False
    for line in source.text.splitlines(keepends=True):
        if line.strip() and not line.lstrip().startswith("--"):
            break
        said = None if _ALLOW.match(line) else _DIRECTIVE.match(line)
        if said and said[1].lower().split() != _NO_TRANSACTION:
            message = f"it asks Rung for {said[1]!r}, which Rung does not know"
            refusal = source.refuse(
                "unknown-directive",
                message,
                f"There are two such lines: {OUTSIDE}, and one that allows a finding.",
                offset,
            )
            return False, refusal
        asked, offset = asked or said is not None, offset + len(line)
    return asked, None


def _own_transaction(statements: tuple[Statement, ...]) -> tuple[tuple[Statement, ...], Statement | None]:
    """What stands between the file's own outer BEGIN and COMMIT, and that BEGIN; everything and None without them."""
    if len(statements) < 2:
        return statements, None
    first, *inner, last = statements
    paired = _control(first) in _OPENS and _control(last) == "TRANS_STMT_COMMIT" and not last.tree.chain
    return (tuple(inner), first) if paired else (statements, None)


def _control(statement: Statement) -> str | None:
    tree = statement.tree
    return tree.kind if tree is not None and tree.type == "TransactionStmt" else None


def _refuse_read_only(source: _Source, begin: Statement | None) -> Refusal | None:
    if begin is None or not switched_on(begin.tree.options, "transaction_read_only"):
        return None
    message = "its transaction is READ ONLY, and the file has to be recorded in it"
    return source.refuse("transaction-control", message, "Leave READ ONLY out.", begin.offset)


def _refuse_control(source: _Source, statements: Sequence[Statement]) -> Refusal | None:
    wrong = _wrong_control(statements)
    if wrong is not None:
        statement, message = wrong
        return source.refuse("transaction-control", message, _NO_CONTROL, statement.offset)
    late = next((statement for statement in statements if _sets_transaction(statement.tree)), None)
    if late is None:
        return None
    return source.refuse(
        "transaction-control",
        "SET TRANSACTION comes too late here: the same transaction has recorded the file already",
        "Write it into the file's own BEGIN, for example BEGIN ISOLATION LEVEL SERIALIZABLE; … COMMIT;",
        late.offset,
    )


def _wrong_control(statements: Sequence[Statement]) -> tuple[Statement, str] | None:
    """The statement that controls the transaction where it should not, and what it does."""
    controls = [(one, control) for one in statements if (control := _control(one)) is not None]
    if not controls:
        return None
    first, control = controls[0]
    if control not in _OPENS:
        return first, _CONTROL[control]
    if "TRANS_STMT_COMMIT" not in (kind for _, kind in controls):
        return first, "it opens a transaction, and nothing commits it"
    # A BEGIN on top is right; what comes next, such as a COMMIT before the end, is not.
    return (controls[1][0], _CONTROL[controls[1][1]]) if first is statements[0] else (first, _CONTROL[control])


def _sets_transaction(tree: Node | None) -> bool:
    return tree is not None and tree.type == "VariableSetStmt" and tree.name in ("TRANSACTION", "TRANSACTION SNAPSHOT")


def _refuse_wrapped(source: _Source, statement: Statement) -> Refusal:
    return source.refuse(
        "cannot-run-in-transaction",
        f"{statement.kind} cannot run between BEGIN and COMMIT",
        "Take BEGIN and COMMIT out, so that each statement runs alone; better still, give it a file of its own.",
        statement.offset,
    )


def _begin_with_options(begin: Node) -> str:
    """`BEGIN` with what the file's own BEGIN asks for, in words of ours."""
    words: dict[str, Callable[[Any], str]] = {
        "transaction_isolation": lambda value: f"ISOLATION LEVEL {value.upper()}",
        "transaction_read_only": lambda _: "READ WRITE",
        "transaction_deferrable": lambda value: "DEFERRABLE" if value else "NOT DEFERRABLE",
    }
    asked = ", ".join(words[option.defname](option.arg.constant) for option in begin.options)
    return f"BEGIN {asked}".rstrip()


def _notes(inner: Sequence[Statement], alone: Statement | None, *, outside: bool) -> Iterator[str]:
    if not inner:
        yield "it has no statement; it is recorded as applied"
    if alone is not None:
        subject = "every statement of this file" if len(inner) > 1 else "it"
        where = f"{alone.kind} (line {alone.line})"
        yield f"{where} cannot run in a transaction, so {subject} runs alone and stays once done"
    elif outside and inner:
        yield "it asks for no transaction, so every statement runs alone and stays once done"


def _with_committing_blocks(
    statements: tuple[Statement, ...], committing: frozenset[str]
) -> tuple[tuple[Statement, ...], frozenset[str]]:
    """DO blocks that end transactions, and CALLs of procedures that do, cannot run inside one.

    Answers also which procedures do so after these statements.
    """
    marked = []
    for statement in statements:
        ends = _ends_transactions(statement, committing)
        if statement.kind == "CREATE PROCEDURE" and statement.tree is not None:
            name = {statement.tree.funcname[-1]}
            committing = committing | name if ends else committing - name
        elif ends:
            statement = replace(statement, transactional=False)  # noqa: PLW2901  # the same one, marked
        marked.append(statement)
    return tuple(marked), committing


def _ends_transactions(statement: Statement, committing: frozenset[str]) -> bool:
    if statement.tree is None or statement.kind not in ("CALL", "DO", "CREATE PROCEDURE"):
        return False
    if statement.kind == "CALL":
        return statement.tree.funccall.funcname[-1] in committing
    if not re.search(r"(?i)\b(commit|rollback|call)\b", statement.text):
        return False
    try:
        body = read_body(statement)
    except SyntaxFault:
        return False  # the server will say what is wrong with it, and a transaction loses nothing
    return body.ends_transactions or any(_ends_transactions(inner, committing) for inner in body.statements)
