"""Webhooks: told once it is sure, told again until it is heard, and never more than they may know."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.run import Actor, ActorKind, Door, Order, Outcome, Problem, Result
from dashboard.core.webhook import ATTEMPTS, Standing, Webhook, body, headers
from dashboard.folder import FolderReader
from dashboard.postgres.home.pool import Home
from dashboard.services.outgoing import post
from dashboard.services.runs import Runs
from dashboard.services.webhooks import Webhooks
from tests.conftest import Write
from tests.receiver import Receiver, receiving, status

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-more-than-24-characters"
LEAD = Actor(ActorKind.PERSON, "lead@example.com", Door.WEB)
ORDER = Order(LEAD)
RUN = "0d3f0e52-5a1e-4f4c-9a44-0c8d5a1b9a10"


@pytest.fixture(scope="module")
def listening() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def receiver(listening: Receiver) -> Receiver:
    listening.heard.clear()
    listening.answers.clear()
    return listening


@pytest.fixture
def hook(receiver: Receiver) -> Webhook:
    return Webhook("RELEASES_URL", Secret(receiver.url), ("local", "staging"), secret=Secret(SECRET))


@pytest.fixture
def webhooks(home: Home, hook: Webhook) -> Webhooks:
    return Webhooks(home, (hook,), "https://rung.example.com")


@pytest.fixture
def runs(
    environments: tuple[Environment, ...], folder_path: Path, write: Write, home: Home, webhooks: Webhooks
) -> Runs:
    write(folder_path, "001_a.sql", "CREATE TABLE a (id int);")
    return Runs(environments, FolderReader(folder_path).read, home, lambda _: None, webhooks)


def messages(in_home: psycopg.Connection[Any]) -> list[str]:
    return [one for (one,) in in_home.execute("SELECT id::text FROM home.delivery ORDER BY made_at")]


def jobs(in_home: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    asked = "SELECT queue_name, args ->> 'delivery_id' FROM home.procrastinate_jobs WHERE task_name = 'deliver'"
    return in_home.execute(asked).fetchall()


# --- what does not arrive ---


def test_a_receiver_that_fails_is_told_again_later_and_nothing_is_changed_in_the_message(
    runs: Runs, webhooks: Webhooks, receiver: Receiver, in_home: psycopg.Connection[Any]
) -> None:
    runs.execute(runs.ask("local", ORDER).run_id)
    (message,) = messages(in_home)
    receiver.answers = [status(500), status(503)]
    assert webhooks.deliver(message) == 5
    assert webhooks.newest()[0].trouble == "it answered 500"
    assert webhooks.deliver(message) == 20
    assert webhooks.newest()[0].standing is Standing.WAITING
    assert webhooks.deliver(message) is None
    (told,) = webhooks.newest()
    assert (told.standing, told.attempts, told.trouble) == (Standing.DELIVERED, 3, None)
    assert len({(one.body, one.headers["Webhook-Id"]) for one in receiver.heard}) == 1
    assert webhooks.deliver(message) is None
    assert len(receiver.heard) == 3, "what was heard is not sent again"


def test_after_eight_attempts_in_some_hours_it_is_given_up_and_the_audit_says_so(
    runs: Runs, webhooks: Webhooks, receiver: Receiver, in_home: psycopg.Connection[Any]
) -> None:
    runs.execute(runs.ask("local", ORDER).run_id)
    (message,) = messages(in_home)
    receiver.answers = [status(500) for _ in range(ATTEMPTS)]
    pauses = [webhooks.deliver(message) for _ in range(ATTEMPTS)]
    assert pauses == [5, 20, 80, 320, 1280, 5120, 20480, None]
    assert webhooks.newest()[0].standing is Standing.GIVEN_UP
    assert webhooks.counts() == {("RELEASES_URL", "given up"): 1}
    row = in_home.execute("SELECT outcome, detail FROM home.audit WHERE deed = 'webhook given up'").fetchall()
    assert row == [("failed", "RELEASES_URL: given up after 8 attempts: it answered 500")]


def silent(receiver: Receiver) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda _: (receiver.leaving.wait(2), None)[1]


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte in time for every timeout of a socket, for ever."""
    try:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
        for _ in range(100):
            handler.wfile.write(b"X")
            handler.connection.settimeout(0.05)
            try:
                if not handler.connection.recv(1):
                    return
            except TimeoutError:
                pass
    except OSError:
        return


