"""HTTPS on the public side: protocols, limits of HTTP/2, renewed certificates."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
import struct
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nbhub.errors import ConfigError
from nbhub.proxy import Proxy
from proxy.edges import HOST, PATIENCE, Upstream, get, make_proxy, started, until
from servers.ports import free_port

HEADERS, RST_STREAM, SETTINGS, GOAWAY = 1, 3, 4, 7
MAX_CONCURRENT_STREAMS, ENABLE_CONNECT = 3, 8


def make_certificate(folder: Path, serial: int) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hub.example")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(serial).not_valid_before(start).not_valid_after(start.replace(year=2120))
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    encoding, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, encoding, plain))
    return certificate, private


def client(*protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols or ("http/1.1",)))
    return context


@pytest_asyncio.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Proxy]:
    certificate, key = make_certificate(tmp_path, serial=1)
    async with Upstream("hub").serving() as hub, Upstream("alice").serving() as alice:
        made = make_proxy(
            tmp_path / "proxy", hub, ssl_cert=str(certificate), ssl_key=str(key), reread_interval=0.1, keep_alive=100
        )
        async with started(made):
            await made.update([alice.route("/user/alice/")])
            yield made


async def test_servers_hear_of_https(proxy: Proxy) -> None:
    connector = aiohttp.TCPConnector(ssl=client())
    async with aiohttp.ClientSession(f"https://{HOST}:{proxy.port}", connector=connector) as session:
        async with session.get("/user/alice/x", headers={"X-Forwarded-Proto": "http"}) as answer:
            seen = await answer.json()
        assert dict(seen["headers"])["x-forwarded-proto"] == "https"
        async with session.ws_connect("/user/alice/ws") as channel:
            assert dict((await channel.receive_json())["headers"])["x-forwarded-proto"] == "https"
        async with session.get(f"https://{HOST}:{proxy.port}//x", allow_redirects=False) as answer:
            assert answer.headers["Location"].startswith("https://")


async def test_old_protocols_are_refused(proxy: Proxy) -> None:
    context = client()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection(HOST, proxy.port, ssl=context)


async def test_plain_http_is_not_answered(proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        assert not (await asyncio.wait_for(reader.read(), PATIENCE)).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_renewed_certificate_is_taken_without_a_restart(proxy: Proxy, tmp_path: Path) -> None:
    pid = proxy.pid
    assert await serial(proxy.port) == 1
    renewing = asyncio.create_task(proxy.renew_certificate())
    (tmp_path / "key.pem").write_text("half written")
    await asyncio.sleep(0.3)
    assert await serial(proxy.port) == 1
    make_certificate(tmp_path, serial=2)
    await until(lambda: _serves(proxy.port, 2), "the new certificate")
    assert proxy.pid == pid
    renewing.cancel()


async def test_certificate_and_key_come_together(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, serial=1)
    with pytest.raises(ConfigError, match="belong together"):
        await make_proxy(tmp_path / "p", Upstream("hub"), ssl_cert=str(certificate)).start()
    (tmp_path / "other").mkdir()
    _, other = make_certificate(tmp_path / "other", serial=2)
    with pytest.raises(ConfigError, match="cannot be used"):
        await make_proxy(tmp_path / "p", Upstream("hub"), ssl_cert=str(certificate), ssl_key=str(other)).start()
    assert key.exists()


async def test_http2_streams_are_bounded_and_offer_no_connect(proxy: Proxy) -> None:
    async with http2(proxy.port) as (reader, _):
        kind, body = await frame(reader)
        assert kind == SETTINGS
        settings = dict(struct.iter_unpack("!HI", body))
        assert settings[MAX_CONCURRENT_STREAMS] == 100
        assert settings.get(ENABLE_CONNECT, 0) == 0


async def test_a_flood_of_reset_streams_ends_the_connection(proxy: Proxy) -> None:
    request = b"\x82\x87\x84\x41\x01h"  # GET https / of the authority h, in HPACK
    async with http2(proxy.port) as (reader, writer):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            for number in range(1, 4001, 2):
                writer.write(packed(HEADERS, 0x5, number, request) + packed(RST_STREAM, 0, number, bytes(4)))
                if number % 100 == 1:
                    await writer.drain()
            while (await frame(reader))[0] != GOAWAY:
                pass
            raise ConnectionError("told to go away")


@contextlib.asynccontextmanager
async def http2(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(HOST, port, ssl=client("h2"))
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + packed(SETTINGS, 0, 0, b""))
    try:
        yield reader, writer
    finally:
        writer.close()


def packed(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return struct.pack("!I", len(body))[1:] + struct.pack("!BBI", kind, flags, stream) + body


async def frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await asyncio.wait_for(reader.readexactly(9), PATIENCE)
    return head[3], await reader.readexactly(int.from_bytes(head[:3], "big"))


async def serial(port: int) -> int:
    _, writer = await asyncio.open_connection(HOST, port, ssl=client())
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(found).serial_number


async def _serves(port: int, number: int) -> bool:
    return await serial(port) == number


async def test_plain_http_is_sent_on(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, serial=1)
    plain = free_port()
    async with Upstream("hub").serving() as hub:
        made = make_proxy(tmp_path / "proxy", hub, ssl_cert=str(certificate), ssl_key=str(key), http_port=plain)
        async with started(made):
            answer = await get(plain, "/user/alice/lab?x=%20y", method="POST", host=f"hub.example:{plain}")
            assert answer.status == 308
            assert answer.headers["location"] == f"https://hub.example:{made.port}/user/alice/lab?x=%20y"
            assert hub.requests == 0
    with pytest.raises(ConfigError, match="set ssl_cert and ssl_key"):
        await make_proxy(tmp_path / "other", hub, http_port=plain).start()
