"""Locks on tables: PostgreSQL's modes, in its words, and whom each of them makes wait."""

# From weakest to strongest, as PostgreSQL's manual lists them. What only reads takes the first, and is not told.
LOCK_MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
_STOPS_WRITES, _STOPS_READS = LOCK_MODES.index("ShareLock"), LOCK_MODES.index("AccessExclusiveLock")

STRONG = LOCK_MODES[_STOPS_WRITES:]
"""Those that make writers wait, or everybody."""


def in_words(mode: str) -> str:
    """A mode as LOCK TABLE writes it.

    >>> in_words("AccessExclusiveLock")
    'ACCESS EXCLUSIVE'
    """
    return "".join(f" {c}" if c.isupper() else c for c in mode.removesuffix("Lock")).strip().upper()


def stops(mode: str) -> str:
    """Whom it makes wait: `reads and writes`, `writes`, or nobody but other changes of the schema.

    >>> stops("ShareLock"), stops("AccessExclusiveLock"), stops("RowExclusiveLock")
    ('writes', 'reads and writes', '')
    """
    strength = LOCK_MODES.index(mode)
    return "reads and writes" if strength >= _STOPS_READS else "writes" if strength >= _STOPS_WRITES else ""
