"""Accidents of production, on rows: each is predicted before it happens, and the same file made safe passes."""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from dashboard.core.environment import Environment
from dashboard.core.errors import ConnectionLost
from dashboard.core.foresight import Answer, Foresight, Outcome, headline, here_words
from dashboard.core.matrix import Look
from dashboard.core.probes import Table
from dashboard.core.safety.finding import Here, Source
from dashboard.postgres import catalog, embedded, probes
from dashboard.postgres.catalog import read_catalog
from dashboard.postgres.connect import Connection, dial
from dashboard.services.compare import Compare
from dashboard.services.foresee import foresee
from tests.conftest import MakeDatabase
from tests.oracle import folder_of

ROWS = """
CREATE TABLE teams (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE users (
  id bigint PRIMARY KEY, email text, team_id bigint, name text, age bigint, born text, nick text, "odd Name" text);
CREATE TABLE orders (team bigint, number int, amount numeric, PRIMARY KEY (team, number));
CREATE TABLE lines (id int PRIMARY KEY, team bigint, number int);
CREATE TABLE empty (id int PRIMARY KEY, email text);
ALTER TABLE users ADD CONSTRAINT grown CHECK (age >= 18) NOT VALID;
ALTER TABLE users ADD CONSTRAINT in_team FOREIGN KEY (team_id) REFERENCES teams NOT VALID;
INSERT INTO teams VALUES (1, 'red'), (2, 'blue');
ALTER TABLE users DISABLE TRIGGER ALL;
ALTER TABLE users DROP CONSTRAINT grown;
INSERT INTO users VALUES
  (1, 'ann@example.org', 1, 'Ann', 30, '1990-01-31', 'a', 'x'),
  (2, 'bob@example.org', 2, 'Bob with a long name', 3000000000, 'soon', 'b', 'y'),
  (3, 'ANN@example.org', 9, 'Ann', 12, '2001-02-03', NULL, NULL),
  (4, 'bob@example.org', NULL, 'Bo', 40, '2001-02-30', NULL, NULL),
  (5, NULL, 1, 'Cy', 50, NULL, 'c', 'z');
ALTER TABLE users ADD CONSTRAINT grown CHECK (age >= 18) NOT VALID;
ALTER TABLE users ENABLE TRIGGER ALL;
INSERT INTO orders VALUES (1, 1, 10), (1, 2, 99999.999);
INSERT INTO lines VALUES (1, 1, 1), (2, 1, 7), (3, NULL, 7);
"""


@pytest.fixture(scope="module")
def production(server: embedded.EmbeddedServer) -> Environment:
    server.create_database("foreseen")
    environment = Environment("production", 0, server.url("foreseen"))
    assert environment.url
    with psycopg.connect(environment.url.reveal(), autocommit=True) as connection:
        connection.execute(ROWS)
    return environment


def seen(environment: Environment, *files: str, size_limit: int = 10**9) -> Foresight:
    named = [(f"{number:03}_file.sql", text) for number, text in enumerate(files, 1)]
    return foresee(Compare((environment,), lambda: folder_of(*named), None).look("production"), size_limit)


def only(environment: Environment, *files: str, size_limit: int = 10**9) -> Answer:
    (answer,) = seen(environment, *files, size_limit=size_limit).answers
    return answer


def what_happens(environment: Environment, *files: str) -> str:
    """The SQLSTATE that the files end with when they really run; nothing of it stays."""
    assert environment.url
    with psycopg.connect(environment.url.reveal()) as connection:
        try:
            for text in files:
                connection.execute(text.replace(" CONCURRENTLY", "").encode())
        except psycopg.Error as wrong:
            return wrong.sqlstate or "?"
        finally:
            connection.rollback()
    return ""


@dataclass(frozen=True)
class Accident:
    """`says`: what the prediction has in it. `keys`: the rows that it names. `safe`: the same wish, put safely."""

    sql: str
    says: str
    keys: tuple[str, ...]
    safe: str


