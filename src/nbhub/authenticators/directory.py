"""Questions to an LDAP server, each over a connection of its own. All of it blocks."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbhub.errors import ConfigError, Forbidden, Unavailable

try:
    import ldap3  # type: ignore[import-untyped]
    from ldap3.core.exceptions import LDAPException  # type: ignore[import-untyped]
    from ldap3.utils.conv import escape_filter_chars  # type: ignore[import-untyped]
    from ldap3.utils.dn import escape_rdn  # type: ignore[import-untyped]
except ImportError as error:
    raise ConfigError("LDAP needs a package that is not installed: pip install 'nbhub[ldap]'.") from error

_WRONG = frozenset((32, 34, 49))  # no such object, not a distinguished name, invalid credentials
# Active Directory says more about refused passwords.
_REFUSED = {
    "530": "may not log in at this hour",
    "531": "may not log in from here",
    "532": "has a password that has expired",
    "533": "is disabled",
    "701": "has expired",
    "773": "has to get a new password first",
    "775": "is locked",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What the directory has under one distinguished name; attribute names in lower case."""

    dn: str
    attributes: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def first(self, name: str) -> str:
        """Return the first value of an attribute, "" when there is none."""
        values = self.attributes.get(name.lower()) or ()
        return next((value for value in values if isinstance(value, str)), "")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server is, and how it is talked to."""

    address: str
    port: int
    strategy: str  # before_bind (StartTLS), on_connect (LDAPS), insecure
    tls: Mapping[str, Any]
    seconds: float


class Directory:
    """One LDAP server."""

    def __init__(self, place: Place) -> None:
        self._place = place
        tls = None if place.strategy == "insecure" else ldap3.Tls(**{"validate": ssl.CERT_REQUIRED, **place.tls})
        self._server = ldap3.Server(
            place.address,
            port=place.port,
            use_ssl=place.strategy == "on_connect",
            tls=tls,
            connect_timeout=place.seconds,
            get_info=ldap3.NONE,
        )

    @contextlib.contextmanager
    def bound(self, dn: str, password: str) -> Iterator[Session | None]:
        """Yield a session as that user, anonymous where `dn` is empty; None when the password is not theirs.

        Raises Unavailable when the server is away or breaks off, Forbidden when it says that the account is no good.
        """
        with self._in_words():
            connection = self._connect(dn, password)
            try:
                yield Session(connection) if self._bind(connection) else None
            finally:
                with contextlib.suppress(LDAPException, OSError):
                    connection.unbind()

    def _connect(self, dn: str, password: str) -> Any:
        connection = ldap3.Connection(
            self._server,
            user=dn or None,
            password=password or None,
            authentication=ldap3.SIMPLE if dn else ldap3.ANONYMOUS,
            auto_bind=False,
            auto_referrals=False,
            read_only=True,
            receive_timeout=max(1, round(self._place.seconds)),
        )
        connection.open()
        if self._place.strategy == "before_bind" and not connection.start_tls():
            raise Unavailable(f"The directory {self._place.address} does not take StartTLS. Set tls_strategy.")
        return connection

    def _bind(self, connection: Any) -> bool:
        if connection.bind():
            return True
        code, said = connection.result["result"], str(connection.result.get("message", ""))
        if code not in _WRONG:
            words = f"The directory {self._place.address} refuses: {connection.result['description']} {said}".strip()
            raise Unavailable(f"{words[:300]}.")
        detail = re.search(r"\bdata ([0-9a-f]{3})\b", said)
        if detail and detail[1] in _REFUSED:
            raise Forbidden(f"Your account {_REFUSED[detail[1]]}.")
        return False

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (LDAPException, OSError) as error:
            reason = str(error)[:200] or type(error).__name__
            raise Unavailable(
                f"The directory {self._place.address}:{self._place.port} does not answer as it should: {reason}."
            ) from error


class Session:
    """A connection on which somebody is known."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def search(self, base: str, filter_: str, attributes: Sequence[str], *, most: int = 1000) -> list[Entry]:
        """Return the entries below `base` that match; none where the base is not there or hidden."""
        self._connection.search(base, filter_, attributes=list(attributes) or ldap3.NO_ATTRIBUTES, size_limit=most)
        return self._entries()

    def read(self, dn: str, filter_: str, attributes: Sequence[str] = ()) -> Entry | None:
        """Return the one entry, if it is there and matches."""
        wanted = list(attributes) or ldap3.NO_ATTRIBUTES
        self._connection.search(dn, filter_, search_scope=ldap3.BASE, attributes=wanted)
        return next(iter(self._entries()), None)

    def _entries(self) -> list[Entry]:
        found = [item for item in self._connection.response or () if item.get("type") == "searchResEntry"]
        return [
            Entry(item["dn"], {name.lower(): _values(value) for name, value in item["attributes"].items()})
            for item in found
        ]


def in_filter(text: str) -> str:
    """Return text as a value in a search filter, where nothing in it means anything."""
    return str(escape_filter_chars(text))


def in_dn(text: str) -> str:
    """Return text as a value in a distinguished name, where nothing in it means anything."""
    return str(escape_rdn(text))


def _values(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]