def test_a_receiver_that_never_comes_to_an_end_is_left(receiver: Receiver) -> None:
    url = Secret(receiver.url)
    receiver.answers = [silent(receiver), drip]
    assert post(url, b"{}", {}, 0.2) == "it did not answer within 0.2 s"
    assert post(url, b"{}", {}, 0.3) == "it did not answer within 0.3 s"


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    for code in (301, 302, 307, 308):
        receiver.answers = [status(code, Location=receiver.url + "&again=1")]
        assert post(Secret(receiver.url), b"{}", {}) == f"it answered {code}, and redirects are not followed"
    assert len(receiver.heard) == 4


@pytest.mark.parametrize("address", ["http://127.0.0.1:{closed}/c4n4ry", "https://127.0.0.1:{plain}/c4n4ry"])
def test_what_goes_wrong_on_the_way_is_said_without_the_address(address: str, receiver: Receiver) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        said = post(Secret(address.format(closed=closed.getsockname()[1], plain=receiver.port)), b"{}", {}, 2)
    assert said
    assert "c4n4ry" not in said
    assert "127.0.0.1" not in said


def test_a_message_for_a_webhook_that_this_worker_lacks_waits(
    runs: Runs, home: Home, in_home: psycopg.Connection[Any]
) -> None:
    runs.execute(runs.ask("local", ORDER).run_id)
    (message,) = messages(in_home)
    other = Webhooks(home, (Webhook("RELEASES_URL", None, ("local",), lacks="RELEASES_URL"),))
    assert other.deliver(message) == 5
    assert other.newest()[0].trouble == "RELEASES_URL is not set for this worker"
    assert Webhooks(home, ()).deliver(message) == 20


def test_no_id_that_nobody_made_is_delivered(webhooks: Webhooks) -> None:
    assert webhooks.deliver(RUN) is None


# --- who is told of what ---


def test_the_message_is_queued_with_the_end_of_the_run_or_not_at_all(
    runs: Runs, home: Home, hook: Webhook, in_home: psycopg.Connection[Any]
) -> None:
    done = runs.ask("local", ORDER).run_id
    runs.execute(done)
    assert jobs(in_home) == [("messages", messages(in_home)[0])]
    runs.execute(done)
    assert len(messages(in_home)) == 1, "a run ends once"
    with home.connection() as connection, connection.transaction(force_rollback=True):
        Webhooks(home, (hook,)).tell(connection, Result(RUN, "local", Outcome.APPLIED), ORDER)
    assert len(messages(in_home)) == len(jobs(in_home)) == 1


@pytest.mark.parametrize(
    ("environment", "outcome", "told"),
    [
        ("local", Outcome.APPLIED, True),
        ("local", Outcome.FAILED, True),
        ("local", Outcome.NOTHING, False),
        ("production", Outcome.FAILED, False),
    ],
)
def test_a_webhook_is_told_of_its_environments_and_outcomes(
    hook: Webhook, environment: str, outcome: Outcome, *, told: bool
) -> None:
    assert hook.wants(Result(RUN, environment, outcome)) is told


def test_a_run_that_is_stopped_before_a_worker_takes_it_is_told_too(
    runs: Runs, in_home: psycopg.Connection[Any]
) -> None:
    runs.ask_to_stop(runs.ask("local", ORDER).run_id, "lead@example.com")
    (text,) = [json.loads(one)["text"] for (one,) in in_home.execute("SELECT body FROM home.delivery")]
    assert text.startswith("*local*: The run was stopped.")


# --- what is said ---


def said(result: Result, order: Order = ORDER, link: str | None = None) -> dict[str, Any]:
    spoken: dict[str, Any] = json.loads(body(result, order, datetime(2026, 11, 3, tzinfo=UTC), link))
    return spoken