ACCIDENTS = {
    "duplicates for a unique constraint": Accident(
        "ALTER TABLE users ADD CONSTRAINT one_email UNIQUE (email);",
        "1 value of email occurs more than once in users",
        ("id = 2", "id = 4"),
        "UPDATE users SET email = id || email WHERE id = 4; ALTER TABLE users ADD CONSTRAINT one_email UNIQUE (email);",
    ),
    "duplicates for a unique index over an expression": Accident(
        "CREATE UNIQUE INDEX CONCURRENTLY one_email ON users (lower(email));",
        "2 values of lower(email) occur more than once in users",
        ("id = 1", "id = 3", "id = 2", "id = 4"),
        "CREATE INDEX some_email ON users (lower(email));",
    ),
    "duplicates in a part of the rows": Accident(
        "CREATE UNIQUE INDEX one_name ON users (name) WHERE age < 40;",
        "1 value of name occurs more than once in users",
        ("id = 1", "id = 3"),
        "CREATE UNIQUE INDEX one_name ON users (name) WHERE age > 40;",
    ),
    "nulls that count as equal": Accident(
        "ALTER TABLE users ADD UNIQUE NULLS NOT DISTINCT (nick);",
        "1 value of nick occurs more than once in users",
        ("id = 3", "id = 4"),
        "ALTER TABLE users ADD UNIQUE (nick);",
    ),
    "nulls where none may be": Accident(
        "ALTER TABLE users ALTER COLUMN email SET NOT NULL;",
        "1 row of users has no value in email",
        ("id = 5",),
        "ALTER TABLE users ALTER COLUMN name SET NOT NULL;",
    ),
    "nulls under a name with a blank": Accident(
        'ALTER TABLE public."users" ADD CONSTRAINT c CHECK ("odd Name" IS NOT NULL);',
        '2 rows of users have no value in "odd Name"',
        ("id = 3", "id = 4"),
        'ALTER TABLE users ADD CONSTRAINT c CHECK ("odd Name" IS NOT NULL) NOT VALID;',
    ),
    "a required column where rows are": Accident(
        "ALTER TABLE users ADD COLUMN plan text NOT NULL;",
        "users has 5 rows, and the new column plan has no value for them",
        (),
        "ALTER TABLE users ADD COLUMN plan text NOT NULL DEFAULT 'free';",
    ),
    "a required column with a default of NULL": Accident(
        "ALTER TABLE users ADD COLUMN plan text DEFAULT NULL NOT NULL;",
        "users has 5 rows",
        (),
        "ALTER TABLE empty ADD COLUMN plan text DEFAULT NULL NOT NULL;",
    ),
    "one value for all in a unique column": Accident(
        "ALTER TABLE users ADD COLUMN code int DEFAULT 7 UNIQUE;",
        "gets the same value in all of them, and must be unique",
        (),
        "ALTER TABLE users ADD COLUMN code int UNIQUE;",
    ),
    "rows that break a check": Accident(
        "ALTER TABLE users ADD CONSTRAINT human CHECK (age BETWEEN 0 AND 150);",
        "1 row of users has (age BETWEEN 0 AND 150) false",
        ("id = 2",),
        "ALTER TABLE users ADD CONSTRAINT human CHECK (age BETWEEN 0 AND 150) NOT VALID;",
    ),
    "a constraint of before that is validated": Accident(
        "ALTER TABLE users VALIDATE CONSTRAINT grown;",
        "1 row of users has (age >= 18) false",
        ("id = 3",),
        "UPDATE users SET age = 18 WHERE age < 18; ALTER TABLE users VALIDATE CONSTRAINT grown;",
    ),
    "a foreign key of before that is validated": Accident(
        "ALTER TABLE users VALIDATE CONSTRAINT in_team;",
        "1 row of users has a team_id that is not in public.teams",
        ("id = 3",),
        "INSERT INTO teams VALUES (9, 'new'); ALTER TABLE users VALIDATE CONSTRAINT in_team;",
    ),
    "a constraint of the same files that is validated": Accident(
        "ALTER TABLE users ADD CONSTRAINT c CHECK (nick IS NOT NULL) NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT c;",
        "2 rows of users have no value in nick",
        ("id = 3", "id = 4"),
        "ALTER TABLE users ADD CONSTRAINT c CHECK (name IS NOT NULL) NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT c;",
    ),
    "orphans": Accident(
        "ALTER TABLE users ADD FOREIGN KEY (team_id) REFERENCES teams (id);",
        "1 row of users has a team_id that is not in teams",
        ("id = 3",),
        "ALTER TABLE users ADD FOREIGN KEY (team_id) REFERENCES teams (id) NOT VALID;",
    ),
    "orphans of a key of two columns": Accident(
        "ALTER TABLE lines ADD FOREIGN KEY (team, number) REFERENCES orders;",
        "1 row of lines has a team and number that is not in orders",
        ("id = 2",),
        "DELETE FROM lines WHERE id = 2; ALTER TABLE lines ADD FOREIGN KEY (team, number) REFERENCES orders;",
    ),
    "half a key where only whole ones match": Accident(
        "ALTER TABLE lines ADD FOREIGN KEY (team, number) REFERENCES orders MATCH FULL;",
        "2 rows of lines have a team and number that is not in orders",
        ("id = 2", "id = 3"),
        "DELETE FROM lines WHERE id > 1; ALTER TABLE lines ADD FOREIGN KEY (team, number) REFERENCES orders MATCH FULL;",
    ),
    "names that are too long": Accident(
        "ALTER TABLE users ALTER COLUMN name TYPE varchar(10);",
        "1 row of users has a name that does not fit varchar(10)",
        ("id = 2",),
        "ALTER TABLE users ALTER COLUMN name TYPE varchar(20);",
    ),
    "numbers that are too large": Accident(
        "ALTER TABLE users ALTER COLUMN age TYPE integer;",
        "1 row of users has an age that does not fit int",
        ("id = 2",),
        "ALTER TABLE lines ALTER COLUMN number TYPE bigint;",
    ),
    "amounts that are too large": Accident(
        "ALTER TABLE orders ALTER COLUMN amount TYPE numeric(6, 2);",
        "1 row of orders has an amount that does not fit numeric(6, 2)",
        ("team = 1, number = 2",),
        "ALTER TABLE orders ALTER COLUMN amount TYPE numeric(8, 2);",
    ),
    "texts that are no dates": Accident(
        "ALTER TABLE users ALTER COLUMN born TYPE date USING born::date;",
        "2 rows of users have a born that does not fit date",
        ("id = 2", "id = 4"),
        "ALTER TABLE users ALTER COLUMN born TYPE varchar USING born::varchar;",
    ),
    "a type that needs USING": Accident(
        "ALTER TABLE empty ALTER COLUMN email TYPE integer;",
        "email of empty is text, which does not become int by itself",
        (),
        "ALTER TABLE empty ALTER COLUMN email TYPE integer USING email::integer;",
    ),
    "a primary key with a NULL in it": Accident(
        "ALTER TABLE lines DROP CONSTRAINT lines_pkey; ALTER TABLE lines ADD PRIMARY KEY (team, id);",
        "1 row of lines has no value in team",
        ("id = 3",),
        "ALTER TABLE lines DROP CONSTRAINT lines_pkey; ALTER TABLE lines ADD PRIMARY KEY (id, number);",
    ),
    "a table that is not there": Accident(
        "ALTER TABLE userz ALTER COLUMN email SET NOT NULL;",
        "table userz does not exist here",
        (),
        "ALTER TABLE IF EXISTS userz ALTER COLUMN email SET NOT NULL;",
    ),
    "a column that is not there": Accident(
        "DELETE FROM users WHERE mail IS NULL;", 'column "mail" does not exist', (), "DELETE FROM users WHERE id = 99;"
    ),
}


