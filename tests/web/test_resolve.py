"""Deciding about a file on the environment's page: who may, what is refused, and what is kept of what was typed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect
from werkzeug.test import TestResponse

from dashboard.bootstrap import Services
from dashboard.core.access import Role
from dashboard.core.run import Actor, ActorKind, Door, Order, Outcome
from dashboard.postgres.connect import connect
from dashboard.postgres.lock import acquire
from dashboard.services.apply import apply
from dashboard.settings import Settings
from tests.cast import EMAILS, Cast, Person, words
from tests.conftest import Write

TABLE = "001_twice.sql"
NAME = "002_once.sql"
ORDER = Order(Actor(ActorKind.PERSON, "somebody", Door.CLI))
DROP = "drop and retry"

Stopped = Callable[[str], None]


@pytest.fixture
def ask(settings: Settings) -> Callable[..., list[tuple[Any, ...]]]:
    def query(name: str, sql: str) -> list[tuple[Any, ...]]:
        url = settings.environment(name).url
        assert url is not None
        with psycopg.connect(url.reveal(), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    return query


@pytest.fixture
def stopped(settings: Settings, services: Services, write: Write, folder_path: Path) -> Stopped:
    """`stopped("staging")`: a unique index was to be built there, and ended INVALID; home has looked."""
    write(folder_path, TABLE, "CREATE TABLE twice AS SELECT 1 AS id FROM generate_series(1, 2);\n")
    write(folder_path, NAME, "CREATE UNIQUE INDEX CONCURRENTLY once ON twice (id);\nVACUUM twice;\n")

    def stop(name: str) -> None:
        result = apply(settings.environment(name), services.folder.read, ORDER)
        assert result.outcome is Outcome.FAILED
        services.compare.live()

    return stop


def decide(person: Person, name: str, decision: str = DROP, **fields: str) -> TestResponse:
    """Press a button of the file's form."""
    page = person.get(f"/environments/{name}").text
    shown = re.search(r'name="shown" value="([0-9a-f]+)"', page)
    form = {"filename": NAME, "decision": decision, "reason": "seen to", "shown": shown[1] if shown else ""}
    return person.post(f"/environments/{name}/resolve", form | fields)


def buttons(page: TestResponse) -> list[str]:
    return re.findall(r'<button name="decision" value="([a-z ]+)">', page.text)


def decisions(ask: Callable[..., list[tuple[Any, ...]]], name: str) -> list[tuple[Any, ...]]:
    return ask(name, "SELECT actor, door, reason, subject FROM rung.history WHERE event = 'resolved'")


def test_what_a_file_left_behind_is_no_accident_ahead_before_the_decision_and_after_it(
    stopped: Stopped, cast: Cast, write: Write, folder_path: Path, ask: Callable[..., list[tuple[Any, ...]]]
) -> None:
    write(
        folder_path,
        NAME,
        "CREATE INDEX CONCURRENTLY first ON twice (id);\nCREATE UNIQUE INDEX CONCURRENTLY once ON twice (id);\n",
    )
    stopped("staging")
    assert "1 unfinished" in cast.admin.read("/")
    assert "1 failed" not in cast.admin.read("/")
    before = words(cast.admin.get("/environments/staging"))
    assert f"Stopped at {NAME}: it stopped half-way, and somebody has to decide how it goes on" in before
    ask("staging", "DELETE FROM twice WHERE ctid = '(0,1)'")
    assert decide(cast.admin, "staging").status_code == 303
    after = cast.admin.get("/environments/staging")
    assert "Apply 1 pending to staging" in words(after)
    for page in (before, words(after)):
        assert "Will fail" not in page
        assert "already" not in page.partition("Last runs")[0].replace("is finished already", "")


# --- refused ---


def test_only_admins_get_the_button_and_the_others_read_who_may(stopped: Stopped, cast: Cast) -> None:
    stopped("staging")
    for person in (cast.viewer, cast.operator):
        page = person.get("/environments/staging")
        assert buttons(page) == []
        assert "Index public.once is INVALID." in words(page)
        assert "Admins may decide this on staging." in words(page)
        assert decide(person, "staging").status_code == 403
    assert buttons(cast.admin.get("/environments/staging")) == [DROP]


def test_a_form_without_the_token_of_the_session_decides_nothing(
    stopped: Stopped, cast: Cast, ask: Callable[..., list[tuple[Any, ...]]]
) -> None:
    stopped("staging")
    for token in ("", "made.up"):
        assert decide(cast.admin, "staging", csrf=token).status_code == 403
    assert decisions(ask, "staging") == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"reason": "  "}, "A decision needs a reason"),
        ({"decision": "make it so"}, "There is no such decision"),
        ({"filename": "999_x.sql"}, "staging has no such file"),
        ({"filename": "<b>.sql"}, "staging has no such file"),
        ({"decision": "retry"}, "what statement 1 left would stay: Index public.once is INVALID."),
        ({"decision": "mark applied"}, "statement 1 is not done"),
        ({"shown": "0" * 64}, "the file has changed since it was shown"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    stopped: Stopped,
    cast: Cast,
    ask: Callable[..., list[tuple[Any, ...]]],
    fields: dict[str, str],
    said: str,
) -> None:
    stopped("staging")
    answer = decide(cast.admin, "staging", **fields)
    assert answer.status_code == 409
    assert said in words(answer)
    assert "Nothing was decided." in words(answer)
    assert decisions(ask, "staging") == []


