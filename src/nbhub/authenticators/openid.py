"""What makes OAuth 2 OpenID Connect: discovery, and ID tokens that are believed only when everything fits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from nbhub.authenticators.provider import Provider
from nbhub.core import secrets
from nbhub.errors import ConfigError, Forbidden, Unavailable

try:
    from joserfc import jws, jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet
except ImportError as error:
    raise ConfigError("OpenID Connect needs packages that are not installed: pip install 'nbhub[oauth]'.") from error

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
LEEWAY = 60.0  # seconds by which clocks may differ
KEYS_SECONDS = 30.0  # a key that is not known is asked for at most so often
LIVES = 3600.0  # for so long the provider's addresses are not asked for again
_LONGEST_TOKEN = 50_000


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider says about itself."""

    issuer: str
    authorize_url: str
    token_url: str
    userdata_url: str
    keys_url: str
    logout_url: str
    token_methods: tuple[str, ...]


class OpenID:
    """One provider, known by its issuer."""

    def __init__(self, issuer: str, provider: Provider, clock: Callable[[], float]) -> None:
        self.issuer = issuer
        self._provider = provider
        self._clock = clock
        self._metadata: Metadata | None = None
        self._read_at = 0.0
        self._keys: KeySet | None = None
        self._keys_at = 0.0

    async def metadata(self) -> Metadata:
        """Return what the provider says about itself, asked for once an hour. Raises Unavailable."""
        now = self._clock()
        if self._metadata is None or now - self._read_at > LIVES:
            self._metadata, self._read_at = await self._discover(), now
        return self._metadata

    async def _discover(self) -> Metadata:
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        reply = await self._provider.get(url)
        said = reply.fields
        needed = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
        if reply.failed or not all(isinstance(said.get(name), str) for name in needed):
            raise Unavailable(f"{url} does not describe an OpenID provider. Check the setting issuer.")
        if said["issuer"] != self.issuer and "{tenantid}" not in said["issuer"]:
            words = (
                f"{url} describes the provider {said['issuer'][:200]!r}. Set issuer to exactly that, if it is right."
            )
            raise Unavailable(words)
        methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Metadata(
            said["issuer"],
            said["authorization_endpoint"],
            said["token_endpoint"],
            _text(said.get("userinfo_endpoint")),
            said["jwks_uri"],
            _text(said.get("end_session_endpoint")),
            tuple(methods) if isinstance(methods, list) else (),
        )

    async def verify(self, token: Any, client_id: str, nonce: str | None) -> dict[str, Any]:
        """Return the claims of an ID token; raises Forbidden unless all of it is right.

        `nonce` is None for tokens that came of a refresh.
        """
        metadata = await self.metadata()
        claims = await self._signed(token)
        check_claims(claims, client_id, nonce, self._clock())
        issuer = metadata.issuer.replace("{tenantid}", str(claims.get("tid", "")))
        if claims.get("iss") != issuer:
            raise disbelief("it was issued by another provider than the one of this hub")
        return claims

    async def _signed(self, token: Any) -> dict[str, Any]:
        header = _header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise disbelief(f"it is signed in a way that is not accepted ({str(algorithm)[:20]!r})")
        keys = await self._key_set(kid if isinstance(kid, str) else None)
        if kid is None and len(keys.keys) > 1:
            raise disbelief("it does not say with which of the provider's keys it is signed")
        try:
            return dict(jwt.decode(token, keys, algorithms=[algorithm]).claims)
        except (JoseError, ValueError, TypeError):
            raise disbelief("its signature is not the provider's") from None

    async def _key_set(self, kid: str | None) -> KeySet:
        """Return the provider's keys, asked for anew when a token names one that is not among them."""
        now = self._clock()
        known = self._keys is not None and (kid is None or any(key.kid == kid for key in self._keys.keys))
        if self._keys is None or (not known and now - self._keys_at >= KEYS_SECONDS) or now - self._keys_at > LIVES:
            self._keys, self._keys_at = await self._read_keys(), now
        return self._keys

    async def _read_keys(self) -> KeySet:
        url = (await self.metadata()).keys_url
        reply = await self._provider.get(url)
        listed = reply.fields.get("keys")
        if reply.failed or not isinstance(listed, list):
            raise Unavailable(f"{urlsplit(url).netloc} does not give the keys that it signs with.")
        usable = [key for key in listed if isinstance(key, dict) and key.get("use", "sig") == "sig"]
        usable = [key for key in usable if key.get("kty") in ("RSA", "EC", "OKP")]
        found = []
        for key in usable:
            try:
                found += KeySet.import_key_set({"keys": [key]}).keys
            except (JoseError, ValueError, TypeError):
                continue  # of a kind that we do not know; others may do
        if not found:
            raise Unavailable(f"{urlsplit(url).netloc} gives no key that signatures could be checked with.")
        return KeySet(found)


def read_unsigned(token: Any, client_id: str, nonce: str | None, now: float) -> dict[str, Any]:
    """Return the claims of an ID token that came over TLS from the provider itself, whose keys are not known."""
    _header(token)
    try:
        found = json.loads(jws.extract_compact(token.encode()).payload)
    except (JoseError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise disbelief("it cannot be read")
    check_claims(found, client_id, nonce, now)
    return found


def check_claims(claims: Mapping[str, Any], client_id: str, nonce: str | None, now: float) -> None:
    """Raise Forbidden unless a token is for this hub, for this log-in, and for now."""
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or client_id not in audiences:
        raise disbelief("it is meant for another program than this hub")
    party = claims.get("azp")
    if (party is not None or len(audiences) > 1) and party != client_id:
        raise disbelief("it was issued to another program than this hub")
    expires, issued, begins = claims.get("exp"), claims.get("iat", now), claims.get("nbf", now)
    if not all(isinstance(at, int | float) and not isinstance(at, bool) for at in (expires, issued, begins)):
        raise disbelief("it does not say until when it is good")
    if now > expires + LEEWAY:  # type: ignore[operator]
        raise disbelief("it has expired; the clocks of the hub and the provider may differ")
    if max(issued, begins) > now + LEEWAY:
        raise disbelief("it is from the future; the clocks of the hub and the provider may differ")
    if nonce is not None and not (isinstance(claims.get("nonce"), str) and secrets.equal(claims["nonce"], nonce)):
        raise disbelief("it was not made for this log-in")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise disbelief("it does not say whose it is (no sub)")


def disbelief(reason: str) -> Forbidden:
    """Return the error for a token that cannot be believed."""
    return Forbidden(
        f"What the provider says about you cannot be believed: {reason}. Try again; if this stays, tell "
        "your administrator."
    )


def _header(token: Any) -> dict[str, Any]:
    if not isinstance(token, str) or len(token) > _LONGEST_TOKEN or token.count(".") != 2:
        raise disbelief("it is not a signed token")
    try:
        return dict(jws.extract_compact(token.encode()).headers())
    except (JoseError, ValueError, TypeError):
        raise disbelief("it is not a signed token") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