@pytest.mark.parametrize("accident", ACCIDENTS.values(), ids=ACCIDENTS)
def test_what_the_server_would_refuse_is_said_before(production: Environment, accident: Accident) -> None:
    assert what_happens(production, accident.sql) != ""
    (answer,) = seen(production, accident.sql).failing
    assert accident.says in answer.what
    assert set(answer.keys) == set(accident.keys)
    assert answer.advice


@pytest.mark.parametrize("accident", ACCIDENTS.values(), ids=ACCIDENTS)
def test_the_same_file_made_safe_fails_nowhere(production: Environment, accident: Accident) -> None:
    assert what_happens(production, accident.safe) == ""
    assert not seen(production, accident.safe).failing


def test_nothing_of_a_row_but_its_primary_key_is_told(production: Environment) -> None:
    said = [seen(production, accident.sql).answers for accident in ACCIDENTS.values()]
    assert not any(word in repr(said) for word in ("example.org", "Bob", "soon", "2001-02", "99999", "3000000000"))


# --- what cannot be said, and why ---


@pytest.fixture
def chained(make_database: MakeDatabase) -> Environment:
    """Deleting from `part` cascades, writing to `log` fires a trigger, writing to `other` does nothing more."""
    environment = Environment("production", 0, make_database())
    assert environment.url
    with psycopg.connect(environment.url.reveal(), autocommit=True) as connection:
        connection.execute("""
            CREATE TABLE part (id int PRIMARY KEY);
            CREATE TABLE item (id int PRIMARY KEY, part int REFERENCES part ON DELETE CASCADE, name text);
            CREATE TABLE log (id int);
            CREATE TABLE other (id int);
            CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN UPDATE item SET name = 'x' WHERE name IS NULL; RETURN NULL; END $$;
            CREATE TRIGGER fill AFTER INSERT OR UPDATE ON log FOR EACH STATEMENT EXECUTE FUNCTION fill();
            INSERT INTO part VALUES (1);
            INSERT INTO item VALUES (1, 1, NULL);
        """)
    return environment


