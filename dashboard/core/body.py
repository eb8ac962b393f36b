"""What DO blocks, functions and procedures do: their bodies become statements with lines of the file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from dashboard.core.commands import command_of, option
from dashboard.core.parser import SyntaxFault, read_plpgsql, split_assignment, without_literals
from dashboard.core.statement import Statement, parse_fragment
from dashboard.core.text import Places
from dashboard.core.tree import Node, first_location


@dataclass(frozen=True, slots=True)
class Body:
    """What a body does. Lines are those of the file; an expression stands here as a SELECT of it.

    Attributes
    ----------
    statements: what it runs as it stands there, in the order of the lines; every branch counts as taken.
    dynamic: expressions whose *value* it runs as a statement (EXECUTE).
    ends_transactions: it has COMMIT or ROLLBACK.

    """

    statements: tuple[Statement, ...]
    dynamic: tuple[Statement, ...] = ()
    ends_transactions: bool = False


def read_body(statement: Statement) -> Body:
    """Read the body of a `DO`, `CREATE FUNCTION` or `CREATE PROCEDURE` in SQL or PL/pgSQL. Raises SyntaxFault."""
    source = _text_of(statement.tree)
    if source is None:
        return Body(tuple(_atomic_parts(statement)))
    line = _line_of(source, statement)
    if language_of(statement.tree) == "sql":
        return Body(parse_fragment(source, line))
    return _plpgsql_body(statement.text, source, line)


def language_of(tree: Node) -> str:
    """The language of a `DoStmt` or `CreateFunctionStmt`, lower case."""
    block = tree.type == "DoStmt"
    named = option(tree.args if block else tree.options, "language")
    return str(named or ("plpgsql" if block else "sql")).lower()


def _text_of(tree: Node) -> str | None:
    """The body as a text; None for BEGIN ATOMIC and RETURN, where it is part of the tree."""
    body = option(tree.args if tree.type == "DoStmt" else tree.options, "as")
    return str(body[0]) if isinstance(body, tuple) else body if isinstance(body, str) else None


def _line_of(source: str, statement: Statement) -> int:
    """The line of the file on which the body starts; the statement's own where quotes in it had to be doubled."""
    found = statement.text.find(source)
    return statement.line + len(Places(statement.text[:found])) - 1 if found >= 0 else statement.line


def _atomic_parts(statement: Statement) -> Iterator[Statement]:
    waiting = [statement.tree.sql_body]
    while waiting:
        part = waiting.pop()
        if isinstance(part, tuple):
            waiting.extend(reversed(part))
        elif part is not None:
            line = statement.line_at(first_location(part))
            yield replace(statement, line=line, kind=command_of(part), tree=part)


# --- PL/pgSQL ---

_DYNAMIC = ("PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors")
_ENDS = ("PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback")
_WHOLE, _ASSIGNMENT = 0, 3  # the parser's modes: a whole statement; from 3 on `a := b`; between them an expression


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of SQL inside a PL/pgSQL body. `line`: of the statement that holds it, counted in the body."""

    line: int
    sql: str
    mode: int
    dynamic: bool


def _plpgsql_body(definition: str, source: str, first_line: int) -> Body:
    nodes = tuple(_json_nodes(_parsed(definition, source)))
    pieces = sorted((piece for piece in nodes if isinstance(piece, _Piece)), key=lambda piece: piece.line)
    places = Places(source)
    read = [(piece.dynamic, one) for piece in pieces for one in _read_piece(piece, places, first_line)]
    return Body(
        statements=tuple(statement for dynamic, statement in read if not dynamic),
        dynamic=tuple(statement for dynamic, statement in read if dynamic),
        ends_transactions=any(name in nodes for name in _ENDS),
    )


_DECLARED = re.compile(r"\bDECLARE\b(.*?)\bBEGIN\b", re.DOTALL | re.IGNORECASE)
_SCHEMA_OF_TYPE = re.compile(r"(?:^|;)\s*\w+\s+(?:CONSTANT\s+)?(\w+)\s*\.\s*\w+", re.IGNORECASE)


def _parsed(definition: str, source: str) -> Any:  # the parser's JSON
    """The parser knows only the types of pg_catalog and public: others are looked for in public, which it believes."""
    try:
        return read_plpgsql(definition)
    except SyntaxFault:
        bare = without_literals(source)
        schemas = [
            (part.start(1) + found.start(1), part.start(1) + found.end(1))
            for part in _DECLARED.finditer(bare)
            for found in _SCHEMA_OF_TYPE.finditer(part.group(1))
        ]
        if not schemas or source not in definition:
            raise
    for start, end in reversed(schemas):
        source, believed = f"{source[:start]}public{source[end:]}", source
        definition = definition.replace(believed, source, 1)
    return read_plpgsql(definition)


def _json_nodes(parsed: Any) -> Iterator[str | _Piece]:  # the parser's JSON
    """The names of all nodes, and the pieces of SQL they hold."""
    waiting: list[tuple[Any, str, int, bool]] = [(parsed, "", 1, False)]
    while waiting:
        value, within, line, dynamic = waiting.pop()
        if isinstance(value, list):
            waiting.extend((inner, within, line, dynamic) for inner in reversed(value))
        elif isinstance(value, dict) and within == "PLpgSQL_expr":
            yield _Piece(line, value["query"], value.get("parseMode", _WHOLE), dynamic)
        elif isinstance(value, dict):
            yield within
            line = value.get("lineno", line)
            for key, inner in reversed(value.items()):
                named = key if key.startswith("PLpgSQL_") else within
                runs = dynamic or key == "dynquery" or (key == "query" and within in _DYNAMIC)
                waiting.append((inner, named, line, runs and key in ("dynquery", "query", "PLpgSQL_expr")))


def _read_piece(piece: _Piece, places: Places, first_line: int) -> tuple[Statement, ...]:
    found = places.text.find(piece.sql.removeprefix("SELECT "), places.start_of(piece.line))
    line = first_line - 1 + (places.line(found) if found >= 0 else piece.line)
    sql = piece.sql
    if piece.mode >= _ASSIGNMENT:  # `a[f()] := g()` as `a[f()], g()`: both sides are looked into
        start, end = split_assignment(sql)
        sql = f"{sql[:start]},{sql[end:]}"
    return parse_fragment(sql if piece.mode == _WHOLE else f"SELECT {sql}", line)
