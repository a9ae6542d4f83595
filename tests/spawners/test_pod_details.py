"""What pods and the metrics API say, read as operators want to know it."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.spawners.details import Amount, Details, size
from nbhub.spawners.kubernetes.pod_details import amount, details, quantity, uses

POD = {
    "metadata": {"name": "jupyter-ada", "namespace": "hub"},
    "spec": {
        "nodeName": "node-3",
        "containers": [
            {"name": "sidecar", "image": "proxy:1", "resources": {"requests": {"cpu": "50m"}}},
            {
                "name": "notebook",
                "image": "quay.io/jupyter/scipy-notebook:2025-03-14",
                "resources": {
                    "requests": {"cpu": "500m", "memory": "1Gi"},
                    "limits": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": 1},
                },
            },
        ],
    },
}
# As the resource metrics API documents it, with a container that was only just started.
METRICS = {
    "kind": "PodMetricsList",
    "apiVersion": "metrics.k8s.io/v1beta1",
    "metadata": {},
    "items": [
        {
            "metadata": {
                "name": "jupyter-ada",
                "namespace": "hub",
                "creationTimestamp": "2025-03-14T09:26:53Z",
                "labels": {"component": "singleuser-server"},
            },
            "timestamp": "2025-03-14T09:26:43Z",
            "window": "15.06s",
            "containers": [
                {"name": "notebook", "usage": {"cpu": "187310250n", "memory": "318420Ki"}},
                {"name": "sidecar", "usage": {"cpu": "0", "memory": "0"}},
            ],
        },
        {"metadata": {"name": "jupyter-grace", "namespace": "hub"}, "window": "15s", "containers": None},
    ],
}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5),
        ("187310250n", 0.18731025),
        ("100u", 0.0001),
        (2, 2.0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("129M", 129e6),
        ("123Mi", 123 * 2**20),
        ("2Ei", 2 * 2**60),
        ("3E", 3e18),
        ("", None),
        (None, None),
        ("lots", None),
    ],
)
def test_quantities(text: Any, number: float | None) -> None:
    assert quantity(text) == (None if number is None else pytest.approx(number))


def test_a_pod_says_where_it_is_and_what_it_takes() -> None:
    found = details(POD, uses(METRICS)["hub", "jupyter-ada"])
    assert found == Details(
        object="jupyter-ada",
        node="node-3",
        image="quay.io/jupyter/scipy-notebook:2025-03-14",
        requests=Amount(0.55, 2**30),
        limits=Amount(2.0, 4 * 2**30),
        use=Amount(0.18731025, 318420 * 1024),
        extra={"nvidia.com/gpu": "1"},
    )
    assert (str(found.requests), str(found.limits), str(found.use)) == (
        "0.55 CPU, 1 GB",
        "2 CPU, 4 GB",
        "0.19 CPU, 311 MB",
    )


def test_what_is_not_said_stays_open() -> None:
    assert uses(METRICS)["hub", "jupyter-grace"] == Amount()
    assert uses({}) == {}
    assert details({}) == Details()
    assert not amount([{}]).known
    assert str(Amount()) == ""


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KB"), (1.5 * 2**30, "1.5 GB"), (1000 * 2**20, "1000 MB"), (2**41, "2 TB")],
)
def test_sizes(number: float, text: str) -> None:
    assert size(int(number)) == text
