"""A real OpenLDAP server (slapd) in a folder of its own, with TLS and a few people and groups."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from servers.ports import free_port

BASE = "dc=example,dc=org"
PEOPLE, GROUPS = f"ou=people,{BASE}", f"ou=groups,{BASE}"
READER, READER_PASSWORD = f"cn=reader,{BASE}", "reads only"
PASSWORD = "password of everybody"
SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/lib/openldap:/usr/bin")
SCHEMAS = Path("/etc/ldap/schema")


@dataclass(frozen=True)
class OpenLDAP:
    """Where the server listens, and the certificate to believe."""

    port: int
    tls_port: int
    certificate: Path


def available() -> bool:
    """Say whether slapd is installed."""
    return SLAPD is not None and SCHEMAS.is_dir() and shutil.which("slapadd", path="/usr/sbin:/usr/bin") is not None


@contextmanager
def running() -> Iterator[OpenLDAP]:
    """Run a server until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="nbhub-ldap-") as name:
        folder = Path(name)
        certificate, key = _certificate(folder)
        (folder / "data").mkdir()
        (folder / "slapd.conf").write_text(_configuration(folder, certificate, key))
        (folder / "people.ldif").write_text(_people())
        slapadd = shutil.which("slapadd", path="/usr/sbin:/usr/bin") or "slapadd"
        command = [slapadd, "-f", str(folder / "slapd.conf"), "-l", str(folder / "people.ldif")]
        subprocess.run(command, check=True, capture_output=True)
        port, tls_port = free_port(), free_port()
        addresses = f"ldap://127.0.0.1:{port}/ ldaps://127.0.0.1:{tls_port}/"
        command = [SLAPD or "slapd", "-f", str(folder / "slapd.conf"), "-h", addresses, "-d", "0"]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(port, child)
            yield OpenLDAP(port, tls_port, certificate)
        finally:
            child.terminate()
            child.wait(10)


def _configuration(folder: Path, certificate: Path, key: Path) -> str:
    schemas = "\n".join(f"include {SCHEMAS}/{name}.schema" for name in ("core", "cosine", "inetorgperson", "nis"))
    return f"""{schemas}
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
database mdb
suffix "{BASE}"
rootdn "cn=root,{BASE}"
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * auth
"""


def _people() -> str:
    entries = [
        f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example",
        f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people",
        f"dn: ou=guests,{BASE}\nobjectClass: organizationalUnit\nou: guests",
        f"dn: {GROUPS}\nobjectClass: organizationalUnit\nou: groups",
        f"dn: {READER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\n"
        f"userPassword: {READER_PASSWORD}",
        *(_person(name, PEOPLE) for name in ("ann", "bob", "eve")),
        _person("ann", f"ou=guests,{BASE}", "password of the guest"),
        _person("double", PEOPLE),
        _person("double", f"ou=guests,{BASE}"),
        f"dn: cn=staff,{GROUPS}\nobjectClass: groupOfNames\ncn: staff\nmember: uid=ann,{PEOPLE}\n"
        f"member: uid=bob,{PEOPLE}",
        f"dn: cn=lab,{GROUPS}\nobjectClass: groupOfNames\ncn: lab\nmember: uid=ann,{PEOPLE}",
        f"dn: cn=chiefs,{GROUPS}\nobjectClass: posixGroup\ncn: chiefs\ngidNumber: 500\nmemberUid: ann",
    ]
    return "\n\n".join(entries) + "\n"


def _person(name: str, where: str, password: str = PASSWORD) -> str:
    return (
        f"dn: uid={name},{where}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name.title()} Name\nsn: Name\n"
        f"mail: {name}@example.org\nuserPassword: {password}"
    )


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


def _wait(port: int, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("slapd did not start")
