"""The cast of the page tests: a viewer, an operator, an admin, and somebody who is not signed in."""

import re
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dashboard.bootstrap import Services
from dashboard.core.access import Role

EMAILS = {role: f"{role}@example.com" for role in Role}
PASSWORD = "a long enough password"
TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Person:
    """Somebody with a browser. `post` sends the token that a page of theirs carries, as a form would."""

    client: FlaskClient
    email: str | None = None

    def get(self, path: str, **how: Any) -> TestResponse:
        return self.client.get(path, **how)

    def post(
        self, path: str, data: dict[str, Any] | None = None, *, page: str = "/history", **how: Any
    ) -> TestResponse:
        return self.client.post(path, data={"csrf": self.token(page)} | (data or {}), **how)

    def token(self, page: str = "/history") -> str:
        found = TOKEN.search(self.get(page).text)
        assert found, f"{page} carries no token"
        return found[1]

    def read(self, path: str, status: int = 200) -> str:
        """The words of a page, as a person reads them."""
        answer = self.get(path)
        assert answer.status_code == status, answer.text
        return words(answer)


@dataclass
class Cast:
    """Everybody; who is asked for has signed in."""

    app: Flask
    services: Services

    def __post_init__(self) -> None:
        for role, email in EMAILS.items():
            self.services.accounts.add(email, None, role)
        self.anybody = Person(self.app.test_client())

    @cached_property
    def viewer(self) -> Person:
        return self.sign_in(EMAILS[Role.VIEWER])

    @cached_property
    def operator(self) -> Person:
        return self.sign_in(EMAILS[Role.OPERATOR])

    @cached_property
    def admin(self) -> Person:
        return self.sign_in(EMAILS[Role.ADMIN])

    def sign_in(self, email: str) -> Person:
        """A new browser, in by a one-time link."""
        person = Person(self.app.test_client(), email)
        link = f"/sign-in/link/{self.services.accounts.make_link(email)}"
        answer = person.post(link, page=link)
        assert answer.status_code == 303, answer.text
        return person

    def of(self, role: Role | None) -> Person:
        person = self.anybody if role is None else getattr(self, role)
        assert isinstance(person, Person)
        return person


def words(answer: TestResponse) -> str:
    """What stands between the tags."""
    body = re.sub(r"(?s)<svg.*?</svg>|<head>.*?</head>", "", answer.text)
    body = re.sub(r"<wbr>|</?(?:i|b)\b[^>]*>", "", body)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body))).strip()
