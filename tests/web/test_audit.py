"""What is done in the browser is in the audit, with the peer's address."""

from dashboard.bootstrap import Services
from tests.cast import Cast


def test_signing_out_is_told_with_the_address_of_the_peer_and_not_with_a_claimed_one(
    cast: Cast, services: Services
) -> None:
    cast.viewer.post("/sign-out", headers={"X-Forwarded-For": "203.0.113.9"})
    row = services.audit.newest(1)[0]
    assert (row.deed, row.who, row.address) == ("sign-out", cast.viewer.email, "127.0.0.1")
