"""Tokens, hashes and keys."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from nbhub.core import secrets
from nbhub.errors import BadRequest, ConfigError

WORKED = (
    "sha512:1:0011223344556677:97f0287ec8de969bc842670b1848bf08e7a1fe4638dde2fa4aa4170e2952cd50"
    "4178fdcbf3742ef0a4e0f91544a54b45622ec0554c678630d473661d7fd6228c"
)


def test_the_worked_hash_of_jupyterhub_is_recognised() -> None:
    assert secrets.verify_jupyterhub_hash(WORKED, "abc")
    assert secrets.verify(WORKED, "abc")
    assert not secrets.verify_jupyterhub_hash(WORKED, "abd")


def test_a_hash_of_many_rounds_is_recognised() -> None:
    digest = hashlib.sha512(b"00" * 8 + b"geheim" * 16384).hexdigest()
    assert secrets.verify_jupyterhub_hash(f"sha512:16384:{'00' * 8}:{digest}", "geheim")


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        "sha512",
        "sha512:1",
        "sha512:1:salt",
        "sha512:1:salt:",
        "sha512:1::" + "0" * 128,
        "sha512:x:salt:" + "0" * 128,
        "sha512:-1:salt:" + "0" * 128,
        "sha512:0:salt:" + "0" * 128,
        "sha512:99999999999:salt:" + "0" * 128,
        "sha512:٣:salt:" + "0" * 128,
        WORKED.replace("sha512", "md5"),
        WORKED[:-1],
        WORKED + ":",
    ],
)
def test_what_is_no_hash_matches_nothing(hashed: str) -> None:
    assert not secrets.verify_jupyterhub_hash(hashed, "abc")
    assert not secrets.verify(hashed, "abc")
    assert not secrets.verify(hashed, "")


def test_a_token_longer_than_64_characters_never_matches() -> None:
    longest, longer = "x" * 64, "x" * 65
    digest = hashlib.sha512(b"salt" + longer.encode()).hexdigest()
    assert not secrets.verify_jupyterhub_hash(f"sha512:1:salt:{digest}", longer)
    assert secrets.verify(secrets.hash_token(longest), longest)
    assert not secrets.verify(secrets.hash_token(longer), longer)
    assert secrets.hash_token(longer) != hashlib.sha256(longer.encode()).hexdigest()


def test_hashes_are_lookup_keys() -> None:
    assert secrets.hash_token("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert secrets.hash_token("abc") != secrets.hash_token("abC")
    secrets.hash_token("\ud800")  # what a header may hold is never an error


def test_tokens_are_random_and_safe_in_urls() -> None:
    tokens = {secrets.new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 43 and token.replace("-", "a").replace("_", "a").isalnum() for token in tokens)
    assert secrets.new_token(bytes) == "A" * 43


def test_codes_are_thirty_letters_and_digits() -> None:
    codes = {secrets.new_code() for _ in range(100)}
    assert len(codes) == 100
    assert all(len(code) == 30 and code.isascii() and code.isalnum() for code in codes)


def test_codes_prefer_no_letter() -> None:
    every_byte = iter([bytes(range(256)), bytes(range(256))])
    code = secrets.new_code(lambda n: next(every_byte), length=248)
    assert {code.count(letter) for letter in code} == {4}


def test_session_ids_look_like_jupyterhubs() -> None:
    assert secrets.new_session_id(bytes) == "0" * 32


def test_derived_secrets_depend_on_every_part_and_its_place() -> None:
    assert secrets.derive(b"k", "a", "b") != secrets.derive(b"k", "ab")
    assert secrets.derive(b"k", "a", "b") != secrets.derive(b"k", "b", "a")
    assert secrets.derive(b"k", "a") != secrets.derive(b"l", "a")
    assert secrets.derive(b"k", "", "a") != secrets.derive(b"k", "a", "")
    assert len(secrets.derive(b"k")) == 64


@settings(max_examples=50, deadline=None, database=None)
@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_different_parts_derive_different_secrets(a: list[str], b: list[str]) -> None:
    assert (secrets.derive(b"k", *a) == secrets.derive(b"k", *b)) == (a == b)


def test_the_token_of_a_start_is_the_same_every_time_and_no_other() -> None:
    token = secrets.server_token(b"k", 1, 2)
    assert token == secrets.server_token(b"k", 1, 2)
    assert len(token) == 32
    assert int(token, 16)
    assert len({token, secrets.server_token(b"k", 1, 3), secrets.server_token(b"k", 12, 2)}) == 3


def test_keys_are_rfc_5869_and_one_for_each_purpose() -> None:
    secret = bytes(range(32))
    keys = secrets.Keys.from_secret(secret)
    expected = HKDF(hashes.SHA256(), 32, salt=None, info=b"nbhub/cookies").derive(secret)
    assert keys.cookies == expected
    assert len({keys.tokens, keys.cookies, keys.xsrf, base64.urlsafe_b64decode(keys.auth_state)}) == 4
    Fernet(keys.auth_state)
    assert keys == secrets.Keys.from_secret(secret)
    assert keys != secrets.Keys.from_secret(bytes(32))


def test_keys_are_not_shown() -> None:
    assert repr(secrets.Keys.from_secret(bytes(32))) == "Keys()"


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="31 bytes"):
        secrets.Keys.from_secret(bytes(31))


@pytest.mark.parametrize("token", ["1234567", "x" * 65, "with space", "täglich!", "tab\tbed!!", "null\x00null"])
def test_a_token_that_somebody_chose_has_to_be_fit(token: str) -> None:
    with pytest.raises(BadRequest) as raised:
        secrets.check_given_token(token)
    assert token not in raised.value.message
    secrets.check_given_token("0123456789abcdef")


def test_equal_compares_text_and_bytes() -> None:
    assert secrets.equal("é", "é".encode())
    assert not secrets.equal("a", "b")
    assert not secrets.equal("", "b")
