"""Routes and settings in, golden JSON out. `NBHUB_GOLDEN=write pytest …` writes the files anew; read the difference."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nbhub.core.model import Route
from nbhub.errors import ConfigError
from nbhub.proxy import resources, tls
from nbhub.proxy.bootstrap import Edge, bootstrap

GOLDEN = Path(__file__).parent / "golden"

EDGE = Edge(
    ip="127.0.0.1",
    port=8000,
    base_url="/",
    hub_target="127.0.0.1:8081",
    table_path="/run/nbhub/routes.pb",
    unreachable_path="/run/nbhub/unreachable.log",
    admin_path="/run/nbhub/admin.sock",
    identity_headers=("remote-user", "x-forwarded-user"),
)
TLS_EDGE = Edge(
    ip="::",
    port=443,
    base_url="/jupyter/",
    hub_target="hub:8081",
    table_path="/run/nbhub/routes.pb",
    unreachable_path="/run/nbhub/unreachable.log",
    admin_path="/run/nbhub/admin.sock",
    certificate_path="/run/nbhub/certificate.json",
    trusted_hops=1,
)
ROUTES = [
    Route("/user/bob/", "http://[fd00::1]:8888", "bob"),
    Route("/user/alice/", "http://10.0.0.1:8888", "alice"),
    Route("/user/alice/gpu/", "http://10.0.0.2:8888", "alice", "gpu"),
    Route("/user/a@b.c/", "http://10.0.0.3:8888", "a@b.c"),
]


@pytest.mark.parametrize(
    ("name", "built"),
    [
        ("no-routes", resources.route_table([], "/")),
        ("routes", resources.route_table(ROUTES, "/")),
        ("routes-base-url-behind-a-proxy", resources.route_table([], "/jupyter/", trusted_hops=1)),
        ("bootstrap", bootstrap(EDGE)),
        ("bootstrap-tls", bootstrap(TLS_EDGE)),
    ],
)
def test_golden(name: str, built: dict[str, Any]) -> None:
    path = GOLDEN / f"{name}.json"
    plain = msgspec.json.decode(msgspec.json.encode(built))
    if os.environ.get("NBHUB_GOLDEN") == "write":
        path.write_text(json.dumps(plain, indent=1) + "\n")
    assert plain == json.loads(path.read_text())


def test_the_version_is_of_the_content_and_not_of_the_order() -> None:
    one, other = resources.snapshot(ROUTES, "/"), resources.snapshot(reversed(ROUTES), "/")
    assert one == other
    assert one.version != resources.snapshot(ROUTES[1:], "/").version


def test_every_route_overwrites_the_destination() -> None:
    text = json.dumps(resources.route_table(ROUTES, "/"))
    assert text.count(resources.DESTINATION) == text.count('"cluster": "servers"') == 6  # 4, an alias, a fallback


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("not a certificate")
    (tmp_path / "key.pem").write_text("not a key")
    with pytest.raises(ConfigError, match=r"cert\.pem and the key .*key\.pem cannot be used.*ssl_cert"):
        tls.secret(tmp_path / "cert.pem", tmp_path / "key.pem")
    with pytest.raises(ConfigError, match="No such file"):
        tls.secret(tmp_path / "none.pem", tmp_path / "key.pem")
