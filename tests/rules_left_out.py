"""What the catalogue of risks knows and no rule looks for, with the reason."""

_CATALOG = "the text does not tell; it needs the environment's catalog"
_BRIEF = "it needs its lock only for a moment, and the runner waits for locks with a limit"

LEFT_OUT = {
    "delete-with-where": "how many rows it reaches is known to the database only",
    "delete-cascades": _CATALOG,
    "upsert-overwrites": "which rows it meets is known to the database only",
    "drop-partition": "that a table is a partition is known to the database only; drop-table speaks of it",
    "add-column-domain-checked": _CATALOG,
    "add-foreign-key-not-valid-partitioned": _CATALOG,
    "add-primary-key-using-nullable-index": _CATALOG,
    "foreign-key-without-index": _CATALOG,
    "create-index-concurrently-if-not-exists": "the runner finds and removes INVALID indexes itself",
    "not-null-by-valid-check": "from the text alone set-not-null cannot see a valid CHECK that spares the scan",
    "add-column": _BRIEF,
    "add-column-virtual": _BRIEF,
    "set-storage": _BRIEF,
    "set-compression": _BRIEF,
    "transaction control inside a file": "refused when the file is read",
    "statements that cannot run in a transaction": "the runner sends them alone",
    "needs-newer-server": "the review is not told the version of the server",
}
