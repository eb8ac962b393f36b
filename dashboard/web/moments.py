"""Points in time, ready to be shown."""

from datetime import UTC, datetime

from dashboard.core.words import absolute, ago
from dashboard.web.pages import Moment


def moment_of(moment: datetime | None, now: datetime) -> Moment | None:
    if moment is None:
        return None
    return Moment(moment.astimezone(UTC).isoformat(timespec="seconds"), ago(moment, now), absolute(moment))
