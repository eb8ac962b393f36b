"""The log of web and worker."""

import json
import subprocess
import sys

HOSTILE = 'x\r\n{"message": "a line of somebody\'s own"}\x1b[2J\x9b2J\x85\u2028\u202e'
PROGRAM = """
import logging, sys
from dashboard.log import set_up
set_up()
said = sys.argv[1]
logging.getLogger("rung.test").info(said, extra={"file": said, said: 1})
try:
    raise ValueError(said)
except ValueError:
    logging.getLogger("somebody.else").exception("it broke: %s", said)
"""


def test_an_event_is_one_line_of_json_whatever_is_in_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, HOSTILE], check=True, capture_output=True, timeout=30)
    lines = done.stderr.decode().rstrip("\n").split("\n")
    events = [json.loads(line) for line in lines]
    assert [event["logger"] for event in events] == ["rung.test", "somebody.else"]
    assert events[0]["message"] == events[0]["file"] == HOSTILE
    assert done.stderr.replace(b"\n", b"").decode().isprintable()
