"""Accounts: who may come in, and how: passwords, one-time links, sessions, roles."""

from dataclasses import dataclass

from dashboard.core.access import EVERYWHERE, LinkPurpose, Role, Visitor


@dataclass(frozen=True, slots=True)
class Accounts:
    """Everything about people. Tokens are 256 random bits, URL-safe, and only their hashes are kept."""

    def add(self, email: str, password: str | None, role: Role) -> None:
        """Make an account with one role for all environments. Without a password only one-time links open it.

        Raises BadAccount: the address is none, or taken; the password is too short or too long.
        """
        raise NotImplementedError

    def exists(self, email: str) -> bool:
        raise NotImplementedError

    def sign_in(self, email: str, password: str, *, address: str = "") -> str | None:
        """A new session's token; None for every reason alike. `address`: where the try came from, for the throttle."""
        raise NotImplementedError

    def wait(self, email: str) -> float:
        """Seconds until this account may try a password again; 0 unless too many failed lately."""
        raise NotImplementedError

    def make_link(self, email: str, purpose: LinkPurpose = LinkPurpose.SIGN_IN, minutes: float = 15) -> str:
        """A token that `redeem` takes once. Raises NotFound."""
        raise NotImplementedError

    def redeem(self, token: str) -> str | None:
        """A new session's token for a one-time link's; None when it is unknown, used or too old."""
        raise NotImplementedError

    def visitor(self, session_token: str, *, active: bool = True) -> Visitor | None:
        """Who this session is; None when it ended. `active=False`: a page asked by itself, and keeps nobody in."""
        raise NotImplementedError

    def sign_out(self, session_token: str) -> None:
        """End this session now; a second time does nothing."""
        raise NotImplementedError

    def sign_out_everywhere(self, email: str) -> int:
        """End all sessions of an account; how many there were."""
        raise NotImplementedError

    def set_password(self, email: str, password: str) -> None:
        """A new password; ends all sessions of the account. Raises NotFound, BadAccount."""
        raise NotImplementedError

    def set_role(self, email: str, role: Role | None, environment: str = EVERYWHERE) -> None:
        """The account's role from the next request on; None takes it away. Raises NotFound."""
        raise NotImplementedError
