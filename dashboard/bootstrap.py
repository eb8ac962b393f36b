"""Settings -> Services: the only wiring. Nothing is opened, and nothing heavy imported, before it is used."""

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from dashboard.core.errors import NoHome, NotFound, RungError
from dashboard.folder import FolderReader
from dashboard.settings import Settings

if TYPE_CHECKING:  # each is imported when it is first asked for
    from dashboard.postgres.home.pool import Home
    from dashboard.services.accounts import Accounts
    from dashboard.services.audit import Audit
    from dashboard.services.compare import Compare
    from dashboard.services.foresee import Foresights
    from dashboard.services.health import Health
    from dashboard.services.history import HistoryService
    from dashboard.services.identities import Identities
    from dashboard.services.oidc import OpenIdConnect
    from dashboard.services.rehearsals import Rehearsals
    from dashboard.services.runs import Runs
    from dashboard.services.tokens import Tokens
    from dashboard.services.webhooks import Webhooks

_log = logging.getLogger("rung.start")


@dataclass(frozen=True)
class Services:
    """The verbs, ready to use from any thread. Without a home, `runs`, `accounts` and `tokens` raise NoHome."""

    settings: Settings
    folder: FolderReader

    @cached_property
    def compare(self) -> "Compare":
        from dashboard.services.compare import Compare

        return Compare(self.settings.environments, self.folder.read, self._home)

    @cached_property
    def runs(self) -> "Runs":
        from dashboard.services.runs import Runs

        home = self._need_home("a run from the browser")
        return Runs(self.settings.environments, self.folder.read, home, self.compare.look_again, self.webhooks)

    @cached_property
    def webhooks(self) -> "Webhooks":
        from dashboard.services.webhooks import Webhooks

        home = self._need_home("telling webhooks")
        return Webhooks(home, self.settings.webhooks, self.settings.public_url)

    @cached_property
    def rehearsals(self) -> "Rehearsals":
        from dashboard.services.rehearsals import Rehearsals

        return Rehearsals(self._need_home("a rehearsal from the browser"), self.compare.look)

    @cached_property
    def foresights(self) -> "Foresights":
        from dashboard.services.foresee import Foresights

        return Foresights(self.settings.probe_limit)

    @cached_property
    def history(self) -> "HistoryService":
        from dashboard.services.history import HistoryService

        return HistoryService(self.settings.environments, self._home)

    @cached_property
    def health(self) -> "Health":
        from dashboard.services.health import Health

        return Health(self._need_home("the dashboard"))

    @cached_property
    def accounts(self) -> "Accounts":
        from dashboard.services.accounts import Accounts

        issuer = self.settings.oidc
        return Accounts(self._need_home("signing in"), issuer.url if issuer else None)

    @cached_property
    def oidc(self) -> "OpenIdConnect | None":
        """The issuer; None where only passwords and links let people in."""
        from dashboard.services.oidc import OpenIdConnect

        return None if self.settings.oidc is None else OpenIdConnect(self.settings.oidc)

    @cached_property
    def identities(self) -> "Identities":
        from dashboard.services.identities import Identities

        if self.settings.oidc is None:
            raise NotFound("table", "[oidc]")
        return Identities(self._need_home("signing in"), self.settings.oidc)

    @cached_property
    def tokens(self) -> "Tokens":
        from dashboard.services.tokens import Tokens

        return Tokens(self._need_home("a token"), [one.name for one in self.settings.environments])

    @cached_property
    def audit(self) -> "Audit":
        from dashboard.services.audit import Audit

        return Audit(self._need_home("the audit"), [one.name for one in self.settings.environments])

    @cached_property
    def _home(self) -> "Home | None":
        if self.settings.home is None:
            return None
        from dashboard.postgres.home.pool import Home

        return Home(self.settings.home, self.settings.home_variable)

    def _need_home(self, verb: str) -> "Home":
        if self._home is None:
            raise NoHome(verb)
        return self._home

    def close(self) -> None:
        """Give home's connections back; using the services again opens new ones."""
        if self._home is not None:
            self._home.close()


def build(settings: Settings) -> Services:
    """Wire everything; opens nothing."""
    return Services(settings, FolderReader(settings.migrations, settings.size_limit))


def refuse_unsafe(settings: Settings, *, pages: bool) -> None:
    """Call it before anything listens. Raises UnsafeConfiguration. pages: this process serves them."""
    from dashboard.services.exposure import refuse_unsafe as refuse

    refuse(settings, pages=pages)


def prepare_home(settings: Settings) -> None:
    """Bring home's own schema up to date with our own runner. Safe when several processes start at once.

    Call it before web or worker start. Raises NoHome, HomeNotReady.
    """
    if settings.home is None:
        raise NoHome("the dashboard")  # noqa: TRY003  # the one who needs it
    from dashboard.services.prepare import prepare

    prepare(settings.home, settings.home_variable)


def note_configuration(settings: Settings) -> None:
    """Tell the audit where the configuration is not what it was at the last start.

    A home that takes no rows is no reason not to start: nothing runs then, and the pages say why.
    """
    if settings.home is None:
        raise NoHome("the dashboard")  # noqa: TRY003  # the one who needs it
    from dashboard.services.configured import note

    try:
        note(settings.home, settings.home_variable, settings.environments, settings.oidc)
    except RungError as fault:
        _log.warning("the configuration is not in the audit", extra={"reason": str(fault)})
