"""The people of the dashboard, as admins see and change them."""

import re

import pytest

from dashboard.bootstrap import Services
from dashboard.core.access import Role
from tests.cast import EMAILS, PASSWORD, Cast, Person, words

VIEWER, ADMIN = EMAILS[Role.VIEWER], EMAILS[Role.ADMIN]


def send(cast: Cast, act: str, **form: str):  # a response
    return cast.admin.post(f"/people/{act}", form, page="/people")


# --- what is refused ---


@pytest.mark.parametrize(
    "form", [{"act": "reset"}, {"act": "role", "role": "viewer"}, {"act": "admit", "enabled": "no"}]
)
def test_nobody_changes_their_own_account_so_that_an_admin_is_left(cast: Cast, form: dict[str, str]) -> None:
    form = dict(form)
    answer = send(cast, form.pop("act"), email=f" {ADMIN.upper()} ", **form)
    assert answer.status_code == 409
    assert "Another admin has to" in words(answer)
    assert cast.admin.get("/people").status_code == 200


@pytest.mark.parametrize("act", ["reset", "role", "admit"])
def test_somebody_who_is_not_there_is_named(cast: Cast, act: str) -> None:
    answer = send(cast, act, email="stranger@example.com")
    assert answer.status_code == 409
    assert "stranger@example.com" in words(answer)


def test_an_address_that_is_none_or_taken_stays_in_the_form(cast: Cast) -> None:
    for email in ("nobody", VIEWER):
        answer = send(cast, "invite", email=email, role="viewer")
        assert answer.status_code == 409
        assert f'value="{email}"' in answer.text


def test_a_role_or_environment_that_does_not_exist_changes_nothing(cast: Cast, services: Services) -> None:
    assert send(cast, "role", email=VIEWER, role="king").status_code == 400
    assert send(cast, "role", email=VIEWER, role="admin", environment="nowhere").status_code == 404
    assert [one.roles for one in services.accounts.everybody() if one.email == VIEWER] == [{"*": "viewer"}]


# --- what works ---


def test_an_invitation_opens_once_and_is_in_the_audit(cast: Cast, services: Services) -> None:
    answer = send(cast, "invite", email="new@example.com", role="operator")
    found = re.search(r"<code>http://localhost(/sign-in/link/[\w-]+)</code>", answer.text)
    assert found, answer.text
    made, added = services.audit.newest(2)
    assert (made.deed, added.deed) == ("link made", "account added")
    assert (added.who, added.address, added.subject) == (ADMIN, "127.0.0.1", "new@example.com")
    newcomer = Person(cast.app.test_client())
    assert newcomer.post(found[1], page=found[1]).status_code == 303
    assert newcomer.get("/").status_code == 200
    assert found[1] not in cast.admin.get("/people").text


def test_a_reset_ends_password_and_sessions_at_once(cast: Cast, services: Services) -> None:
    services.accounts.add("lead@example.com", PASSWORD, Role.OPERATOR)
    lead = cast.sign_in("lead@example.com")
    assert "/sign-in/link/" in send(cast, "reset", email="lead@example.com").text
    assert lead.get("/").status_code == 302
    assert services.accounts.sign_in("lead@example.com", PASSWORD) is None


@pytest.mark.usefixtures("signed_in")
def test_who_is_disabled_is_out_at_once_and_comes_back_when_enabled(cast: Cast, services: Services) -> None:
    send(cast, "admit", email=VIEWER, enabled="no")
    assert cast.viewer.get("/").status_code == 302
    assert services.audit.newest(1)[0].deed == "account disabled"
    send(cast, "admit", email=VIEWER, enabled="yes")
    assert cast.sign_in(VIEWER).get("/").status_code == 200


def test_a_role_counts_from_the_next_request_on(cast: Cast) -> None:
    send(cast, "role", email=VIEWER, role="admin", environment="staging")
    assert "viewer, admin on staging" in cast.admin.read("/people")
    send(cast, "role", email=VIEWER, role="admin")
    assert cast.viewer.get("/people").status_code == 200
