"""Signing in by OpenID Connect: a real issuer lets its people in, a forged answer lets nobody in."""

import base64
import hmac
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from flask import Flask
from joserfc import jwk
from werkzeug.test import TestResponse

from dashboard.bootstrap import Services, build
from dashboard.core.access import LinkPurpose, Role, WayIn
from dashboard.core.environment import Secret
from dashboard.core.errors import ByIssuer, IssuerFault
from dashboard.core.oidc import Identity, Issuer, Purpose, Trip
from dashboard.postgres.home import identities
from dashboard.services.accounts import Accounts
from dashboard.services.oidc import OpenIdConnect
from dashboard.settings import Settings
from dashboard.web import create_app
from tests import issuer
from tests.cast import EMAILS, PASSWORD, Cast, Person, words
from tests.issuer import AtIssuer, Forger
from tests.web.test_environment import nothing_runs
from tests.web.test_proof import REASON, force, hidden, old  # noqa: F401  # a fixture

Home = psycopg.Connection[Any]
ANN = "ann@example.com"
LEAVE = "/sign-in/oidc"


@pytest.fixture(scope="module")
def acme() -> Iterator[Issuer]:
    with issuer.running() as there:
        yield there


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """With the real issuer, or with the one that forges where a test asks for it."""
    if "forger" in request.fixturenames:
        forger: Forger = request.getfixturevalue("forger")
        return replace(settings, oidc=forger.issuer())
    return replace(settings, oidc=request.getfixturevalue("acme"))


@pytest.fixture
def forger() -> Iterator[Forger]:
    with issuer.forging() as there:
        yield there


def come(person: Person, who: AtIssuer, address: str = LEAVE) -> TestResponse:
    """Out to the issuer, through its forms, and back."""
    out = person.get(address)
    assert out.status_code == 302, words(out)
    return person.get(who.back_from(out.location))


def newcomer(cast: Cast) -> Person:
    return Person(cast.app.test_client())


def way(page: TestResponse) -> str:
    """The link to the issuer that a page of ours has."""
    found = re.search(rf'href="({LEAVE}/go[^"]*)"', page.text)
    assert found, words(page)
    return unescape(found[1])


def is_in(person: Person) -> bool:
    return person.get("/account").status_code == 200


def audited(in_home: Home, deed: str, outcome: str = "done") -> list[tuple[str, str]]:
    rows = in_home.execute(
        "SELECT who, detail FROM home.audit WHERE deed = %s AND outcome = %s ORDER BY id", (deed, outcome)
    )
    return rows.fetchall()


# --- coming in ---


def test_the_issuer_lets_somebody_in_with_an_account_and_no_role(cast: Cast, in_home: Home) -> None:
    person, ann = newcomer(cast), AtIssuer("ann")
    answer = come(person, ann)
    assert (answer.status_code, answer.location) == (303, "/")
    assert f"{ANN} · no role yet" in person.read("/account")
    assert "Your account has no role yet" in person.read("/", 403)
    assert audited(in_home, "sign-in")[-1] == (ANN, "by Acme")
    assert audited(in_home, "account added")[-1] == (ANN, "with no role, by Acme")
    people = cast.admin.read("/people")
    assert f"{ANN} no role · comes in by OpenID Connect" in people
    cast.services.accounts.set_role(ANN, Role.OPERATOR)
    again = newcomer(cast)
    assert come(again, ann, f"{LEAVE}?next=/history").location == "/history"
    assert again.get("/history").status_code == 200
    assert ann.asked == 1, "the issuer remembered"
    assert len(audited(in_home, "account added")) == 4, "three of the cast, and one"


def test_the_way_out_is_bound_to_this_browser_and_to_this_trip(cast: Cast, acme: Issuer) -> None:
    person = newcomer(cast)
    first, second = (parse_qs(urlsplit(person.get(LEAVE).location).query) for _ in range(2))
    assert first["code_challenge_method"] == ["S256"]
    assert first["scope"] == ["openid email"]
    assert first["redirect_uri"] == [issuer.CALLBACK]
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]
        assert len(first[name][0]) >= 43
    (cookie,) = (one for one in person.get(LEAVE).headers.getlist("Set-Cookie") if one.startswith("rung-oidc="))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Max-Age=600" in cookie