@pytest.mark.parametrize("before", ["DELETE FROM part WHERE id = 1", "INSERT INTO log VALUES (1)"])
def test_what_hangs_on_an_earlier_write_may_put_the_rows_right_first(chained: Environment, before: str) -> None:
    answers = seen(chained, f"{before}; ALTER TABLE item ALTER COLUMN name SET NOT NULL;").answers
    (answer,) = (one for one in answers if one.outcome is not Outcome.COUNTED)
    assert answer.outcome is Outcome.UNCHECKED
    assert "whose triggers or foreign keys may change item first" in answer.what


@pytest.mark.parametrize(("table", "fails"), [("brand_new", False), ("teams", True)])
def test_a_table_made_if_not_exists_is_asked_only_where_it_is_there(
    production: Environment, table: str, fails: bool
) -> None:
    text = f"CREATE TABLE IF NOT EXISTS {table} (id int, team int); ALTER TABLE {table} ADD COLUMN must int NOT NULL;"
    foresight = seen(production, f"{text} CREATE UNIQUE INDEX one ON {table} (id);")
    assert bool(foresight.failing) is fails
    assert not any("does not exist" in answer.what for answer in foresight.answers)


def test_a_write_that_nothing_hangs_on_leaves_the_answer_certain(chained: Environment) -> None:
    answer = only(chained, "INSERT INTO other VALUES (1); ALTER TABLE item ALTER COLUMN name SET NOT NULL;")
    assert answer.outcome is Outcome.FAILS


# --- what the catalog adds ---


def here_of(foresight: Foresight) -> list[tuple[str, str, Source]]:
    assert foresight.plan
    findings = [finding for step in foresight.plan.steps for finding in step.findings]
    return [(one.rule, one.here.table if one.here else "", one.source) for one in findings]