def test_what_was_typed_into_a_refused_form_is_not_lost(stopped: Stopped, cast: Cast) -> None:
    stopped("production")
    typed = decide(cast.admin, "production", reason=" ", confirm="production").text
    assert 'name="confirm" value="production"' in typed
    typed = decide(cast.admin, "production", reason="seen <to>", confirm="prod").text
    assert 'name="confirm" value="prod"' in typed
    assert "seen &lt;to&gt;</textarea>" in typed


def test_what_was_typed_is_not_lost(stopped: Stopped, cast: Cast) -> None:
    stopped("production")
    answer = decide(cast.admin, "production", reason="rows <merged>", confirm="prod")
    assert answer.status_code == 409
    assert "production is protected: type its name to confirm." in words(answer)
    assert "rows &lt;merged&gt;</textarea>" in answer.text


def test_somebody_who_holds_the_lock_is_named(
    stopped: Stopped, cast: Cast, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped("staging")
    monkeypatch.setattr("dashboard.web.environment.LOCK_WAIT", 0.1)
    with connect(settings.environment("staging"), purpose="another run") as other:
        acquire(other, "public", 0, lambda event: None, lambda: None)
        answer = decide(cast.admin, "staging")
    assert answer.status_code == 409
    assert "holds the lock of staging" in words(answer)


def test_while_a_run_goes_on_there_is_nothing_to_decide(stopped: Stopped, cast: Cast, services: Services) -> None:
    stopped("staging")
    services.runs.ask("staging", ORDER)
    page = cast.admin.get("/environments/staging")
    assert "A run is going on" in words(page)
    assert buttons(page) == []


# --- decided ---


def test_a_decision_is_written_down_with_who_and_why_and_the_page_says_what_follows(
    stopped: Stopped,
    cast: Cast,
    services: Services,
    ask: Callable[..., list[tuple[Any, ...]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped("production")
    page = cast.admin.get("/environments/production")
    assert "Waiting for a decision" in words(page)
    assert "The next run drops the INVALID index public.once, then executes statement 1 again." in words(page)
    answer = decide(cast.admin, "production", confirm="production")
    assert answer.status_code == 303, words(answer)
    assert decisions(ask, "production") == [("admin@example.com", "web", "seen to", "public.once")]
    after = cast.admin.get(answer.location)
    assert f"Decided about {NAME}. The next run drops the INVALID index public.once" in words(after)
    assert buttons(after) == []
    assert "It will fail: 1 value of" in words(after)  # what made it fail is still there
    ask("production", "DELETE FROM twice WHERE ctid = (SELECT max(ctid) FROM twice)")
    monkeypatch.setattr("dashboard.web.foreseen.FRESH", 0.0)
    assert "Apply 1 pending to production" in words(cast.admin.get("/environments/production"))
    run = services.runs.ask("production", ORDER)
    services.runs.execute(run.run_id)
    done = services.runs.show(run.run_id)
    assert done
    assert done.outcome is Outcome.APPLIED, done.result


@pytest.mark.usefixtures("signed_in")
def test_a_decision_is_in_the_audit_and_without_one_nothing_is_decided(
    stopped: Stopped, cast: Cast, services: Services, ask: Callable[..., list[tuple[Any, ...]]], in_home: Any
) -> None:
    stopped("production")
    in_home.execute(
        "CREATE TRIGGER closed BEFORE INSERT ON home.audit FOR EACH STATEMENT EXECUTE FUNCTION home.refuse_change()"
    )
    assert decide(cast.admin, "production", confirm="production").status_code == 503
    assert decisions(ask, "production") == []
    in_home.execute("DROP TRIGGER closed ON home.audit")
    assert decide(cast.admin, "production", confirm="production").status_code == 303
    row = services.audit.newest(1)[0]
    assert (row.deed, row.who, row.address) == ("resolve asked for", "admin@example.com", "127.0.0.1")
    assert (row.environment, row.subject) == ("production", NAME)
    (hashed,) = ask("production", "SELECT raw_hash FROM rung.history WHERE event = 'resolved'")
    assert row.detail == f"drop and retry, SHA-256 {hashed[0]}"


def test_the_history_shows_the_decision_and_its_page(stopped: Stopped, cast: Cast) -> None:
    stopped("staging")
    run_id = decide(cast.admin, "staging").location.partition("decided=")[2]
    assert "resolved" in words(cast.viewer.get("/history?outcome=resolved"))
    assert "because: seen to" in words(cast.viewer.get("/history?outcome=resolved"))
    page = cast.viewer.read(f"/runs/{run_id}")
    assert f"Decided about {NAME}" in page
    assert "seen to" in page


def test_a_made_up_run_in_the_address_says_nothing(stopped: Stopped, cast: Cast) -> None:
    stopped("staging")
    for made_up in ("x", "018f2b6e-0000-7000-8000-000000000000", "<b>"):
        assert "Decided about" not in words(cast.admin.get(f"/environments/staging?decided={made_up}"))


def test_an_edited_file_is_accepted_behind_a_fold(
    stopped: Stopped,
    cast: Cast,
    services: Services,
    write: Write,
    folder_path: Path,
    ask: Callable[..., list[tuple[Any, ...]]],
) -> None:
    stopped("staging")
    write(folder_path, TABLE, "-- a remark\nCREATE TABLE twice AS SELECT 1 AS id FROM generate_series(1, 2);\n")
    services.compare.live()
    page = cast.admin.get("/environments/staging")
    assert "<summary>Accept this content on staging…</summary>" in page.text
    assert buttons(page) == [DROP, "accept edit"]
    shown = services.folder.read().migrations[0].raw_hash
    answer = decide(cast.admin, "staging", "accept edit", filename=TABLE, shown=shown)
    assert answer.status_code == 303, words(answer)
    assert buttons(cast.admin.get("/environments/staging")) == [DROP]
    assert ask("staging", "SELECT count(*) FROM rung.history WHERE event = 'resolved'") == [(1,)]


def test_an_edited_file_is_told_of_once_with_what_changed_in_it(
    stopped: Stopped, cast: Cast, services: Services, write: Write, folder_path: Path
) -> None:
    stopped("staging")
    write(folder_path, TABLE, "-- <b>a remark</b>\nCREATE TABLE twice AS SELECT 1 AS id FROM generate_series(1, 3);\n")
    page = cast.viewer.get("/environments/staging")
    assert words(page).count("Its content changed after it was applied by somebody.") == 1
    assert "was edited after it was applied" not in words(page)
    assert "removed: \N{MINUS SIGN} CREATE TABLE twice AS SELECT 1 AS id FROM generate_series(1, 2);" in words(page)
    assert "added: + CREATE TABLE twice AS SELECT 1 AS id FROM generate_series(1, 3);" in words(page)
    assert "<ins>-- &lt;b&gt;a remark&lt;/b&gt;</ins>" in page.text


def test_an_edited_file_whose_old_text_nobody_kept_says_so(
    stopped: Stopped, cast: Cast, in_home: psycopg.Connection[Any], write: Write, folder_path: Path
) -> None:
    stopped("staging")
    in_home.execute("UPDATE home.history SET sql = NULL")
    write(folder_path, TABLE, "CREATE TABLE other (id int);\n")
    assert "The text that was applied is not in the history" in cast.viewer.read("/environments/staging")


# --- in a real browser ---


@pytest.fixture
def to_sign_in(address: str, cast: Cast) -> str:
    return f"{address}/sign-in/link/{cast.services.accounts.make_link(EMAILS[Role.ADMIN])}"


def open_page(page: Page, address: str, to_sign_in: str) -> None:
    page.goto(to_sign_in)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}/")
    page.goto(f"{address}/environments/production")


@pytest.mark.browser
def test_what_one_types_stays_while_the_page_refreshes(
    stopped: Stopped, page: Page, address: str, to_sign_in: str, in_home: psycopg.Connection[Any]
) -> None:
    stopped("production")
    open_page(page, address, to_sign_in)
    reason = page.get_by_label("Reason, for the history")
    reason.fill("rows are merged")
    in_home.execute("UPDATE home.picture SET asked_at = asked_at - interval '1 hour'")
    with page.expect_response(re.compile("/fragments/")):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(reason).to_have_value("rows are merged")
    expect(reason).to_be_focused()


@pytest.mark.browser
def test_a_decision_needs_no_script(
    stopped: Stopped,
    browser: Browser,
    address: str,
    to_sign_in: str,
    ask: Callable[..., list[tuple[Any, ...]]],
) -> None:
    stopped("production")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    open_page(page, address, to_sign_in)
    page.get_by_label("Reason, for the history").fill("rows are merged")
    page.get_by_label("Type production to confirm").fill("production")
    page.get_by_role("button", name="Let public.once be dropped, and statement 1 run again").click()
    expect(page.get_by_role("status").first).to_contain_text(f"Decided about {NAME}.")
    assert decisions(ask, "production") == [("admin@example.com", "web", "rows are merged", "public.once")]
    context.close()
