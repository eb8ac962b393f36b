"""What must not be served, and what may."""

from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.core.environment import Environment, Policies, Secret
from dashboard.core.errors import NoHome, UnsafeConfiguration
from dashboard.core.oidc import Issuer
from dashboard.postgres import transport
from dashboard.services.exposure import refuse_unsafe
from dashboard.settings import Settings

KEY = Secret("0123456789 abcdefghijk lmnopqrstuvw")
SAFE = Settings(
    root=Path(),
    migrations=Path("migrations"),
    environments=(Environment("production", 0, Secret("postgresql://u:p@db.example.com/app?sslmode=require"), "P"),),
    home=Secret(
        "postgresql://u:p@dpg-abc123-a:1/rung?hostaddr=127.0.0.1"
    ),  # it is asked whose it is; no name server is
    home_variable="RUNG_HOME_URL",
    public_url="https://rung.example.com",
    secret_key=KEY,
)


def refused(settings: Settings, *, pages: bool = True) -> str:
    with pytest.raises(UnsafeConfiguration) as caught:
        refuse_unsafe(settings, pages=pages)
    return f"{caught.value} {caught.value.advice}"


def production(url: str, policies: Policies | None = None) -> Settings:
    return replace(
        SAFE, environments=(Environment("production", 0, Secret(url), "P", policies=policies or Policies()),)
    )


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)


def test_what_is_safe_is_served() -> None:
    refuse_unsafe(SAFE, pages=True)


def test_without_a_home_there_is_nothing_to_serve() -> None:
    with pytest.raises(NoHome):
        refuse_unsafe(replace(SAFE, home=None), pages=True)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, "RUNG_SECRET_KEY (secret_key in rung.toml) is not set"),
        (Secret("short"), "fewer than 32 characters"),
        (Secret("changeme" * 8), "fewer than 10 different characters"),
    ],
)
def test_a_key_that_can_be_guessed_is_refused_by_the_process_that_signs_with_it(key: Secret | None, said: str) -> None:
    told = refused(replace(SAFE, secret_key=key))
    assert said in told
    assert key is None or key.reveal() not in told
    refuse_unsafe(replace(SAFE, secret_key=key), pages=False)


def test_an_issuer_without_its_secret_or_a_way_back_is_refused_by_the_process_that_sends_people_there() -> None:
    issuer = Issuer("https://accounts.example.com", "rung", lacks="RUNG_OIDC_SECRET")
    told = refused(replace(SAFE, oidc=issuer, public_url=None))
    assert "$RUNG_OIDC_SECRET ([oidc] client_secret in rung.toml) is not set" in told
    assert "[oidc] needs to know the address that people open" in told
    refuse_unsafe(replace(SAFE, oidc=issuer, public_url=None), pages=False)
    refuse_unsafe(replace(SAFE, oidc=replace(issuer, lacks=None)), pages=True)


@pytest.mark.parametrize("address", ["http://rung.example.com", "http://10.0.0.4:8000", "http://rung"])
def test_passwords_do_not_travel_in_plain(address: str) -> None:
    assert f"public_url is {address}" in refused(replace(SAFE, public_url=address))


@pytest.mark.parametrize(
    "address", [None, "http://127.0.0.1:8000", "http://localhost:8000", "https://rung.example.com"]
)
def test_this_machine_and_https_are_served(address: str | None) -> None:
    refuse_unsafe(replace(SAFE, public_url=address), pages=True)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:canary@db.example.com/app",
        "postgresql://u:canary@db.example.com/app?sslmode=prefer",
        "postgresql://u:canary@db.example.com/app?sslmode=disable",
        "host=db.example.com user=u password=canary sslmode=allow",
        "postgresql://u:canary@10.0.0.1,db.example.com/app",
        "postgresql://u:canary@localhost/app?hostaddr=93.184.216.34",
    ],
)
def test_an_address_that_may_go_unencrypted_to_strangers_is_refused(url: str) -> None:
    told = refused(production(url), pages=False)
    assert "the address of production ($P)" in told
    assert "allow_plain = true" in told
    assert "canary" not in told
    refuse_unsafe(production(url, Policies(allow_plain=True)), pages=False)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///app",
        "postgresql://u:p@localhost/app",
        "postgresql://u:p@[::1]/app",
        "host=/run/postgresql dbname=app",
        "postgresql://u:p@dpg-abc123-a/app",
        "postgresql://u:p@10.1.2.3/app",
        "postgresql://u:p@100.64.0.7/app",
        "postgresql://u:p@db.internal/app?sslmode=disable",
        "postgresql://u:p@db.example.com/app?sslmode=verify-full",
        "postgresql://u:p@db.example.com/app?gssencmode=require",
        "not an address at all, which the page says when it looks",
    ],
)
def test_private_networks_and_encrypted_connections_are_served(url: str) -> None:
    refuse_unsafe(production(url), pages=True)


def test_the_variable_of_libpq_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "require")
    refuse_unsafe(production("postgresql://u:p@db.example.com/app"), pages=True)


def test_home_is_looked_at_like_an_environment_with_a_switch_of_its_own() -> None:
    remote = replace(SAFE, home=Secret("postgresql://u:p@home.example.com/rung"))
    assert "Rung's own database ($RUNG_HOME_URL)" in refused(remote)
    refuse_unsafe(replace(remote, allow_plain_home=True), pages=True)


def test_the_demos_server_is_no_home_for_people(home_url: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    on_demo = replace(SAFE, home=home_url)
    refuse_unsafe(on_demo, pages=False)
    monkeypatch.setattr(transport, "DEMO", "")  # what a server calls itself that was given no name
    assert "Rung's own database is on the demo's server" in refused(on_demo)
    refuse_unsafe(replace(on_demo, public_url="http://localhost:8000"), pages=False)


def test_everything_is_said_at_once() -> None:
    told = refused(
        replace(production("postgresql://h.example.com/a"), secret_key=None, public_url="http://h.example.com")
    )
    assert all(said in told for said in ("RUNG_SECRET_KEY", "public_url", "the address of production"))
