"""Settings -> Services: the only wiring. Nothing is opened, and nothing heavy imported, before it is used."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from dashboard.folder import FolderReader
from dashboard.settings import Settings

if TYPE_CHECKING:  # each is imported when it is first asked for
    from dashboard.services.accounts import Accounts
    from dashboard.services.compare import Compare
    from dashboard.services.history import HistoryService
    from dashboard.services.runs import Runs


@dataclass(frozen=True)
class Services:
    """The verbs, ready to use from any thread. `runs` and `accounts` raise NoHome where home is not configured."""

    settings: Settings
    folder: FolderReader

    @cached_property
    def compare(self) -> "Compare":
        raise NotImplementedError

    @cached_property
    def runs(self) -> "Runs":
        raise NotImplementedError

    @cached_property
    def history(self) -> "HistoryService":
        raise NotImplementedError

    @cached_property
    def accounts(self) -> "Accounts":
        raise NotImplementedError

    def close(self) -> None:
        """Give home's connections back; using the services again opens new ones."""
        raise NotImplementedError


def build(settings: Settings) -> Services:
    """Wire everything; opens nothing."""
    return Services(settings, FolderReader(settings.migrations, settings.size_limit))


def prepare_home(settings: Settings) -> None:
    """Bring home's own schema up to date with our own runner. Safe when several processes start at once.

    Call it before web or worker start. Raises NoHome, HomeNotReady.
    """
    raise NotImplementedError
