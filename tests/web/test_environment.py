"""One environment: its plan, and the button."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from werkzeug.test import TestResponse

from dashboard.bootstrap import Services, build
from dashboard.core.access import Role
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.apply import apply
from dashboard.settings import Settings
from dashboard.web import create_app
from tests.cast import Cast, Person, words
from tests.conftest import Write
from tests.web.conftest import NOWHERE, Applied


def digest_on(person: Person, environment: str) -> str:
    found = re.search(r'data-held="([0-9a-f]+)"', person.get(f"/environments/{environment}").text)
    assert found
    return found[1]


def press(person: Person, name: str, mode: str = "all", **fields: str) -> TestResponse:
    """Press the button of that environment's page."""
    form: dict[str, Any] = {"digest": digest_on(person, name), "mode": mode} | fields
    return person.post(f"/environments/{name}/apply", form)


def buttons(page: TestResponse) -> list[str]:
    return re.findall(r'<button class="large [a-z]+">([^<]+)</button>', page.text)


def nothing_runs(services: Services) -> bool:
    return services.runs.running() == () and services.runs.newest() == ()


def test_a_file_that_was_just_added_is_in_the_plan_at_the_first_look(
    three: tuple[str, ...], cast: Cast, services: Services, write: Write, folder_path: Path
) -> None:
    before = services.compare.last_look("staging")
    write(folder_path, "006_new.sql", "CREATE TABLE new (id int);")
    page = cast.operator.get("/environments/staging")
    assert "006_new.sql" in words(page)
    assert buttons(page) == ["Apply 2 pending to staging"]
    assert services.compare.last_look("staging").picture is before.picture, "nobody had to ask the database for that"


def test_the_way_back_names_the_environment(three: tuple[str, ...], cast: Cast) -> None:
    assert '<li aria-current="page">staging</li>' in cast.viewer.get("/environments/staging").text


# --- what the button refuses ---


def test_a_plan_that_changed_runs_nothing_and_is_shown_anew(
    three: tuple[str, ...], cast: Cast, services: Services, write: Write, folder_path: Path
) -> None:
    shown = digest_on(cast.operator, "staging")
    write(folder_path, "006_new.sql", "CREATE TABLE new (id int);")
    answer = press(cast.operator, "staging", digest=shown)
    assert answer.status_code == 409
    assert "The plan has changed since you looked. Nothing was started" in words(answer)
    assert "006_new.sql" in words(answer)
    assert buttons(answer) == ["Apply 2 pending to staging"]
    assert nothing_runs(services)


def test_what_another_tool_applied_meanwhile_counts_as_a_change(
    three: tuple[str, ...], cast: Cast, services: Services, settings: Settings
) -> None:
    shown = digest_on(cast.operator, "staging")
    url = settings.environment("staging").url
    assert url is not None
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        connection.execute("INSERT INTO public._migrations_applied (filename) VALUES ('005_create_tasks.sql')")
    answer = press(cast.operator, "staging", digest=shown)
    assert answer.status_code == 409
    assert "Nothing to do" in words(answer)
    assert nothing_runs(services)


@pytest.mark.parametrize("digest", ["", "0" * 64, "é", "x" * 5000])
def test_a_made_up_digest_runs_nothing(three: tuple[str, ...], cast: Cast, services: Services, digest: str) -> None:
    assert press(cast.admin, "staging", digest=digest).status_code == 409
    assert nothing_runs(services)