def test_a_finding_names_the_table_as_it_is_there_and_how_large(production: Environment) -> None:
    foresight = seen(production, "CREATE INDEX by_name ON users (name);")
    assert foresight.plan
    (finding,) = foresight.plan.steps[0].findings
    assert finding.source is Source.CATALOG
    assert finding.here
    assert (finding.here.table, finding.here.stops, finding.here.is_brief) == ("public.users", "writes", True)
    assert finding.here.size > 0
    assert headline(foresight.plan, foresight) == "Safe to apply: 1 file, brief locks only"


def test_a_large_table_is_the_headline_with_its_size_and_a_time(production: Environment) -> None:
    foresight = seen(production, "CREATE INDEX by_name ON users (name);")
    assert foresight.plan
    (finding,) = foresight.plan.steps[0].findings
    large = replace(finding, here=Here("public.users", 41_000_000_000, 10**8, "writes", 360.0, 1200.0))
    plan = replace(foresight.plan, steps=(replace(foresight.plan.steps[0], findings=(large,)),))
    said = headline(plan, replace(foresight, plan=plan))
    assert said == "Locks public.users (41 GB) against writes for 6 to 20 minutes, roughly"


def test_a_table_that_is_there_is_not_new_to_a_create_if_not_exists(production: Environment) -> None:
    files = ("CREATE TABLE IF NOT EXISTS users (id int);", "CREATE INDEX by_name ON users (name);")
    assert here_of(seen(production, *files)) == [("create-index", "public.users", Source.CATALOG)]
    other = ("CREATE TABLE IF NOT EXISTS userz (id int);", "CREATE INDEX by_name ON userz (id);")
    assert here_of(seen(production, *other)) == []


def test_what_a_cascade_takes_along_is_named(chained: Environment) -> None:
    assert chained.url
    with psycopg.connect(chained.url.reveal(), autocommit=True) as connection:
        connection.execute("CREATE VIEW parts AS SELECT id FROM part; CREATE VIEW few AS SELECT id FROM parts LIMIT 3;")
    foresight = seen(chained, "DROP TABLE part CASCADE;")
    assert foresight.plan
    said = {here_words(one.here) for one in foresight.plan.steps[0].findings if one.here}
    (words,) = said
    along = "CASCADE takes constraint item_part_fkey on table public.item, view public.few and view public.parts along"
    assert along in words


@pytest.mark.parametrize(
    ("before", "left"),
    [
        ("SELECT 1", ["set-not-null"]),
        ("ALTER TABLE item ADD CONSTRAINT c CHECK (name IS NOT NULL) NOT VALID", ["set-not-null"]),
        ("UPDATE item SET name = 'x'; ALTER TABLE item ADD CONSTRAINT c CHECK (name IS NOT NULL)", []),
    ],
)
def test_a_valid_check_spares_the_look_at_the_rows(chained: Environment, before: str, left: list[str]) -> None:
    assert chained.url
    with psycopg.connect(chained.url.reveal(), autocommit=True) as connection:
        connection.execute(before.encode())
    assert [rule for rule, _, _ in here_of(seen(chained, "ALTER TABLE item ALTER name SET NOT NULL;"))] == left


def test_the_plan_stays_the_one_that_a_run_is_asked_for(production: Environment) -> None:
    look = Compare((production,), lambda: folder_of(("001_file.sql", "CREATE INDEX x ON users (id);")), None).look(
        "production"
    )
    foresight = foresee(look, 10**9)
    assert look.plan
    assert foresight.plan
    assert foresight.plan.digest == look.plan.digest


def test_a_transaction_that_has_been_open_for_long_is_told(
    production: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "_LONG", 0)
    assert production.url
    with psycopg.connect(production.url.reveal(), application_name="nightly dump") as other:
        other.execute("SELECT 1")
        oldest = seen(production, "CREATE INDEX x ON users (id);").oldest
        assert oldest
        assert (oldest.application, oldest.pid) == ("nightly dump", other.info.backend_pid)