def test_signing_in_begins_a_session_of_its_own(cast: Cast) -> None:
    before = cast.viewer.client.get_cookie("rung")
    assert before
    come(cast.viewer, AtIssuer("ann"))
    after = cast.viewer.client.get_cookie("rung")
    assert after
    assert before.value != after.value
    assert cast.services.accounts.visitor(before.value) is None


def test_an_account_with_the_same_address_is_another_account(cast: Cast, in_home: Home) -> None:
    cast.services.accounts.add(ANN, PASSWORD, Role.ADMIN)
    person = newcomer(cast)
    answer = come(person, AtIssuer("ann"))
    assert answer.status_code == 400
    assert f"an account for {ANN} is there already" in words(answer)
    assert not is_in(person)
    assert len(audited(in_home, "sign-in refused", "refused")) == 1


def test_who_is_disabled_stays_out(cast: Cast) -> None:
    come(newcomer(cast), AtIssuer("ann"))
    cast.services.accounts.set_enabled(ANN, enabled=False)
    person = newcomer(cast)
    assert "the account is disabled" in words(come(person, AtIssuer("ann")))
    assert not is_in(person)


def test_the_first_account_is_never_made_by_an_issuer(app: Flask, services: Services) -> None:
    person = Person(app.test_client())
    assert "the first account is an admin's" in words(come(person, AtIssuer("ann")))
    assert services.accounts.is_empty()


def test_only_addresses_of_the_configured_domains_get_an_account(settings: Settings, cast: Cast) -> None:
    assert settings.oidc
    strict = replace(settings, oidc=replace(settings.oidc, domains=("acme.test",)))
    other = build(strict)
    person = Person(create_app(other).test_client())
    assert "addresses of example.com are not let in here" in words(come(person, AtIssuer("ann")))
    other.close()


def test_without_an_issuer_there_is_no_such_page(settings: Settings, cast: Cast) -> None:
    without = build(replace(settings, oidc=None))
    person = Person(create_app(without).test_client())
    for path in (LEAVE, f"{LEAVE}/go", f"{LEAVE}/callback?code=a&state=b"):
        assert person.get(path).status_code == 404
    assert "Acme" not in person.read("/sign-in")
    without.close()


# --- neither password nor link ---


def test_who_comes_by_an_issuer_has_no_other_way_in(cast: Cast, services: Services, in_home: Home) -> None:
    person = newcomer(cast)
    come(person, AtIssuer("ann"))
    accounts = services.accounts
    assert cast.anybody.post("/sign-in", {"email": ANN, "password": PASSWORD}, page="/sign-in").status_code == 401
    for reopen in (
        lambda: accounts.make_link(ANN),
        lambda: accounts.make_link(ANN, LinkPurpose.RESET),
        lambda: accounts.take_password(ANN),
        lambda: accounts.set_password(ANN, PASSWORD),
    ):
        with pytest.raises(ByIssuer, match="signs in by OpenID Connect"):
            reopen()
    reset = cast.admin.post("/people/reset", {"email": ANN}, page="/people")
    assert reset.status_code == 409
    assert "rung user disconnect" in words(reset)
    fields = {"present": "", "new": PASSWORD, "again": PASSWORD}
    assert person.post("/account/password", fields, page="/account").status_code == 409
    stored = in_home.execute("SELECT password_hash FROM home.account WHERE email = %s", (ANN,)).fetchone()
    assert stored == (None,)


def test_a_link_from_before_is_worth_nothing_after(cast: Cast, services: Services) -> None:
    services.accounts.add(ANN, None, Role.VIEWER)
    link = f"/sign-in/link/{services.accounts.make_link(ANN)}"
    person = cast.sign_in(ANN)
    connect(person, AtIssuer("ann"))
    stranger = newcomer(cast)
    assert stranger.post(link, page=link).status_code == 401


def test_disconnecting_gives_the_links_back_and_ends_the_sessions(cast: Cast, services: Services) -> None:
    person = newcomer(cast)
    come(person, AtIssuer("ann"))
    assert services.accounts.disconnect(ANN)
    assert not services.accounts.disconnect(ANN)
    assert not is_in(person)
    assert is_in(cast.sign_in(ANN))
    again = newcomer(cast)
    assert "is there already" in words(come(again, AtIssuer("ann"))), "the address alone opens nothing"


# --- connecting an account ---


