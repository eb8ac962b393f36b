"""What the rows and the catalog say of a plan, on the environment's page: accidents are predicted, and stop the button."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from dashboard.bootstrap import Services
from dashboard.core.foresight import Foresight
from dashboard.core.matrix import Look
from dashboard.core.safety.finding import Source
from dashboard.services import foresee
from tests.cast import Cast, words
from tests.conftest import Write
from tests.services.test_foresee import ACCIDENTS, ROWS
from tests.web.test_environment import buttons, nothing_runs, press

Pending = Callable[[str], None]
STAGING = "/environments/staging"


@pytest.fixture(autouse=True)
def always_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.web.foreseen.FRESH", 0.0)
    monkeypatch.setattr("dashboard.web.foreseen.NOW", 0.0)


@pytest.fixture
def pending(services: Services, folder_path: Path, write: Write) -> Pending:
    """Staging has rows, and one pending file of that text."""
    do(services, ROWS)

    def put(text: str) -> None:
        write(folder_path, "001_file.sql", text)
        services.compare.look("staging")

    return put


def do(services: Services, text: str, name: str = "staging") -> None:
    url = services.settings.environment(name).url
    assert url
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        connection.execute(text.encode())


def test_accidents_are_on_the_page_before_they_happen_and_their_safe_ways_are_not(
    pending: Pending, cast: Cast, services: Services
) -> None:
    for name, accident in ACCIDENTS.items():
        pending(accident.sql)
        page = cast.operator.get(STAGING)
        assert accident.says in words(page), name
        assert "Will fail on staging: " in words(page), name
        assert buttons(page) == [], name
        pending(accident.safe)
        assert "Will fail on staging" not in words(cast.operator.get(STAGING)), name
    assert nothing_runs(services)


def test_what_the_rows_refuse_is_not_started_from_a_page_that_was_drawn_before(
    pending: Pending, cast: Cast, services: Services
) -> None:
    pending("ALTER TABLE teams ADD CONSTRAINT one_name UNIQUE (name);")
    assert buttons(cast.operator.get(STAGING)) == ["Apply 1 pending to staging"]
    do(services, "INSERT INTO teams VALUES (3, 'red')")
    answer = press(cast.operator, "staging")
    assert answer.status_code == 409
    assert "It will fail: 1 value of name occurs more than once in teams" in words(answer)
    assert "Nothing was started" in words(answer)
    assert nothing_runs(services)


def test_an_admin_who_knows_better_gives_a_reason(pending: Pending, cast: Cast, services: Services) -> None:
    pending("ALTER TABLE users ALTER COLUMN email SET NOT NULL;")
    assert buttons(cast.admin.get(STAGING)) == ["Apply it to staging, past the gate"]
    assert press(cast.admin, "staging", "force").status_code == 409
    assert press(cast.admin, "staging", "force", reason="ann deletes the row meanwhile").status_code == 303


def test_a_finding_says_what_the_catalog_adds_and_where_it_comes_from(pending: Pending, cast: Cast) -> None:
    pending("CREATE INDEX by_name ON users (name);")
    page = words(cast.operator.get(STAGING))
    assert f"create-index {Source.CATALOG}" in page
    assert "public.users holds" in page
    assert "Safe to apply: 1 file, brief locks only" in page
    pending("DROP TABLE lines;")
    assert "public.lines holds" in words(cast.operator.get(STAGING))
    pending("DROP TABLE nobody_knows;")
    assert f"drop-table {Source.PARSED}" in words(cast.operator.get(STAGING))


def test_what_matters_first_is_listed_above_the_files(pending: Pending, cast: Cast) -> None:
    pending("CREATE INDEX a ON users (name);\nDROP TABLE lines;\nALTER TABLE users ALTER COLUMN email SET NOT NULL;")
    page = words(cast.operator.get(STAGING))
    first, second, third = (
        page.index(word) for word in ("will fail 1 row", "destructive drops table lines", "blocking builds")
    )
    assert first < second < third < page.index("What would run, in this order")


def test_what_passes_and_what_could_not_be_checked_are_told_apart(pending: Pending, cast: Cast) -> None:
    pending("ALTER TABLE teams ADD UNIQUE (name);\nALTER TABLE users ADD COLUMN x int DEFAULT 1 CHECK (x > 1);")
    page = words(cast.operator.get(STAGING))
    assert "line 1 : no two rows of teams have the same name (read in full" in page
    assert "only the statement itself can tell" in page
    assert "1 statement could not be checked against the rows" in page


def test_rows_that_cannot_be_asked_leave_the_verdict_of_the_text(
    pending: Pending, cast: Cast, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending("ALTER TABLE teams ADD UNIQUE (name);")

    def lost(*_: object, **__: object) -> None:
        raise foresee.EnvironmentFault("staging")

    monkeypatch.setattr(foresee.probes, "ask", lost)
    page = cast.operator.get(STAGING)
    assert "1 file would run; the rows could not be asked" in words(page)
    assert buttons(page) == ["Apply 1 pending to staging"]


def test_nothing_of_a_row_but_its_key_reaches_the_page(pending: Pending, cast: Cast) -> None:
    pending("ALTER TABLE users ADD CONSTRAINT one_email UNIQUE (email);")
    page = cast.operator.get(STAGING).text
    assert "id = 2" in page
    assert "bob@example.org" not in page
    assert "read-only" not in page


def test_all_who_look_at_one_plan_ask_once(pending: Pending, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.web.foreseen.FRESH", 60.0)
    pending("ALTER TABLE teams ADD UNIQUE (name);")
    asked = []
    real = foresee.probes.ask
    monkeypatch.setattr(foresee.probes, "ask", lambda *one, **two: asked.append(1) or real(*one, **two))
    for person in (cast.viewer, cast.operator, cast.admin, cast.viewer):
        assert person.get(STAGING).status_code == 200
    assert len(asked) == 1


def test_what_the_catalog_rules_out_is_on_top_once_and_stops_the_button(pending: Pending, cast: Cast) -> None:
    pending("CREATE TABLE more (id int);\nALTER TABLE users ADD COLUMN email text;")
    page = cast.operator.get(STAGING)
    said = "Will fail on staging: adds column email to users, which has it here already (001_file.sql line 2)"
    assert said in words(page)
    assert buttons(page) == []
    assert f"already-there {Source.CATALOG}" in words(page)
    pending("CREATE TABLE more (id int);\nALTER TABLE users ADD COLUMN IF NOT EXISTS email text;")
    assert "Will fail on staging" not in words(cast.operator.get(STAGING))


def test_the_same_file_is_told_of_another_environment_with_another_size(
    pending: Pending, cast: Cast, services: Services
) -> None:
    more = "INSERT INTO users (id, name) SELECT n, repeat('x', 99) FROM generate_series(9, 9999) AS n"
    do(services, f"{ROWS}; {more}", "production")
    pending("CREATE INDEX by_name ON users (name);")
    services.compare.live()
    page = words(cast.operator.get(STAGING))
    assert re.search(
        r"public\.users holds \d+ kB here; that takes under a second, roughly; on production it holds 1\.\d MB", page
    )
    assert "on staging it holds" in words(cast.operator.get("/environments/production"))


def test_an_environment_that_does_not_answer_leaves_the_page_as_it_is(
    pending: Pending, cast: Cast, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(services, ROWS, "production")
    pending("CREATE INDEX by_name ON users (name);")
    services.compare.live()
    asked = foresee.Foresights.of

    def slow(self: foresee.Foresights, look: Look, *more: float) -> Foresight | None:
        if look.environment.name != "staging":
            late.wait(5)
        return asked(self, look, *more)

    late = threading.Event()
    monkeypatch.setattr(foresee, "SOON", 0.05)
    monkeypatch.setattr(foresee.Foresights, "of", slow)
    page = words(cast.operator.get(STAGING))
    late.set()
    assert "public.users holds" in page
    assert "on production" not in page
