"""The audit as a page, as files and for programs: for admins only, exactly the rows that were asked for."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from flask import Flask

from dashboard.bootstrap import Services
from dashboard.core.audit import DEEDS, AuditFilter, Deed, Report, Source
from dashboard.web import api, export
from dashboard.web import audit as page_of
from tests.cast import Cast

FORMULA = '=HYPERLINK("http://x")'
MARKUP = "<img src=x onerror=alert(1)>\u202e{{7*7}}"
OWN = ("exported", "token used")
MARK = Source("mark@example.com", "192.0.2.9")


@pytest.fixture
def told(cast: Cast, services: Services) -> None:
    """Beside the sign-ins of the cast: sixty rows of one person on staging, and two of others."""
    for number in range(60):
        services.audit.write(Report(Deed.RESOLVE_ASKED_FOR, MARK, "staging", f"{number:03}_a.sql", "asked", "applied"))
    services.audit.write(Report(Deed.REFUSED, Source(MARKUP), "gone", "POST /x", "refused", "no\r\nnew line"))
    services.audit.write(Report(Deed.TOKEN_MADE, Source(FORMULA), subject="abc"))


def entries(page: str) -> int:
    return page.partition("<tbody>")[2].count("<tr>")


# --- who may not, and what cannot be asked ---


def test_a_filter_that_is_misspelled_twice_or_wrong_is_no_answer(told: None, cast: Cast, app: Flask) -> None:
    for query in ("?actor=x", "?who=a&who=b", "?who=" + "x" * 301):
        assert cast.admin.get(f"/audit{query}").status_code == 400
        assert cast.admin.get(f"/audit.csv{query}").status_code == 400
    for query, said in {
        "?environment=nowhere": "nowhere is not an environment here",
        "?deed=token-made": "token-made is not a value of “what” here",
        "?kind=logins": "logins is not a value of “kind” here",
        "?outcome=fine": "fine is not a value of “outcome” here",
        "?from=2026-13-01": "“from” takes a day such as",
        "?from=2026-02-02&to=2026-02-01": "the first day comes first",
        "?zone=Berlin": "Berlin is not a time zone",
    }.items():
        assert said in cast.admin.read(f"/audit{query}", 400)
        assert entries(cast.admin.get(f"/audit{query}").text) == 0
        assert cast.admin.get(f"/audit.json{query}").status_code == 400


def test_a_token_without_the_scope_reads_no_row(told: None, app: Flask, services: Services) -> None:
    for scope in ("read", "force:*"):
        token = services.tokens.add("ci", [scope], "a test").token
        answer = app.test_client().get("/api/v1/audit", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 403
        assert "mark@example.com" not in answer.text


def test_only_admins_are_led_there(cast: Cast) -> None:
    for person, there in ((cast.viewer, False), (cast.operator, False), (cast.admin, True)):
        assert ('href="/audit"' in person.get("/history").text) is there


def test_whatever_stands_in_a_row_is_shown_as_text(told: None, cast: Cast) -> None:
    page = cast.admin.get("/audit").text
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert "{{7*7}}" in page


# --- the rows ---


@pytest.mark.usefixtures("signed_in")
def test_each_filter_gives_exactly_its_rows_on_the_page_in_both_files_and_to_programs(
    told: None, cast: Cast, app: Flask, services: Services
) -> None:
    headers = {"Authorization": f"Bearer {services.tokens.add('ci', ['audit'], 'a test').token}"}
    today = datetime.now(UTC).date()
    every = sum(row.deed not in OWN for row in services.audit.export(AuditFilter(), 1000) or ())
    asked: dict[tuple[tuple[str, str], ...], int] = {
        (("environment", "gone"),): 1,
        (("environment", "staging"),): 60,
        (("kind", "refusals"),): 1,
        (("kind", "tokens"),): 2,
        (("deed", "token made"), ("who", "hyperlink")): 1,
        (("outcome", "asked"),): 60,
        (("who", "MARK@"),): 60,
        (("from", str(today - timedelta(days=1))), ("to", str(today + timedelta(days=1)))): every,
        (("to", str(today - timedelta(days=2))),): 0,
    }
    for pairs, number in asked.items():
        query = f"?{urlencode(pairs)}"
        comma = list(csv.DictReader(io.StringIO(cast.admin.get(f"/audit.csv{query}").text, newline=""), strict=True))
        plain = cast.admin.get(f"/audit.json{query}").json
        document = app.test_client().get(f"/api/v1/audit{query}", headers=headers).json
        assert plain
        assert document
        found = but_own(plain["rows"])
        assert found == but_own(comma)
        assert len(found) == number, pairs
        assert plain["count"] == len(plain["rows"])
        assert but_own(document["rows"]) == found[: len(but_own(document["rows"]))]
        assert len(document["rows"]) >= min(number, api.PER_PAGE)
        page = cast.admin.get(f"/audit{query}").text
        own = sum(page.count(f"</svg>{deed}</span>") for deed in OWN)
        assert own + len(found[: page_of.PER_PAGE]) >= entries(page) >= min(number, page_of.PER_PAGE)
        assert plain["filter"] == dict(pairs)


def but_own(rows: list[dict[str, Any]]) -> list[int]:
    """Their ids, without those of what the test itself did while it looked."""
    return [int(row["id"]) for row in rows if row["deed"] not in OWN]


def test_pages_follow_each_other_without_a_gap_while_rows_come_in(told: None, cast: Cast, services: Services) -> None:
    first = cast.admin.get("/audit?who=mark").text
    services.audit.write(Report(Deed.REFUSED, MARK, "staging", "late", "refused"))
    older = re.search(r'href="([^"]+)" rel="next"', first)
    assert older
    second = cast.admin.get(older[1].replace("&amp;", "&")).text
    numbers = re.findall(r"/migrations/(\d{3})_a\.sql", first) + re.findall(r"/migrations/(\d{3})_a\.sql", second)
    assert numbers == [f"{number:03}" for number in reversed(range(60))]
    assert "late" not in second
    assert 'rel="next"' not in second
    for odd in ("x", "-1", "9" * 30, "0"):
        assert cast.admin.get(f"/audit?before={odd}").status_code == 200


def test_the_page_leads_to_the_files_of_its_own_filter(told: None, cast: Cast) -> None:
    page = cast.admin.get("/audit?environment=staging&kind=runs").text
    hrefs = [href.replace("&amp;", "&") for href in re.findall(r'href="([^"]+)" download', page)]
    assert [href.partition("?")[0] for href in hrefs] == ["/audit.csv", "/audit.json"]
    assert cast.admin.get(hrefs[0]).text.count("\r\n") == 61  # with the names of the columns


def test_a_spreadsheet_computes_nothing_and_the_headers_say_what_the_files_are(told: None, cast: Cast) -> None:
    answer = cast.admin.get("/audit.csv?kind=tokens")
    (row,) = csv.DictReader(io.StringIO(answer.text, newline=""), strict=True)
    assert row["who"] == "'" + FORMULA
    assert list(row) == list(export.AUDIT_COLUMNS)
    for ending, kind in {
        "csv": "text/csv; charset=utf-8; header=present",
        "json": "application/json; charset=utf-8",
    }.items():
        answer = cast.admin.get(f"/audit.{ending}")
        assert answer.headers["Content-Type"] == kind
        assert re.fullmatch(
            rf'attachment; filename="rung-audit-\d{{8}}T\d{{6}}Z\.{ending}"', answer.headers["Content-Disposition"]
        )
        assert answer.headers["Cache-Control"] == "no-store"


def test_no_file_is_made_of_too_many_rows(told: None, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "LIMIT", 60)
    assert cast.admin.get("/audit.csv?environment=staging").status_code == 200
    assert "more than 60 rows" in cast.admin.read("/audit.csv", 400)


def test_what_comes_in_before_a_file_is_read_is_not_in_it(told: None, services: Services) -> None:
    found = services.audit.export(AuditFilter(who="mark"), 1000)
    assert found
    services.audit.write(Report(Deed.REFUSED, MARK, "staging", "late", "refused"))
    assert [row.subject for row in found][:1] == ["059_a.sql"]


def test_every_deed_can_be_found_by_its_kind() -> None:
    assert {deed for deeds in DEEDS.values() for deed in deeds} == set(Deed)


# --- is it whole ---


def test_a_check_is_remembered_and_shown_with_its_head(told: None, cast: Cast, services: Services) -> None:
    assert "not checked yet" in cast.admin.read("/audit")
    head = services.audit.verify().head
    assert cast.admin.post("/audit/check", page="/audit").location == "/audit#record"
    assert services.audit.newest(1)[0].subject == head
    said = cast.admin.read("/audit")
    assert f"checked just now by {cast.admin.email}" in said
    assert "each sealed and following the one before" in said
    assert str(head) in said


def test_rows_cut_off_the_end_are_found_against_a_kept_hash(
    told: None, cast: Cast, services: Services, in_home: psycopg.Connection[Any]
) -> None:
    kept = services.audit.verify().head
    in_home.execute("ALTER TABLE home.audit DISABLE TRIGGER audit_append_only")
    in_home.execute("DELETE FROM home.audit WHERE id = (SELECT max(id) FROM home.audit)")
    cast.admin.post("/audit/check", page="/audit")
    assert "The audit is broken" not in cast.admin.read("/audit")
    cast.admin.post("/audit/check", {"head": f" {str(kept).upper()} "}, page="/audit")
    said = cast.admin.read("/audit")
    assert "The audit is broken" in said
    assert f"no row has the hash {kept}: rows from" in said
    assert cast.admin.post("/audit/check", {"head": "abc"}, page="/audit").status_code == 400


def test_a_row_that_was_changed_is_named(told: None, cast: Cast, in_home: psycopg.Connection[Any]) -> None:
    in_home.execute("ALTER TABLE home.audit DISABLE TRIGGER audit_append_only")
    in_home.execute("UPDATE home.audit SET who = 'nobody' WHERE id = 20")
    cast.admin.post("/audit/check", page="/audit")
    assert "row 20 was changed" in cast.admin.read("/audit")


def test_every_column_is_explained_to_the_auditor() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "auditors.md").read_text()
    section = docs.partition("## The audit of the service")[2].partition("| column |")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == export.AUDIT_COLUMNS
