"""What operators measure: counters and durations under the names that JupyterHub's dashboards know.

Durations are kept per process; how many users and servers there are is counted in the database when asked, so that
every replica gives the same answer.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_LONG = (0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """All meters of one process. `prefix` comes before every name; each instance counts for itself."""

    def __init__(self, prefix: str | None = None) -> None:
        prefix = prefix or os.environ.get("JUPYTERHUB_METRICS_PREFIX", "jupyterhub")
        self.registry = registry = CollectorRegistry()
        self.requests = Histogram(
            f"{prefix}_request_duration_seconds",
            "Time that requests took, by route.",
            ["method", "handler", "code"],
            registry=registry,
        )
        self.spawns = Histogram(
            f"{prefix}_server_spawn_duration_seconds",
            "Time from the ask for a server until it was ready or had failed.",
            ["status", "reason"],
            buckets=_LONG,
            registry=registry,
        )
        self.stops = Histogram(
            f"{prefix}_server_stop_seconds",
            "Time from the ask to stop a server until it was gone.",
            ["status"],
            buckets=_LONG,
            registry=registry,
        )
        self.polls = Histogram(
            f"{prefix}_server_poll_duration_seconds",
            "Time that one look at the backend took, for however many servers.",
            ["status"],
            registry=registry,
        )
        self.logins = Histogram(
            f"{prefix}_login_duration_seconds", "Time that log-ins took.", ["status"], registry=registry
        )
        self.logouts = Histogram(f"{prefix}_logout_duration_seconds", "Time that log-outs took.", registry=registry)
        self.startup = Gauge(
            f"{prefix}_hub_startup_duration_seconds", "Time until the hub served its first request.", registry=registry
        )
        self.csp_reports = Counter(
            f"{prefix}_csp_reports", "Violations of the content security policy that browsers told.", registry=registry
        )
        self.running_servers = Gauge(
            f"{prefix}_running_servers", "Servers that run, in the whole hub.", registry=registry
        )
        self.total_users = Gauge(f"{prefix}_total_users", "Users of the hub.", registry=registry)
        self.active_users = Gauge(
            f"{prefix}_active_users", "Users who were active in the period.", ["period"], registry=registry
        )
        self.database_up = Gauge("nbhub_database_up", "1 while this hub reaches its database.", registry=registry)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._requests: dict[tuple[str, str, int], Histogram] = {}

    def request(self, method: str, handler: str, code: int, seconds: float) -> None:
        """Count one answered request. `handler` is the route's pattern, never the path that was asked for."""
        key = (method, handler, code)
        meter = self._requests.get(key)
        if meter is None:
            meter = self._requests[key] = self.requests.labels(method, handler, str(code))
        meter.observe(seconds)

    def start_ended(self, ready: bool, seconds: float) -> None:
        """Count one start that led to a server that answers, or to a failure."""
        self.spawns.labels("success" if ready else "failure", "" if ready else "failed").observe(seconds)

    def stop_ended(self, seconds: float) -> None:
        """Count one object that was taken away."""
        self.stops.labels("success").observe(seconds)

    def polled(self, seconds: float) -> None:
        """Count one look at the backend."""
        self.polls.labels("success").observe(seconds)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
