"""Tokens, random and derived; their hashes; and the keys that all come from the hub's one secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from cryptography.fernet import Fernet, MultiFernet

from nbhub.errors import BadRequest, ConfigError

MAX_TOKEN_LENGTH = 64
MIN_GIVEN_LENGTH = 8
CODE_LENGTH = 30
_ALPHANUMERIC = (string.ascii_letters + string.digits).encode()
_UNBIASED = 256 - 256 % len(_ALPHANUMERIC)  # bytes from here on would make the first letters more likely
_MAX_ROUNDS = 1_000_000

Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Keys:
    """One key for each purpose, so that what one of them signs means nothing to another."""

    tokens: bytes = field(repr=False)  # API tokens of servers
    cookies: bytes = field(repr=False)
    xsrf: bytes = field(repr=False)
    auth_state: bytes = field(repr=False)  # as Fernet takes it: 32 bytes in URL-safe base64
    former: tuple[Keys, ...] = field(default=(), repr=False)  # of older secrets: still accepted, never used anew

    @classmethod
    def from_secret(cls, secret: bytes) -> Keys:
        """Derive the keys (HKDF-SHA256, RFC 5869). Raises ConfigError when the secret has less than 32 bytes."""
        if len(secret) < 32:
            raise ConfigError(f"The hub's secret has {len(secret)} bytes; it needs at least 32 random ones.")
        return cls(
            tokens=_hkdf(secret, b"nbhub/tokens"),
            cookies=_hkdf(secret, b"nbhub/cookies"),
            xsrf=_hkdf(secret, b"nbhub/xsrf"),
            auth_state=base64.urlsafe_b64encode(_hkdf(secret, b"nbhub/auth_state")),
        )

    @classmethod
    def from_secrets(cls, first: bytes, *former: bytes) -> Keys:
        """Derive the keys of the secret in use, with those of older ones. Raises ConfigError for a short one."""
        return replace(cls.from_secret(first), former=tuple(map(cls.from_secret, former)))

    def __iter__(self) -> Iterator[Keys]:
        """Yield the keys in use, then those of each older secret."""
        yield self
        yield from self.former

    def auth_state_box(self) -> MultiFernet:
        """Return what seals with the key in use and opens what any of them sealed."""
        return MultiFernet([Fernet(keys.auth_state) for keys in self])

    def journey_box(self) -> MultiFernet:
        """Return the same for what browsers carry to an identity provider and back."""
        return MultiFernet([Fernet(base64.urlsafe_b64encode(keys.cookies)) for keys in self])


def new_token(random: Random = os.urandom) -> str:
    """Return a new secret of 43 URL-safe characters (256 bits)."""
    return base64.urlsafe_b64encode(random(32)).rstrip(b"=").decode()


def new_code(random: Random = os.urandom, length: int = CODE_LENGTH) -> str:
    """Return a new secret of `length` letters and digits, every one equally likely (30: 178 bits)."""
    chosen = bytearray()
    while len(chosen) < length:
        chosen += bytes(_ALPHANUMERIC[b % len(_ALPHANUMERIC)] for b in random(length) if b < _UNBIASED)
    return chosen[:length].decode()


def new_session_id(random: Random = os.urandom) -> str:
    """Return a new public name of a browser session, 32 hexadecimal digits."""
    return random(16).hex()


def derive(secret: bytes, *parts: str | int) -> str:
    """Return 64 hexadecimal digits that only the holder of `secret` can make of `parts`; no two lists share them."""
    message = b"".join(len(part).to_bytes(4) + part for part in (_encode(p) for p in parts))
    return hmac.digest(secret, message, "sha256").hex()


def server_token(secret: bytes, server_id: int, generation: int) -> str:
    """Return the API token of one start of a server, 32 hexadecimal digits as JupyterHub's; the same every time."""
    return derive(secret, "server", server_id, generation)[:32]


def fingerprint(secret: bytes) -> str:
    """Return 16 hexadecimal digits by which a secret is recognised, and which tell nothing of it."""
    return _hkdf(secret, b"nbhub/fingerprint").hex()[:16]


def hash_token(token: str) -> str:
    """Return what is stored of a token and looked up by: 64 hexadecimal digits.

    Fast and unsalted, which is safe for random tokens of at least 128 bits and lets one index find them. What is too
    long to be a token hashes to something that no stored token has.
    """
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
    return digest if len(token) <= MAX_TOKEN_LENGTH else f"!{digest}"


def check_given_token(token: str) -> None:
    """Raise BadRequest unless a token that somebody chose, rather than we, may be used."""
    if not MIN_GIVEN_LENGTH <= len(token) <= MAX_TOKEN_LENGTH:
        raise BadRequest(
            f"A token must have {MIN_GIVEN_LENGTH} to {MAX_TOKEN_LENGTH} characters; this one has {len(token)}."
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise BadRequest("A token may hold only printable ASCII characters without spaces.")


def verify(hashed: str, token: str) -> bool:
    """Say whether `hashed`, ours or JupyterHub's, was made of `token`."""
    if hashed.startswith("sha512:"):
        return verify_jupyterhub_hash(hashed, token)
    return bool(hashed) and len(token) <= MAX_TOKEN_LENGTH and equal(hashed, hash_token(token))


def verify_jupyterhub_hash(hashed: str, token: str) -> bool:
    """Say whether JupyterHub's `sha512:<rounds>:<salt>:<hex>` was made of `token`; False also for what is none."""
    algorithm, _, rest = hashed.partition(":")
    rounds, _, rest = rest.partition(":")
    salt, _, expected = rest.partition(":")
    if algorithm != "sha512" or not rounds.isdecimal() or not salt or not expected or len(token) > MAX_TOKEN_LENGTH:
        return False
    if not rounds.isascii() or len(rounds) > 7 or not 1 <= int(rounds) <= _MAX_ROUNDS:
        return False
    digest = hashlib.sha512(salt.encode())
    digest.update(token.encode("utf-8", "surrogatepass") * int(rounds))
    return equal(digest.hexdigest(), expected)


def equal(a: str | bytes, b: str | bytes) -> bool:
    """Compare in a time that tells nothing of where they differ."""
    return hmac.compare_digest(_encode(a), _encode(b))


def _encode(part: str | bytes | int) -> bytes:
    if isinstance(part, bytes):
        return part
    return str(part).encode("utf-8", "surrogatepass")


def _hkdf(secret: bytes, purpose: bytes) -> bytes:
    """Extract and expand to 32 bytes, which is one block."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, purpose + b"\x01", "sha256")
