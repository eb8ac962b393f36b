"""Which passwords are refused."""

import pytest

from dashboard.core.password import weakness

TRIED_FIRST = [
    "password", "Password1", "P@ssw0rd!", "password123…", "rung2026", "Rung!Rung", "RUNG-dashboard", "12345678", "87654321",
    "qwertyuiop", "letmein!!", "postgres1", "administrator", "abcabcabc", "aaaaaaaaaaaa", "1q1q1q1q", "correcthorsebatterystaple",
    "20262026", "!!!!!!!!1", "lead.team", "lead.team@example.com", "Lead.Team99", "abcdefghij", "ch4ng3me!",
]  # fmt: skip
FINE = [
    "correct horse battery", "a long enough password", "vx7#Lq02", "moonlit gravel tuesday", "ünïcödé-wörter",
    "correct 🐎 battery", "4912 8837 1029", "long " + "and longer " * 5 + "yes", "postgres lives in the attic",
]  # fmt: skip


@pytest.mark.parametrize("password", TRIED_FIRST)
def test_what_everybody_tries_first_is_refused(password: str) -> None:
    assert "tried first" in (weakness(password, "lead.team@example.com") or "")


@pytest.mark.parametrize("password", FINE)
def test_anything_else_is_taken_without_rules_of_composition(password: str) -> None:
    assert weakness(password, "lead.team@example.com") is None


@pytest.mark.parametrize(("password", "why"), [("vx7#Lq0", "fewer than 8"), ("é-" * 400, "more than 1,024 bytes")])
def test_too_short_and_too_long_say_so(password: str, why: str) -> None:
    assert why in (weakness(password) or "")