def connect(person: Person, who: AtIssuer) -> TestResponse:
    asked = person.post("/account/identity", page="/account")
    assert asked.status_code == 200
    return come(person, who, way(asked))


def test_somebody_connects_an_account_and_comes_in_that_way_from_then_on(cast: Cast, in_home: Home) -> None:
    cast.services.accounts.set_password(EMAILS[Role.VIEWER], PASSWORD)
    person, elsewhere = cast.sign_in(EMAILS[Role.VIEWER]), cast.sign_in(EMAILS[Role.VIEWER])
    assert "Connect with Acme" in person.read("/account")
    answer = connect(person, AtIssuer("bob"))
    assert (answer.status_code, answer.location) == (303, "/account?done=connected")
    assert "no password and no link opens this account" in person.read("/account?done=connected")
    assert not is_in(elsewhere)
    assert not cast.services.accounts.sign_in(EMAILS[Role.VIEWER], PASSWORD)
    again = newcomer(cast)
    come(again, AtIssuer("bob"))
    assert EMAILS[Role.VIEWER] in again.read("/account")
    assert audited(in_home, "sign-in connected")[-1][0] == EMAILS[Role.VIEWER]


def test_a_person_of_the_issuer_opens_one_account_only(cast: Cast) -> None:
    connect(cast.viewer, AtIssuer("bob"))
    answer = connect(cast.operator, AtIssuer("bob"))
    assert answer.status_code == 400
    assert "it opens another account here already" in words(answer)
    assert is_in(cast.operator)


def test_connecting_needs_a_form_of_ours_and_a_sign_in_of_these_minutes(cast: Cast, old: Callable[[], None]) -> None:  # noqa: F811
    assert cast.viewer.client.post("/account/identity").status_code == 403
    assert cast.viewer.get(f"{LEAVE}/go").location == "/sign-in", "nobody set out"
    old()
    assert "too old" in words(connect(cast.viewer, AtIssuer("bob")))
    assert "Set a password" in cast.viewer.read("/account")


def test_what_one_session_began_does_not_connect_another_s_account(cast: Cast) -> None:
    begun = cast.viewer.post("/account/identity", page="/account")
    (cookie,) = (one for one in begun.headers.getlist("Set-Cookie") if one.startswith("rung-oidc="))
    cast.operator.client.set_cookie("rung-oidc", cookie.partition("=")[2].partition(";")[0])
    answer = come(cast.operator, AtIssuer("bob"), way(begun))
    assert "the session that this began in has ended" in words(answer)
    assert "Set a password" in cast.operator.read("/account")


# --- who is asking, once more ---


@pytest.fixture
def admin(cast: Cast, three: tuple[str, ...]) -> tuple[Person, AtIssuer]:
    """An admin who comes in by the issuer, and signed in there long ago."""
    ann, person = AtIssuer("ann"), newcomer(cast)
    come(person, ann)
    cast.services.accounts.set_role(ANN, Role.ADMIN)
    return person, ann


def test_an_issuer_that_let_somebody_in_without_asking_proves_nothing(
    admin: tuple[Person, AtIssuer],
    cast: Cast,
    services: Services,
    in_home: Home,
    old: Callable[[], None],  # noqa: F811
) -> None:
    person, ann = admin
    old()
    answer = force(person)
    assert answer.status_code == 401
    assert "Prove it at Acme" in words(answer)
    assert "Password of" not in words(answer)
    assert nothing_runs(services)
    proved = come(person, ann, way(answer))
    assert ann.asked == 2, "the issuer asked again"
    assert proved.status_code == 200
    assert "Nothing was started yet" in words(proved)
    proofs = in_home.execute("SELECT who, environment FROM home.audit WHERE deed = 'identity proved'").fetchall()
    assert proofs == [(ANN, "production")]
    assert hidden(proved)["reason"] == REASON
    assert nothing_runs(services)
    begun = person.client.post("/environments/production/apply", data=hidden(proved))
    assert begun.status_code == 303
    assert begun.location.startswith("/runs/")


def test_a_proof_of_somebody_else_is_none(
    admin: tuple[Person, AtIssuer],
    services: Services,
    old: Callable[[], None],  # noqa: F811
) -> None:
    person, _ = admin
    old()
    assert "it knows you as somebody else" in words(come(person, AtIssuer("bob"), way(force(person))))
    assert force(person).status_code == 401
    assert nothing_runs(services)


