"""The only door to the SQL parser: cuts texts, reads trees, reads PL/pgSQL.

Tried with postgast 0.2 (libpg_query 18); what this room knows, so that others need not:

- A NUL byte silently ends the text: `read_migration` refuses it. A byte-order mark that is not the first character is
  a syntax error.
- Positions and lengths are bytes of the UTF-8 text, but those of syntax errors count characters. A statement starts at
  its first keyword (comments and blanks before it are left out already) and may end in comments; the last one ends
  where the text ends.
- Splitting by scanner loses statements without a keyword and cuts BEGIN ATOMIC bodies apart: only the parser splits.
- Trees deeper than 100 messages are refused by protobuf (46 terms of `||` are enough): such a statement is read by
  way of JSON. Some 20,000 chained operators overflow the C stack and end the process: they are never tried.
- The PL/pgSQL parser answers trigger functions with broken JSON, and knows no schema but pg_catalog and public.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from dashboard.core.tree import Node, node_of

_UNREADABLE = "the PL/pgSQL parser cannot read it"
Span = tuple[int, int]  # 0-based character offsets of a statement's start and end


@dataclass(slots=True)
class SyntaxFault(Exception):  # PostgreSQL calls it a syntax error, and so does the message
    """The parser cannot read a text. `offset`: 0-based character where it stopped; None where it does not say."""

    message: str
    offset: int | None = None


def split(text: str) -> list[Span]:
    """Where the statements of a text stand, without semicolons and without comments around. Raises SyntaxFault."""
    from postgast.native import lib

    data = text.encode()
    result = lib.pg_query_split_with_parser(data)
    try:
        _raise_fault(result)
        found = [result.stmts[index].contents for index in range(result.n_stmts)]
        spans = [(one.stmt_location, one.stmt_len) for one in found]
    finally:
        lib.pg_query_free_split_result(result)
    return [(start, start + len(_trimmed(text[start:end]))) for start, end in _in_characters(data, spans)]


def read_tree(sql: str) -> Node | None:
    """The tree of one statement that `split` has cut; None where it is nested too deeply to be read."""
    return _read_once(sql) if len(sql) < _BRIEF else _read(sql)


_BRIEF = 18  # characters: BEGIN, COMMIT, START TRANSACTION; nearly half of a ladder's statements


def _read(sql: str) -> Node | None:
    if not _shallow(sql):
        return None
    from google.protobuf.message import DecodeError
    from postgast import parse

    try:
        message = parse(sql)
    except DecodeError:
        message = _deep_message(sql)
    if message is None:
        return None
    tree: Node = node_of(message.stmts[0].stmt)
    return tree


_read_once = lru_cache(maxsize=32)(_read)


def read_plpgsql(definition: str) -> Any:  # the parser's JSON
    """What a `DO` or `CREATE FUNCTION … LANGUAGE plpgsql` statement does, as the parser's JSON. Raises SyntaxFault."""
    from postgast import PgQueryError, parse_plpgsql

    try:
        return parse_plpgsql(definition)
    except PgQueryError as error:
        raise SyntaxFault(error.message) from None
    except (json.JSONDecodeError, RecursionError):
        raise SyntaxFault(_UNREADABLE) from None


def split_assignment(assignment: str) -> Span:
    """Where the `:=` or `=` of a PL/pgSQL assignment stands."""
    from postgast import scan
    from postgast.pg_query_pb2 import ASCII_61, ASCII_91, ASCII_93, COLON_EQUALS

    data, depth = assignment.encode(), 0
    for token in scan(assignment).tokens:
        depth += {ASCII_91: 1, ASCII_93: -1}.get(token.token, 0)
        if depth == 0 and token.token in (ASCII_61, COLON_EQUALS):
            return len(data[: token.start].decode()), len(data[: token.end].decode())
    raise SyntaxFault(_UNREADABLE)


STRING, WORD = "string", "word"


def words_of(text: str) -> Iterator[tuple[str, int, int]]:
    """Each word, sign, comment and string of a text: its kind, and where it starts and ends. Raises SyntaxFault."""
    from postgast import PgQueryError, scan
    from postgast.pg_query_pb2 import SCONST, USCONST

    try:
        tokens = scan(text).tokens
    except PgQueryError as error:
        raise SyntaxFault(error.message) from None
    ends = _in_characters(text.encode(), [(token.start, token.end - token.start) for token in tokens])
    for token, (start, end) in zip(tokens, ends, strict=True):
        yield STRING if token.token in (SCONST, USCONST) else WORD, start, end


def without_literals(sql: str) -> str:
    """The text with blanks in place of strings, quoted names and comments; every other character stays in its place."""
    return _LITERAL.sub(lambda literal: " " * len(literal.group()), sql)


def _raise_fault(result: Any) -> None:
    from postgast.errors import PgQueryError, check_error

    try:
        check_error(result)
    except PgQueryError as error:
        # 1-based, and in characters, unlike every position in the tree.
        raise SyntaxFault(error.message, error.cursorpos - 1 if error.cursorpos > 0 else None) from None


