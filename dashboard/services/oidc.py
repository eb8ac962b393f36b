"""OpenID Connect: the way to the issuer, and whom its answer names. The only module that knows Authlib."""

import json
import re
import threading
import time
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import quote_plus, urlencode, urlsplit

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, import_key
from joserfc.jws import JWSRegistry

from dashboard.core.environment import Secret
from dashboard.core.errors import IssuerFault, NotLetIn
from dashboard.core.oidc import SKEW, Identity, Issuer, Purpose, Trip
from dashboard.services.outgoing import Reply, ask

LONGEST = 5.0  # seconds for each question to the issuer
KEPT = 3600.0  # seconds that what it says about itself, and its keys, are believed
FAILED = 10.0  # seconds before an issuer that cannot be used is asked again
_TURN = 1.0  # seconds that others wait for the one who asks
_AT_ONCE = 3  # codes exchanged at a time: anybody can make one up, and each may hold a thread for a while
_LONGEST_HEADER = 8192  # characters of a token's: some issuers put certificates into it
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_ODD = (KeyError, TypeError, ValueError, OverflowError, OSError)  # what a token of strange values may lead to
_YES_OR_NO = {"True": True, "False": False, "true": True, "false": False}  # some issuers put it in quotes
_LONGEST_NAME = 200  # characters of an issuer's that are shown
_LONGEST_SUBJECT = 255  # characters, by OpenID Connect Core


