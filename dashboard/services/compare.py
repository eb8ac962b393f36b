"""Compare: every environment beside the others, asked now or as last seen."""

from dashboard.core.matrix import Look, Matrix


class Compare:
    """Pictures of all environments become plans and a matrix."""

    def live(self) -> Matrix:
        """Ask every environment now, all at once; home is not needed, and gets the pictures where there is one.

        A dead environment is a column with its reason, and costs the others nothing.
        """
        raise NotImplementedError

    def last_known(self) -> Matrix:
        """What home remembers; never asks an environment. Raises NoHome, Unreachable (of home), NoFolder."""
        raise NotImplementedError

    def refresh(self, max_age: float) -> bool:
        """Ask again those environments that nobody asked within `max_age` seconds; whether there were any.

        Whoever comes first asks, for all processes that share home; the others get False at once. Also copies new
        rows of the asked environments' histories. Takes about 3 s at most, and as long as that only where an
        environment is dead.
        """
        raise NotImplementedError

    def look(self, name: str) -> Look:
        """One environment, asked now. Raises UnknownEnvironment."""
        raise NotImplementedError

    def last_look(self, name: str) -> Look:
        """One environment as home remembers it."""
        raise NotImplementedError