def _in_characters(data: bytes, spans: Sequence[Span]) -> Iterator[Span]:
    """Byte starts and lengths as character starts and ends, in one pass over the text."""
    at_byte = at_character = 0
    for start, length in spans:
        at_character += len(data[at_byte:start].decode())
        begun = at_character
        at_byte = start + length
        at_character += len(data[start:at_byte].decode())
        yield begun, at_character


def _trimmed(sql: str) -> str:
    """A statement without the blanks and comments behind its last word."""
    sql = sql.rstrip()
    if "--" not in sql and not sql.endswith("*/"):
        return sql
    from postgast import scan
    from postgast.pg_query_pb2 import C_COMMENT, SQL_COMMENT

    words = [token.end for token in scan(sql).tokens if token.token not in (SQL_COMMENT, C_COMMENT)]
    return sql.encode()[: words[-1]].decode() if words else sql


def _deep_message(sql: str) -> Any:  # the parser's ParseResult, or None
    """Protobuf decodes 100 levels, Python's JSON some 500."""
    from google.protobuf import json_format
    from postgast.native import lib
    from postgast.pg_query_pb2 import ParseResult

    result = lib.pg_query_parse(sql.encode())
    try:
        return json_format.ParseDict(json.loads(result.parse_tree), ParseResult(), max_recursion_depth=100_000)
    except RecursionError:
        return None
    finally:
        lib.pg_query_free_parse_result(result)


_SHORT = 2_000  # characters: even `1+1+1+…` is harmless
_DEEP = 1_500  # levels; an operator costs the parser's C code some 400 bytes of stack
_NESTED = 100  # parentheses in parentheses; each level costs one more look at the text
_LITERAL = re.compile(
    r"--[^\r\n]*|/\*.*?\*/|[eE]'(?:[^'\\]|\\.)*'|'[^']*'|\"[^\"]*\"|\$(\w*)\$.*?\$\1\$",
    re.DOTALL,
)
_GROUP = re.compile(r"[(\[][^()\[\]]*[)\]]")
_NESTING = re.compile(
    r"[-+*/<>=~!@#%^&|`?:]+|\b(?:and|or|not|is|isnull|notnull|in|like|ilike|similar|between|overlaps|at|collate|case"
    r"|join|union|except|intersect)\b",
    re.IGNORECASE,
)
_SET_OPERATION = re.compile(r"\b(?:union|except|intersect)\b", re.IGNORECASE)


def _shallow(sql: str) -> bool:
    """Whether the tree is certainly shallow enough for the parser's C code to write it down.

    Operators nest along a chain, chains end at commas, and parentheses add up: an upper bound, cheap for long INSERTs.
    """
    if len(sql) < _SHORT:
        return True
    bare = _LITERAL.sub("''", sql)
    depth = len(_SET_OPERATION.findall(bare))
    for _ in range(_NESTED):
        groups = _GROUP.findall(bare)
        if not groups or depth > _DEEP:
            break
        depth += 1 + max(_longest_chain(group) for group in groups)
        bare = _GROUP.sub("x", bare)
    return depth + _longest_chain(bare) < _DEEP and not _GROUP.search(bare)


def _longest_chain(text: str) -> int:
    """The most operators between two commas; short parts are guessed, which is quicker."""
    return max(len(_NESTING.findall(part)) if len(part) > 40 else len(part) // 2 for part in text.split(","))


def write(node: Node, change: Callable[[Any], None]) -> str:
    """A statement as SQL once more, after `change` was made to a copy of its message; on one line, and ends in `;`.

    `change` may set plain values and take items out of lists: the C code behind it trusts whatever else it is given.
    """
    from postgast import deparse
    from postgast.pg_query_pb2 import ParseResult

    result = ParseResult()
    statement = result.stmts.add().stmt
    copy = getattr(statement, _field_of(node.type))
    copy.CopyFrom(node.message)
    change(copy)
    return f"{deparse(result)};"


@cache
def _field_of(node_type: str) -> str:
    """The field of the parser's wrapper that holds a node of this type; its 270 fields are slow to look through."""
    from postgast.pg_query_pb2 import Node as Wrapper

    fields = Wrapper.DESCRIPTOR.fields
    return str(next(field.name for field in fields if field.message_type and field.message_type.name == node_type))


def write_expression(node: Node) -> str:
    """One expression, or the name of a type, as SQL once more, on one line."""
    from postgast import deparse
    from postgast.pg_query_pb2 import LIMIT_OPTION_DEFAULT, SETOP_NONE, ParseResult

    result = ParseResult()
    select = result.stmts.add().stmt.select_stmt
    select.limit_option, select.op = LIMIT_OPTION_DEFAULT, SETOP_NONE
    value = select.target_list.add().res_target.val
    if node.type == "TypeName":
        value.type_cast.type_name.CopyFrom(node.message)
        value.type_cast.arg.a_const.isnull = True
    else:
        getattr(value, _field_of(node.type)).CopyFrom(node.message)
    text = str(deparse(result)).removeprefix("SELECT ")
    return text.partition("::")[2] if node.type == "TypeName" else text
