"""Identity: which database this is, kept in its history, so that another one under the same name is noticed."""

from dashboard.core.record import Happening
from dashboard.postgres import history
from dashboard.postgres.flight import Message
from dashboard.postgres.history import Author, Entry
from dashboard.postgres.observe import Survey


def to_remember(author: Author, known: Survey) -> tuple[Message, ...]:
    """What adds it to the history, where the history says something else or nothing yet. Under the lock."""
    return () if known.identified else (history.append(author, entry(known)),)


def entry(known: Survey) -> Entry:
    """Which database it is, and which one it was before."""
    moved = known.picture.moved
    remark = f"{known.identity}; before: {moved.was}" if moved else str(known.identity)
    return Entry(Happening.IDENTIFIED, remark=remark)
