"""Nobody: for hubs that only programs with tokens use."""

from __future__ import annotations

from nbhub.authenticators.base import Authenticator


class NullAuthenticator(Authenticator):
    """Nobody can log in. Programs come with tokens, such as `nbhub token NAME --admin` makes."""

    label = "nothing"

    def warning(self) -> str:
        """See Authenticator."""
        return ""