@pytest.mark.parametrize("other", [None, Issuer("https://other.example", "rung", label="Other")], ids=["none", "other"])
def test_without_that_issuer_any_more_nothing_is_asked_that_cannot_be_answered(
    admin: tuple[Person, AtIssuer],
    settings: Settings,
    services: Services,
    old: Callable[[], None],  # noqa: F811
    other: Issuer | None,
) -> None:
    person, _ = admin
    cookie = person.client.get_cookie("rung")
    assert cookie
    without = build(replace(settings, oidc=other))
    later = Person(create_app(without).test_client())
    later.client.set_cookie("rung", cookie.value)
    old()
    answer = force(later)
    assert answer.status_code == 401
    assert f"rung user disconnect {ANN}" in words(answer)
    assert "one-time link for" not in words(answer)
    account = later.read("/account")
    assert "by an issuer that this Rung no longer knows" in account
    assert "Other" not in account + words(answer)
    without.close()
    assert nothing_runs(services)


def test_the_session_goes_on_under_another_token_after_a_proof(
    admin: tuple[Person, AtIssuer],
    old: Callable[[], None],  # noqa: F811
) -> None:
    person, ann = admin
    old()
    before = person.client.get_cookie("rung")
    come(person, ann, way(force(person)))
    after = person.client.get_cookie("rung")
    assert before
    assert after
    assert before.value != after.value
    assert is_in(person)


def test_what_no_cookie_can_hold_has_to_be_typed_again(
    admin: tuple[Person, AtIssuer],
    old: Callable[[], None],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    person, ann = admin
    old()
    monkeypatch.setattr("dashboard.web.oidc._MOST", 550)
    proved = come(person, ann, way(force(person)))
    assert "too long to keep" in words(proved)
    assert force(person).status_code == 303, "the proof counts"


# --- forged answers ---


def none(forger: Forger, claims: dict[str, Any]) -> str:
    """No signature, as the oldest trick has it."""
    _, body, _ = forger.signed(claims).split(".")
    return f"eyJhbGciOiJub25lIn0.{body}."


def by_public_key(forger: Forger, claims: dict[str, Any]) -> str:
    """The public key as the secret of a symmetric signature, for a reader that lets the token choose the way."""
    header = {"alg": "HS256", "kid": forger.key.kid}
    text = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)
    )
    seal = hmac.digest(forger.key.as_pem(private=False), text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(seal).decode().rstrip('=')}"


FORGED: dict[str, Callable[[Forger, dict[str, Any]], str]] = {
    "another nonce": lambda forger, claims: forger.signed(claims | {"nonce": "another"}),
    "no nonce": lambda forger, claims: forger.signed({**claims, "nonce": ""}),
    "for another client": lambda forger, claims: forger.signed(claims | {"aud": "another"}),
    "for two clients, by the other": lambda forger, claims: forger.signed(claims | {"aud": ["rung", "o"], "azp": "o"}),
    "of another issuer": lambda forger, claims: forger.signed(claims | {"iss": "https://accounts.example.com"}),
    "without a signature": none,
    "signed with another key": lambda forger, claims: forger.signed(claims, key=jwk.RSAKey.generate_key(2048)),
    "signed with what everybody knows": by_public_key,
    "expired": lambda forger, claims: forger.signed(claims | {"iat": time.time() - 900, "exp": time.time() - 600}),
    "not yet": lambda forger, claims: forger.signed(claims | {"nbf": time.time() + 600}),
    "about nobody": lambda forger, claims: forger.signed(claims | {"sub": ""}),
    "about a trick": lambda forger, claims: forger.signed(claims | {"sub": "ann\0"}),
    "of another access token": lambda forger, claims: forger.signed(claims | {"at_hash": "AAAA"}),
    "no token": lambda forger, claims: "not.a.token",
    "a picture": lambda forger, claims: "\0\x89PNG" * 100,
    "times that are no times": lambda forger, claims: forger.signed(claims | {"exp": "tomorrow"}),
}


def set_out(person: Person, forger: Forger) -> str:
    """The state, after the forger has seen the nonce."""
    sent = parse_qs(urlsplit(person.get(LEAVE).location).query)
    forger.nonce = sent["nonce"][0]
    return sent["state"][0]


