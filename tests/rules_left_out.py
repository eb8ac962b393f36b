"""What the catalogue of risks knows and no rule looks for, with the reason."""

_BRIEF = "it needs its lock only for a moment, and the runner waits for locks with a limit"

_HYGIENE = "legal and safe, at most to be regretted; Rung speaks of what stops people or loses data"

LEFT_OUT = {
    "delete-with-where": "how many rows it reaches is known to the database only, which is asked: see foresight.md",
    "upsert-overwrites": "which rows it meets is known to the database only",
    "foreign-key-without-index": f"{_HYGIENE}; the page of add-foreign-key says it",
    "create-index-concurrently-if-not-exists": "the runner finds and removes INVALID indexes itself",
    "not-null-by-valid-check": "set-not-null is silent where the environment's catalog has such a CHECK",
    "add-column": _BRIEF,
    "add-column-virtual": _BRIEF,
    "set-storage": _BRIEF,
    "set-compression": _BRIEF,
    "transaction control inside a file": "refused when the file is read",
    "statements that cannot run in a transaction": "the runner sends them alone",
    "mixed-file": "it runs statement by statement, and the plan says so",
    "not-rerunnable": "each finished statement is recorded, and a later run goes on behind it",
    "many-strong-locks": "each is told where it is taken; how long all are held a rehearsal shows",
    "drop-index-concurrently": "it lets everybody go on; whether a query needs the index, its statistics know",
    "drop-statistics": "nothing but plans depends on it",
    "dml-in-cte": "statements in WITH are judged as what they are",
    "explain-analyze-dml": "what EXPLAIN ANALYZE executes is judged as what it is",
    "prepared-dml": "what PREPARE holds is judged as what it is",
    "copy-query-dml": "what COPY (query) executes is judged as what it is",
    "rule-with-dml": "said by create-rule",
    "enum-value-drop-by-recreate": "said by drop-type",
    "add-column-default-stable": _BRIEF,
    "add-column-default-and-required": _BRIEF,
    "add-column-fk": _BRIEF,
    "not-enforced": _BRIEF,
    "add-unique-using-index": _BRIEF,
    "alter-constraint-deferrable": _BRIEF,
    "set-statistics": _BRIEF,
    "set-reloptions": _BRIEF,
    "replace-function": "whether one is there, and does the same, the text does not tell",
    "create-or-replace-view": "whether one is there, and has the same columns, the text does not tell",
    "create-extension": "it adds what the server's own package brings, and takes nothing away",
    "enum-add-value": "it locks nothing but the type, and takes effect at the commit; enum-add-then-use says what goes wrong",
    "create-index-concurrently": "it is the safe way; the runner sends it alone and finds what it leaves behind",
    "create-index-expr-search-path": "whether a function finds its tables only the function itself can tell",
    "validate-constraint": "it is the safe way; validate-in-lock says where it is not",
    "vacuum": "it is sent alone, and nobody waits for it",
    "analyze": "nobody waits for it",
    "add-column-json": _HYGIENE,
    "create-domain-with-constraint": _HYGIENE,
    "never-validated": _HYGIENE,
    "cic-unnamed": _HYGIENE,
    "checkpoint": _HYGIENE,
    "enum-add-no-position": _HYGIENE,
    "create-enum": _HYGIENE,
    "grant-broad": _HYGIENE,
    "security-definer-no-path": _HYGIENE,
    "secret-in-file": f"{_HYGIENE}; passwords are masked wherever the file is shown or kept",
    "session-leak": f"{_HYGIENE}; the runner cleans the session between files",
    "timeout-disabled": _HYGIENE,
}

