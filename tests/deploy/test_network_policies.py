"""What the NetworkPolicies of the manifests allow, read from the objects as Kubernetes defines them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

MANIFESTS = Path(__file__).parents[2] / "deploy" / "kubernetes"
POLICIES = list(yaml.safe_load_all((MANIFESTS / "base" / "network.yaml").read_text()))
NAMED = {"public": 8000, "hub": 8081}


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod of the namespace (by its labels), or an address outside of it."""

    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    elsewhere: bool = False  # a pod, but of another namespace


NBHUB = {"app.kubernetes.io/name": "nbhub"}
HUB = End("10.1.0.2", {**NBHUB, "app.kubernetes.io/component": "hub"})
PROXY = End("10.1.0.3", {**NBHUB, "app.kubernetes.io/component": "proxy"})
ALICE = End("10.1.0.10", {"component": "singleuser-server", "hub.jupyter.org/username": "alice"})
BOB = End("10.1.0.11", {"component": "singleuser-server", "hub.jupyter.org/username": "bob"})
OTHER = End("10.1.0.20", {"app": "database"})
STRANGER = End("10.1.9.9", dict(HUB.labels), elsewhere=True)
NAMES = End("10.0.0.10", elsewhere=True)
METADATA, API = End("169.254.169.254"), End("10.0.0.1")
INTERNET, INGRESS = End("93.184.216.34"), End("10.1.8.8", elsewhere=True)


def allowed(source: End, target: End, port: int, protocol: str = "TCP") -> bool:
    """Say whether a connection gets through: both its ends have to let it."""
    return _lets(source, target, port, protocol, "egress", "to") and _lets(
        target, source, port, protocol, "ingress", "from"
    )


def _lets(at: End, peer: End, port: int, protocol: str, way: str, key: str) -> bool:
    if at.elsewhere or not at.labels:
        return True
    chosen = [item["spec"] for item in POLICIES if _selects(item["spec"]["podSelector"], at)]
    chosen = [spec for spec in chosen if way.capitalize() in spec["policyTypes"]]
    if not chosen:
        return True
    rules = [rule for spec in chosen for rule in spec.get(way, ())]
    return any(_port_fits(rule, port, protocol) and _peer_fits(rule.get(key), peer) for rule in rules)


def _selects(selector: Mapping[str, Any], end: End) -> bool:
    assert set(selector) <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= end.labels.items()


def _port_fits(rule: Mapping[str, Any], port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    return not ports or any(
        item["protocol"] == protocol and NAMED.get(item["port"], item["port"]) == port for item in ports
    )


def _peer_fits(peers: Any, end: End) -> bool:
    return not peers or any(_is_peer(peer, end) for peer in peers)


def _is_peer(peer: Mapping[str, Any], end: End) -> bool:
    if "ipBlock" in peer:
        address = ipaddress.ip_address(end.address)
        block = peer["ipBlock"]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(part) for part in block.get("except", ())
        )
    assert set(peer) == {"podSelector"}, "a rule of another kind has to be understood here first"
    return not end.elsewhere and bool(end.labels) and _selects(peer["podSelector"], end)


@pytest.mark.parametrize(
    ("source", "target", "port", "protocol"),
    [
        (INGRESS, HUB, 8000, "TCP"),
        (ALICE, HUB, 8081, "TCP"),
        (PROXY, HUB, 8081, "TCP"),
        (HUB, ALICE, 8888, "TCP"),
        (PROXY, ALICE, 8888, "TCP"),
        (ALICE, NAMES, 53, "UDP"),
        (ALICE, NAMES, 53, "TCP"),
        (ALICE, INTERNET, 443, "TCP"),
        (HUB, API, 443, "TCP"),
        (HUB, OTHER, 5432, "TCP"),
    ],
)
def test_what_has_to_work_is_allowed(source: End, target: End, port: int, protocol: str) -> None:
    assert allowed(source, target, port, protocol)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        (ALICE, BOB, 8888),
        (ALICE, BOB, 22),
        (ALICE, METADATA, 80),
        (ALICE, API, 443),
        (ALICE, OTHER, 5432),
        (ALICE, HUB, 8000),
        (ALICE, HUB, 9901),
        (ALICE, PROXY, 8000),
        (OTHER, ALICE, 8888),
        (STRANGER, ALICE, 8888),
        (INGRESS, ALICE, 8888),
        (INTERNET, ALICE, 8888),
        (HUB, ALICE, 22),
        (OTHER, HUB, 8081),
        (STRANGER, HUB, 8081),
        (INGRESS, HUB, 8081),
        (ALICE, End("192.168.1.1"), 80),
        (ALICE, End("172.31.0.5"), 80),
        (ALICE, End("100.64.0.1"), 80),
    ],
)
def test_what_is_nobodys_business_is_not(source: End, target: End, port: int) -> None:
    assert not allowed(source, target, port)


def test_policies_are_part_of_every_deployment() -> None:
    base = yaml.safe_load((MANIFESTS / "base" / "kustomization.yaml").read_text())
    assert "network.yaml" in base["resources"]
    for overlay in ("single", "split", "replicas"):
        kustomization = yaml.safe_load((MANIFESTS / overlay / "kustomization.yaml").read_text())
        assert {"../base", "../split"} & set(kustomization["resources"])
        assert "NetworkPolicy" not in str(kustomization.get("patches", ""))
