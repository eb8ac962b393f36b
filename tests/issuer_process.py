"""An OpenID provider of its own: `python issuer_process.py PORT CALLBACK`; prints `ready`, and serves until it ends.

It asks for a password in forms, wants PKCE, and says when it asked.
"""

import os
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # it is spoken to on this machine only

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import JWKRegistry

PEOPLE = {"ann": "ann@example.com", "bob": "bob@example.com"}
PASSWORD = "knows where the towel is"


class Quiet(WSGIRequestHandler):
    def log_request(self, code: object = "-", size: object = "-") -> None:
        pass


def configuration(port: int) -> dict[str, object]:
    key = JWKRegistry.generate_key("RSA", 2048)
    key.ensure_kid()
    return {
        "SECRET_KEY": "an issuer of the tests",
        "SERVER_NAME": f"localhost:{port}",
        "PREFERRED_URL_SCHEME": "http",
        "WTF_CSRF_ENABLED": True,
        "CANAILLE": {
            "DATABASE": "memory",
            "JAVASCRIPT": False,
            "LOGGING": {"version": 1, "disable_existing_loggers": True},
            "ACL": {"DEFAULT": {"PERMISSIONS": ["use_oidc"]}},
        },
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [key.as_dict(private=True)], "TRUSTED_DOMAINS": ["localhost"]},
    }


def fill(callback: str) -> None:
    for name, email in PEOPLE.items():
        person = models.User(user_name=name, formatted_name=name, family_name=name, emails=[email], password=PASSWORD)
        Backend.instance.save(person)
    client = models.Client(
        client_id="rung",
        client_name="Rung",
        client_secret=os.environ["ISSUER_CLIENT_SECRET"],
        client_uri="http://localhost",
        redirect_uris=[callback],
        response_types=["code"],
        grant_types=["authorization_code"],
        scope=["openid", "email"],
        token_endpoint_auth_method="client_secret_basic",
    )
    Backend.instance.save(client)
    client.audience = [client]
    Backend.instance.save(client)


def main() -> None:
    port, callback = int(sys.argv[1]), sys.argv[2]
    app = create_app(config=configuration(port))
    with app.app_context():
        fill(callback)
    with make_server("127.0.0.1", port, app, handler_class=Quiet) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
