"""What operators measure of the proxy."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Meters:
    """The proxy's counters; in a registry of their own unless one is given."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry = registry or CollectorRegistry()
        self.routes = Gauge("nbhub_proxy_routes", "Routes to servers that should be in force.", registry=registry)
        self.updates = Counter(
            "nbhub_proxy_updates", "Replacements of the route table, by outcome.", ["outcome"], registry=registry
        )
        self.update_seconds = Histogram(
            "nbhub_proxy_update_seconds",
            "Time from a new list of routes to Envoy answering by it.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
            registry=registry,
        )
        self.follows = Gauge(
            "nbhub_proxy_follows_hub", "1 while a proxy that runs apart hears of routes from a hub.", registry=registry
        )
        self.restarts = Counter("nbhub_proxy_restarts", "Times that Envoy had ended by itself.", registry=registry)

    def replaced(self, seconds: float, *, refused: bool) -> None:
        """Count one replacement."""
        self.updates.labels("refused" if refused else "applied").inc()
        self.update_seconds.observe(seconds)