class OpenIdConnect:
    """One issuer, asked as seldom as possible. Every method raises IssuerFault where it cannot be used."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self._metadata = _Kept(issuer, self._read_metadata)
        self._keys = _Kept(issuer, self._read_keys)
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def way_out(self, trip: Trip, callback: str, hint: str = "") -> str:
        """The address that the browser goes to. callback: where it comes back to. hint: the account that is meant."""
        fresh = {"prompt": "login", "max_age": "600"} if trip.purpose is Purpose.PROVE else {}
        return str(
            prepare_grant_uri(
                self._metadata.get()["authorization_endpoint"],
                self.issuer.client_id,
                "code",
                callback,
                "openid email",
                trip.state,
                nonce=trip.nonce,
                code_challenge=create_s256_code_challenge(trip.verifier),
                code_challenge_method="S256",
                login_hint=hint or None,
                **fresh,
            )
        )

    def identity(self, arrived: Mapping[str, str], trip: Trip, callback: str) -> Identity:
        """Who came back with these parameters; the caller has compared the state. Raises NotLetIn."""
        if "error" in arrived:
            self._refuse(f"it said {_word(arrived['error'])}")
        if arrived.get("iss", self.issuer.url) != self.issuer.url:
            self._refuse("the answer is another issuer's")
        if not self._places.acquire(timeout=_TURN):
            raise IssuerFault(self.issuer.label, "it takes long to answer")
        try:
            return self._asked(arrived.get("code", ""), trip, callback)
        finally:
            self._places.release()

    def _asked(self, code: str, trip: Trip, callback: str) -> Identity:
        tokens = self._exchange(code, trip, callback)
        claims = self._claims(tokens, trip)
        if not isinstance(claims.get("email"), str):
            claims = self._more(claims, tokens)
        return _identity(self.issuer.url, claims)

    # --- tokens ---

    def _exchange(self, code: str, trip: Trip, callback: str) -> dict[str, Any]:
        metadata, secret = self._metadata.get(), self.issuer.client_secret
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": callback}
        body = urlencode(form | {"code_verifier": trip.verifier})
        methods = metadata.get("token_endpoint_auth_methods_supported")
        methods = methods if isinstance(methods, list) else ["client_secret_basic"]
        by_post = "client_secret_basic" not in methods and "client_secret_post" in methods
        method = "none" if secret is None else "client_secret_post" if by_post else "client_secret_basic"
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        known = self.issuer.client_id, secret.reveal() if secret else ""
        if method == "client_secret_basic":
            known = quote_plus(known[0]), quote_plus(known[1])  # RFC 6749, 2.3.1; the library leaves it to us
        client = ClientAuth(*known, method)
        url, headers, body = client.prepare("POST", metadata["token_endpoint"], headers, body)
        reply = ask("POST", Secret(url), body.encode(), headers, longest=LONGEST)
        if isinstance(reply, str):
            raise IssuerFault(self.issuer.label, reply)
        said = _object(reply)
        if reply.fault is not None or not isinstance(said.get("id_token"), str):
            self._refuse(f"the code was not taken ({_word(said.get('error'))})")
        return said

    def _claims(self, tokens: dict[str, Any], trip: Trip) -> dict[str, Any]:
        """What the token says, once its signature, issuer, audience, nonce and times are right."""
        try:
            try:
                token = self._decoded(tokens["id_token"])
            except (InvalidKeyIdError, BadSignatureError):  # keys without names are renewed as well
                self._keys.forget()
                token = self._decoded(tokens["id_token"])
            expected = {
                "iss": {"essential": True, "value": self.issuer.url},
                "aud": {"essential": True, "value": self.issuer.client_id},
            }
            known = {
                "nonce": trip.nonce,
                "client_id": self.issuer.client_id,
                "access_token": tokens.get("access_token"),
            }
            claims = CodeIDToken(token.claims, token.header, expected, known)
            claims.validate(leeway=int(SKEW.total_seconds()))
        except JoseError as wrong:
            self._refuse(f"its token is not right ({wrong.error}{_claim(wrong)})")
        except _ODD:
            self._refuse("its token cannot be read")
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
            self._refuse("its token names nobody")
        return dict(claims)

    def _decoded(self, token: str) -> jwt.Token:
        offered = self._metadata.get().get("id_token_signing_alg_values_supported") or ["RS256"]
        allowed = [name for name in _ALGORITHMS if name in offered]
        if not allowed:  # an empty list would allow what the library recommends
            raise IssuerFault(self.issuer.label, "it signs in no way that Rung can check")
        keys = KeySet([key for one in self._keys.get() if (key := _key(one))])
        registry = JWSRegistry(algorithms=allowed, strict_check_header=False)
        registry.max_header_length = _LONGEST_HEADER
        return jwt.decode(token, keys, registry=registry)

    def _more(self, claims: dict[str, Any], tokens: dict[str, Any]) -> dict[str, Any]:
        """The address, where the token leaves it to a question of its own."""
        url = self._metadata.get().get("userinfo_endpoint")
        if not isinstance(url, str) or not isinstance(tokens.get("access_token"), str):
            return claims
        headers = {"Authorization": f"Bearer {tokens['access_token']}", "Accept": "application/json"}
        reply = ask("GET", Secret(self._safe(url)), None, headers, longest=LONGEST)
        said = _object(reply) if isinstance(reply, Reply) and reply.fault is None else {}
        about: dict[str, Any] = {key: said[key] for key in ("email", "email_verified") if key in said}
        return {**claims, **about} if said.get("sub") == claims["sub"] else claims

    def _refuse(self, reason: str) -> NoReturn:
        raise NotLetIn(self.issuer.label, reason) from None  # what the library says may hold parts of the token

    # --- what the issuer says about itself ---

    def _read_metadata(self) -> dict[str, Any]:
        said = self._read(str(get_well_known_url(self.issuer.url, external=True)))
        if said.get("issuer") != self.issuer.url:
            raise IssuerFault(self.issuer.label, f"it calls itself {_named(said)}, and `issuer` in rung.toml differs")
        for name in _NEEDED:
            if not isinstance(said.get(name), str):
                raise IssuerFault(self.issuer.label, f"it does not name its {name}")
            self._safe(said[name])
        return said

    def _read_keys(self) -> list[Any]:
        keys = self._read(self._metadata.get()["jwks_uri"]).get("keys")
        return keys if isinstance(keys, list) else []

    def _read(self, url: str) -> dict[str, Any]:
        reply = ask("GET", Secret(url), None, {"Accept": "application/json"}, longest=LONGEST)
        why = reply if isinstance(reply, str) else reply.fault
        if why is not None or isinstance(reply, str):
            raise IssuerFault(self.issuer.label, why or "")
        return _object(reply)

    def _safe(self, url: str) -> str:
        """An address of the issuer's own naming is encrypted where the issuer's is."""
        try:
            scheme = urlsplit(url).scheme
        except ValueError:
            scheme = ""
        if scheme != "https" and scheme != urlsplit(self.issuer.url).scheme:
            raise IssuerFault(self.issuer.label, "it names an address that is not https")
        return url


class _Kept:
    """An answer of the issuer, for a while. One thread asks, and a failure is believed for a while, too."""

    def __init__(self, issuer: Issuer, read: Any) -> None:
        self._issuer, self._read, self._turn = issuer, read, threading.Lock()
        self._answer: Any = None
        self._until = 0.0
        self._failed: tuple[float, str] | None = None

    def get(self) -> Any:
        if self._answer is not None and time.monotonic() < self._until:
            return self._answer
        if not self._turn.acquire(timeout=_TURN):
            raise IssuerFault(self._issuer.label, "it takes long to answer")
        try:
            return self._ask()
        finally:
            self._turn.release()

    def forget(self) -> None:
        """Ask again; but not more often than a failure would be asked again."""
        self._until = min(self._until, max(time.monotonic(), self._until - KEPT + FAILED))

    def _ask(self) -> Any:
        now = time.monotonic()
        if self._answer is not None and now < self._until:
            return self._answer
        if self._failed is not None and now < self._failed[0]:
            raise IssuerFault(self._issuer.label, self._failed[1])  # the same one again would grow with each
        try:
            self._answer, self._failed = self._read(), None
        except IssuerFault as fault:
            self._failed = (time.monotonic() + FAILED, fault.reason)
            raise
        self._until = time.monotonic() + KEPT
        return self._answer


def _key(told: Any) -> Any:
    """A key that can check a signature; None for kinds that are not known here, and for secret ones."""
    if not isinstance(told, dict) or told.get("use", "sig") != "sig" or told.get("kty") == "oct":
        return None
    try:
        return import_key(told)
    except (JoseError, *_ODD):
        return None


def _object(reply: Reply) -> dict[str, Any]:
    try:
        said = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _named(said: Mapping[str, Any]) -> str:
    name = said.get("issuer")
    if isinstance(name, str) and name.isprintable() and 0 < len(name) <= _LONGEST_NAME:
        return name
    return "nothing that can be shown"


def _word(told: object) -> str:
    """An error's name, as the standard has them; nothing else of what a stranger may have sent."""
    return told if isinstance(told, str) and re.fullmatch(r"[a-z_]{1,40}", told) else "no reason"


def _claim(wrong: JoseError) -> str:
    name = getattr(wrong, "claim", None)
    return f": {name}" if isinstance(name, str) else ""


def _identity(issuer: str, claims: Mapping[str, Any]) -> Identity:
    email, verified, shown = (claims.get(name) for name in ("email", "email_verified", "auth_time"))
    return Identity(
        issuer,
        claims["sub"],
        _lower(email.strip()) if isinstance(email, str) else "",
        _YES_OR_NO.get(str(verified)),
        _moment(shown),
    )


def _moment(told: object) -> datetime | None:
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    try:
        return datetime.fromtimestamp(told, UTC)
    except _ODD:
        return None


def _lower(email: str) -> str:
    """Left as it is where a letter would become another one: the sign of Kelvin a k."""
    return email.lower() if unicodedata.is_normalized("NFKC", email) else email
