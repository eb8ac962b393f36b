"""The deliberate defects: what is changed, why it would be dangerous, and the tests that have to notice."""

from dataclasses import dataclass

RUNNER = "tests/postgres/test_runner.py::"
PIECEMEAL = "tests/postgres/test_piecemeal.py::"
LEDGER = "tests/postgres/test_ledger.py::"
LOCK = "tests/postgres/test_lock.py::"
HISTORY = "tests/postgres/test_history.py::"
CONNECT = "tests/postgres/test_connect.py::"
APPLY = "tests/services/test_apply.py::"
PLAN = "tests/core/test_plan.py::"
MIGRATION = "tests/core/test_migration.py::"
SCRIPT = "tests/core/test_script.py::"
FOLDER = "tests/test_folder.py::"
WATCH = "tests/postgres/test_watch.py::"
RIGHTS = "tests/postgres/test_rights.py::"
IDENTITY = "tests/postgres/test_identity.py::"
RESOLVE = "tests/services/test_resolve.py::"

OWN_ROWS = RUNNER + "test_our_own_rows_are_right_whatever_a_file_does_to_its_session"
LOST_ANSWER = RUNNER + "test_a_lost_answer_to_commit_is_found_out_and_never_guessed"
SLIPPED = RUNNER + "test_transaction_control_that_slipped_through_is_found_before_the_commit"
LOSES_LOCK = RUNNER + "test_a_run_that_loses_its_lock_commits_nothing_more"
FAILS = RUNNER + "test_a_file_that_fails_leaves_nothing_behind_and_stops_the_run"
LEAKS = RUNNER + "test_what_a_file_leaves_in_its_session_does_not_reach_the_next_one"
STOPPED = RUNNER + "test_a_run_that_is_asked_to_stop_cancels_its_statement_and_says_who"
FENCE = LEDGER + "test_a_row_that_another_session_wrote_meanwhile_keeps_the_file_from_running_twice"
REMEMBERED = PIECEMEAL + "test_every_statement_is_remembered_before_and_after"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect.

    Attributes
    ----------
    why: what would happen to somebody's database.
    file: below `dashboard/`.
    edits: exact old text and new text, each old text exactly once in the file.
    tests: ids; one of them has to fail.
    patience: seconds; a suite that does not end by then counts as red.

    """

    name: str
    why: str
    file: str
    edits: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]
    patience: float = 90


def _mutant(name: str, why: str, file: str, old: str, new: str, *tests: str, patience: float = 90) -> Mutant:
    return Mutant(name, why, file, ((old, new),), tests, patience)


MUTANTS = (
    # --- the lock ---
    _mutant(
        "lock not taken",
        "two runners at once",
        "postgres/lock.py",
        "CASE WHEN pg_catalog.pg_try_advisory_lock({key}) THEN",
        "CASE WHEN true THEN",
        LOCK + "test_a_second_run_does_not_get_it_and_is_told_who_holds_it",
    ),
    _mutant(
        "lock waited for inside the server",
        "a waiting run and somebody's concurrent index build wait for each other",
        "postgres/lock.py",
        "CASE WHEN pg_catalog.pg_try_advisory_lock({key}) THEN",
        "CASE WHEN pg_catalog.pg_advisory_lock({key}) IS NOT NULL THEN",
        LOCK + "test_without_patience_it_is_tried_once",
        LOCK + "test_somebody_who_waits_does_not_stop_a_concurrent_index_build",
    ),
    _mutant(
        "one lock for all ledgers",
        "projects in one database stop each other",
        "postgres/lock.py",
        'f"rung {ledger_schema}.{TABLE}"',
        'f"rung {TABLE}"',
        LOCK + "test_two_ledgers_in_one_database_have_two_locks",
    ),
    _mutant(
        "lock not checked before COMMIT",
        "a file commits although another runner may be at work",
        "postgres/frame.py",
        'lost = f"WHEN NOT ({held.taken()})',
        'lost = f"WHEN false AND NOT ({held.taken()})',
        LOSES_LOCK,
    ),
    _mutant(
        "second look after the lock left out",
        "what another run applied meanwhile is planned again",
        "services/apply.py",
        "ending = self._wait(runner) or self._plan(runner, runner.look(), folder)",
        "ending = self._wait(runner)",
        APPLY + "test_files_that_another_run_applied_while_we_waited_do_not_run_again",
    ),
    _mutant(
        "look before the lock that is free, and no other one after it",
        "what another run applied meanwhile is planned again",
        "postgres/observe.py",
        "            *first,\n"
        '            sql.SQL("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),\n'
        "            sql.SQL(own_transaction(connection)),  # constants of that module\n"
        "            *asked,\n"
        '            sql.SQL("COMMIT"),\n',
        '            sql.SQL("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),\n'
        "            sql.SQL(own_transaction(connection)),  # constants of that module\n"
        "            *asked,\n"
        '            sql.SQL("COMMIT"),\n'
        "            *first,\n",
        APPLY + "test_where_the_lock_is_free_it_is_taken_before_anything_is_seen",
    ),
    _mutant(
        "run without the lock that somebody else has",
        "two runners at once",
        "services/apply.py",
        "if ending is None and not runner.has_lock:",
        "if ending is None and False:",
        APPLY + "test_somebody_elses_lock_is_waited_for_and_named",
    ),
    _mutant(
        "lock taken through a pooler",
        "a server process that is lent to others keeps it",
        "postgres/lock.py",
        "self.query = take + _IF_DIRECT.format(pid=self._wanted.pid)",
        "self.query = take",
        "tests/postgres/test_pooler.py::test_the_lock_is_not_taken_through_one_before_it_is_known",
    ),
    # --- one transaction ---
    _mutant(
        "ledger's row in a transaction of its own",
        "a file that fails counts as applied",
        "postgres/whole.py",
        "yield from ledger.insert(name, after)\n",
        "yield from ledger.insert(name, after)\n"
        '        yield from (Message("COMMIT", Part.GUARD), Message("BEGIN", Part.GUARD))\n',
        FAILS,
    ),
    _mutant(
        "the next file runs although the one before it failed",
        "files run that build on what is not there",
        "postgres/whole.py",
        "yield from ledger.insert(name, after)\n",
        "yield from ledger.insert(name)\n",
        "tests/postgres/test_whole.py::test_a_file_whose_commit_fails_lets_nothing_behind_it_run",
    ),
    _mutant(
        "files travel together that need a new session between",
        "a file runs without what the one before it set for new sessions",
        "postgres/whole.py",
        "apart = needs_new_session(before) or not",
        "apart = not",
        RUNNER + "test_what_a_file_sets_for_new_sessions_holds_for_the_next_file",
    ),
    _mutant(
        "files travel together where the ledger has no key",
        "nothing refuses the row of a file behind one that failed",
        "postgres/whole.py",
        "if apart or not ledger.keyed or count",
        "if apart or count",
        "tests/postgres/test_whole.py::test_nor_where_the_ledger_has_no_key_that_could_refuse_it",
    ),
    _mutant(
        "frame not checked before COMMIT",
        "a file that ended its transaction is recorded as if it had not",
        "postgres/frame.py",
        'ended = f"WHEN NOT {written}',
        'ended = f"WHEN false AND NOT {written}',
        SLIPPED,
    ),
    _mutant(
        "what is put off to the end left to our COMMIT",
        "the file's own triggers run on our path, with our settings",
        "postgres/whole.py",
        "        if script.statements:\n",
        "        if False:\n",
        RUNNER + "test_what_is_put_off_to_the_end_runs_on_the_file_s_own_path",
    ),
    _mutant(
        "the file's own isolation level dropped",
        "what it computes may come from two different moments",
        "postgres/whole.py",
        "yield Message(script.begin, Part.BEGIN)",
        'yield Message("BEGIN", Part.BEGIN)',
        RUNNER + "test_a_serialization_failure_is_tried_again",
    ),
    _mutant(
        "no fence without a unique key",
        "a file runs twice on a table that another tool made",
        "postgres/ledger.py",
        "   WHERE NOT EXISTS (SELECT FROM {self.name} AS l WHERE "
        "l.filename::pg_catalog.text OPERATOR(pg_catalog.=) $1)\n",
        "",
        FENCE,
    ),
    _mutant(
        "a unique violation taken for “somebody else did it”",
        "a file that failed by itself counts as applied",
        "postgres/session.py",
        "        if not self.in_ledger(step):\n            return None\n",
        "",
        RUNNER + "test_a_row_that_the_ledger_refuses_does_not_make_the_file_somebody_else_s",
    ),
    # --- COMMIT ---
    _mutant(
        "lost answer to COMMIT read as failure",
        "what is applied is told to have failed",
        "postgres/session.py",
        "there = self._settle(",
        "there = False and self._settle(",
        LOST_ANSWER,
    ),
    _mutant(
        "lost answer to COMMIT read as success",
        "what is not applied counts as applied",
        "postgres/session.py",
        "there = self._settle(",
        "there = True or self._settle(",
        LOST_ANSWER,
    ),
    _mutant(
        "COMMIT sent again",
        "an empty transaction commits, and the file is lost in silence",
        "postgres/session.py",
        "there = self._settle(",
        'there = fly(self.working(), (Message("COMMIT", Part.COMMIT), SYNC)).broken is None or self._settle(',
        LOST_ANSWER,
    ),
    _mutant(
        "the old server process not waited for",
        "it commits after the ledger was read",
        "postgres/session.py",
        "                self._wait_for_end(control, deadline)\n",
        "",
        RUNNER + "test_a_server_process_that_goes_on_alone_is_waited_for",
    ),
    _mutant(
        "the run goes on after the lock was lost for a while",
        "an old plan is executed beside somebody else's",
        "postgres/session.py",
        "self.unbroken, self._control = False, None",
        "self._control = None",
        RUNNER + "test_when_both_connections_are_lost_the_lock_is_taken_anew_before_the_ledger_is_read",
    ),
    # --- files ---
    _mutant(
        "hashes not compared",
        "an edited file passes for the one that was applied",
        "core/plan.py",
        "    if applied.normalised_hash != entry.migration.normalised_hash:\n        return replace(entry, state=State.EDITED",
        "    if False:\n        return replace(entry, state=State.EDITED",
        PLAN + "test_one_more_space_is_an_edit",
    ),
    _mutant(
        "NUL accepted",
        "everything after it is silently not executed",
        "core/migration.py",
        "if nul >= 0:",
        "if nul > len(data):",
        MIGRATION + "test_a_nul_byte_is_refused_with_line_and_byte",
    ),
    Mutant(
        "invalid UTF-8 accepted",
        "other letters than in the file end up in the database",
        "core/migration.py",
        (
            ("        data.decode()\n", '        data.decode(errors="replace")\n'),
            ("text=body.decode()", 'text=body.decode(errors="replace")'),
        ),
        (MIGRATION + "test_what_is_not_utf_8_is_refused_with_line_and_byte",),
    ),
    _mutant(
        "transaction control accepted",
        "half of a file is committed",
        "core/script.py",
        "_refuse_read_only(source, begin) or _refuse_control(source, inner)",
        "_refuse_read_only(source, begin)",
        SCRIPT + "test_any_other_transaction_control_is_refused_with_its_line",
    ),
    _mutant(
        "links followed out of the folder",
        "any file of the machine is run, and shown",
        "folder.py",
        "inside = os.path.commonpath((root, target)) == root",
        "inside = True",
        FOLDER + "test_a_link_that_leaves_the_folder_is_refused",
    ),
    _mutant(
        "size not looked at before reading",
        "one file takes all of the memory",
        "folder.py",
        "if before.st_size > size_limit:",
        "if False:",
        FOLDER + "test_a_file_over_the_limit_is_refused_before_it_is_read",
    ),
    _mutant(
        "half-written file accepted",
        "half of a statement is run",
        "folder.py",
        "if _stamp(os.fstat(descriptor)) == _stamp(before) and len(data) == before.st_size:",
        "if True:",
        FOLDER + "test_a_file_that_never_stops_changing_is_refused",
    ),
    _mutant(
        "duplicate numbers accepted",
        "two branches' files run in an order that nobody chose",
        "core/plan.py",
        "if policies.duplicate_numbers is Policy.REFUSE:",
        "if False:",
        APPLY + "test_two_files_with_one_number_stop_everything",
    ),
    # --- people ---
    _mutant(
        "the button's digest ignored",
        "something else runs than what was shown",
        "services/apply.py",
        "if self.order.expected_digest not in (None, plan.digest):",
        "if False:",
        APPLY + "test_another_plan_than_the_one_that_was_shown_runs_nothing",
    ),
    _mutant(
        "digest without the files' content",
        "an edit after the page was shown runs unseen",
        "core/plan.py",
        "(entry.filename, entry.migration and entry.migration.raw_hash,",
        "(entry.filename,",
        PLAN + "test_the_digest_changes_when",
    ),
    _mutant(
        "force without a reason",
        "data is destroyed, and nobody knows why",
        "services/apply.py",
        'if self.order.force and not (self.order.reason or "").strip():',
        "if False:",
        APPLY + "test_force_without_a_reason_is_refused_as_bad_usage",
    ),
    _mutant(
        "the gate lifted without force",
        "data is destroyed without anybody's word",
        "core/plan.py",
        "            if step.unusable or (step.gated and not force):\n                return",
        "            if step.unusable:\n                return",
        APPLY + "test_until_blocked_runs_what_comes_before_and_says_what_stopped_it",
        PLAN + "test_the_gate_stops_before_its_file_and_force_lifts_it",
    ),
    _mutant(
        "the gate looks at the first statement only",
        "a DROP on the second line passes",
        "core/safety/review.py",
        "    for statement in script.statements:\n        judged = _judged",
        "    for statement in script.statements[:1]:\n        judged = _judged",
        APPLY + "test_a_destructive_file_stops_everything_and_names_file_line_loss_and_both_ways_on",
    ),
    _mutant(
        "stop question never asked",
        "nobody can stop a run",
        "postgres/watch.py",
        "self.cancelled_by = self._stop()",
        "self.cancelled_by = None",
        STOPPED,
        patience=20,
    ),
    _mutant(
        "cancel not sent",
        "the statement goes on at the server",
        "postgres/watch.py",
        "self._work.cancel_safe(timeout=2)",
        "pass",
        STOPPED,
    ),
    _mutant(
        "a reporter that fails stops the run",
        "a closed browser decides about a database",
        "services/apply.py",
        "except Exception as wrong:  # noqa: BLE001  # whatever a reporter raises",
        "except KeyboardInterrupt as wrong:",
        APPLY + "test_a_reporter_that_raises_undoes_nothing",
    ),
    # --- watching ---
    _mutant(
        "nobody behind us is let through",
        "one waiting ALTER TABLE stalls a whole site",
        "postgres/watch.py",
        "if self._limit.reached(look.stuck):",
        "if False:",
        WATCH + "test_more_sessions_than_may_wait_are_let_through_at_once",
        patience=25,
    ),
    _mutant(
        "a statement that works is cancelled for others' sake",
        "a long change never comes to its end",
        "postgres/watch.py",
        "if look.waited is None or self._limit is None",
        "if self._limit is None",
        WATCH + "test_a_statement_that_works_is_not_cancelled_however_many_wait_for_it",
    ),
    _mutant(
        "an answer that is lost on the way never missed",
        "a run hangs until somebody ends it",
        "postgres/watch.py",
        "if silent >= _LOST_AFTER and",
        "if False and",
        WATCH + "test_an_answer_that_was_swallowed_on_the_way_is_missed_and_found_out",
        patience=30,
    ),
    _mutant(
        "a commit that no standby confirmed passes for a whole one",
        "nobody knows that a fail-over would lose it",
        "postgres/watch.py",
        "self.remarks = (UNCONFIRMED,)",
        "pass",
        WATCH + "test_a_commit_whose_wait_for_the_standby_is_cancelled_is_applied_and_said_to_be_unconfirmed",
    ),
    _mutant(
        "the server does not look for our end",
        "a killed runner's statement goes on, and holds its locks, until it is done",
        "postgres/frame.py",
        '"client_connection_check_interval": "1s"',
        '"client_connection_check_interval": "0"',
        WATCH + "test_the_server_is_told_to_notice_our_end",
    ),
    # --- decisions ---
    _mutant(
        "a decision without a reason",
        "nobody knows why a file counts as applied",
        "services/resolve.py",
        "if not self.wanted.reason.strip():",
        "if False:",
        RESOLVE + "test_a_decision_without_a_reason_is_refused",
    ),
    _mutant(
        "another content decided about than the one that was shown",
        "an edit that nobody read counts as accepted",
        "services/resolve.py",
        "if expected is None or (",
        "if True or (",
        RESOLVE + "test_another_content_than_the_one_that_was_shown_is_not_decided_about",
    ),
    _mutant(
        "an INVALID index may be marked as done",
        "a unique key that holds nothing",
        "core/resolving.py",
        "if left.done is False or left.left:",
        "if False:",
        RESOLVE + "test_an_invalid_index_is_neither_repeated_over_nor_taken_for_done",
    ),
    _mutant(
        "decided while the statement may still run",
        "it is run twice at the same time",
        "core/resolving.py",
        "return _still_there(left) or _STATEMENT",
        "return _STATEMENT",
        RESOLVE + "test_nothing_is_decided_while_the_server_process_is_still_there",
    ),
    # --- trying again ---
    _mutant(
        "every error tried again",
        "a file that is wrong runs six times",
        "postgres/session.py",
        "broken.sqlstate in _IN_THE_WAY",
        "broken.sqlstate",
        RUNNER + "test_an_error_of_the_file_s_own_is_not_tried_again",
    ),
    _mutant(
        "tried again without rolling back",
        "the second attempt runs in what is left of the first",
        "postgres/session.py",
        '_ROLL_BACK = (Message("ROLLBACK", Part.RESET), SYNC)',
        '_ROLL_BACK = (Message("SELECT 1", Part.RESET), SYNC)',
        RUNNER + "test_a_lock_that_is_let_go_in_time_costs_retries_and_nothing_else",
    ),
    _mutant(
        "no limit on waiting for a table's lock",
        "one file stalls every reader of a table",
        "postgres/frame.py",
        'LOCK_TIMEOUT = "3s"',
        'LOCK_TIMEOUT = "0"',
        RUNNER + "test_a_file_waits_three_seconds_for_a_lock_unless_it_says_otherwise",
    ),
    # --- the session ---
    _mutant(
        "our own path not restored",
        "our rows go where the file's path leads",
        "postgres/frame.py",
        '_OWN = {\n    "search_path": "pg_catalog, pg_temp",',
        "_OWN = {",
        OWN_ROWS,
        RUNNER + "test_a_trojan_path_set_by_the_owner_does_not_reach_our_statements",
    ),
    _mutant(
        "our own role not restored",
        "our rows are written, or refused, as somebody else",
        "postgres/frame.py",
        '        Message("SET LOCAL SESSION AUTHORIZATION DEFAULT", Part.GUARD),\n'
        '        Message("SET LOCAL role TO DEFAULT", Part.GUARD),\n',
        "",
        OWN_ROWS,
    ),
    _mutant(
        "the next file gets the last one's settings",
        "a file does something else than where it was tried",
        "postgres/frame.py",
        '    "RESET ALL",\n',
        "",
        LEAKS,
    ),
    _mutant(
        "the next file gets the last one's temporary tables",
        "it reads, or fills, a table that nobody else sees",
        "postgres/frame.py",
        '    "DISCARD TEMP",\n',
        "",
        LEAKS,
    ),
    _mutant(
        "the next file gets the last one's advisory locks",
        "others wait for a lock that nobody needs any more",
        "postgres/frame.py",
        '    "SELECT pg_catalog.pg_advisory_unlock_all()",\n',
        "",
        LEAKS,
    ),
    # --- files that cannot run in a transaction ---
    _mutant(
        "interrupted statement run again blindly",
        "what is half there is made a second time",
        "core/plan.py",
        "if unfinished.interrupted is None and goes_on:",
        "if goes_on:",
        PLAN + "test_a_file_whose_statement_was_interrupted_never_runs_blindly",
    ),
    _mutant(
        "resumed from the start",
        "finished statements run twice",
        "postgres/piecemeal.py",
        "for statement in self._script.statements[self._step.resume_after :]:",
        "for statement in self._script.statements:",
        PIECEMEAL + "test_a_failure_half_way_keeps_what_is_done_and_goes_on_from_there",
    ),
    _mutant(
        "a changed text resumed",
        "statements are left out, or run twice",
        "core/plan.py",
        "(same_text and not step.script.transactional)",
        "(not step.script.transactional)",
        PLAN + "test_an_unfinished_file_whose_text_was_changed_never_runs_blindly",
    ),
    _mutant(
        "INVALID index counted as success",
        "an index that no query uses, and a unique key that holds nothing",
        "postgres/piecemeal.py",
        "if not found.invalid:",
        "if True:",
        PIECEMEAL + "test_if_not_exists_does_not_make_an_invalid_index_a_success",
    ),
    _mutant(
        "a statement's beginning not recorded",
        "nobody knows that something may be half there",
        "postgres/piecemeal.py",
        "self._begin(statement) or self._run(statement)",
        "self._run(statement)",
        REMEMBERED,
    ),
    _mutant(
        "a statement recorded as done before it runs",
        "the next run leaves it out",
        "postgres/piecemeal.py",
        "entries = (*self._owed, ",
        "entries = (*self._owed, self._entry(Happening.STATEMENT_DONE, statement), ",
        REMEMBERED,
    ),
    # --- the history ---
    _mutant(
        "hash leaves out who it was",
        "somebody else can be put in, and nothing shows it",
        "postgres/history.py",
        "for column in _COLUMNS)}])), 'hex')",
        "for column in _COLUMNS if column.name != 'actor')}])), 'hex')",
        HISTORY + "test_tampering_is_found_and_the_first_bad_row_named",
    ),
    _mutant(
        "rows without the previous hash",
        "rows can be taken out of the middle",
        "postgres/history.py",
        "f\"coalesce(newest.own_hash, '{GENESIS}')\"",
        "\"encode(sha256(uuid_send(gen_random_uuid())), 'hex')\"",
        HISTORY + "test_an_empty_or_missing_history_holds",
        HISTORY + "test_thirty_writers_at_once_make_one_chain",
    ),
    _mutant(
        "rows can be changed",
        "the record is what somebody wants it to be",
        "postgres/history.py",
        "BEFORE UPDATE OR DELETE OR TRUNCATE ON rung.history",
        "BEFORE DELETE OR TRUNCATE ON rung.history",
        HISTORY + "test_nothing_that_was_written_can_be_taken_back",
    ),
    # --- servers ---
    _mutant(
        "password in the message",
        "it stands in every log",
        "postgres/connect.py",
        '"place": place_of(address),',
        '"place": str(address),',
        CONNECT + "test_a_wrong_password_is_named_and_never_shown",
    ),
    _mutant(
        "an address that cannot be read is repeated",
        "half a password stands in every log",
        "postgres/connect.py",
        "raise BadDatabaseUrl(environment.name, _complaint(url)) from None",
        "raise BadDatabaseUrl(environment.name, url) from None",
        CONNECT + "test_an_address_that_cannot_be_read_is_never_repeated",
    ),
    _mutant(
        "another tool's table accepted",
        "its rows are read as ours, and ours confuse it",
        "postgres/facts.py",
        'if not {"filename", "applied_at"} <= names:',
        "if False:",
        LEDGER + "test_somebody_elses_table_is_refused_by_its_columns",
    ),
    _mutant(
        "read-only servers not refused",
        "a run begins that cannot record anything",
        "core/usable.py",
        "return why if why and (why.idle or pending) else None",
        "return None",
        APPLY + "test_a_database_that_is_read_only_by_default_is_refused_before_planning",
    ),
    _mutant(
        "another database under the same name accepted",
        "files run on a copy that nobody meant",
        "core/usable.py",
        "if picture.moved and environment.policies.moved is Policy.REFUSE:",
        "if False:",
        IDENTITY + "test_a_copy_is_refused_by_name_with_what_it_was_and_what_it_is",
    ),
    _mutant(
        "which database it is not written down",
        "a copy is never noticed",
        "postgres/identity.py",
        "return () if known.identified else",
        "return () if True else",
        IDENTITY + "test_a_history_of_before_gets_the_row_with_its_next_run",
    ),
    _mutant(
        "rows that row security hides not asked about",
        "an applied file counts as pending, and runs again",
        "postgres/facts.py",
        "        if hides:",
        "        if False:",
        RIGHTS + "test_row_level_security_that_may_hide_rows_is_refused_by_name",
    ),
    _mutant(
        "the owner's path reaches our questions",
        "a trojan function answers instead of PostgreSQL's",
        "postgres/connect.py",
        '_OWN_SESSION = {\n    "search_path": "pg_catalog, pg_temp",',
        "_OWN_SESSION = {",
        CONNECT + "test_what_the_owner_set_up_for_everybody_does_not_reach_our_sessions",
        RUNNER + "test_a_trojan_path_set_by_the_owner_does_not_reach_our_statements",
    ),
)
