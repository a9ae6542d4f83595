"""Who is believed when he says for whom a request is passed on."""

from __future__ import annotations

from typing import Any

from nbhub.core import feed
from nbhub.web import client
from nbhub.web.desk import WebSettings

TOKEN = "t" * 32


def seen(address: str, word: str, *words: str, client_header: str = "") -> tuple[str, str]:
    """What the hub takes for the client and the scheme of a request that claims others."""
    headers = [(b"x-forwarded-for", b"192.0.2.1, 198.51.100.9"), (b"x-forwarded-proto", b"https")]
    if client_header:
        headers.append((b"x-nbhub-client", client_header.encode()))
    if word:
        headers.append((feed.HEADER.encode(), word.encode()))
    scope: dict[str, Any] = {"type": "http", "scheme": "http", "client": (address, 1), "headers": headers}
    client.believe_proxy(scope, WebSettings(), words)
    return client.address(scope), scope["scheme"]


def test_only_trusted_addresses_and_proxies_of_our_own_are_believed() -> None:
    right = feed.word(TOKEN)
    believed, itself = ("198.51.100.9", "https"), ("203.0.113.7", "http")
    assert seen("127.0.0.1", "") == believed
    assert seen("203.0.113.7", "") == itself
    assert seen("203.0.113.7", right) == itself, "no proxy runs apart"
    assert seen("203.0.113.7", right, right) == believed
    assert seen("203.0.113.7", right, feed.word("another"), right) == believed
    assert seen("203.0.113.7", TOKEN, right) == itself
    assert seen("203.0.113.7", "", right) == itself


def test_what_our_proxy_takes_for_the_client_counts_more_than_the_list() -> None:
    """Behind an Ingress the last of the list is the Ingress, for everybody."""
    assert seen("127.0.0.1", "", client_header="192.0.2.1") == ("192.0.2.1", "https")
    assert seen("203.0.113.7", "", client_header="192.0.2.1") == ("203.0.113.7", "http")
