"""Somebody with a browser, over real HTTP."""

import http.client
import re
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import urlencode, urlsplit

TOKEN = re.compile(r'name="(csrf|digest)" value="([^"]*)"')


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: http.client.HTTPMessage


@dataclass
class Person:
    """Keeps cookies as a browser does. `host`: what stands in the address line."""

    port: int
    host: str
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, fields: dict[str, str]) -> Answer:
        return self.ask("POST", path, urlencode(fields))

    def ask(self, method: str, path: str, body: str | None = None) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Host": self.host, "Connection": "close"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            for cookie in answer.msg.get_all("Set-Cookie") or ():
                name, _, value = cookie.partition(";")[0].partition("=")
                self.cookies[name] = value
            return Answer(answer.status, answer.read().decode(), answer.msg)
        finally:
            connection.close()

    def fields(self, path: str) -> dict[str, str]:
        """The hidden fields of a page's forms that every click sends along."""
        page = self.get(path)
        assert page.status == 200, page.text
        return {name: unescape(value) for name, value in TOKEN.findall(page.text)}

    def open_link(self, link: str) -> None:
        path = urlsplit(link).path
        assert self.post(path, self.fields(path)).status == 303

    def button(self, environment: str) -> dict[str, str]:
        """What a click on the environment's button would send, as the newest look has it."""
        self.get(f"/fragments/environments/{environment}")
        return self.fields(f"/environments/{environment}") | {"mode": "all", "confirm": environment}

    def click(self, environment: str, button: dict[str, str]) -> str:
        """The address of the run."""
        answer = self.post(f"/environments/{environment}/apply", button)
        assert answer.status == 303, answer.text
        return str(answer.headers["Location"])
