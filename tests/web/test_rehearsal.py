"""A rehearsal asked for on an environment's page, and what it tells."""

import re
from threading import Thread

import psycopg
import pytest

from dashboard.bootstrap import Services
from dashboard.core.errors import CannotRehearse
from dashboard.services import rehearsals as service
from tests.cast import Cast, Person, words
from tests.conftest import Write
from tests.oracle import wait_until
from tests.web.test_environment import digest_on, press


def asked(person: Person, name: str) -> str:
    """The id of the rehearsal that the button makes."""
    answer = person.post(f"/environments/{name}/rehearse", {"digest": digest_on(person, name)})
    assert answer.status_code == 303, answer.text
    return str(answer.location.rpartition("/")[2])


def test_what_was_seen_is_told_and_kept(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    rehearsal_id = asked(cast.operator, "staging")
    waiting = cast.viewer.get(f"/rehearsals/{rehearsal_id}")
    assert "waiting for a worker" in words(waiting)
    services.rehearsals.execute(rehearsal_id)
    page = words(cast.viewer.get(f"/rehearsals/{rehearsal_id}"))
    assert "1 file went through, brief locks only" in page
    assert "005_create_tasks.sql" in page
    assert "table public.tasks" in page
    assert "Rehearsed just now" in words(cast.operator.get("/environments/staging"))
    assert cast.viewer.get(f"/fragments/rehearsals/{rehearsal_id}").status_code == 200


def test_a_file_that_fails_is_told_with_its_place(
    three: tuple[str, ...], cast: Cast, services: Services, write: Write, folder_path: object
) -> None:
    write(services.settings.migrations, "006_typo.sql", "SELECT 1;\nALTER TABLE tazks ADD COLUMN done boolean;")
    rehearsal_id = asked(cast.operator, "staging")
    services.rehearsals.execute(rehearsal_id)
    page = words(cast.viewer.get(f"/rehearsals/{rehearsal_id}"))
    assert "006_typo.sql fails" in page
    assert "006_typo.sql:2" in page
    assert 'relation "tazks" does not exist' in page


@pytest.mark.slow
def test_many_clicks_make_one_rehearsal_and_a_later_one_another(
    three: tuple[str, ...], cast: Cast, services: Services
) -> None:
    first = asked(cast.operator, "staging")
    assert asked(cast.admin, "staging") == first
    services.rehearsals.execute(first)
    assert asked(cast.operator, "staging") != first


def test_what_stops_it_is_told_and_it_is_over(
    three: tuple[str, ...], cast: Cast, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CannotRehearse("staging", "permission denied for table secrets")

    monkeypatch.setattr(service, "rehearse", refuse)
    rehearsal_id = asked(cast.operator, "staging")
    services.rehearsals.execute(rehearsal_id)
    page = cast.viewer.get(f"/rehearsals/{rehearsal_id}")
    assert "permission denied for table secrets" in words(page)
    assert re.search(r'data-pace="still"', page.text)


def test_a_worker_that_dies_at_it_is_followed_by_one_other_and_then_it_ends(
    three: tuple[str, ...], cast: Cast, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    rehearsal_id = asked(cast.operator, "staging")
    with monkeypatch.context() as dying:
        dying.setattr(service, "rehearse", die)
        for _ in range(service.ATTEMPTS):
            with pytest.raises(Killed):
                services.rehearsals.execute(rehearsal_id)
    services.rehearsals.execute(rehearsal_id)
    assert "the workers that tried it ended before it was done" in words(cast.viewer.get(f"/rehearsals/{rehearsal_id}"))


def test_a_stopped_one_ends_at_once_and_another_may_be_asked_for(
    three: tuple[str, ...], cast: Cast, services: Services
) -> None:
    rehearsal_id = asked(cast.operator, "staging")
    assert "Stop this rehearsal" not in cast.viewer.read(f"/rehearsals/{rehearsal_id}")
    assert cast.viewer.post(f"/rehearsals/{rehearsal_id}/stop").status_code == 403
    assert "Stop this rehearsal" in cast.operator.read(f"/rehearsals/{rehearsal_id}")
    assert cast.operator.post(f"/rehearsals/{rehearsal_id}/stop").location == f"/rehearsals/{rehearsal_id}"
    page = cast.viewer.get(f"/rehearsals/{rehearsal_id}")
    assert "operator@example.com stopped it" in words(page)
    assert 'class="banner waiting"' in page.text
    assert 'class="problem waiting"' in page.text
    services.rehearsals.execute(rehearsal_id)  # its job is still in the queue
    assert "operator@example.com stopped it" in cast.viewer.read(f"/rehearsals/{rehearsal_id}")
    assert asked(cast.operator, "staging") != rehearsal_id


@pytest.mark.slow  # a statement that sleeps on the copy, and a question each second
def test_stopping_ends_the_statement_that_runs_although_its_file_lifted_its_bound(
    three: tuple[str, ...], cast: Cast, services: Services, write: Write
) -> None:
    endless = "SET LOCAL statement_timeout = 0;\nSELECT pg_catalog.pg_sleep(600);"
    write(services.settings.migrations, "006_endless.sql", endless)
    rehearsal_id = asked(cast.operator, "staging")
    worker = Thread(target=services.rehearsals.execute, args=(rehearsal_id,))
    worker.start()
    wait_until(lambda: "006_endless.sql" in cast.viewer.read(f"/rehearsals/{rehearsal_id}"), 60)
    cast.operator.post(f"/rehearsals/{rehearsal_id}/stop")
    worker.join(30)
    assert not worker.is_alive()
    assert "operator@example.com stopped it" in cast.viewer.read(f"/rehearsals/{rehearsal_id}")


def test_one_that_no_worker_takes_asks_for_a_worker(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    rehearsal_id = asked(cast.operator, "staging")
    assert services.settings.home
    with psycopg.connect(services.settings.home.reveal()) as home:
        home.execute("UPDATE home.rehearsal SET asked_at = asked_at - interval '1 minute'")
    said = "No worker has taken this rehearsal for 1 min. Is `rung worker` running?"
    assert said in cast.viewer.read(f"/rehearsals/{rehearsal_id}")


def test_a_plan_that_changed_since_is_said(
    three: tuple[str, ...], cast: Cast, services: Services, write: Write
) -> None:
    rehearsal_id = asked(cast.operator, "staging")
    services.rehearsals.execute(rehearsal_id)
    write(services.settings.migrations, "006_more.sql", "SELECT 1;")
    assert "has changed since" in words(cast.viewer.get(f"/rehearsals/{rehearsal_id}"))
    assert "(of another plan)" in words(cast.operator.get("/environments/staging"))


def test_a_viewer_sees_no_button_and_a_stranger_no_rehearsal(
    three: tuple[str, ...], cast: Cast, services: Services
) -> None:
    rehearsal_id = asked(cast.operator, "staging")
    assert "Rehearse on a copy" not in words(cast.viewer.get("/environments/staging"))
    assert cast.viewer.get("/rehearsals/not-an-id").status_code == 404
    assert cast.viewer.get(f"/rehearsals/{rehearsal_id}").status_code == 200


def test_asking_is_in_the_audit(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    rehearsal_id = asked(cast.operator, "staging")
    assert services.settings.home
    with psycopg.connect(services.settings.home.reveal()) as home:
        rows = home.execute("SELECT environment, subject FROM home.audit WHERE deed = 'rehearsal asked for'").fetchall()
    assert rows == [("staging", rehearsal_id)]


def test_a_run_shows_beside_each_time_what_its_rehearsal_had_said_and_later_ones_learn_from_it(
    three: tuple[str, ...], cast: Cast, services: Services, write: Write
) -> None:
    staging = services.settings.environment("staging")
    assert staging.url
    with psycopg.connect(staging.url.reveal()) as connection:
        connection.execute("CREATE TABLE big AS SELECT g AS id FROM generate_series(1, 20000) AS g")
    checks = "\n".join(f"ALTER TABLE big ADD CONSTRAINT c{n} CHECK (id > 0);" for n in range(3))
    write(services.settings.migrations, "006_check.sql", checks)
    rehearsal_id = asked(cast.operator, "staging")
    services.rehearsals.execute(rehearsal_id)
    assert "(rough: reads all of public.big" in words(cast.viewer.get(f"/rehearsals/{rehearsal_id}"))
    started = press(cast.operator, "staging")
    run_id = str(started.location.rpartition("/")[2])
    services.runs.execute(run_id)
    assert words(cast.viewer.get(f"/runs/{run_id}")).count("rehearsal said under a second") == 3
    write(services.settings.migrations, "007_check.sql", "ALTER TABLE big ADD CONSTRAINT c9 CHECK (id > 0);")
    later = asked(cast.operator, "staging")
    services.rehearsals.execute(later)
    assert "at the speed of 3 statements that ran there" in words(cast.viewer.get(f"/rehearsals/{later}"))