def test_the_catalog_takes_two_round_trips(production: Environment, tmp_path: Path) -> None:
    told = tmp_path / "protocol"
    with dial(production, purpose="probes") as connection, told.open("w") as file:
        connection.pgconn.trace(file.fileno())
        read_catalog(connection, [Table("", "users"), Table("", "teams")], ["lower"])
        connection.pgconn.untrace()
    ways = [way for line in told.read_text().splitlines() for way in line.split("\t") if way in ("F", "B")]
    assert sum(pair == ("B", "F") for pair in pairwise(ways)) == 1  # it waited once before it went on asking


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("DO $$ BEGIN END $$; ALTER TABLE users ALTER COLUMN email SET NOT NULL;", "line 1 may change it first"),
        (
            "UPDATE users SET email = 'x'; ALTER TABLE users ALTER COLUMN email SET NOT NULL;",
            "line 1 changes email first",
        ),
        ("INSERT INTO users VALUES (9); ALTER TABLE users ADD UNIQUE (name);", "line 1 changes users first"),
        ("SET search_path = app; ALTER TABLE users ADD UNIQUE (name);", "changes where users is looked for"),
        ("ALTER TABLE users ALTER COLUMN age TYPE text USING upper(name);", "only the statement itself can tell"),
        ("ALTER TABLE users ADD COLUMN x int DEFAULT 1 CHECK (x > 1);", "only the statement itself can tell"),
    ],
)
def test_what_earlier_statements_decide_is_not_guessed(production: Environment, sql: str, why: str) -> None:
    answer = seen(production, sql).answers[-1]
    assert answer.outcome is Outcome.UNCHECKED
    assert why in answer.what


def test_a_table_that_the_files_make_is_not_asked_for(production: Environment) -> None:
    files = "CREATE TABLE fresh (id int);", "ALTER TABLE fresh ALTER COLUMN id SET NOT NULL;"
    assert seen(production, *files).answers == ()


def test_a_table_over_the_limit_is_sampled_and_a_find_in_the_sample_is_told(production: Environment) -> None:
    nulls = only(production, "ALTER TABLE users ALTER COLUMN email SET NOT NULL;", size_limit=8191)
    assert (nulls.outcome, nulls.keys) == (Outcome.FAILS, ("id = 5",))
    assert nulls.how == "a sample of 100 % of 8.2 kB"


def test_nothing_found_in_a_sample_is_not_called_safe(production: Environment) -> None:
    answer = only(production, "ALTER TABLE users ALTER COLUMN name SET NOT NULL;", size_limit=8191)
    assert answer.outcome is Outcome.UNCHECKED
    assert "too large to be read in full" in answer.what


def test_a_large_table_with_an_index_is_asked_by_it(production: Environment) -> None:
    answer = only(production, "ALTER TABLE lines ALTER COLUMN id SET NOT NULL;", size_limit=1)
    assert answer.what == "id of lines is NOT NULL already"
    on = "ALTER TABLE teams ADD CONSTRAINT c CHECK (id IS NOT NULL);"
    assert only(production, on, size_limit=1).outcome is Outcome.PASSES


# --- other majors ---


@pytest.mark.slow
def test_every_other_major_is_asked_the_same(other_server: embedded.EmbeddedServer) -> None:
    other_server.create_database("foreseen_there")
    environment = Environment("production", 0, other_server.url("foreseen_there"))
    assert environment.url
    try:
        with psycopg.connect(environment.url.reveal(), autocommit=True) as connection:
            connection.execute(ROWS)
            version = connection.info.server_version
        for name, accident in ACCIDENTS.items():
            foresight = seen(environment, accident.sql)
            assert not foresight.trouble, name
            if version < 160_000 and "TYPE date" in accident.sql:  # no way to ask whether a text would fit
                assert [answer.outcome for answer in foresight.answers] == [Outcome.UNCHECKED], name
                continue
            assert any(accident.says in answer.what for answer in foresight.failing), name
            assert not seen(environment, accident.safe).failing, name
    finally:
        other_server.drop_database("foreseen_there")


