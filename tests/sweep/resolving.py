"""What a person does about a statement of which no end is known: look at the database, and say what became of it."""

import re
from collections import Counter
from collections.abc import Callable

from dashboard.core.environment import Environment
from dashboard.core.migration import Folder
from dashboard.core.resolving import Decision
from dashboard.core.run import Outcome, Result
from dashboard.core.script import Script, parse
from dashboard.services.resolve import Ending, Wanted, resolve
from tests.oracle import ORDER, ask


def settled(
    environment: Environment, folder: Folder, run: Callable[[], Result], decided: Counter[Decision] | None = None
) -> Result:
    """Run; where a statement is in doubt, decide by what is there, count it, and run again."""
    result = run()
    if result.outcome is Outcome.REFUSED:
        decision = _decide(environment, folder, result)
        (Counter() if decided is None else decided)[decision] += 1
        result = run()
    return result


def _decide(environment: Environment, folder: Folder, result: Result) -> Decision:
    problem = result.problem
    assert problem
    assert problem.statement, problem
    (migration,) = (one for one in folder.migrations if one.filename == problem.filename)
    script = parse(migration)
    assert isinstance(script, Script)
    decision = _by_evidence(environment, script.statements[problem.statement - 1].text, problem.message)
    wanted = Wanted(migration.filename, decision, ORDER.actor, "looked at the database")
    became = resolve(environment, lambda: folder, wanted)
    assert became.ending is Ending.RESOLVED, (decision, became.problem)
    return decision


def _by_evidence(environment: Environment, statement: str, said: str) -> Decision:
    """Past Rung; what Rung said has to agree with it."""
    index = re.match(r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY (\w+)", statement)
    if index:
        found = ask(environment, "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", index[1])
        assert ("INVALID" in said) == (found == [(False,)]), said
        return {(): Decision.RETRY, (True,): Decision.MARK_APPLIED, (False,): Decision.DROP_AND_RETRY}[
            found[0] if found else ()
        ]
    trace = re.match(r"INSERT INTO public\.log VALUES \('(.+)'\)", statement)
    if trace and ask(environment, "SELECT 1 FROM public.log WHERE entry = %s", trace[1]):
        return Decision.MARK_APPLIED
    return Decision.RETRY