def test_an_honest_answer_of_the_forger_lets_in(forger: Forger, cast: Cast) -> None:
    """Or the tests after this one would prove nothing."""
    person = newcomer(cast)
    assert person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}").status_code == 303
    assert is_in(person)


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_token_lets_nobody_in_and_is_remembered(
    forged: str, forger: Forger, cast: Cast, in_home: Home
) -> None:
    forger.forge = FORGED[forged]
    person = newcomer(cast)
    answer = person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}")
    assert answer.status_code == 400
    assert "Acme did not let you in" in words(answer)
    assert not is_in(person)
    (row,) = audited(in_home, "sign-in refused", "refused")
    assert "token" in row[1]


def test_a_wrong_state_and_a_used_trip_let_nobody_in(forger: Forger, cast: Cast, in_home: Home) -> None:
    person = newcomer(cast)
    state = set_out(person, forger)
    for wrong in ("another", "", "ä"):
        assert newcomer(cast).get(f"{LEAVE}/callback?code=a&state={wrong}").status_code == 400
    assert newcomer(cast).get(f"{LEAVE}/callback?code=a&state={state}").status_code == 400, "of another browser"
    assert "/token" not in forger.asked
    assert person.get(f"{LEAVE}/callback?code=a&state={state}").status_code == 303
    assert person.get(f"{LEAVE}/callback?code=a&state={state}").status_code == 400, "a trip ends when it arrives"
    assert len(audited(in_home, "sign-in refused", "refused")) == 5


def test_a_trip_that_took_too_long_or_was_altered_is_none(
    forger: Forger, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = newcomer(cast)
    state = set_out(person, forger)
    cookie = person.client.get_cookie("rung-oidc")
    assert cookie
    for broken in (cookie.value.swapcase(), cookie.value[:50], "x", "ä" * 500, ""):
        other = newcomer(cast)
        other.client.set_cookie("rung-oidc", broken)
        assert other.get(f"{LEAVE}/callback?code=a&state={state}").status_code == 400
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 601)
    assert person.get(f"{LEAVE}/callback?code=a&state={state}").status_code == 400


def test_an_answer_of_another_issuer_and_an_error_let_nobody_in(forger: Forger, cast: Cast) -> None:
    person = newcomer(cast)
    answer = person.get(f"{LEAVE}/callback?code=a&iss=https://evil.example&state={set_out(person, forger)}")
    assert "the answer is another issuer's" in words(answer)
    answer = person.get(f"{LEAVE}/callback?error=access_denied&state={set_out(person, forger)}")
    assert "it said access_denied" in words(answer)
    answer = person.get(f"{LEAVE}/callback?error=<script>&state={set_out(person, forger)}")
    assert "it said no reason" in words(answer)
    assert "/token" not in forger.asked


def test_a_code_is_taken_once(cast: Cast, acme: Issuer) -> None:
    """By the real issuer: the first browser spent it."""
    first, second = newcomer(cast), newcomer(cast)
    back = AtIssuer("ann").back_from(first.get(LEAVE).location)
    assert first.get(back).status_code == 303
    own = parse_qs(urlsplit(second.get(LEAVE).location).query)["state"][0]
    code = parse_qs(urlsplit(back).query)["code"][0]
    answer = second.get(f"{LEAVE}/callback?code={code}&state={own}")
    assert answer.status_code == 400
    assert "the code was not taken (invalid_grant)" in words(answer)


def test_an_unverified_address_makes_no_account_unless_the_issuer_is_trusted_with_it(
    forger: Forger, cast: Cast
) -> None:
    forger.forge = lambda forger, claims: forger.signed({**claims, "email_verified": False})
    person = newcomer(cast)
    answer = person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}")
    assert "does not say that your e-mail address was verified" in words(answer)
    forger.forge = lambda forger, claims: forger.signed({**claims, "email": "nobody"})
    answer = person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}")
    assert answer.status_code == 400


def test_an_address_that_the_token_leaves_out_is_asked_for_and_only_of_the_same_person(
    forger: Forger, cast: Cast
) -> None:
    def thin(forger: Forger, claims: dict[str, Any]) -> str:
        return forger.signed({name: value for name, value in claims.items() if not name.startswith("email")})

    forger.forge = thin
    person = newcomer(cast)
    forger.userinfo = {"sub": "somebody else", "email": ANN, "email_verified": True}
    answer = person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}")
    assert "does not say your e-mail address" in words(answer)
    forger.userinfo["sub"] = "ann"
    assert person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}").status_code == 303
    assert ANN in person.read("/account")


