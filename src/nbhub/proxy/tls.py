"""Certificate and key as the secret that Envoy watches, so that a renewed one is taken without a restart."""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec

from nbhub.errors import ConfigError
from nbhub.proxy.wire import TYPE


def secret(certificate: Path, key: Path) -> bytes:
    """Return the content of the secret file; raises ConfigError if the two files cannot be used together.

    The content goes in, not the paths: two files are never renewed in the same instant, and a certificate with the
    key of another must not come into force.
    """
    try:
        chain, private = certificate.read_text(), key.read_text()
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The certificate {certificate} and the key {key} cannot be used: {error}. Check ssl_cert and ssl_key: both"
            " have to be readable PEM files that belong together, the key without a passphrase."
        ) from error
    content = {
        "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "certificate",
        "tls_certificate": {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": private}},
    }
    return msgspec.json.encode({"resources": [content]})


def _no_password() -> bytes:
    # Without this OpenSSL would ask for the passphrase on the terminal and wait.
    return b""
