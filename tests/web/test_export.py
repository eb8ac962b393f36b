"""The history as a file: exactly the rows of the filter, safe to open, complete enough to check elsewhere."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from werkzeug.test import TestResponse

from dashboard.bootstrap import Services
from dashboard.core.access import EVERYWHERE, Role
from dashboard.core.record import HistoryFilter
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.services.apply import apply
from dashboard.settings import Settings
from dashboard.web import export
from tests.cast import EMAILS, Cast, words
from tests.conftest import Write

FORMULA = '=HYPERLINK("http://x")'
ROWS = 65  # more than a page of the history
DOCS = (Path(__file__).parents[2] / "docs" / "auditors.md").read_text()


@pytest.fixture
def happened(settings: Settings, services: Services, folder_path: Path, write: Write) -> None:
    """Many files on staging by somebody with a strange name, and a failure on local."""
    for number in range(1, ROWS):
        write(folder_path, f"{number:03}_t.sql", f"CREATE TABLE t{number} (id int);")
    odd = Actor(ActorKind.DEPLOY, FORMULA, Door.DEPLOY)
    apply(
        settings.environment("staging"),
        services.folder.read,
        Order(odd, force=True, reason='+49, "Zoë"\r\nsecond line'),
    )
    write(folder_path, "001_t.sql", "SELECT 1/0;")
    apply(settings.environment("local"), services.folder.read, Order(odd))
    services.compare.live()


def table(answer: TestResponse) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.data.decode(), newline=""), strict=True))


def test_both_files_hold_exactly_the_rows_of_the_filter(happened: None, cast: Cast, services: Services) -> None:
    for query, number in {"": ROWS + 2, "?environment=staging": ROWS, "?outcome=failed": 1, "?file=no_such": 0}.items():
        comma, plain = table(cast.viewer.get(f"/history.csv{query}")), cast.viewer.get(f"/history.json{query}").json
        assert plain
        assert plain["count"] == number
        assert [row["own_hash"] for row in comma] == [row["own_hash"] for row in plain["rows"]]
        assert len(comma) == number
    shown = services.history.page(HistoryFilter(environment="staging"), None, 1000).rows
    told = cast.viewer.get("/history.json?environment=staging").json
    assert told
    assert [row["id"] for row in told["rows"]] == [one.row.id for one in shown]
    assert told["filter"] == {"environment": "staging"}


def test_the_page_leads_to_the_files_of_its_own_filter(happened: None, cast: Cast) -> None:
    page = cast.viewer.get("/history?environment=staging&kind=files").text
    hrefs = [href.replace("&amp;", "&") for href in re.findall(r'href="([^"]+)" download', page)]
    assert [href.partition("?")[0] for href in hrefs] == ["/history.csv", "/history.json"]
    assert len(table(cast.viewer.get(hrefs[0]))) == ROWS - 1


def test_a_spreadsheet_computes_nothing(happened: None, cast: Cast) -> None:
    row = table(cast.viewer.get("/history.csv?environment=staging&file=001"))[0]
    assert row["actor"] == "'" + FORMULA
    assert row["reason"] == '\'+49, "Zoë"\r\nsecond line'
    exact = cast.viewer.get("/history.json?environment=staging&file=001").json
    assert exact
    assert exact["rows"][0]["actor"] == FORMULA


def test_every_dangerous_beginning_is_guarded(happened: None, cast: Cast, in_home: psycopg.Connection[Any]) -> None:
    for begin in ("=", "+", "-", "@", "\t", "\r", "\n"):
        in_home.execute("UPDATE home.history SET message = %s WHERE event = 'failed'", (f"{begin}1+1",))
        (row,) = table(cast.viewer.get("/history.csv?outcome=failed"))
        assert row["message"] == f"'{begin}1+1"


def test_the_headers_say_what_the_files_are(happened: None, cast: Cast) -> None:
    for ending, kind in {
        "csv": "text/csv; charset=utf-8; header=present",
        "json": "application/json; charset=utf-8",
    }.items():
        answer = cast.viewer.get(f"/history.{ending}")
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert re.fullmatch(
            rf'attachment; filename="rung-history-\d{{8}}T\d{{6}}Z\.{ending}"', answer.headers["Content-Disposition"]
        )


def test_lines_of_csv_end_as_the_standard_says(happened: None, cast: Cast) -> None:
    text = cast.viewer.get("/history.csv?outcome=failed").data.decode()
    assert text.count("\r\n") == 2
    assert text.endswith("\r\n")
    assert text.partition("\r\n")[0] == ",".join(export.COLUMNS)


def test_a_row_says_who_what_when_and_how_it_is_chained(happened: None, cast: Cast, services: Services) -> None:
    told = cast.viewer.get("/history.json?environment=staging").json
    assert told
    newest, before = told["rows"][:2]
    assert newest["previous_hash"] == before["own_hash"]
    assert newest["own_hash"] == services.history.verify("staging").head
    assert (newest["door"], newest["event"], newest["environment"]) == ("deploy", "applied", "staging")
    assert len(newest["raw_hash"]) == 64
    assert newest["seconds"] > 0
    moment = datetime.fromisoformat(newest["finished_at"])
    assert newest["finished_at"].endswith("Z")
    assert moment == services.history.live("staging", limit=1)[0].finished_at.astimezone(UTC)


def test_no_file_is_made_of_too_many_rows(happened: None, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "LIMIT", ROWS)
    assert cast.viewer.get("/history.csv?environment=staging").status_code == 200
    refused = cast.viewer.get("/history.csv")
    assert refused.status_code == 400
    assert f"more than {ROWS} rows" in words(refused)


def test_what_comes_in_while_a_file_is_read_is_not_in_it(
    happened: None, services: Services, monkeypatch: pytest.MonkeyPatch, in_home: psycopg.Connection[Any]
) -> None:
    monkeypatch.setattr("dashboard.services.history._EXPORTED", 10)
    found = services.history.export(HistoryFilter(), 1000)
    assert found
    first = next(found)
    in_home.execute(
        "UPDATE home.history SET finished_at = finished_at - interval '1 day', environment = 'late',"
        " place = DEFAULT WHERE place = (SELECT place FROM home.history ORDER BY finished_at LIMIT 1)"
    )
    rest = [one.row.environment for one in found]
    assert "late" not in [first.row.environment, *rest]
    assert len(rest) == ROWS


def test_rows_of_environments_one_may_not_look_at_are_in_no_file(
    happened: None, cast: Cast, services: Services
) -> None:
    services.accounts.set_role(EMAILS[Role.VIEWER], None, EVERYWHERE)
    services.accounts.set_role(EMAILS[Role.VIEWER], Role.VIEWER, "local")
    assert {row["environment"] for row in table(cast.viewer.get("/history.csv"))} == {"local"}
    assert "staging" not in cast.viewer.get("/history.json").text


def test_a_json_file_that_was_cut_off_is_noticed(happened: None, cast: Cast) -> None:
    text = cast.viewer.get("/history.json").text
    json.loads(text)
    with pytest.raises(json.JSONDecodeError):
        json.loads(text[: text.rindex("\n],")])


def test_every_column_is_explained_to_the_auditor() -> None:
    assert re.findall(r"^\| `(\w+)` \|", DOCS.partition("## Columns")[2].partition("\n## ")[0], re.MULTILINE) == list(
        export.COLUMNS
    )