def test_an_issuer_that_does_not_say_when_it_asked_proves_nothing(
    forger: Forger, cast: Cast, three: tuple[str, ...], services: Services
) -> None:
    person = newcomer(cast)
    person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}")
    services.accounts.set_role(ANN, Role.ADMIN)
    asked = force(person)
    assert asked.status_code == 401, "signing in was no proof"
    out = parse_qs(urlsplit(person.get(way(asked)).location).query)
    assert out["prompt"] == ["login"]
    assert out["login_hint"] == [ANN]
    forger.nonce = out["nonce"][0]
    answer = person.get(f"{LEAVE}/callback?code=a&state={out['state'][0]}")
    assert "does not say when it did" in words(answer)
    for stale in (time.time() - 3600, True, "now", 10**30):
        out = parse_qs(urlsplit(person.get(way(force(person))).location).query)
        forger.nonce = out["nonce"][0]
        forger.forge = lambda forger, claims, at=stale: forger.signed(claims | {"auth_time": at})
        assert person.get(f"{LEAVE}/callback?code=a&state={out['state'][0]}").status_code == 400
    assert nothing_runs(services)


def test_new_keys_are_asked_for_and_not_more_than_once_in_a_while(
    forger: Forger, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = newcomer(cast)
    assert person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}").status_code == 303
    assert forger.asked.count("/keys") == 1
    forger.key = jwk.RSAKey.generate_key(2048, auto_kid=True)
    assert person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}").status_code == 400
    assert forger.asked.count("/keys") == 1, "they were asked for a moment ago"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 20)
    assert person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}").status_code == 303
    assert forger.asked.count("/keys") == 2
    assert forger.asked.count("/.well-known/openid-configuration") == 1


def by_hand(forger: Forger, claims: dict[str, Any], **header: object) -> str:
    """Signed rightly, with a header that the library would not write."""
    parts = ({"alg": "RS256", **header}, claims)
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    seal = forger.key.private_key.sign(text.encode(), PKCS1v15(), SHA256())
    return f"{text}.{base64.urlsafe_b64encode(seal).decode().rstrip('=')}"


def test_keys_without_names_are_renewed_too(forger: Forger, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    forger.forge = by_hand
    person = newcomer(cast)
    assert person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}").status_code == 303
    forger.key = jwk.RSAKey.generate_key(2048, auto_kid=True)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 20)
    assert person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}").status_code == 303


def test_a_certificate_in_the_token_is_no_hindrance(forger: Forger, cast: Cast) -> None:
    forger.forge = lambda forger, claims: by_hand(forger, claims, kid=forger.key.kid, x5c=["A" * 2000])
    person = newcomer(cast)
    assert person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}").status_code == 303


@pytest.mark.parametrize("secret", ["a:b%20+/ é", "snow \u2603"])
def test_the_secret_is_told_as_the_standard_has_it(
    secret: str, forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def hear(*_: object, **__: object) -> str:
        told.append(_[3]["Authorization"])  # type: ignore[index]  # the headers
        return "heard"

    other = OpenIdConnect(replace(forger.issuer(), client_id="https://rung.example/a b", client_secret=Secret(secret)))
    trip = Trip(Purpose.SIGN_IN, "state", "nonce", "verifier", 0.0)
    other.way_out(trip, issuer.CALLBACK)
    monkeypatch.setattr("dashboard.services.oidc.ask", hear)
    with pytest.raises(IssuerFault, match="heard"):
        other.identity({"code": "a"}, trip, issuer.CALLBACK)
    name, _, word = base64.b64decode(told[0].removeprefix("Basic ")).decode("ascii").partition(":")
    assert (unquote_plus(name), unquote_plus(word)) == ("https://rung.example/a b", secret)


def test_who_came_by_another_issuer_before_is_told_what_lets_them_in_again(
    forger: Forger, settings: Settings, cast: Cast
) -> None:
    person = newcomer(cast)
    person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}")
    with issuer.forging() as two:
        moved = build(replace(settings, oidc=two.issuer()))
        again = Person(create_app(moved).test_client())
        answer = again.get(f"{LEAVE}/callback?code=a&state={set_out(again, two)}")
        assert f"rung user disconnect {ANN}" in words(answer)
        assert "Sign in to it" not in words(answer), "nothing does"
        assert moved.accounts.disconnect(ANN)
        opened = again.post(f"/sign-in/link/{moved.accounts.make_link(ANN)}", page="/sign-in")
        assert opened.status_code == 303
        asked = again.post("/account/identity", page="/account")
        out = parse_qs(urlsplit(again.get(way(asked)).location).query)
        two.nonce = out["nonce"][0]
        back = again.get(f"{LEAVE}/callback?code=a&state={out['state'][0]}")
        assert back.location == "/account?done=connected"
        moved.close()