# --- the catalog alone ---


def look_at(environment: Environment, *files: str) -> Look:
    named = [(f"{number:03}_file.sql", text) for number, text in enumerate(files, 1)]
    return Compare((environment,), lambda: folder_of(*named), None).look("production")


def test_a_catalog_that_cannot_be_asked_leaves_the_verdict_of_the_text_and_says_so(
    production: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = look_at(production, "CREATE INDEX x ON users (id);\nDROP TABLE lines;")

    def lost(*_: object, **__: object) -> None:
        raise ConnectionLost("production", "while its rows were asked", "server closed the connection")

    monkeypatch.setattr(probes, "ask", lost)
    foresight = foresee(look, 10**9, rows=False)
    assert look.plan
    said = headline(look.plan, foresight)
    assert said.startswith(
        "Stopped at 001_file.sql: drops table lines with all its rows; the catalog could not be asked"
    )


def test_the_catalog_alone_asks_no_row_and_waits_for_two_answers(
    production: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    look, told = look_at(production, "CREATE UNIQUE INDEX x ON users (email);"), tmp_path / "protocol"
    with told.open("w") as file:

        def traced(environment: Environment, *, purpose: str) -> Connection:
            connection = dial(environment, purpose=purpose)
            connection.pgconn.trace(file.fileno())
            return connection

        monkeypatch.setattr(probes, "dial", traced)
        foresight = foresee(look, 10**9, rows=False)
    assert foresight.answers == ()
    assert [source for _, _, source in here_of(foresight)] == [Source.CATALOG]
    ways = [way for line in told.read_text().splitlines() for way in line.split("\t") if way in ("F", "B")]
    assert sum(pair == ("F", "B") for pair in pairwise(ways)) == 2


# --- the sample app: nothing of it fails, wherever an environment stands ---


def test_no_file_of_the_sample_app_is_called_failing_wherever_an_environment_stands(
    make_database: MakeDatabase,
) -> None:
    environment = Environment("production", 0, make_database())
    left = [(path.name, path.read_text()) for path in sorted((Path(__file__).parents[2] / "migrations").glob("*.sql"))]
    stopped = set()
    assert environment.url
    with psycopg.connect(environment.url.reveal(), autocommit=True) as connection:
        while left:
            look = Compare((environment,), lambda: folder_of(*left), None).look("production")
            foresight = foresee(look, 10**9)
            assert [answer.what for answer in foresight.failing] == [], left[0]
            assert foresight.plan
            stopped |= {finding.rule for finding in foresight.plan.steps[0].findings if finding.blocks}
            connection.execute(left.pop(0)[1].encode())
    assert stopped == {"drop-column"}  # 016, which the release before has prepared


# --- the sessions that the files will run in ---


def test_a_role_whose_sessions_check_no_foreign_key_is_told(production: Environment) -> None:
    look = look_at(production, "INSERT INTO users (id, team_id) VALUES (7, 99);")
    assert look.environment.url
    with psycopg.connect(look.environment.url.reveal(), autocommit=True) as connection:
        connection.execute("ALTER DATABASE foreseen SET session_replication_role = replica")
    try:
        (notice,) = foresee(look, 10**9, rows=False).notices
    finally:
        with psycopg.connect(look.environment.url.reveal(), autocommit=True) as connection:
            connection.execute("ALTER DATABASE foreseen RESET session_replication_role")
    assert notice.startswith("Sessions of this role begin with session_replication_role = replica: triggers and")
    assert foresee(look, 10**9, rows=False).notices == ()
