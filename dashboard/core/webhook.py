"""Webhooks: who is told of which runs, in which words, how a message is signed, and when it is tried again."""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from dashboard.core.environment import Secret
from dashboard.core.run import Door, Order, Outcome, Result
from dashboard.core.words import count, span

USUAL = tuple(outcome for outcome in Outcome if outcome is not Outcome.NOTHING)
ATTEMPTS = 8
FIRST_PAUSE = 5.0  # seconds after the first attempt; each further pause is four times as long: 7½ hours in all
_SHOWN = 10  # files named in the text; the fields name them all
_LONGEST = 200  # characters of a name in the text
_STANDARD = "whsec_"  # how secrets of standardwebhooks.com begin


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver.

    Attributes
    ----------
    name: the variable that its address comes from; the address itself is as secret as a password.
    url: None where that variable is not set.
    secret: what messages are signed with; None: they are not, or its variable is not set.
    lacks: the variable that is named and not set; None: it can be told.
    environments, outcomes: of which runs it is told.

    """

    name: str
    url: Secret | None = field(repr=False)
    environments: tuple[str, ...]
    outcomes: tuple[Outcome, ...] = USUAL
    secret: Secret | None = field(default=None, repr=False)
    lacks: str | None = None

    def wants(self, result: Result) -> bool:
        return self.lacks is None and result.environment in self.environments and result.outcome in self.outcomes


class Standing(StrEnum):
    """How far a message is."""

    WAITING = "waiting"  # for its first attempt, or for the next one
    DELIVERED = "delivered"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one receiver.

    Attributes
    ----------
    id: the same at every attempt: a receiver that has seen it may leave it out.
    attempts: begun so far.
    trouble: why the last attempt did not go through.

    All moments are home's clock, aware.

    """

    id: str
    webhook: str
    run_id: str
    environment: str
    outcome: str
    standing: Standing
    attempts: int
    made_at: datetime
    tried_at: datetime | None
    trouble: str | None


def pause(attempt: int, first: float = FIRST_PAUSE) -> float | None:
    """Seconds until the attempt after this one (1, 2, …); None: it was the last."""
    return first * 4 ** (attempt - 1) if attempt < ATTEMPTS else None


# --- signing, as standardwebhooks.com describes it ---


def headers(delivery_id: str, timestamp: int, body: bytes, secret: Secret | None) -> dict[str, str]:
    """The time is signed too, so that a message that somebody kept cannot be sent again much later."""
    sent = {"Webhook-Id": delivery_id, "Webhook-Timestamp": str(timestamp)}
    if secret is not None:
        signed = f"{delivery_id}.{timestamp}.".encode() + body
        mac = hmac.new(_key(secret), signed, hashlib.sha256).digest()
        sent["Webhook-Signature"] = f"v1,{base64.b64encode(mac).decode()}"
    return sent


def _key(secret: Secret) -> bytes:
    text = secret.reveal()
    if text.startswith(_STANDARD):
        try:
            return base64.b64decode(text.removeprefix(_STANDARD), validate=True)
        except binascii.Error:
            return text.encode()
    return text.encode()


# --- the words ---

_BY = {Door.WEB: "in the browser", Door.CLI: "at the command line", Door.DEPLOY: "by a deploy", Door.API: "by the API"}


def body(result: Result, order: Order, ended_at: datetime, link: str | None) -> bytes:
    """What Slack shows (`text`), and the same for programs (`run`). Never SQL, nor what a server said of its rows."""
    said = {"text": _text(result, order, link), "type": "run.ended", "run": _fields(result, order, ended_at, link)}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _fields(result: Result, order: Order, ended_at: datetime, link: str | None) -> dict[str, Any]:
    problem, actor = result.problem, order.actor
    return {
        "id": result.run_id,
        "environment": result.environment,
        "outcome": result.outcome.value,
        "files": list(result.applied),
        "stopped_at": {"file": problem.filename, "line": problem.line} if problem and problem.filename else None,
        "forced": order.force,
        "who": {"kind": actor.kind.value, "name": actor.name, "door": actor.door.value},
        "seconds": round(result.seconds, 3),
        "ended_at": ended_at.isoformat(),
        "url": link,
    }


def _text(result: Result, order: Order, link: str | None) -> str:
    forced = ", forced" if order.force else ""
    lines = [f"*{_plain(result.environment)}*: {_what(result)}"]
    lines += [f"• {_code(name)}" for name in result.applied[:_SHOWN]]
    if len(result.applied) > _SHOWN:
        lines.append(f"and {count(len(result.applied) - _SHOWN, 'other file')}")
    lines.append(f"Asked for by {_code(order.actor.name)} {_BY[order.actor.door]}{forced}.")
    return "\n".join(lines + ([f"<{_plain(link)}|See it in Rung>"] if link else []))


def _what(result: Result) -> str:
    took, files = span(result.seconds), count(len(result.applied), "file")
    if result.outcome is Outcome.APPLIED:
        return f"{files} applied in {took}."
    if result.outcome is Outcome.NOTHING:
        return "There was nothing to do."
    before = f" Applied before that: {files}." if result.applied else ""
    return f"{_why(result)}{before} It took {took}."


def _why(result: Result) -> str:
    problem = result.problem
    file = _code(problem.filename) if problem and problem.filename else ""
    line = f", line {problem.line}," if problem and problem.line else ""
    said = {
        Outcome.REFUSED: f"The run was refused{file and ' at '}{file}.",
        Outcome.CHANGED: "The plan was no longer the one that had been shown, so nothing ran.",
        Outcome.FAILED: f"{file}{line} failed." if file else "The run failed.",
        Outcome.UNKNOWN: f"It is not known whether {file or 'the last file'} went through.",
        Outcome.CANCELLED: f"The run was stopped{file and ' at '}{file}.",
        Outcome.UNREACHABLE: "The database could not be used.",
        Outcome.BUSY: "Somebody else was migrating it, and the wait ran out.",
    }
    return said[result.outcome]


def _plain(text: str) -> str:
    """Slack gives a meaning to these three; everything else it shows."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    """Somebody else's words on one line: in a code span nothing is a mention, a link or a format."""
    shown = "".join(one if one.isprintable() else " " for one in text)[:_LONGEST]
    return f"`{_plain(shown.replace('`', chr(39)))}`"
