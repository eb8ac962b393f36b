"""Health, figures and the log: what machines are told about the service."""

import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from flask import Flask

from dashboard.bootstrap import Services, build
from dashboard.core.environment import Secret
from dashboard.core.errors import UnsafeConfiguration
from dashboard.services import health
from dashboard.settings import Settings, load
from dashboard.web import create_app
from tests.cast import Cast
from tests.web.conftest import NOWHERE

TOKEN = "a-token-of-at-least-twenty"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def watched(settings: Settings) -> Iterator[Flask]:
    built = build(replace(settings, metrics_token=Secret(TOKEN)))
    yield create_app(built)
    built.close()


def figures(app: Flask) -> dict[str, float]:
    text = app.test_client().get("/metrics", headers=BEARER).text
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def test_without_a_token_in_the_configuration_there_are_no_figures(app: Flask) -> None:
    assert app.test_client().get("/metrics", headers=BEARER).status_code == 404


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN[:-1]}])
def test_without_the_token_nothing_is_told(watched: Flask, given: dict[str, str]) -> None:
    answer = watched.test_client().get("/metrics", headers=given)
    assert answer.status_code == 401
    assert "rung_" not in answer.text


def test_a_token_that_can_be_guessed_stops_the_start() -> None:
    shell = {"DATABASE_URL": "postgresql://h/d", "RUNG_METRICS_TOKEN": "short"}
    with pytest.raises(UnsafeConfiguration, match="RUNG_METRICS_TOKEN has fewer than 20 characters") as refused:
        load(shell, start=Path("/"))
    assert "'short'" not in str(refused.value)


def test_environments_and_runs_are_counted(
    watched: Flask, three: tuple[str, ...], services: Services, cast: Cast
) -> None:
    services.compare.live()
    told = figures(watched)
    assert told['rung_environment_behind{environment="local"}'] == 0
    assert told['rung_environment_behind{environment="production"}'] == 3
    assert told['rung_environment_blocked{environment="production"}'] == 1
    assert told['rung_environment_up{environment="staging"}'] == 1
    assert told['rung_runs_open{state="queued"}'] == 0
    assert told["rung_home_up"] == 1


def test_answers_are_timed_by_view_and_never_by_address(watched: Flask) -> None:
    client = watched.test_client()
    for path in ("/sign-in", "/no-such-page-1", "/no-such-page-2"):
        client.get(path)
    told = figures(watched)
    assert told['rung_request_seconds_count{method="GET",status="2xx",view="signin.show"}'] == 1
    assert told['rung_request_seconds_count{method="GET",status="4xx",view="none"}'] == 2
    assert not any("no-such-page" in name for name in told)


def test_words_that_are_no_method_make_one_series_together(watched: Flask) -> None:
    for number in range(3):
        watched.test_client().open("/sign-in", method=f"ODD{number}")
    methods = {name.partition('method="')[2].partition('"')[0] for name in figures(watched) if "method=" in name}
    assert methods == {"other"}


def test_a_home_that_is_away_is_told_and_the_rest_left_out(settings: Settings) -> None:
    app = create_app(build(replace(settings, home=NOWHERE, metrics_token=Secret(TOKEN))))
    told = figures(app)
    assert told["rung_home_up"] == 0
    assert not any(name.startswith("rung_environment") for name in told)


def test_ready_says_in_a_few_words_why_it_is_not(app: Flask, settings: Settings, database: Secret) -> None:
    assert app.test_client().get("/readyz").text == "ready\n"
    away = create_app(build(replace(settings, home=NOWHERE))).test_client().get("/readyz")
    assert (away.status_code, away.text) == (503, "home does not answer\n")
    empty = build(replace(settings, home=database))
    bare = create_app(empty).test_client().get("/readyz")
    empty.close()
    assert (bare.status_code, bare.text) == (503, "home is not prepared\n")


def test_ready_notices_every_file_of_home_that_has_not_run(app: Flask, home_url: Secret) -> None:
    with psycopg.connect(home_url.reveal()) as home:
        home.execute("DELETE FROM home._migrations_applied WHERE filename LIKE '014%'")
    assert app.test_client().get("/readyz").text == "home is not prepared\n"


def test_probes_do_not_queue_up_behind_one_whose_home_hangs(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, over = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        hanging.set()
        over.wait(30)

    monkeypatch.setattr(health, "_FRESH", 0.05)
    monkeypatch.setattr(health.Health, "_ask", hang)
    first = threading.Thread(target=services.health.why_not_ready)
    first.start()
    try:
        assert hanging.wait(5)
        assert services.health.why_not_ready() == "home does not answer"
    finally:
        over.set()
        first.join()


@pytest.mark.parametrize(("hops", "seen"), [(0, "127.0.0.1"), (1, "104.22.17.40"), (2, "99.61.165.29")])
def test_the_address_behind_so_many_proxies_is_in_the_audit_and_no_other_is_believed(
    settings: Settings, hops: int, seen: str
) -> None:
    services = build(replace(settings, trusted_proxies=hops))
    client = create_app(services).test_client()
    sent = {"X-Forwarded-For": "6.6.6.6, 99.61.165.29, 104.22.17.40", "X-Forwarded-Host": "evil.example"}
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/sign-in", headers=sent).text)
    assert token
    client.post("/sign-in", data={"csrf": token[1], "email": "a@example.com", "password": "x"}, headers=sent)
    assert settings.home
    with psycopg.connect(settings.home.reveal()) as home:
        rows = home.execute("SELECT address FROM home.audit WHERE deed = 'sign-in refused'").fetchall()
    services.close()
    assert rows == [(seen,)]


def test_health_needs_no_database_and_no_known_host(settings: Settings) -> None:
    client = create_app(build(replace(settings, home=NOWHERE))).test_client()
    for path, code in (("/healthz", 200), ("/readyz", 503), ("/metrics", 404), ("/sign-in", 400)):
        assert client.get(path, headers={"Host": "10.1.2.3:8000"}).status_code == code


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    caplog.set_level(logging.INFO, logger="rung.web")
    return lambda: [record for record in caplog.records if record.name == "rung.web"]


def test_each_request_is_a_line_with_its_id_and_who_asked(
    three: tuple[str, ...], cast: Cast, lines: Callable[[], list[logging.LogRecord]]
) -> None:
    answer = cast.viewer.get("/environments/staging")
    line = vars(lines()[-1])
    assert line["request_id"] == answer.headers["Rung-Request"]
    assert (line["route"], line["environment"], line["status"]) == ("/environments/<name>", "staging", 200)
    assert "@" in line["who"]


def test_a_one_time_link_is_not_in_the_log(app: Flask, lines: Callable[[], list[logging.LogRecord]]) -> None:
    app.test_client().get("/sign-in/link/s3cr3t-t0k3n")
    assert "s3cr3t" not in str([vars(line) for line in lines()])
    assert vars(lines()[-1])["route"] == "/sign-in/link/<token>"


def test_what_breaks_is_found_in_the_log_by_the_id_on_the_page(
    app: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> str:
        raise ZeroDivisionError

    broken.needs = None  # type: ignore[attr-defined]  # as a view says that it is open to all
    monkeypatch.setitem(app.view_functions, "signin.show", broken)
    answer = app.test_client().get("/sign-in")
    assert answer.status_code == 500
    found = re.search(r"reference (?:<[^>]+>)?([0-9a-f]{12})", answer.text)
    assert answer.headers["Rung-Request"] in answer.text, found
    assert f"reference {answer.headers['Rung-Request']}" in caplog.text
