"""Watches over all tests of a session: no secret that they use comes out in an answer, the log or what a database keeps."""

import gzip
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from flask import Flask, Response, request

from dashboard.core.environment import Secret
from dashboard.services.tokens import NewToken, Tokens
from dashboard.web.security import TOKEN_BYTES
from tests.cast import PASSWORD

SHORTEST = 12  # characters; what tests use as a shorter one can stand in any text
COOKIES = ("rung=", "__Host-rung=")


class Canaries:
    """What must not come out, and what came out all the same, with the test that ran then."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self._lasting: set[str] = set()
        self.found: list[str] = []
        self.test = "before any test"
        self.looked = dict.fromkeys(("answer", "log", "database"), 0)
        self.learn(PASSWORD, lasting=True)

    def begin(self, test: str) -> None:
        """What one test was let in with opens nothing in the next."""
        self.test, self.known = test, set(self._lasting)

    def learn(self, secret: str, *, lasting: bool = False) -> None:
        if len(secret) >= SHORTEST:
            forms = {secret, quote(secret, safe="", errors="replace"), secret.encode(errors="replace").hex()}
            self.known |= forms
            self._lasting |= forms if lasting else set()

    def look(self, where: str, text: str, told: object) -> None:
        self.looked[where] += 1
        self.found += [f"{where}: {told} ({self.test})" for secret in self.known if secret in text]

    # --- where they can be met ---

    def of_address(self, secret: Secret) -> None:
        """The password in an address; what is no address is what tests make up, and they look for it themselves."""
        with suppress(ValueError):
            self.learn(urlsplit(secret.reveal()).password or "", lasting=True)

    def of_answer(self, answer: Response) -> None:
        for line in answer.headers.getlist("Set-Cookie"):
            for name in COOKIES:
                token = line.removeprefix(name).partition(";")[0] if line.startswith(name) else ""
                if len(token) > TOKEN_BYTES:
                    self.learn(token)
        if answer.is_streamed or answer.direct_passthrough:
            return
        body = answer.get_data()
        text = (gzip.decompress(body) if answer.content_encoding == "gzip" and body else body).decode(errors="replace")
        heads = "".join(f"{name}: {value}\n" for name, value in answer.headers if name != "Set-Cookie")
        self.look("answer", heads + text, f"{request.method} {request.url_rule}")

    def of_record(self, record: logging.LogRecord) -> None:
        traced = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        extra = [value for name, value in vars(record).items() if name not in ("msg", "args", "exc_info", "threadName")]
        self.look("log", f"{record.getMessage()} {extra} {traced}", record.name)

    def of_values(self, values: object) -> None:
        if values:
            self.look("database", str(values), "a parameter of a statement")


class _Listener(logging.Handler):
    def __init__(self, canaries: Canaries) -> None:
        super().__init__(logging.DEBUG)
        self._canaries = canaries

    def emit(self, record: logging.LogRecord) -> None:
        self._canaries.of_record(record)


@contextmanager
def watching() -> Iterator[Canaries]:
    """Wrap what every answer, record and parameter passes."""
    canaries, patch = Canaries(), pytest.MonkeyPatch()
    listener = _Listener(canaries)
    finish, make, begin, execute = Flask.process_response, Tokens.add, Secret.__init__, psycopg.Cursor.execute

    def answered(app: Flask, answer: Response) -> Response:
        made = finish(app, answer)
        canaries.of_answer(made)
        return made

    def added(tokens: Tokens, *words: Any, **more: Any) -> NewToken:
        made = make(tokens, *words, **more)
        canaries.learn(made.token)
        return made

    def begun(secret: Secret, value: str) -> None:
        begin(secret, value)
        canaries.of_address(secret)

    def executed(cursor: Any, query: Any, params: Iterable[Any] | None = None, **more: Any) -> Any:
        canaries.of_values(params)
        return execute(cursor, query, params, **more)

    with patch.context() as patched:
        patched.setattr(Flask, "process_response", answered)
        patched.setattr(Tokens, "add", added)
        patched.setattr(Secret, "__init__", begun)
        patched.setattr(psycopg.Cursor, "execute", executed)
        logging.getLogger().addHandler(listener)
        try:
            yield canaries
        finally:
            logging.getLogger().removeHandler(listener)
