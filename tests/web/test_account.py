"""One's own account: sessions and password."""

import re

import pytest
from flask import Flask

from dashboard.bootstrap import Services
from dashboard.core.access import Role
from tests.cast import EMAILS, PASSWORD, Cast, Person, words

NEW = "moonlit gravel tuesday"
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


@pytest.fixture
def lead(cast: Cast) -> Person:
    """Somebody with a password, in by it."""
    cast.services.accounts.add("lead@example.com", PASSWORD, Role.OPERATOR)
    return by_password(cast)


def by_password(cast: Cast, password: str = PASSWORD) -> Person:
    person = Person(cast.app.test_client(), "lead@example.com")
    data = {"email": "lead@example.com", "password": password}
    answer = person.post("/sign-in", data, page="/sign-in", headers=FIREFOX)
    assert answer.status_code == 303, answer.text
    return person


def change(person: Person, present: str = PASSWORD, new: str = NEW, again: str | None = None):  # a response
    data = {"present": present, "new": new, "again": new if again is None else again}
    return person.post("/account/password", data, page="/account")


def names(person: Person) -> list[str]:
    return re.findall(r'name="session" value="([0-9a-f]{64})"', person.get("/account").text)


# --- what is refused ---


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"present": "not the password"}, "The present password is not right"),
        ({"again": NEW + "!"}, "are not the same"),
        ({"new": "short"}, "The password has fewer than 8 characters."),
        ({"new": "Password123!"}, "is one that is tried first"),
    ],
)
def test_a_refused_change_says_why_and_changes_nothing(
    lead: Person, cast: Cast, typed: dict[str, str], said: str
) -> None:
    other = by_password(cast)
    answer = change(lead, **typed)
    assert answer.status_code == 409
    assert said in words(answer)
    assert "Nothing was changed" in words(answer) or "The password" in words(answer)
    assert other.get("/").status_code == 200
    by_password(cast)


def test_a_wrong_present_password_is_in_the_audit_and_soon_has_to_wait(lead: Person, services: Services) -> None:
    statuses = [change(lead, present=f"wrong {number}").status_code for number in range(6)]
    assert statuses == [409] * 5 + [429]
    row = services.audit.newest(1)[0]
    assert (row.deed, row.outcome, row.who) == ("password changed", "refused", "lead@example.com")


@pytest.mark.usefixtures("signed_in")
def test_an_old_sign_in_by_link_sets_no_password(cast: Cast, in_home) -> None:  # type: ignore[no-untyped-def]  # a connection
    in_home.execute("UPDATE home.session SET created_at = created_at - interval '11 minutes'")
    answer = change(cast.viewer, present="")
    assert answer.status_code == 409
    assert cast.services.accounts.sign_in(EMAILS[Role.VIEWER], NEW) is None


def test_the_session_of_somebody_else_does_not_end(lead: Person, cast: Cast) -> None:
    second = by_password(cast)
    (name,) = names(lead)
    cast.viewer.post("/account/sessions/end", {"session": name}, page="/account")
    assert second.get("/").status_code == 200


@pytest.mark.parametrize("name", ["", "xyz", "00", "\u202e", "a" * 64])
def test_a_session_that_is_none_of_ours_ends_nothing(lead: Person, cast: Cast, name: str) -> None:
    second = by_password(cast)
    assert lead.post("/account/sessions/end", {"session": name}, page="/account").status_code == 303
    assert second.get("/").status_code == 200


def test_what_the_address_says_is_not_shown(lead: Person) -> None:
    assert "give me money" not in lead.get("/account?done=give+me+money").text


# --- what works ---


def test_a_new_password_ends_all_other_sessions_and_not_this_one(lead: Person, cast: Cast) -> None:
    other = by_password(cast)
    answer = change(lead)
    assert (answer.status_code, answer.location) == (303, "/account?done=password")
    assert "All other sessions have ended" in lead.read(answer.location)
    assert other.get("/").status_code == 302
    assert cast.services.accounts.sign_in("lead@example.com", PASSWORD) is None
    by_password(cast, NEW)


def test_who_came_by_a_link_just_now_may_set_a_first_password(cast: Cast) -> None:
    assert "Set a password" in cast.viewer.read("/account")
    assert change(cast.viewer, present="").status_code == 303
    assert cast.services.accounts.sign_in(EMAILS[Role.VIEWER], NEW) is not None


def test_the_list_says_where_each_session_is_and_which_is_this_one(lead: Person, cast: Cast) -> None:
    by_password(cast)
    page = lead.read("/account")
    assert "2 sessions open" in page
    assert page.count("Firefox on Linux") == 2
    assert page.count("this one") == 1
    assert "from 127.0.0.1" in page
    assert "operator on all environments" in page


def test_one_session_is_ended_by_name(lead: Person, cast: Cast, services: Services) -> None:
    second = by_password(cast)
    (name,) = names(lead)
    lead.post("/account/sessions/end", {"session": name}, page="/account")
    assert (lead.get("/").status_code, second.get("/").status_code) == (200, 302)
    row = services.audit.newest(1)[0]
    assert (row.deed, row.who, row.detail) == ("sessions ended", "lead@example.com", "1 of them")


def test_all_others_end_at_once(lead: Person, cast: Cast) -> None:
    others = [by_password(cast), by_password(cast)]
    lead.post("/account/sessions/end", page="/account")
    assert [one.get("/").status_code for one in others] == [302, 302]
    assert lead.get("/").status_code == 200


def test_a_browser_that_calls_itself_something_odd_is_shown_as_text(app: Flask, cast: Cast, lead: Person) -> None:
    person = Person(app.test_client())
    data = {"email": "lead@example.com", "password": PASSWORD}
    person.post("/sign-in", data, page="/sign-in", headers={"User-Agent": '"><script>alert(1)</script>' + "x" * 5000})
    page = lead.get("/account").text
    assert "<script>alert" not in page
    assert "x" * 301 not in page