# --- several tabs, and several things at the same moment ---


def test_each_tab_of_a_browser_comes_back_to_where_it_began(forger: Forger, cast: Cast) -> None:
    person = newcomer(cast)
    first, second = set_out(person, forger), set_out(person, forger)
    assert person.get(f"{LEAVE}/callback?code=a&state={first}").status_code == 400, "its nonce is another"
    assert person.get(f"{LEAVE}/callback?code=a&state=evil").status_code == 400
    assert person.get(f"{LEAVE}/callback?code=a&state={second}").status_code == 303
    assert person.get(f"{LEAVE}/callback?code=a&state={second}").status_code == 400, "each is good for once"


def test_a_proof_is_asked_for_although_another_tab_began_to_sign_in(
    admin: tuple[Person, AtIssuer],
    old: Callable[[], None],  # noqa: F811
) -> None:
    person, ann = admin
    old()
    asked = force(person)
    person.get(LEAVE)
    assert "Nothing was started yet" in words(come(person, ann, way(asked)))


def test_many_tabs_and_long_ways_on_fit_into_a_cookie(forger: Forger, cast: Cast) -> None:
    person = newcomer(cast)
    for _ in range(30):
        person.get(LEAVE)
    answer = person.get(f"{LEAVE}?next=/history%3Ffile%3D{''.join(map(str, range(3000)))}")
    assert len(answer.headers["Set-Cookie"]) < 4096
    newest = parse_qs(urlsplit(answer.location).query)
    forger.nonce = newest["nonce"][0]
    assert person.get(f"{LEAVE}/callback?code=a&state={newest['state'][0]}").status_code == 303