def test_slack_is_told_in_calm_words_with_a_link() -> None:
    result = Result(RUN, "production", Outcome.APPLIED, ("001_a.sql", "002_b.sql"), seconds=4.2)
    assert said(result, link="https://rung.example.com/runs/1")["text"] == (
        "*production*: 2 files applied in 4.2 s.\n• `001_a.sql`\n• `002_b.sql`\n"
        "Asked for by `lead@example.com` in the browser.\n<https://rung.example.com/runs/1|See it in Rung>"
    )


@pytest.mark.parametrize("outcome", Outcome)
def test_no_message_has_sql_or_what_a_server_said(outcome: Outcome) -> None:
    problem = Problem(
        "local", "value canary", "advice canary", "002_b.sql", 1, 3, 1, "SELECT canary", "22P02", "canary", "canary"
    )
    spoken = said(
        Result(RUN, "local", outcome, ("001_a.sql",), ("note canary",), problem), Order(LEAD, reason="canary")
    )
    assert "canary" not in json.dumps(spoken)
    assert re.fullmatch(r"\*local\*: \S.*\.", spoken["text"].splitlines()[0])
    assert spoken["run"]["stopped_at"] == {"file": "002_b.sql", "line": 3}


def test_a_name_is_shown_as_it_is_and_mentions_nobody() -> None:
    evil = "001_<!channel>_`*x*`_&\n<https://evil.example|click>.sql"
    spoken = said(
        Result(RUN, "local", Outcome.APPLIED, (evil,)), Order(Actor(ActorKind.AGENT, "<@U1>`x`", Door.API), force=True)
    )
    lines = spoken["text"].splitlines()
    assert lines[1] == "• `001_&lt;!channel&gt;_'*x*'_&amp; &lt;https://evil.example|click&gt;.sql`"
    assert lines[2] == "Asked for by `&lt;@U1&gt;'x'` by the API, forced."
    assert spoken["run"]["files"] == [evil]


def test_many_files_are_counted_and_all_of_them_are_in_the_fields() -> None:
    spoken = said(Result(RUN, "local", Outcome.APPLIED, tuple(f"{n:03}_{'x' * 300}.sql" for n in range(1, 51))))
    assert "and 40 other files" in spoken["text"]
    assert len(spoken["text"]) < 3000
    assert len(spoken["run"]["files"]) == 50


# --- the signature ---


def test_the_check_of_the_documentation_takes_what_is_sent_and_nothing_else(
    runs: Runs, webhooks: Webhooks, receiver: Receiver, in_home: psycopg.Connection[Any]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "webhooks.md").read_text(), re.DOTALL)
    known: dict[str, Any] = {}
    exec(code, known)  # noqa: S102  # what the documentation tells people to run
    is_from_rung = known["is_from_rung"]
    runs.execute(runs.ask("local", ORDER).run_id)
    webhooks.deliver(messages(in_home)[0])
    (heard,) = receiver.heard
    assert heard.path == "/services/T0/c4n4ry?x=1"
    assert heard.headers["Content-Type"] == "application/json; charset=utf-8"
    assert is_from_rung(heard.headers, heard.body, SECRET)
    assert not is_from_rung(heard.headers, heard.body + b" ", SECRET)
    assert not is_from_rung(heard.headers, heard.body, SECRET + "x")
    late = dict(heard.headers.items()) | {"Webhook-Timestamp": str(int(heard.headers["Webhook-Timestamp"]) + 1)}
    assert not is_from_rung(late, heard.body, SECRET)
    old = headers("id", 1, heard.body, Secret(SECRET))
    assert not is_from_rung(old, heard.body, SECRET)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example that its libraries are tested with."""
    sent = headers(
        "msg_loFOjxBNrRLzqYUf",
        1731705121,
        b'{"event_type":"ping","data":{"success":true}}',
        Secret("whsec_plJ3nmyCDGBKInavdOK15jsl"),
    )
    assert sent["Webhook-Signature"] == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
    assert headers("x", 1, b"", None).keys() == {"Webhook-Id", "Webhook-Timestamp"}