OTHERWISE = {
    "add-column-default-volatile": "add-column-volatile-default",
    "add-column-fk-default": "add-column-foreign-key-default",
    "add-fk": "add-foreign-key",
    "add-fk-not-valid-partitioned": "add-foreign-key-not-valid-partitioned",
    "add-pk-using-index-nullable": "add-primary-key-using-nullable-index",
    "alter-sequence-restart": "restart-sequence",
    "commit-inside": "transaction control inside a file",
    "nested-begin": "transaction control inside a file",
    "rollback-inside": "transaction control inside a file",
    "savepoint": "transaction control inside a file",
    "unclosed-begin": "transaction control inside a file",
    "wrapped-file": "transaction control inside a file",
    "non-tx-in-tx": "statements that cannot run in a transaction",
    "multi-statement-string": "statements that cannot run in a transaction",
    "statements-after-strong-lock": "ddl-and-bulk-dml",
    "cic-if-not-exists": "create-index-concurrently-if-not-exists",
    "disable-integrity": "integrity-off",
    "disable-rls": "disable-row-security",
    "drop-collation": "drop-definition",
    "drop-default": "change-default",
    "drop-event-trigger": "drop-trigger",
    "drop-fdw": "drop-server",
    "drop-role": "cluster-wide",
    "drop-rule": "drop-trigger",
    "drop-subscription": "subscription-change",
    "drop-tablespace": "cluster-wide",
    "drop-user-mapping": "drop-server",
    "enable-rls": "enable-row-security",
    "fk-without-index": "foreign-key-without-index",
    "lo-unlink": "reaching-function",
    "load": "load-library",
    "no-force-rls": "disable-row-security",
    "no-inherit": "inherit",
    "policy-allow-all": "policy-allows-all",
    "rename-table": "rename-object",
    "set-default": "change-default",
    "setval": "set-sequence",
}
"""Names of the catalogue -> the rule, or the reason above, that speaks of it under another name."""

CATALOGUE = frozenset(
    """
    add-check add-column add-column-check add-column-default-and-required add-column-default-stable
    add-column-default-volatile add-column-domain-checked add-column-fk add-column-fk-default
    add-column-identity add-column-json add-column-serial add-column-stored-generated add-column-unique
    add-column-virtual add-exclude add-fk add-fk-not-valid-partitioned add-not-null-constraint
    add-pk-using-index-nullable add-primary-key add-required-column add-unique add-unique-using-index
    alter-column-type alter-column-type-lossy alter-constraint-deferrable alter-constraint-enforced
    alter-extension-update alter-sequence-restart analyze attach-partition change-owner checkpoint
    cic-if-not-exists cic-unnamed cluster cluster-wide copy-query-dml create-domain-with-constraint
    create-enum create-extension create-index create-index-concurrently create-index-expr-search-path
    create-language create-or-replace-view create-partition-of create-rule create-trigger delete-cascades
    delete-with-where delete-without-where detach-partition disable-integrity disable-rls disable-trigger
    dml-in-cte domain-add-constraint domain-set-not-null domain-validate drop-attribute drop-cascade
    drop-collation drop-column drop-constraint drop-database drop-default drop-domain drop-event-trigger
    drop-expression drop-extension drop-fdw drop-foreign-table drop-function drop-index
    drop-index-concurrently drop-matview drop-not-null drop-owned drop-partition drop-policy drop-publication
    drop-role drop-rule drop-schema drop-sequence drop-server drop-statistics drop-subscription drop-table
    drop-tablespace drop-trigger drop-type drop-user-mapping drop-view drops-runner-lock enable-rls
    enum-add-no-position enum-add-then-use enum-add-value enum-value-drop-by-recreate event-trigger
    explain-analyze-dml fk-without-index grant-broad identity-change inherit lo-unlink load lock-table
    merge-delete merge-update never-validated no-force-rls no-inherit not-enforced policy-allow-all
    prepared-dml publication-change refresh-matview reindex rename-column rename-enum-value rename-table
    replace-function replica-identity revoke rule-with-dml search-path-blanked secret-in-file
    security-definer-no-path select-for-update-all session-leak set-access-method set-compression set-default
    set-expression set-local-outside-tx set-logged set-not-null set-reloptions set-schema set-statistics
    set-storage set-tablespace set-unlogged setval subscription-change timeout-disabled truncate
    truncate-cascade update-without-where upsert-overwrites vacuum vacuum-full validate-constraint
    validate-in-lock nested-begin commit-inside rollback-inside savepoint unclosed-begin wrapped-file non-tx-in-tx
    mixed-file multi-statement-string not-rerunnable statements-after-strong-lock many-strong-locks
    ddl-and-bulk-dml needs-newer-server
    """.split()  # noqa: SIM905  # a list of quoted words would be a page long
)
"""Every risk that the catalogue names; each has a rule, or a reason why it has none."""