def test_a_person_who_comes_for_the_first_time_twice_gets_one_account(
    forger: Forger, cast: Cast, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoe, account_of = Identity(forger.address, "zoe", "zoe@example.com", verified=True), identities.account_of
    both = threading.Barrier(2)
    met: set[int] = set()

    def meet(*asked: Any) -> object:
        found = account_of(*asked)
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            both.wait(10)
        return found

    monkeypatch.setattr(identities, "account_of", meet)
    tokens: list[str] = []
    threads = [threading.Thread(target=lambda: tokens.append(services.identities.sign_in(zoe))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 2
    assert {visitor.email for one in tokens if (visitor := services.accounts.visitor(one))} == {"zoe@example.com"}


@pytest.mark.parametrize(
    "ends",
    [
        lambda accounts: accounts.sign_out_everywhere(EMAILS[Role.VIEWER]),
        lambda accounts: accounts.take_password(EMAILS[Role.VIEWER]),
        lambda accounts: [accounts.set_enabled(EMAILS[Role.VIEWER], enabled=on) for on in (False, True)],
    ],
    ids=["signed out", "reset", "disabled for a moment"],
)
def test_nobody_connects_in_a_session_that_ended_on_the_way_back(
    ends: Callable[[Accounts], object], forger: Forger, cast: Cast
) -> None:
    """Whoever took over a session would keep the account for good."""
    asked = cast.viewer.post("/account/identity", page="/account")
    out = parse_qs(urlsplit(cast.viewer.get(way(asked)).location).query)
    forger.nonce = out["nonce"][0]

    def meanwhile(forger: Forger, claims: dict[str, Any]) -> str:
        ends(cast.services.accounts)
        return forger.signed(claims)

    forger.forge = meanwhile
    answer = cast.viewer.get(f"{LEAVE}/callback?code=a&state={out['state'][0]}")
    assert "the session has ended" in words(answer)
    assert cast.services.accounts.way_in(EMAILS[Role.VIEWER]) is WayIn.LINK


def test_letters_that_only_look_like_others_make_no_account(forger: Forger, cast: Cast) -> None:
    for email in (
        "\u212aelly@example.com",
        "kelly@\u212a.example",
        "kelly@b\u00fccher.example",
        "\uff41@example.com",
        "kelly@a@b.example",
    ):
        forger.forge = lambda forger, claims, email=email: forger.signed(claims | {"email": email, "sub": email})
        person = newcomer(cast)
        answer = person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}")
        assert answer.status_code == 400
        assert "is no e-mail address" in words(answer)


def test_a_disabled_account_can_be_disconnected(cast: Cast, services: Services) -> None:
    come(newcomer(cast), AtIssuer("ann"))
    services.accounts.set_enabled(ANN, enabled=False)
    assert services.accounts.disconnect(ANN)
    services.accounts.set_enabled(ANN, enabled=True)
    assert is_in(cast.sign_in(ANN)), "by a link"


# --- an issuer that is away ---


def test_an_issuer_that_answers_slowly_holds_few_threads(
    forger: Forger, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can come back with a code of their own making."""
    monkeypatch.setattr("dashboard.services.oidc._TURN", 0.05)
    answering, says, go_on = [], forger.says, threading.Event()

    def slowly(path: str) -> tuple[int, dict[str, Any]]:
        if path == "/token":
            answering.append(path)
            go_on.wait(4)
        return says(path)

    forger.says = slowly  # type: ignore[method-assign]  # as slow as a test wants
    people = [newcomer(cast) for _ in range(8)]
    ways = [f"{LEAVE}/callback?code=a&state={set_out(person, forger)}" for person in people]
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda one=one, way=way: answers.append(one.get(way).status_code))
        for one, way in zip(people, ways, strict=True)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 4
    while len(answers) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert answers == [503] * 5, "told to try again"
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(answering) == 3


def test_failures_that_are_told_again_do_not_grow(forger: Forger) -> None:
    forger.metadata = {"token_endpoint": 7}
    asked = OpenIdConnect(forger.issuer())
    trip = Trip(Purpose.SIGN_IN, "state", "nonce", "verifier", 0.0)
    faults = []
    for _ in range(3):
        with pytest.raises(IssuerFault) as fault:
            asked.way_out(trip, issuer.CALLBACK)
        faults.append(fault.value)
    assert faults[1] is not faults[2]
    assert {fault.reason for fault in faults} == {"it does not name its token_endpoint"}


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            {"issuer": "https://example.com/{tenantid}/"},
            "it calls itself https://example.com/{tenantid}/, and `issuer`",
        ),
        ({"issuer": "a\u202eb"}, "it calls itself nothing that can be shown, and `issuer`"),
        ({"issuer": ["x" * 999]}, "it calls itself nothing that can be shown, and `issuer`"),
        ({"token_endpoint": 7}, "it does not name its token_endpoint"),
        ({"jwks_uri": "file:///etc/passwd"}, "an address that is not https"),
        ({"authorization_endpoint": "http://["}, "an address that is not https"),
    ],
)
def test_an_issuer_that_makes_no_sense_is_not_used(
    metadata: dict[str, Any], said: str, forger: Forger, cast: Cast
) -> None:
    forger.metadata = metadata
    answer = newcomer(cast).get(LEAVE)
    assert answer.status_code == 503
    assert said in words(answer)
    assert newcomer(cast).get(LEAVE).status_code == 503
    assert len(forger.asked) == 1, "it is not asked again at once"


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:99999/t", "http://127.0.0.1:1/\u00e4", "http://b\u00fccher..example/"]
)
def test_an_address_that_is_none_is_the_issuer_s_fault_and_not_ours(address: str, forger: Forger, cast: Cast) -> None:
    forger.metadata = {"token_endpoint": address, "token_endpoint_auth_methods_supported": None}
    person = newcomer(cast)
    answer = person.get(f"{LEAVE}/callback?code=a&state={set_out(person, forger)}")
    assert answer.status_code == 503
    assert "its address cannot be used" in words(answer)


def test_an_issuer_that_is_away_leaves_the_other_ways_in(settings: Settings, cast: Cast) -> None:
    assert settings.oidc
    away = build(replace(settings, oidc=replace(settings.oidc, url="http://127.0.0.1:1")))
    person = Person(create_app(away).test_client())
    answer = person.get(LEAVE)
    assert answer.status_code == 503
    assert "Acme cannot be used at the moment: it cannot be reached" in words(answer)
    assert "Sign in with Acme or with a password" in person.read("/sign-in")
    away.close()
