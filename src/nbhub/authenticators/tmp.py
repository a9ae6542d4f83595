"""A fresh anonymous user for every visit, gone with its server: for demonstrations and workshops."""

from __future__ import annotations

from traitlets import default

from nbhub.authenticators.base import Identity, VisitAuthenticator
from nbhub.core import secrets


class TmpAuthenticator(VisitAuthenticator):
    """Everybody who comes is somebody new."""

    label = "trial session"

    @default("allow_all")
    def _everybody(self) -> bool:
        return True

    async def visit(self) -> Identity:
        """Return an identity that nobody has had before (100 random bits)."""
        return Identity(f"trial-{secrets.new_code(length=17).lower()}", admin=False, temporary=True)

    def warning(self) -> str:
        """See Authenticator."""
        return (
            "Everybody who can reach this hub can start a server here, and what they did is deleted when it stops: "
            "the tmp authenticator asks for no name. Limit what servers may use, and how many there are "
            "(--Hub.active_server_limit)."
        )
