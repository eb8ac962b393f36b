"""What cannot be known from the text."""

from collections.abc import Iterator

from dashboard.core.body import language_of
from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.functions import BUILTIN, CONTRIB, REACHING, RUNS_TEXT
from dashboard.core.safety.names import relation_name, shown
from dashboard.core.safety.rule import BODY, DYNAMIC, Remark, Rule
from dashboard.core.tree import Node, find

_LOOKED_INTO = ("sql", "plpgsql")
_SHORTEST = 3  # letters of a literal worth showing


def _unknown_function(call: Node, batch: Batch) -> Iterator[Remark]:
    path = call.funcname
    if batch.definitions(path) or _is_known(path) or path[-1] == "pg_advisory_unlock_all":
        return
    yield Remark(f"calls {shown(*path)}(), and nothing here says what that does")


def _is_known(path: tuple[str, ...]) -> bool:
    *schemas, name = path
    schema = schemas[-1] if schemas else ""
    if schema in ("", "pg_catalog", "information_schema"):
        return name in BUILTIN or name in REACHING or name in RUNS_TEXT or (schema == "" and name in CONTRIB)
    return schema in ("public", "extensions") and (name in CONTRIB or name == "gen_random_uuid")


def _reaching_function(call: Node, _: Batch) -> Iterator[Remark]:
    *schemas, name = call.funcname
    if name in REACHING and (not schemas or schemas[-1] == "pg_catalog"):
        yield Remark(f"calls {name}(), which {REACHING[name]}; rolling the file back does not undo that")


def _dynamic(node: Node, _: Batch) -> Iterator[Remark]:
    if node.type == "FuncCall":
        if node.funcname[-1] in RUNS_TEXT:
            yield Remark(f"calls {shown(*node.funcname)}(), which runs a statement given to it as text")
        return
    literals = (constant.constant for constant in find(node, "A_Const"))
    pieces = [text.strip() for text in literals if isinstance(text, str) and len(text.strip()) >= _SHORTEST]
    contains = f" (it contains: {' … '.join(pieces)[:120]})" if pieces else ""
    yield Remark(f"runs a statement that is put together only when it runs{contains}")


def _foreign_language(node: Node, _: Batch) -> Iterator[Remark]:
    language = language_of(node)
    if language not in _LOOKED_INTO:
        what = "a block" if node.type == "DoStmt" else f"{shown(*node.funcname)}()"
        yield Remark(f"runs {what} in language {language}, which is not looked into")


def _unknown_prepared(execute: Node, batch: Batch) -> Iterator[Remark]:
    if not batch.has_prepared(execute.name):
        yield Remark(f"executes prepared statement {shown(execute.name)}, which this file does not prepare")


def _copy_program(copy: Node, _: Batch) -> Iterator[Remark]:
    if copy.is_program:
        yield Remark(f"runs the program `{copy.filename}` on the database server{_of_table(copy)}")


def _copy_file(copy: Node, _: Batch) -> Iterator[Remark]:
    if copy.filename and not copy.is_program:
        verb = "reads" if copy.is_from else "writes"
        yield Remark(f"{verb} the file {copy.filename} on the database server{_of_table(copy)}")


def _of_table(copy: Node) -> str:
    return f", for {relation_name(copy.relation)}" if copy.relation is not None else ""


def _load(load: Node, _: Batch) -> Iterator[Remark]:
    yield Remark(f"loads the library {load.filename} into the server")


def _language(create: Node, _: Batch) -> Iterator[Remark]:
    yield Remark(f"makes language {shown(create.plname)}, whose programs nobody here can read")


def _update_extension(alter: Node, _: Batch) -> Iterator[Remark]:
    yield Remark(f"runs the update script of extension {shown(alter.extname)}, which lies on the server")


def _never(node: Node, _: Batch) -> Iterator[Remark]:
    raise NotImplementedError(node.type)


UNREADABLE = Rule(
    "unreadable",
    RiskClass.OPAQUE,
    (),
    _never,  # the review itself says this, about what has no tree to judge
    about=(
        "A statement that is nested too deeply for the parser's tree, or a body that the parser cannot read: "
        "PostgreSQL may well take it, but nobody can say beforehand what it does."
    ),
    safer="Split it: several statements, a table of values instead of a long expression, a block with fewer names.",
)

RULES = (
    UNREADABLE,
    Rule(
        "unknown-function",
        RiskClass.OPAQUE,
        ("FuncCall",),
        _unknown_function,
        about=(
            "A call of a function or procedure that is neither PostgreSQL's own, nor of a usual extension, nor defined "
            "in this batch; those that are defined here are looked into. Only calls that the migration itself makes "
            "count: not those in a view, a policy, a trigger, or in the default of a table that is being created."
        ),
        safer="Write what it does into this file, or define it in the same batch so that it can be looked into.",
    ),
    Rule(
        "reaching-function",
        RiskClass.DESTRUCTIVE,
        ("FuncCall",),
        _reaching_function,
        about="Built-in functions whose effect a rollback does not undo, or that reach beyond the database.",
        safer="Do it by hand, beside the migration, where its effect can be watched.",
    ),
    Rule(
        "dynamic-sql",
        RiskClass.OPAQUE,
        (DYNAMIC, "FuncCall"),
        _dynamic,
        about=(
            "EXECUTE of a text that is put together at run time, and functions that run a text. A text that stands "
            "there in full is read and judged as if it stood outside."
        ),
        safer="Write the statements out, one by one.",
    ),
    Rule(
        "foreign-language",
        RiskClass.OPAQUE,
        (BODY,),
        _foreign_language,
        about="A DO block, or a called function of this batch, in a language other than SQL and PL/pgSQL.",
        safer="Write it in SQL or PL/pgSQL, or run it outside of migrations.",
    ),
    Rule(
        "unknown-prepared",
        RiskClass.OPAQUE,
        ("ExecuteStmt",),
        _unknown_prepared,
        about="EXECUTE of a prepared statement that the same file does not prepare.",
        safer="Write the statement itself.",
    ),
    Rule(
        "copy-program",
        RiskClass.OPAQUE,
        ("CopyStmt",),
        _copy_program,
        about="COPY … PROGRAM runs a program on the server, outside of every transaction.",
        safer="Load the rows with a program of your own, beside the migration.",
    ),
    Rule(
        "copy-server-file",
        RiskClass.OPAQUE,
        ("CopyStmt",),
        _copy_file,
        about="COPY from or to a file of the server: what it reads is not in the migration, and what it writes stays.",
        safer="Write the rows as INSERT … VALUES, or load them beside the migration.",
    ),
    Rule(
        "load-library",
        RiskClass.OPAQUE,
        ("LoadStmt",),
        _load,
        about="LOAD brings a shared library into the server's process.",
        safer="Have the server load it by its own settings (shared_preload_libraries).",
    ),
    Rule(
        "create-language",
        RiskClass.OPAQUE,
        ("CreatePLangStmt",),
        _language,
        about="CREATE LANGUAGE with a handler of its own. One that comes as an extension is created as one.",
        safer="CREATE EXTENSION, where the language comes as one.",
    ),
    Rule(
        "alter-extension-update",
        RiskClass.OPAQUE,
        ("AlterExtensionStmt",),
        _update_extension,
        about=(
            "ALTER EXTENSION … UPDATE runs a script of the server that may change or drop anything the extension owns, "
            "and what it does depends on the versions that are installed there."
        ),
        safer="Read its script, and try it on a copy of the database first.",
    ),
)
