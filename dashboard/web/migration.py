"""One migration: its SQL, where it stands in each environment, what happened to it."""

import re
from collections.abc import Iterator
from functools import lru_cache

from flask import Blueprint, render_template, url_for

from dashboard.core.access import Act
from dashboard.core.errors import NotFound
from dashboard.core.masking import masked
from dashboard.core.matrix import Look
from dashboard.core.migration import Migration, Refusal
from dashboard.core.plan import Entry, Step
from dashboard.core.words import count, span
from dashboard.web import current
from dashboard.web.history import lines
from dashboard.web.pages import CodeLine, MigrationPage, ProblemView, Stand
from dashboard.web.pieces import (
    environment_href,
    finding_view,
    moment_of,
    name_of,
    refusal_view,
)
from dashboard.web.security import needs
from dashboard.web.signs import NOT_HERE, NOT_KNOWN, state_of

views = Blueprint("migration", __name__)

COLOURED = 200_000  # characters; longer files are shown without colours
SHOWN = 5_000  # lines
ENTRIES = 20
LINE_END = re.compile(r"\r\n|\r|\n")


@views.get("/migrations/<path:filename>")
@needs(Act.LOOK)
def show(filename: str) -> str:
    """Looked up among the names that folder and ledgers have; no path is ever made of it."""
    services = current.services()
    looks = [services.compare.last_look(e.name) for e in services.settings.environments if current.may_look(e.name)]
    folder = services.folder.read()
    migration = next((m for m in folder.migrations if m.filename == filename), None)
    refused = next((r for r in folder.refusals if r.filename == filename), None)
    history = tuple(lines(services.history.of_file(filename, ENTRIES), current.now()))
    entries = [_entry(look, filename) for look in looks]
    if not (migration or refused or history or any(entries)):
        raise NotFound("migration", filename)
    step = _step(looks, filename)
    page = MigrationPage(
        frame=current.frame(f"{filename} · Rung"),
        name=name_of(filename),
        facts=_facts(migration, step),
        notes=step.script.notes if step and step.script else (),
        absent=_absent(migration, refused),
        lines=_code(migration, step) if migration else (),
        more=_more(migration) if migration else None,
        findings=tuple(finding_view(finding, filename) for finding in step.findings) if step else (),
        refusal=_refusal(refused or (step.refusal if step else None)),
        stands=tuple(_stand(look, entry) for look, entry in zip(looks, entries, strict=True)),
        history=history,
        history_href=url_for("history.show", file=filename),
    )
    return render_template("migration.html", page=page)


def _entry(look: Look, filename: str) -> Entry | None:
    entries = look.plan.entries if look.plan else ()
    return next((entry for entry in entries if entry.filename == filename), None)


def _step(looks: list[Look], filename: str) -> Step | None:
    """The file in the first plan that would run it: the review looks at pending files only."""
    steps = (step for look in looks if look.plan for step in look.plan.steps)
    return next((step for step in steps if step.migration.filename == filename), None)


def _facts(migration: Migration | None, step: Step | None) -> tuple[str, ...]:
    if migration is None:
        return ()
    facts = [f"number {migration.number}", f"{migration.size:,} bytes", f"SHA-256 {migration.raw_hash[:12]}"]
    if step and step.script:
        facts.insert(1, count(len(step.script.statements), "statement"))
    return tuple(facts)


def _absent(migration: Migration | None, refused: Refusal | None) -> str | None:
    if migration or refused:
        return None
    return "This file is not in the folder any more. What was applied is still in the history below."


def _refusal(refusal: Refusal | None) -> ProblemView | None:
    return refusal_view(refusal, "the folder") if refusal else None


def _stand(look: Look, entry: Entry | None) -> Stand:
    applied = entry.applied if entry else None
    facts = [f"by {applied.actor}"] if applied and applied.actor else []
    facts += [f"took {span(applied.seconds)}"] if applied and applied.seconds is not None else []
    gone = look.not_reachable
    note = entry.note.replace("applied by", "by") if entry else ""  # the sign says that it is applied
    return Stand(
        anchor=f"in-{look.environment.name}",
        environment=look.environment.name,
        href=environment_href(look.environment.name),
        protected=look.environment.policies.protected,
        sign=state_of(entry) if entry else NOT_HERE if look.picture else NOT_KNOWN,
        note=f"{note[0].upper()}{note[1:]}" if note else "",
        applied=moment_of(entry.ledger.applied_at, current.now()) if entry and entry.ledger else None,
        facts=(*facts, *((f"as last seen: it is {gone.word} now",) if gone else ())),
    )


# --- the SQL ---


def _code(migration: Migration, step: Step | None) -> tuple[CodeLine, ...]:
    marks = {finding.line: finding_view(finding, "").sign.hue for finding in reversed(step.findings)} if step else {}
    return tuple(
        CodeLine(number, pieces, marks.get(number, ""))
        for number, pieces in enumerate(coloured(masked(migration.text)), 1)
    )


def _more(migration: Migration) -> str | None:
    rest = len(LINE_END.split(migration.text.rstrip("\r\n"))) - SHOWN
    return f"{count(rest, 'more line')} are not shown." if rest > 0 else None


@lru_cache(maxsize=64)
def coloured(text: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Lines of pieces of text with the class of their colour; at most `SHOWN` lines."""
    if len(text) > COLOURED:
        return tuple(((line, ""),) for line in LINE_END.split(text, SHOWN)[:SHOWN])
    return tuple(tuple(line) for line in _lines(text))[:SHOWN]


def _lines(text: str) -> Iterator[list[tuple[str, str]]]:
    line: list[tuple[str, str]] = []
    for colour, value in _tokens(LINE_END.sub("\n", text)):
        first, *others = value.split("\n")
        line.append((first, colour))
        for other in others:
            yield [piece for piece in line if piece[0]]
            line = [(other, colour)]
    if any(piece for piece, _ in line):
        yield [piece for piece in line if piece[0]]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    from pygments.lexers.sql import PostgresLexer
    from pygments.token import Comment, Keyword, Literal, Name, Number, String

    colours: tuple[tuple[tuple[str, ...], str], ...] = (
        (Comment, "c"),
        (Keyword, "k"),
        (String, "s"),
        (Number, "m"),
        (Literal, "s"),
        (Name.Builtin, "n"),
    )
    for kind, value in PostgresLexer(stripnl=False, ensurenl=False).get_tokens(text):
        yield next((colour for family, colour in colours if kind[: len(family)] == family), ""), value