def test_what_the_gate_stops_is_not_applied_whole(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    answer = press(cast.admin, "production", "all", confirm="production")
    assert answer.status_code == 409
    assert "not possible with this plan" in words(answer)
    assert nothing_runs(services)


def test_what_the_file_allows_is_shown_with_its_reason_and_applied(
    three: tuple[str, ...], cast: Cast, services: Services, write: Write
) -> None:
    text = '-- rung: allow drop-table because "<b>nobody</b> reads it"\nDROP TABLE IF EXISTS legacy;'
    write(services.settings.migrations, "006_drop.sql", text)
    page = cast.operator.get("/environments/staging")
    assert "Allowed, because: <b>nobody</b> reads it" in words(page)
    assert "<b>nobody</b>" not in page.text
    assert press(cast.operator, "staging").status_code == 303


def test_a_protected_environment_wants_its_name_typed(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    for typed in ("", "staging", "Production"):
        answer = press(cast.operator, "production", "until_blocked", confirm=typed)
        assert answer.status_code == 409
        assert "type its name" in words(answer)
    assert nothing_runs(services)


def test_forcing_wants_a_reason_and_an_admin(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    assert "needs a reason" in words(press(cast.admin, "production", "force", confirm="production", reason="  "))
    answer = press(cast.operator, "production", "force", confirm="production", reason="because")
    assert "not possible" in words(answer)
    assert nothing_runs(services)


def test_a_reason_that_was_typed_is_not_lost(three: tuple[str, ...], cast: Cast) -> None:
    answer = press(cast.admin, "production", "force", reason="backup <taken>", confirm="wrong")
    assert "backup &lt;taken&gt;</textarea>" in answer.text
    assert "<details open>" in answer.text


def test_a_name_that_was_typed_is_not_lost_and_stays_in_its_own_form(three: tuple[str, ...], cast: Cast) -> None:
    answer = press(cast.admin, "production", "force", reason=" ", confirm="production")
    assert re.findall(r'name="confirm" value="([^"]*)"', answer.text) == ["", "production"]
    assert "<details open>" in answer.text


def test_a_dead_environment_starts_nothing(settings: Settings, three: tuple[str, ...], cast: Cast) -> None:
    *others, production = settings.environments
    services = build(replace(settings, environments=(*others, replace(production, url=NOWHERE))))
    shown = digest_on(cast.admin, "production")
    cast.admin.client.application = create_app(services)
    answer = press(cast.admin, "production", "until_blocked", digest=shown, confirm="production")
    assert answer.status_code == 409
    assert "production does not answer. Nothing was started." in words(answer)
    page = cast.admin.get("/environments/production")
    assert "Not reachable for" in words(page)
    assert "Rehearse" not in words(page)
    assert buttons(page) == []
    services.close()


def test_what_failed_last_time_is_not_called_safe(
    three: tuple[str, ...], cast: Cast, services: Services, write: Write, folder_path: Path
) -> None:
    assert "Safe to apply: 1 file" in cast.viewer.read("/environments/staging")
    write(folder_path, "006_fails.sql", "SELECT 1/0;")
    order = Order(Actor(ActorKind.PERSON, "ann", Door.CLI))
    apply(services.settings.environment("staging"), services.folder.read, order)
    services.compare.live()
    said = cast.viewer.read("/environments/staging")
    assert "1 file would run; 006_fails.sql failed last time" in said
    assert "Safe" not in said


def test_a_policy_that_stops_everything_is_named(
    settings: Settings, three: tuple[str, ...], cast: Cast, write: Write, folder_path: Path
) -> None:
    write(folder_path, "005_again.sql", "SELECT 1;")
    page = cast.admin.get("/environments/staging")
    assert "Nothing may run" in words(page)
    assert "005_again.sql and 005_create_tasks.sql have the same number 5" in words(page)
    assert buttons(page) == []


def test_a_file_that_cannot_be_read_as_sql_shows_where_and_lets_nothing_run(
    three: tuple[str, ...], cast: Cast, write: Write, folder_path: Path, services: Services
) -> None:
    write(folder_path, "006_broken.sql", "CREATE TABLE a (id int);\nCREATE TABEL b (id int);\n")
    page = cast.admin.get("/environments/staging")
    assert "006_broken.sql:2:8" in words(page)
    assert "Nothing runs before this file is put right" in words(page)
    assert "CREATE TABEL b (id int);\n       ^" in page.text
    assert buttons(page) == []


# --- what it shows ---


def test_the_verdict_stands_on_top(three: tuple[str, ...], cast: Cast) -> None:
    assert "staging Safe to apply: 1 file, brief locks only" in cast.viewer.read("/environments/staging")
    assert "local Nothing to do" in cast.viewer.read("/environments/local")
    page = cast.viewer.read("/environments/production")
    assert "Stopped at 004_drop_is_admin.sql: drops column is_admin of table users" in page


def test_the_finding_names_rule_line_loss_and_a_safer_way(three: tuple[str, ...], cast: Cast) -> None:
    page = cast.viewer.read("/environments/production")
    assert "The run stops here" in page
    for part in ("drop-column", "destructive", "line 1", "Safer:"):
        assert part in page
    assert 'href="/migrations/004_drop_is_admin.sql#L1"' in cast.viewer.get("/environments/production").text


def test_each_role_gets_the_buttons_it_may_press(three: tuple[str, ...], cast: Cast) -> None:
    found = {
        (role, name): buttons(cast.of(role).get(f"/environments/{name}"))
        for role in Role
        for name in ("local", "staging", "production")
    }
    first, force = "Apply the first one to production", "Apply all 3 to production, past the gate"
    assert [found[Role.VIEWER, name] for name in ("local", "staging", "production")] == [[], [], []]
    assert found[Role.OPERATOR, "staging"] == ["Apply 1 pending to staging"]
    assert found[Role.OPERATOR, "production"] == [first]
    assert found[Role.ADMIN, "production"] == [first, force]
    assert found[Role.ADMIN, "local"] == []


def test_a_viewer_reads_who_may_instead_of_a_button(three: tuple[str, ...], cast: Cast) -> None:
    assert "Operators and admins may apply to staging. You are a viewer here." in cast.viewer.read(
        "/environments/staging"
    )


def test_a_renamed_file_says_that_nothing_runs_again(
    three: tuple[str, ...], cast: Cast, folder_path: Path, services: Services
) -> None:
    press(cast.operator, "staging")
    run = services.runs.running()[0]
    services.runs.execute(run.run_id)
    (folder_path / "005_create_tasks.sql").rename(folder_path / "006_create_tasks.sql")
    page = cast.viewer.read("/environments/staging")
    assert "Renamed from 005_create_tasks.sql: the new name is recorded, nothing runs again." in page


def test_the_rail_stands_beside_the_plan_newest_on_top(three: tuple[str, ...], cast: Cast) -> None:
    page = cast.viewer.get("/environments/staging").text
    rail = re.search(r'(?s)<ol class="mini".*?</ol>', page)
    assert rail
    assert re.findall(r'data-key="([^"]+)"', rail[0]) == sorted(three, reverse=True)


def test_an_unknown_environment_is_a_page_that_names_the_known_ones(three: tuple[str, ...], cast: Cast) -> None:
    assert "There is no environment" in cast.viewer.read("/environments/prod", 404)


# --- pressing it ---


def test_the_button_leads_to_the_run(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    answer = press(cast.operator, "staging")
    assert answer.status_code == 303
    (run,) = services.runs.running()
    assert answer.location == f"/runs/{run.run_id}"
    assert (run.actor.name, run.actor.kind, run.actor.door) == ("operator@example.com", "person", "web")
    assert run.order.expected_digest


def test_fifty_clicks_make_one_run(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    shown = digest_on(cast.operator, "staging")
    places = {press(cast.operator, "staging", digest=shown).location for _ in range(50)}
    assert len(places) == 1
    assert len(services.runs.newest()) == 1


def test_while_a_run_goes_on_the_page_leads_to_it_and_has_no_button(three: tuple[str, ...], cast: Cast) -> None:
    press(cast.operator, "staging")
    page = cast.admin.get("/environments/staging")
    assert "A run is going on" in words(page)
    assert buttons(page) == []
    assert "Rehearse" not in words(page)
    assert "would run" not in words(page), "it runs already"


def test_only_what_stands_before_the_gate_is_asked_for(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    press(cast.operator, "production", "until_blocked", confirm="production")
    (run,) = services.runs.running()
    assert (run.order.until_blocked, run.order.force) == (True, False)


def test_an_admin_forces_with_a_reason(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    press(cast.admin, "production", "force", confirm="production", reason="no code reads it")
    (run,) = services.runs.running()
    assert (run.order.force, run.order.reason) == (True, "no code reads it")


def test_other_fields_of_the_form_change_nothing(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    press(cast.operator, "staging", force="1", actor="somebody@else", environment="production", door="deploy")
    (run,) = services.runs.running()
    assert (run.environment, run.order.force, run.actor.name) == ("staging", False, "operator@example.com")


def test_the_last_runs_are_listed(three: tuple[str, ...], cast: Cast, services: Services) -> None:
    run_id = press(cast.operator, "staging").location.rpartition("/")[2]
    services.runs.execute(run_id)
    page = cast.viewer.get("/environments/staging")
    assert f'href="/runs/{run_id}"' in page.text
    assert "Last runs applied 005_create_tasks.sql operator@example.com" in words(page)


def test_a_name_with_markup_is_only_text(three: tuple[str, ...], applied: Applied, cast: Cast) -> None:
    applied("staging", "<script>alert(1)</script>.sql")
    page = cast.viewer.get("/environments/staging")
    assert "<script>alert" not in page.text
    assert "<script>alert(1)</script>.sql" in words(page)


def test_an_empty_folder_says_how_to_begin(settings: Settings, cast: Cast, services: Services) -> None:
    services.compare.live()
    assert 'rung new "create users"' in cast.viewer.read("/environments/staging")
